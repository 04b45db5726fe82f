package sfu

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/mixer"
)

// room is a call: its members and the mixer's room they are heard in.
type room struct {
	id  string
	cfg mixer.RoomConfig
	mix *mixer.Room

	mu      sync.Mutex
	members []*participant           // in the order they came
	remotes map[string]*remoteMember // on other nodes, by participant
	side    atomic.Pointer[side]

	// guarded by Node.mu
	emptySince time.Time // zero while somebody is in it

	// used by the node's ticker only
	levels    []mixer.Level
	lastSent  []Level
	qualities []Quality
}

// size returns how many are in the room: on whichever node, or for somebody who comes back from another, whose seat there may
// still be counted, on this one.
func (r *room) size(back bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if back {
		return len(r.members)
	}
	return len(r.members) + len(r.remotes)
}

// enter seats p, tells the others and returns everybody.
func (r *room) enter(p *participant) []ParticipantInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.join(p.node.fabric)
	r.members = append(r.members, p)
	change := ChangeJoined
	if old := r.remotes[p.id]; old != nil { // it was on another node until now
		change = ChangeUpdated
		p.since = max(p.since, old.Since+1)
	}
	r.tell(p, ParticipantEvent{Change: change, Participant: p.info})
	r.show(p)
	return r.roster()
}

// exit takes p out, tells the others and returns how many are left.
func (r *room) exit(p *participant, reason string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.members, p)
	if i < 0 {
		return len(r.members)
	}
	r.members = slices.Delete(r.members, i, i+1)
	p.info.Speaking, p.info.Publish = false, false
	if now := r.remotes[p.id]; now != nil {
		r.tell(p, ParticipantEvent{Change: ChangeUpdated, Participant: now.ParticipantInfo})
	} else {
		r.tell(p, ParticipantEvent{Change: ChangeLeft, Participant: p.info, Reason: reason})
	}
	if f := r.share(); f != nil {
		f.Hide(p.id, reason)
	}
	if len(r.members) == 0 {
		r.part()
	}
	return len(r.members)
}

// roster lists everybody, on whichever node. Under mu.
func (r *room) roster() []ParticipantInfo {
	out := make([]ParticipantInfo, len(r.members), len(r.members)+len(r.remotes))
	for i, m := range r.members {
		out[i] = m.info
	}
	for _, o := range r.others() {
		out = append(out, o.ParticipantInfo)
	}
	return out
}

// tell queues e for everybody but not (which may be nil). Under mu, so that all see the same order. A member whose
// observer does not take its events is removed.
func (r *room) tell(not *participant, e Event) {
	for _, m := range r.members {
		if m != not && !m.events.push(e) {
			m.node.dismiss(m, ReasonTimeout)
		}
	}
}

// update changes what is shown of p and tells the others, if it is still here.
func (r *room) update(p *participant, change func(*ParticipantInfo)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := p.info
	change(&p.info)
	if p.info == before || !slices.Contains(r.members, p) {
		return
	}
	r.tell(p, ParticipantEvent{Change: ChangeUpdated, Participant: p.info})
	r.show(p)
}

// mute changes whether p is heard, in the name of by, who may be itself. Under mu.
func (r *room) mute(p *participant, by string, muted bool) error {
	if !muted && by != bySelf && p.info.Muted && p.mutedBy == bySelf {
		return fmt.Errorf("unmute %q: %w", p.id, ErrForbidden)
	}
	p.uplink.setMuted(muted)
	if p.info.Muted == muted {
		return nil
	}
	p.info.Muted, p.mutedBy = muted, by
	r.tell(p, ParticipantEvent{Change: ChangeUpdated, Participant: p.info})
	r.show(p)
	if !p.events.push(MuteEvent{Muted: muted, By: by}) {
		p.node.dismiss(p, ReasonTimeout)
	}
	return nil
}

// chat sends a line of text to everybody, the sender included: its own line comes back in the order all see.
func (r *room) chat(e ChatEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(nil, e)
	if f := r.share(); f != nil {
		f.Chat(e)
	}
}

// sendLevels tells everybody who is how loud, if that is news. The node's ticker calls it ten times a second.
func (r *room) sendLevels() {
	r.levels = r.mix.Levels(r.levels[:0])
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) == 0 {
		r.lastSent = nil
		return
	}
	now := make([]Level, 0, len(r.levels))
	for _, l := range r.levels {
		switch m, o := r.member(l.Owner), r.remotes[l.Owner]; {
		case m != nil:
			m.info.Speaking = l.Speaking
		case o != nil:
			o.Speaking = l.Speaking
		default:
			continue
		}
		now = append(now, Level{Participant: l.Owner, LevelDBov: math.Round(float64(l.LevelDBov)), Speaking: l.Speaking})
	}
	if slices.Equal(now, r.lastSent) {
		return
	}
	r.lastSent = now
	r.tell(nil, LevelsEvent{Levels: now})
}

// member returns the participant of this node with this id. Under mu.
func (r *room) member(id string) *participant {
	for _, m := range r.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// list returns the members as they are now.
func (r *room) list() []*participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

// sendQualities tells everybody how good whose connection is, if that has changed: now are those of this node. Once a
// second, the node's ticker.
func (r *room) sendQualities(now []Quality) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.side.Load() != nil {
		for _, q := range now {
			if m := r.member(q.Participant); m != nil && m.score != q.Score {
				m.score = q.Score
				r.show(m)
			}
		}
		for id, o := range r.remotes {
			if o.Score > 0 && r.member(id) == nil {
				now = append(now, Quality{id, o.Score})
			}
		}
		slices.SortFunc(now, func(a, b Quality) int { return cmp.Compare(a.Participant, b.Participant) })
	}
	if slices.Equal(now, r.qualities) {
		return
	}
	r.qualities = now
	r.tell(nil, QualityEvent{Qualities: now})
}
