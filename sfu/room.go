package sfu

import (
	"math"
	"slices"
	"sync"
	"time"

	"parley/mixer"
)

// room is a call: its members and the mixer's room they are heard in.
type room struct {
	id  string
	mix *mixer.Room

	mu      sync.Mutex
	members []*participant // in the order they came

	// guarded by Node.mu
	emptySince time.Time // zero while somebody is in it

	// used by the node's ticker only
	levels    []mixer.Level
	lastSent  []Level
	qualities []Quality
}

// size returns the number of members.
func (r *room) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// enter seats p, tells the others and returns everybody.
func (r *room) enter(p *participant) []ParticipantInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, p)
	r.tell(p, ParticipantEvent{Change: ChangeJoined, Participant: p.info})
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
	r.tell(p, ParticipantEvent{Change: ChangeLeft, Participant: p.info, Reason: reason})
	return len(r.members)
}

// roster lists everybody. Under mu.
func (r *room) roster() []ParticipantInfo {
	out := make([]ParticipantInfo, len(r.members))
	for i, m := range r.members {
		out[i] = m.info
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
}

// chat sends a line of text to everybody, the sender included: its own line comes back in the order all see.
func (r *room) chat(e ChatEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(nil, e)
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
		m := r.find(l.Owner)
		if m == nil {
			continue
		}
		m.info.Speaking = l.Speaking
		now = append(now, Level{Participant: l.Owner, LevelDBov: math.Round(float64(l.LevelDBov)), Speaking: l.Speaking})
	}
	if slices.Equal(now, r.lastSent) {
		return
	}
	r.lastSent = now
	r.tell(nil, LevelsEvent{Levels: now})
}

// find returns the member with this id. Under mu.
func (r *room) find(id string) *participant {
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

// sendQualities tells everybody how good whose connection is, if that has changed. Once a second, the node's ticker.
func (r *room) sendQualities(now []Quality) {
	if slices.Equal(now, r.qualities) {
		return
	}
	r.qualities = now
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(nil, QualityEvent{Qualities: now})
}
