package mixer

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxGains bounds the people that one listener hears louder, softer or not at all.
	maxGains = 64
	// maxGainLists bounds the different lists of a room. Together with the owners that speak, and the tiers, they bound its encodes.
	maxGainLists = 16
)

// gain is how loud one listener wants to hear an owner's sources.
type gain struct {
	owner  string
	factor float32
}

// gains is what one listener wants to hear different from the others. Equal lists of a room are one.
type gains struct {
	list  []gain // by owner, never changed
	users int    // listeners that have it; guarded by Room.mu

	// The worker's own.
	owners     []*owner // of list
	listeners  []*Listener
	apart      bool  // some of these owners are heard, or were a moment ago
	lastActive int64 // when, as Room.mixed was then
}

// SetGain sets how loud this listener hears an owner's sources: 1 is as everybody does, 0 not at all, at most 8 (+18 dB). It is
// reached in 10 ms. It costs the room an encode of its own while one of those owners is heard, shared with listeners that have set
// the same, so both are bounded: ErrTooManyMixes when the listener has set 64, or the room has 16 different lists. Any
// goroutine may call it.
func (l *Listener) SetGain(owner string, factor float32) error {
	if owner == "" || !(factor >= 0 && factor <= maxGain) {
		return fmt.Errorf("%w: gain of %v for %q", ErrConfig, factor, owner)
	}
	if owner == l.config.Owner {
		return nil // which is not heard anyway
	}
	r := l.room
	r.mu.Lock()
	next, err := r.gainsLocked(l.chosen, owner, factor)
	if err == nil && r.closed.Load() {
		err = r.err
	}
	if err != nil || next == l.chosen || l.closed.Load() {
		r.mu.Unlock()
		if err != nil {
			return fmt.Errorf("room %q: %w", r.id, err)
		}
		return nil
	}
	r.useGainsLocked(l, next)
	r.postLocked(command{kind: changeGains, listener: l, gains: next})
	r.mu.Unlock()
	r.wake()
	return nil
}

// gainsLocked returns the room's list that is old with one gain changed; nil when nothing is left in it.
func (r *Room) gainsLocked(old *gains, owner string, factor float32) (*gains, error) {
	var list []gain
	if old != nil {
		list = slices.Clone(old.list)
	}
	i, found := slices.BinarySearchFunc(list, owner, func(g gain, owner string) int { return strings.Compare(g.owner, owner) })
	switch {
	case found && factor == 1:
		list = slices.Delete(list, i, i+1)
	case found:
		list[i].factor = factor
	case factor != 1:
		list = slices.Insert(list, i, gain{owner, factor})
	}
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > maxGains {
		return nil, fmt.Errorf("%w: more than %d gains for one listener", ErrTooManyMixes, maxGains)
	}
	for _, g := range r.gainLists {
		if slices.Equal(g.list, list) {
			return g, nil
		}
	}
	lists := len(r.gainLists)
	if old != nil && old.users == 1 {
		lists-- // which goes
	}
	if lists >= maxGainLists {
		return nil, fmt.Errorf("%w: more than %d different lists of gains", ErrTooManyMixes, maxGainLists)
	}
	return &gains{list: list, lastActive: never}, nil
}

// useGainsLocked notes that l has another list.
func (r *Room) useGainsLocked(l *Listener, next *gains) {
	if old := l.chosen; old != nil {
		if old.users--; old.users == 0 {
			r.gainLists = slices.DeleteFunc(r.gainLists, func(g *gains) bool { return g == old })
		}
	}
	if next != nil {
		if next.users == 0 {
			r.gainLists = append(r.gainLists, next)
		}
		next.users++
	}
	l.chosen = next
}

// setGains gives a listener another list, on the worker.
func (r *Room) setGains(l *Listener, next *gains) {
	if old := l.gains; old != nil {
		old.listeners = slices.DeleteFunc(old.listeners, func(x *Listener) bool { return x == l })
		if len(old.listeners) == 0 {
			for _, o := range old.owners {
				o.mentioned--
			}
			old.owners, old.apart = nil, false
			r.personal = slices.DeleteFunc(r.personal, func(g *gains) bool { return g == old })
		}
	}
	l.gains = next
	if next == nil {
		return
	}
	if len(next.listeners) == 0 {
		for _, g := range next.list {
			o := r.owner(g.owner)
			o.mentioned++
			next.owners = append(next.owners, o)
		}
		next.heed(r.mixed)
		next.apart = r.mixed-next.lastActive < joinAfterTicks
		r.personal = append(r.personal, next)
	}
	next.listeners = append(next.listeners, l)
}

// heed follows the owners.
func (g *gains) heed(mixed int64) {
	for _, o := range g.owners {
		if o.lastActive > g.lastActive {
			g.lastActive = o.lastActive
		}
		if g.lastActive == mixed {
			return
		}
	}
}

// level is an owner's personal gain in a mix.
type level struct {
	owner  *owner
	at, to float32 // at the end of the last tick, and of the next
}

// hear makes w what is mixed. With ramp, what sounds now gets from one gain to the other in a tick.
func (m *mix) hear(w hearing, ramp bool, mixed int64) {
	m.hearing = w
	for i := range m.levels {
		m.levels[i].to = 1
	}
	if w.gains != nil {
		for i, o := range w.gains.owners {
			k := slices.IndexFunc(m.levels, func(x level) bool { return x.owner == o })
			if k < 0 {
				k = len(m.levels)
				m.levels = append(m.levels, level{owner: o, at: 1})
			}
			m.levels[k].to = w.gains.list[i].factor
		}
	}
	for i := range m.levels {
		if v := &m.levels[i]; !ramp || v.owner.lastActive < mixed {
			v.at = v.to
		}
	}
	m.levels = slices.DeleteFunc(m.levels, func(v level) bool { return v.at == 1 && v.to == 1 })
}
