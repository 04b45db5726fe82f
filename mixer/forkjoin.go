package mixer

import (
	"slices"

	"go.uber.org/zap"
)

const (
	// joinAfterTicks is how long a participant must have been silent before its listeners share the whole mix again. Counted in
	// ticks that were mixed: in those that were skipped its last sound does not leave the limiter.
	joinAfterTicks = 100
	// retryTicks is how often an encoder that could not be made is tried again.
	retryTicks = 100
	// spareBuses bounds the buses kept for the next speaker: 45 kB each.
	spareBuses = 4
)

// place finds the bus for a listener that has just come (or that had to wait). It must not begin on a bus whose limiter
// and encoder still hold its own voice, so one who is just speaking gets a bus of its own.
func (r *Room) place(l *Listener) {
	o := l.owner
	b := r.full
	switch {
	case o != nil && o.bus != nil:
		b = o.bus
	case o != nil && r.mixed-o.lastActive < joinAfterTicks:
		if b = r.newBus(); b != nil {
			b.excluded = o
		}
	case b == nil:
		b = r.newBus()
		r.full = b
	}
	if b == nil {
		r.waiting = append(r.waiting, l)
		return
	}
	if o != nil {
		o.bus = b
	}
	l.gap = true
	b.newcomer = true
	b.add(l)
}

// diverge gives the listeners of somebody who begins to speak a mix without that voice. Called before the first tick
// that has it is mixed, so up to here both streams are the same, and the new one is a copy.
func (r *Room) diverge(o *owner) {
	from := o.bus
	if len(from.listeners) == len(o.listeners) {
		from.excluded = o
		if r.full == from {
			r.full = nil
		}
		return
	}
	b := r.newBus()
	if b != nil {
		if err := b.forkFrom(from); err != nil {
			r.mixer.log.Debug("listener gets a fresh encoder", zap.String("room", r.id), zap.Error(err))
		} else {
			r.worker.forks.Add(1)
		}
		b.excluded = o
		move(o, from, b)
		return
	}
	for _, l := range o.listeners {
		from.remove(l)
		r.waiting = append(r.waiting, l)
	}
	o.bus = nil
}

// converge puts the listeners of somebody who has been silent for a while back on the shared bus. Called at the start of
// a frame.
func (r *Room) converge(o *owner) {
	b := o.bus
	if r.full == nil {
		b.excluded = nil
		r.full = b
		return
	}
	move(o, b, r.full)
	r.release(b)
	r.worker.joins.Add(1)
}

// newBus returns a bus in its initial state, or nil when no encoder can be made.
func (r *Room) newBus() *bus {
	var b *bus
	if k := len(r.spare) - 1; k >= 0 {
		b = r.spare[k]
		r.spare[k] = nil
		r.spare = r.spare[:k]
		clear(b.pcm)
	} else {
		b = &bus{pcm: make([]float32, frameTicks*frameSamples*r.channels), out: make([]byte, maxPacket)}
	}
	if b.encoder == nil {
		e, err := r.mixer.newEncoder(r.encoding)
		if err != nil {
			r.worker.encodeErrors.Add(1)
			r.mixer.log.Error("new encoder", zap.String("room", r.id), zap.Error(err))
			return nil
		}
		b.encoder = e
	}
	b.busState = busState{limiter: newLimiter(r.channels), loss: r.encoding.LossPercent}
	r.buses = append(r.buses, b)
	r.mixer.buses.Add(1)
	return b
}

// release takes a bus that nobody hears out of the room. Its encoder is kept if it can be brought to a clean state.
func (r *Room) release(b *bus) {
	if r.full == b {
		r.full = nil
	}
	r.buses = slices.DeleteFunc(r.buses, func(x *bus) bool { return x == b })
	r.mixer.buses.Add(-1)
	clear(b.listeners[:cap(b.listeners)])
	b.listeners, b.excluded = b.listeners[:0], nil
	resetter, ok := b.encoder.(interface{ Reset() error })
	b.set(rungNone, &r.encoding)
	if len(r.spare) < spareBuses && ok && resetter.Reset() == nil && b.rung == rungNone && b.encoder.SetPacketLoss(r.encoding.LossPercent) == nil {
		r.spare = append(r.spare, b)
	}
}
