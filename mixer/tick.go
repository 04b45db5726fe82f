package mixer

import "time"

const (
	// SampleRateHz is the rate of everything that is mixed.
	SampleRateHz = 48000

	tickDuration = 10 * time.Millisecond
	frameSamples = SampleRateHz / 100 // per channel and tick
	frameTicks   = 2                  // ticks per encoded frame where nothing else is said: 20 ms

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
	if r.listeners > 0 {
		r.align(n)
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
	r.decode(n, now)
	decodes := 0
	for _, s := range r.sources {
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
			s.owner.lastActive = r.mixed
		}
	}
	r.worker.decodes.Add(uint64(decodes))
	r.regroup(n)
	r.mix(r.place40(n))
	r.send(n, n)
	r.leave()
}

// place40 is the place of a tick in the 40 ms of the longest frame. Frames begin where their length divides it, so 10, 20 and
// 40 ms have their boundaries in common, and the RTP clock follows from the tick alone, whatever was sent before.
func (r *Room) place40(n int64) int { return int((n + r.parity + r.shift) % ringTicks) }

// frameTicks is the length of a tier's frames, as the load allows.
func (r *Room) frameTicks(t Tier) int {
	if t > Poor {
		return telephoneTicks
	}
	if t == Poor || r.long {
		return ringTicks
	}
	return r.frame
}

// align makes up for the ticks before n that were missed. They are silence: a frame that had begun is filled up with it and sent,
// and one that n falls into begins with it.
func (r *Room) align(n int64) {
	last := r.pulled
	t := last + 1
	if t >= n {
		return
	}
	longest := 1
	for _, m := range r.mixes {
		for _, b := range m.buses {
			if b != nil {
				longest = max(longest, b.ticks)
			}
		}
	}
	for ; t < n && r.place40(t)%longest != 0; t++ {
		for _, m := range r.mixes {
			m.tick(nil, r.place40(t))
		}
		r.send(t, last)
	}
	for t = max(t, n-int64(r.place40(n))); t < n; t++ {
		for _, m := range r.mixes {
			m.skip(r.place40(t))
		}
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
	if idle < parkDeafTicks || (r.listeners > 0 && (idle < parkQuietTicks || r.place40(n) != ringTicks-1)) {
		return false
	}
	for _, m := range r.mixes {
		for _, b := range m.buses {
			if b != nil && !b.asleep {
				return false
			}
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
	for _, m := range r.mixes {
		for _, b := range m.buses {
			if b != nil {
				r.mixer.buses.Add(-1)
			}
		}
	}
	r.sources, r.owners, r.hearers, r.personal, r.mixes, r.step.due, r.step.spans = nil, nil, nil, nil, nil, nil, nil
	r.spare, r.spareMixes, r.waiting, r.changing = nil, nil, nil, nil
	r.listeners = 0
}
