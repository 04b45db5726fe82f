package mixer

import "time"

const (
	// SampleRateHz is the rate of everything that is mixed.
	SampleRateHz = 48000

	tickDuration = 10 * time.Millisecond
	frameSamples = SampleRateHz / 100 // per channel and tick
	frameTicks   = 2                  // ticks per encoded frame: 20 ms

	// deafEvery is how often, in ticks, a room without listeners fetches its packets.
	deafEvery = 10
	// parkDeafTicks and parkQuietTicks are how long nothing must have happened before a room leaves its worker's list:
	// one second without listeners; ten with, in which they still get signs of life.
	parkDeafTicks  = 100
	parkQuietTicks = 1000
)

// tick is one tick of the room, number n of the grid. It returns false when the room is to leave the worker's list.
func (r *Room) tick(n int64, now time.Duration) bool {
	if r.closed.Load() {
		r.teardown()
		return false
	}
	if !r.started {
		r.started = true
		r.pulled, r.eventful = n-1, n
	}
	if r.mail.Load() {
		r.apply()
		r.eventful = n
	}
	if r.listeners == 0 {
		r.deaf(n, now)
	} else {
		r.listenTick(n, now)
	}
	return !r.park(n)
}

// deaf keeps the sources of a room in time that nobody listens to: packets go in, nothing is decoded.
func (r *Room) deaf(n int64, now time.Duration) {
	r.half, r.frameStart = 0, 0
	ticks := n - r.pulled
	r.pulled = n
	for _, s := range r.sources {
		if s.drain(now) > 0 {
			r.eventful = n
		}
		s.chosen, s.audit, s.decoded, s.idle = false, false, false, 0
		s.skip(ticks, now)
		r.claim(s, int(ticks))
		s.publish()
	}
	r.leave()
}

// claim shows the level that the packets of an undecoded source claim.
func (r *Room) claim(s *Source, ticks int) {
	level := silentDBov
	if s.claimed != 1 && !s.muted.Load() {
		level = s.claimed
	}
	s.claimed = 1
	s.meter.observeDB(float64(level), ticks)
}

func (r *Room) listenTick(n int64, now time.Duration) {
	missed := n - r.pulled - 1
	r.pulled = n
	r.mixed++
	r.align(n, missed)
	for _, s := range r.sources {
		quiet := s.quiet
		if s.drain(now) > 0 {
			r.eventful, s.idle = n, 0
		}
		s.claimed = 1
		if missed > 0 && !quiet {
			s.skip(missed, now)
		}
	}
	r.choose(n, now)
	decodes := 0
	for _, s := range r.sources {
		s.pull(n, now)
		s.request(now)
		if s.decoded {
			decodes++
		}
		if !s.quiet {
			r.eventful = n
		}
		if (n+int64(s.sequence))%publishEvery == 0 {
			s.publish()
		}
		s.shape(n)
		if s.active && s.owner != nil {
			s.owner.active, s.owner.lastActive = true, r.mixed
		}
	}
	r.worker.decodes.Add(uint64(decodes))
	r.regroup()
	r.mix()
	if r.half == 0 {
		r.frameStart = n
	}
	r.half++
	if r.half == frameTicks {
		r.half = 0
		r.send()
	}
	r.leave()
}

// align makes frames begin at ticks of the room's parity, true to time: what was missed is silence. A frame that was
// half full when ticks were missed ends in silence and is sent; a frame that would begin at the wrong tick begins one
// earlier, if that was missed.
func (r *Room) align(n, missed int64) {
	if missed > 0 && r.half == 1 {
		for _, b := range r.buses {
			b.mixTick(nil, 1)
		}
		r.half = 0
		r.send()
	}
	if r.half == 0 && (n+r.parity)%frameTicks != 0 && (missed > 0 || len(r.buses) == 0 || r.frameStart == 0) {
		for _, b := range r.buses {
			clear(b.pcm[:len(b.pcm)/frameTicks])
		}
		r.frameStart, r.half = n-1, 1
	}
}

