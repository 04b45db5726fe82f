package mixer

import (
	"slices"

	"go.uber.org/zap"
)

const (
	// joinAfterTicks is how long a difference must have been without effect before listeners share a mix again: the time that somebody
	// has been silent whom they do not hear, or hear with another gain. Counted in ticks that were mixed: in those that were skipped a
	// last sound does not leave the limiter.
	joinAfterTicks = 100
	// retryTicks is how often an encoder that could not be made is tried again.
	retryTicks = 100
	// spareBuses bounds the buses and mixes kept for the next speaker: 45 kB and 11 kB each.
	spareBuses = 4
	// maxMerging bounds the mixes that wait to be joined with another: beyond, a changed gain is a seam instead of a fork.
	maxMerging = 8
)

// wants is what a listener is to hear now.
func (r *Room) wants(l *Listener) hearing {
	var w hearing
	if l.owner != nil && l.owner.apart {
		w.without = l.owner
	}
	if l.gains != nil && l.gains.apart {
		w.gains = l.gains
	}
	return w
}

// find returns the first mix of what is wanted, or nil.
func (r *Room) find(w hearing) *mix {
	for _, m := range r.mixes {
		if m.hearing == w {
			return m
		}
	}
	return nil
}

// place finds the bus for a listener that has just come (or that had to wait). It must not begin on a bus whose limiter
// and encoder still hold its own voice; wants sees to that, as owners are apart for a while after they have spoken.
func (r *Room) place(l *Listener) {
	w, tier := r.wants(l), Tier(l.tier.Load())
	m := r.find(w)
	if m == nil {
		m = r.newMix()
		m.hear(w, false, r.mixed)
	}
	b := m.buses[tier]
	if b == nil {
		if b = r.newBus(m, tier); b == nil {
			r.tidyMix(m)
			r.waiting = append(r.waiting, l)
			return
		}
	}
	l.gap = true
	b.newcomer = true
	b.add(l)
}

// regroup moves listeners to the mixes and buses that they belong to in tick n. Whoever is to hear something else from this tick
// on goes with a copy of the old mix and encoder, before the first sample that differs: up to here both streams are
// the same. Who is to hear what others hear goes to them at the beginning of a frame of 40 ms.
func (r *Room) regroup(n int64) {
	boundary := r.place40(n) == 0
	if boundary && len(r.waiting) > 0 && r.mixed%retryTicks < ringTicks {
		waiting := r.waiting
		r.waiting = nil
		for _, l := range waiting {
			r.place(l)
		}
	}
	for _, o := range r.hearers {
		r.turn(&o.apart, o.lastActive, boundary, o.listeners)
	}
	for _, g := range r.personal {
		g.heed(r.mixed)
		r.turn(&g.apart, g.lastActive, boundary, g.listeners)
	}
	if boundary {
		r.long = r.worker.rung >= rungLong
		r.retier()
		r.merge()
		for _, m := range r.mixes {
			for _, b := range m.buses {
				if b != nil {
					b.ticks = r.frameTicks(b.tier)
				}
			}
		}
	}
}

// turn follows whether a difference has an effect.
func (r *Room) turn(apart *bool, lastActive int64, boundary bool, listeners []*Listener) {
	switch {
	case lastActive == r.mixed && !*apart:
		*apart = true
	case *apart && boundary && r.mixed-lastActive >= joinAfterTicks:
		*apart = false
	default:
		return
	}
	for _, l := range listeners {
		if l.bus != nil {
			r.reseat(l, !*apart, false)
		}
	}
}

// reseat takes a listener to a mix of what it wants: with join to one that there is, otherwise off with a copy of its own. With
// ramp, gains are reached in the course of the next tick.
func (r *Room) reseat(l *Listener, join, ramp bool) {
	from, w := l.bus.mix, r.wants(l)
	if from.hearing == w {
		return
	}
	var to *mix
	if join {
		to = r.find(w)
	} else {
		// Another one may just have made the same step.
		for _, m := range r.mixes {
			if m.origin == from && m.hearing == w {
				to = m
			}
		}
	}
	if to == nil {
		twin := r.find(w)
		to = from
		if !r.unanimous(from, w) { // else the mix itself becomes another
			to = r.newMix()
			to.forkFrom(from)
		}
		to.hear(w, ramp, r.mixed)
		to.mergeAt = 0
		if twin != nil {
			to.mergeAt = r.mixed + joinAfterTicks
		}
	}
	if to != from {
		r.put(l, to, l.bus.tier)
	}
}

// unanimous tells whether all that hear a mix are to hear w.
func (r *Room) unanimous(m *mix, w hearing) bool {
	for _, b := range m.buses {
		if b == nil {
			continue
		}
		for _, l := range b.listeners {
			if r.wants(l) != w {
				return false
			}
		}
	}
	return true
}

