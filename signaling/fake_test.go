package signaling

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/sfu"
)

// fakeRooms is a node without media. It refuses a second participant with the same id, and remembers what it was asked.
type fakeRooms struct {
	mu      sync.Mutex
	members map[string]*member
	calls   []string
	next    int
	clashes int // joins with an id that was there

	joinErr, offerErr, answerErr, candidateErr, restartErr error
	onOffer                                                func(participant string) // called without the lock
	onJoin, onRoster                                       func()                   // likewise
}

type member struct {
	req      sfu.JoinRequest
	muted    bool
	attached []bool // every SetAttached
}

func newFakeRooms() *fakeRooms { return &fakeRooms{members: make(map[string]*member)} }

func (f *fakeRooms) Join(_ context.Context, req sfu.JoinRequest) (sfu.Joined, error) {
	f.mu.Lock()
	hook := f.onJoin
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log("join %s %s", req.Room, req.Name)
	if f.joinErr != nil {
		return sfu.Joined{}, f.joinErr
	}
	if req.Participant == "" {
		f.next++
		req.Participant = fmt.Sprintf("p%d", f.next)
	}
	if f.members[req.Participant] != nil {
		f.clashes++
		return sfu.Joined{}, fmt.Errorf("participant %s is there already", req.Participant)
	}
	f.members[req.Participant] = &member{req: req}
	return sfu.Joined{Participant: req.Participant, Participants: f.roster(req.Room)}, nil
}

func (f *fakeRooms) roster(room string) []sfu.ParticipantInfo {
	var out []sfu.ParticipantInfo
	for id, m := range f.members {
		if m.req.Room == room {
			out = append(out, sfu.ParticipantInfo{ID: id, Name: m.req.Name, Kind: m.req.Kind, Muted: m.muted, Publish: m.req.Publish})
		}
	}
	slices.SortFunc(out, func(a, b sfu.ParticipantInfo) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

func (f *fakeRooms) log(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeRooms) do(participant string, fail error, format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log(format, args...)
	if f.members[participant] == nil {
		return sfu.ErrNoParticipant
	}
	return fail
}

func (f *fakeRooms) Offer(_ context.Context, participant, sdp string) (string, error) {
	f.mu.Lock()
	hook := f.onOffer
	f.mu.Unlock()
	if hook != nil {
		hook(participant)
	}
	if err := f.do(participant, f.offerErr, "offer %s", participant); err != nil {
		return "", err
	}
	return "v=0\r\ns=answer\r\n", nil
}

func (f *fakeRooms) Answer(_ context.Context, participant, sdp string) error {
	return f.do(participant, f.answerErr, "answer %s", participant)
}

func (f *fakeRooms) AddCandidate(_ context.Context, participant string, c sfu.Candidate) error {
	return f.do(participant, f.candidateErr, "candidate %s %q", participant, c.Candidate)
}

func (f *fakeRooms) ICERestart(_ context.Context, participant, ufrag, pwd string, cs []sfu.Candidate) (string, error) {
	if err := f.do(participant, f.restartErr, "restart %s %s %d", participant, ufrag, len(cs)); err != nil {
		return "", err
	}
	return "a=ice-ufrag:srv1\r\na=ice-pwd:serverpasswordserverpassword\r\n", nil
}

func (f *fakeRooms) SetMuted(_ context.Context, by, participant string, muted bool) error {
	if by != participant && !muted {
		return sfu.ErrForbidden
	}
	if err := f.do(participant, nil, "mute %s %s %v", by, participant, muted); err != nil {
		return err
	}
	who := by
	if by == participant {
		who = "self"
	}
	f.emit(participant, sfu.MuteEvent{Muted: muted, By: who})
	return nil
}

func (f *fakeRooms) SetVolume(_ context.Context, participant, other string, volume float64) error {
	return f.do(participant, nil, "volume %s %s %g", participant, other, volume)
}

func (f *fakeRooms) Chat(_ context.Context, participant, text string) error {
	if err := f.do(participant, nil, "chat %s", participant); err != nil {
		return err
	}
	f.mu.Lock()
	room := f.members[participant].req.Room
	f.mu.Unlock()
	for _, id := range f.ids(room) {
		f.emit(id, sfu.ChatEvent{From: participant, Text: text, At: time.Now()})
	}
	return nil
}

func (f *fakeRooms) SetAttached(participant string, attached bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.members[participant]; m != nil {
		m.attached = append(m.attached, attached)
	}
}

func (f *fakeRooms) Roster(participant string) ([]sfu.ParticipantInfo, error) {
	f.mu.Lock()
	hook := f.onRoster
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[participant]
	if m == nil {
		return nil, sfu.ErrNoParticipant
	}
	return f.roster(m.req.Room), nil
}

func (f *fakeRooms) Leave(_ context.Context, participant, reason string) error {
	f.mu.Lock()
	f.log("leave %s %s", participant, reason)
	m := f.members[participant]
	delete(f.members, participant)
	f.mu.Unlock()
	if m == nil {
		return sfu.ErrNoParticipant
	}
	if m.req.Observer != nil {
		m.req.Observer.Event(sfu.ClosedEvent{Reason: reason})
	}
	return nil
}

// kick removes a participant as the node does of itself.
func (f *fakeRooms) kick(participant, reason string) {
	_ = f.Leave(context.Background(), participant, reason)
}

func (f *fakeRooms) emit(participant string, ev sfu.Event) {
	f.mu.Lock()
	m := f.members[participant]
	f.mu.Unlock()
	if m != nil && m.req.Observer != nil {
		m.req.Observer.Event(ev)
	}
}

func (f *fakeRooms) ids(room string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for id, m := range f.members {
		if m.req.Room == room {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// called returns the calls that begin with a word.
func (f *fakeRooms) called(word string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		if len(c) >= len(word) && c[:len(word)] == word {
			out = append(out, c)
		}
	}
	return out
}

func (f *fakeRooms) attached(participant string) []bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.members[participant]; m != nil {
		return slices.Clone(m.attached)
	}
	return nil
}

// fakeICE has one TURN server, with a name that shows whom and which host it was for.
type fakeICE struct{}

func (fakeICE) ICEServers(participant, host string) ([]ICEServer, time.Duration) {
	return []ICEServer{
		{URLs: []string{"stun:" + host + ":3478"}},
		{URLs: []string{"turn:" + host + ":3478?transport=udp", "turns:" + host + ":5349"}, Username: "1:" + participant, Credential: `pa"ss`},
	}, 5 * time.Minute
}
