package sfu

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"parley/mixer"
)

// Join gives a participant a seat. Whoever has the same identity on this node loses theirs (ReasonReplaced).
// It fails with ErrDraining, ErrServerFull, ErrRoomFull or ErrForbidden.
func (n *Node) Join(ctx context.Context, req JoinRequest) (Joined, error) {
	if err := n.ready(ctx); err != nil {
		return Joined{}, err
	}
	id := req.Participant
	switch id {
	case "":
		id = randomID()
	case bySelf, byServer:
		return Joined{}, fmt.Errorf("join as %q: %w", id, ErrForbidden)
	}
	p := &participant{
		node: n, id: id, kind: req.Kind, publish: req.Publish, subscribe: req.Subscribe, admin: req.Admin,
		done: make(chan struct{}), negotiation: make(chan struct{}, 1),
		info: ParticipantInfo{ID: id, Name: req.Name, Kind: req.Kind},
	}
	p.joined = n.now()
	p.since = p.joined.UnixMilli()
	p.presence.since = p.joined
	p.attached = req.Kind == KindWebSocket
	if req.Observer != nil {
		p.events = newEventQueue(req.Observer)
	}
	all, err := n.seat(p, req.Room, req.Back)
	if err != nil {
		n.counters.refused.Add(1)
		return Joined{}, fmt.Errorf("join room %q: %w", req.Room, err)
	}
	n.counters.joined.Add(1)
	p.log.Info("participant joined", zap.Int("kind", int(p.kind)))
	return Joined{Participant: id, Participants: all, Stereo: p.room.stereo(), Music: p.room.cfg.Music}, nil
}

// seat finds or makes the room and puts p into it.
func (n *Node) seat(p *participant, roomID string, back bool) ([]ParticipantInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draining {
		return nil, ErrDraining
	}
	old := n.participants[p.id]
	if limit := n.cfg.MaxParticipants; limit > 0 && len(n.participants) >= limit && old == nil {
		return nil, ErrServerFull
	}
	r := n.rooms[roomID]
	made := r == nil
	// Who is in stays in, and may come back; a newcomer would take sound from them.
	if old == nil && n.overloaded(r) {
		return nil, ErrServerFull
	}
	if made {
		var cfg mixer.RoomConfig
		if n.cfg.Room != nil {
			cfg = n.cfg.Room(roomID)
		}
		mix, err := n.cfg.Mixer.NewRoom(roomID, cfg)
		if err != nil {
			return nil, err
		}
		r = &room{id: roomID, cfg: cfg, mix: mix}
	}
	p.room = r
	p.log = n.log.With(zap.String("room", r.id), zap.String("participant", p.id))
	if limit := n.cfg.MaxRoomParticipants; limit > 0 && r.size(back) >= limit && (old == nil || old.room != r) {
		return nil, ErrRoomFull
	}
	if old != nil {
		n.remove(old, ReasonReplaced)
	}
	all := r.enter(p)
	if made {
		n.rooms[roomID] = r
		n.counters.roomsMade.Add(1)
	}
	r.emptySince = time.Time{}
	n.participants[p.id] = p
	if p.events != nil {
		n.wg.Go(p.events.run) // ends with the participant; Run waits
	}
	return all, nil
}

// Leave takes a participant out and waits until what it had is freed or ctx ends. One that is not there is no error.
func (n *Node) Leave(ctx context.Context, participant, reason string) error {
	n.mu.Lock()
	p := n.participants[participant]
	if p != nil {
		n.remove(p, reason)
	}
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove takes p out of the maps and has its things freed. Under mu; idempotent.
func (n *Node) remove(p *participant, reason string) {
	if n.participants[p.id] != p {
		return
	}
	delete(n.participants, p.id)
	n.counters.left.Add(1)
	if p.room.exit(p, reason) == 0 {
		p.room.emptySince = n.now()
	}
	n.wg.Go(func() { p.shutdown(reason) }) // Run waits, and Leave by p.done
}

// dismiss removes p from a goroutine of its own, for callers that hold a lock.
func (n *Node) dismiss(p *participant, reason string) {
	n.wg.Go(func() { // Run waits
		n.mu.Lock()
		defer n.mu.Unlock()
		n.remove(p, reason)
	})
}

func (n *Node) dismissAll(reason string) []*participant {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*participant, 0, len(n.participants))
	for _, p := range n.participants {
		all = append(all, p)
	}
	for _, p := range all {
		n.remove(p, reason)
	}
	return all
}

// Drain refuses joins from now on, closes everybody with ReasonDraining and waits for that until ctx ends.
func (n *Node) Drain(ctx context.Context) {
	n.mu.Lock()
	n.draining = true
	n.mu.Unlock()
	for _, p := range n.dismissAll(ReasonDraining) {
		select {
		case <-p.done:
		case <-ctx.Done():
			return
		}
	}
}

// find returns a participant of this node.
func (n *Node) find(id string) (*participant, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.participants[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%q: %w", id, ErrNoParticipant)
}