// put moves a listener to the bus of a mix and tier. One that does not exist is a copy of the listener's.
func (r *Room) put(l *Listener, to *mix, tier Tier) {
	old, b := l.bus, to.buses[tier]
	switch {
	case b == nil && len(old.listeners) == 1:
		from := old.mix
		from.buses[old.tier] = nil
		to.buses[tier] = old
		old.mix, old.tier = to, tier
		r.tidyMix(from)
		return
	case b == nil:
		if b = r.newBus(to, tier); b == nil {
			old.remove(l)
			r.tidy(old)
			r.tidyMix(to)
			r.waiting = append(r.waiting, l)
			return
		}
		if err := b.forkFrom(old); err != nil {
			r.mixer.log.Debug("listener gets a fresh encoder", zap.String("room", r.id), zap.Error(err))
		} else {
			r.worker.forks.Add(1)
		}
	case to.origin != old.mix: // else b has just been made, for another one that made the same step
		r.worker.joins.Add(1)
		b.newcomer = b.newcomer || b.asleep && !old.asleep // lest the last sound be concealed to its end
	}
	old.remove(l)
	b.add(l)
	r.tidy(old)
}

// setTier notes that a listener's tier has changed. It takes effect when frames of all lengths end.
func (r *Room) setTier(l *Listener) {
	if l.joined && !slices.Contains(r.changing, l) {
		r.changing = append(r.changing, l)
	}
}

func (r *Room) retier() {
	for i, l := range r.changing {
		if tier := Tier(l.tier.Load()); l.bus != nil && l.bus.tier != tier {
			r.put(l, l.bus.mix, tier)
			r.worker.tierChanges.Add(1)
		}
		r.changing[i] = nil
	}
	r.changing = r.changing[:0]
}

// regain gives a listener other gains.
func (r *Room) regain(l *Listener, g *gains) {
	if !l.joined {
		return
	}
	r.setGains(l, g)
	if l.bus == nil {
		return
	}
	merging := 0
	for _, m := range r.mixes {
		if m.mergeAt != 0 {
			merging++
		}
	}
	r.reseat(l, merging >= maxMerging, true)
}

// merge joins mixes that have been the same for a while: one at a time, so that not all work and all seams come at once.
func (r *Room) merge() {
	for _, m := range r.mixes {
		if m.mergeAt == 0 || r.mixed < m.mergeAt {
			continue
		}
		m.mergeAt = 0
		to := r.find(m.hearing)
		if to == m {
			continue // the others will come to this one
		}
		for _, b := range m.buses {
			for b != nil && b.mix == m && len(b.listeners) > 0 {
				r.put(b.listeners[len(b.listeners)-1], to, b.tier)
			}
		}
		return
	}
}

// newMix returns a mix of everything in its initial state.
func (r *Room) newMix() *mix {
	var m *mix
	if k := len(r.spareMixes) - 1; k >= 0 {
		m = r.spareMixes[k]
		r.spareMixes[k] = nil
		r.spareMixes = r.spareMixes[:k]
		clear(m.pcm)
	} else {
		m = &mix{pcm: make([]float32, ringTicks*frameSamples*r.channels)}
	}
	m.mixState = mixState{limiter: newLimiter(r.channels)}
	r.mixes = append(r.mixes, m)
	return m
}

// newBus returns a bus in its initial state, or nil when no encoder can be made.
func (r *Room) newBus(m *mix, tier Tier) *bus {
	var b *bus
	if k := len(r.spare) - 1; k >= 0 && tier <= Poor {
		b = r.spare[k]
		r.spare[k] = nil
		r.spare = r.spare[:k]
	} else {
		e, err := r.makeEncoder(tier)
		if err != nil {
			r.worker.encodeErrors.Add(1)
			r.mixer.log.Error("new encoder", zap.String("room", r.id), zap.Error(err))
			return nil
		}
		b = &bus{encoder: e, out: [2][]byte{make([]byte, maxPacket), make([]byte, maxPacket)}}
	}
	b.busState = busState{ticks: r.frameTicks(tier), loss: r.encoding.LossPercent}
	b.mix, b.tier = m, tier
	m.buses[tier] = b
	r.mixer.buses.Add(1)
	return b
}

// tidy takes a bus that nobody hears out of the room. Its encoder is kept if it can be brought to a clean state.
func (r *Room) tidy(b *bus) {
	if len(b.listeners) > 0 {
		return
	}
	b.mix.buses[b.tier] = nil
	r.tidyMix(b.mix)
	r.mixer.buses.Add(-1)
	clear(b.listeners[:cap(b.listeners)])
	b.mix, b.ready = nil, outgoing{}
	resetter, ok := b.encoder.(interface{ Reset() error })
	if ok && b.tier <= Poor && len(r.spare) < spareBuses && b.apply(setting{}, &r.encoding) && resetter.Reset() == nil {
		r.spare = append(r.spare, b)
	}
}

// tidyMix takes a mix without buses out.
func (r *Room) tidyMix(m *mix) {
	if m.buses != [lanes]*bus{} {
		return
	}
	r.mixes = slices.DeleteFunc(r.mixes, func(x *mix) bool { return x == m })
	m.hearing, m.origin, m.mergeAt = hearing{}, nil, 0
	clear(m.levels)
	m.levels = m.levels[:0]
	for _, x := range r.mixes {
		if x.origin == m {
			x.origin = nil
		}
	}
	if len(r.spareMixes) < spareBuses {
		r.spareMixes = append(r.spareMixes, m)
	}
}
