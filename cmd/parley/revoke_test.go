package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"parley/sfu"
	"parley/signaling"
)

// fakeRooms seats everybody and keeps their observers.
type fakeRooms struct {
	signaling.Rooms
	observers []sfu.Observer
	err       error
	early     bool // the last event comes before Join returns
}

func (f *fakeRooms) Join(_ context.Context, req sfu.JoinRequest) (sfu.Joined, error) {
	f.observers = append(f.observers, req.Observer)
	if f.early {
		req.Observer.Event(sfu.ClosedEvent{})
	}
	return sfu.Joined{Participant: req.Participant}, f.err
}

type recorder struct{ events []sfu.Event }

func (r *recorder) Event(e sfu.Event) { r.events = append(r.events, e) }

func TestRevoking(t *testing.T) {
	var revoked []string
	fake := &fakeRooms{}
	rooms := newRevokingRooms(fake, func(p string) { revoked = append(revoked, p) })
	join := func(id string, o sfu.Observer) {
		t.Helper()
		if _, err := rooms.Join(t.Context(), sfu.JoinRequest{Participant: id, Observer: o}); err != nil && fake.err == nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(revoked, want) {
			t.Errorf("%s: revoked %v, want %v", what, revoked, want)
		}
		revoked = nil
	}
	heard := &recorder{}
	join("a", heard)
	join("b", nil)
	fake.observers[0].Event(sfu.MuteEvent{})
	expect("nobody has left")
	fake.observers[0].Event(sfu.ClosedEvent{Reason: sfu.ReasonLeft})
	fake.observers[1].Event(sfu.ClosedEvent{})
	expect("both have left", "a", "b")
	if len(heard.events) != 2 {
		t.Errorf("%d events were passed on, want 2", len(heard.events))
	}

	join("c", nil) // observer 2
	join("c", nil) // observer 3 replaces it
	expect("replaced", "c")
	fake.observers[2].Event(sfu.ClosedEvent{Reason: sfu.ReasonReplaced})
	expect("the late event of the replaced must not touch the successor")
	fake.observers[3].Event(sfu.ClosedEvent{})
	expect("the successor leaves", "c")

	fake.early = true
	join("d", nil)
	expect("gone before Join returned", "d")
	fake.early, fake.err = false, errors.New("full")
	join("e", nil)
	expect("refused")
	if len(rooms.seats) != 0 {
		t.Errorf("%d seats are left over", len(rooms.seats))
	}
}