// regroup moves listeners to the buses they belong to in this tick.
func (r *Room) regroup() {
	if r.half == 0 && len(r.waiting) > 0 && r.mixed%retryTicks < frameTicks {
		waiting := r.waiting
		r.waiting = nil
		for _, l := range waiting {
			r.place(l)
		}
	}
	for _, o := range r.hearing {
		if o.bus == nil {
			o.active = false
			continue
		}
		apart := o.bus.excluded == o
		switch {
		case o.active && !apart:
			r.diverge(o)
		case !o.active && apart && r.half == 0 && r.mixed-o.lastActive >= joinAfterTicks:
			r.converge(o)
		}
		o.active = false
	}
}

// mix sums the active sources once and takes out of the sum, per bus, what its listeners must not hear. The sum is in
// float64, in which adding and taking away float32 samples is exact: of one's own voice not the last bit remains.
func (r *Room) mix() {
	sum, whole := r.worker.scratch.sum[:frameSamples*r.channels], r.worker.scratch.whole[:frameSamples*r.channels]
	active := 0
	for _, s := range r.sources {
		if !s.active {
			continue
		}
		if active == 0 {
			for i, v := range s.x {
				sum[i] = float64(v)
			}
		} else {
			for i, v := range s.x {
				sum[i] += float64(v)
			}
		}
		active++
	}
	wholeReady := false
	for _, b := range r.buses {
		own := 0
		if b.excluded != nil {
			for _, s := range b.excluded.sources {
				if s.active {
					own++
				}
			}
		}
		switch {
		case active == own:
			b.mixTick(nil, r.half)
		case own == 0:
			if !wholeReady {
				for i, v := range sum {
					whole[i] = float32(v)
				}
				wholeReady = true
			}
			b.mixTick(whole, r.half)
		default:
			b.mixTick(r.without(b.excluded), r.half)
		}
	}
}

// without returns the sum less an owner's sources, valid until the next call.
func (r *Room) without(o *owner) []float32 {
	x := &r.worker.scratch
	sum, minus, rest := x.sum[:frameSamples*r.channels], x.minus[:frameSamples*r.channels], x.rest[:frameSamples*r.channels]
	first := true
	for _, s := range o.sources {
		if !s.active {
			continue
		}
		if first && len(o.sources) == 1 {
			for i, v := range s.x {
				minus[i] = float32(sum[i] - float64(v))
			}
			return minus
		}
		if first {
			copy(rest, sum)
			first = false
		}
		for i, v := range s.x {
			rest[i] -= float64(v)
		}
	}
	for i, v := range rest {
		minus[i] = float32(v)
	}
	return minus
}

// send encodes every bus and hands out the frames.
func (r *Room) send() {
	timestamp := r.epoch + uint32(r.frameStart)*frameSamples
	for _, b := range r.buses {
		b.follow(r.worker.rung, &r.encoding)
		payload, refresh := b.encode(&r.worker.counters)
		b.deliver(payload, refresh, timestamp, &r.worker.counters)
	}
}

// doze puts a room without listeners to where it is run ten times a second, which only a command changes, and returns whether
// it did.
func (r *Room) doze() bool {
	if r.listeners > 0 {
		return false
	}
	r.dozing.Store(true)
	if (r.mail.Load() || r.closed.Load()) && r.dozing.CompareAndSwap(true, false) {
		return false
	}
	r.asleep = true
	return true
}

// park takes the room off the list when nothing happens in it, and returns whether it did. A packet or a command that
// comes in the meantime either is seen here, or sees the room parked and wakes it.
func (r *Room) park(n int64) bool {
	idle := n - r.eventful
	if idle < parkDeafTicks || (r.listeners > 0 && (idle < parkQuietTicks || r.half != 0)) {
		return false
	}
	for _, b := range r.buses {
		if !b.asleep {
			return false
		}
	}
	r.parked.Store(true)
	busy := r.mail.Load() || r.closed.Load()
	for _, s := range r.sources {
		busy = busy || !s.inbox.empty()
	}
	if busy && r.parked.CompareAndSwap(true, false) {
		return false
	}
	return true
}

// teardown lets go of everything.
func (r *Room) teardown() {
	for _, s := range r.sources {
		s.meter.mute()
	}
	r.mixer.buses.Add(-int64(len(r.buses)))
	r.sources, r.owners, r.hearing, r.buses, r.full, r.spare, r.waiting = nil, nil, nil, nil, nil, nil, nil
	r.listeners = 0
}
