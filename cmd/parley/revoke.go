package main

import (
	"context"
	"sync"

	"parley/sfu"
	"parley/signaling"
)

// revokingRooms is the node as signaling sees it, with one thing added: when a participant is gone, for whatever reason,
// its TURN credentials and allocations go too.
type revokingRooms struct {
	signaling.Rooms
	revoke func(participant string)

	mu    sync.Mutex
	seats map[string]*revokingObserver // by participant: who sits there now
}

func newRevokingRooms(rooms signaling.Rooms, revoke func(participant string)) *revokingRooms {
	return &revokingRooms{Rooms: rooms, revoke: revoke, seats: make(map[string]*revokingObserver)}
}

// Join implements signaling.Rooms. Credentials are minted after it has returned.
func (r *revokingRooms) Join(ctx context.Context, req sfu.JoinRequest) (sfu.Joined, error) {
	o := &revokingObserver{next: req.Observer, rooms: r}
	req.Observer = o
	joined, err := r.Rooms.Join(ctx, req)
	if err == nil {
		r.seat(o, joined.Participant)
	}
	return joined, err
}

// seat notes who sits there. Somebody who had the same identity is out: what they hold is revoked now, before their
// successor gets credentials, and not when their last event arrives.
func (r *revokingRooms) seat(o *revokingObserver, participant string) {
	r.mu.Lock()
	o.participant = participant
	_, replaced := r.seats[participant]
	if o.gone {
		delete(r.seats, participant)
	} else {
		r.seats[participant] = o
	}
	stale := replaced || o.gone
	r.mu.Unlock()
	if stale {
		r.revoke(participant)
	}
}

// leave is called at a participant's last event, which may come before Join has returned.
func (r *revokingRooms) leave(o *revokingObserver) {
	r.mu.Lock()
	o.gone = true
	seated := o.participant != "" && r.seats[o.participant] == o
	if seated {
		delete(r.seats, o.participant)
	}
	r.mu.Unlock()
	if seated {
		r.revoke(o.participant)
	}
}

// revokingObserver passes events on and watches for the last one.
type revokingObserver struct {
	next  sfu.Observer // may be nil
	rooms *revokingRooms

	participant string // these two are guarded by rooms.mu
	gone        bool
}

// Event implements sfu.Observer.
func (o *revokingObserver) Event(e sfu.Event) {
	if _, last := e.(sfu.ClosedEvent); last {
		o.rooms.leave(o)
	}
	if o.next != nil {
		o.next.Event(e)
	}
}
