package mixer

// ringTicks is the length of the longest frame: 40 ms.
const ringTicks = 4

// hearing is what a mix is made of: whom it leaves out, and whom it has louder, softer or not at all. With the tier it is a
// listener's recipe. It names what makes a difference now: who has been silent for a while is not left out, and gains of
// such are none.
type hearing struct {
	without *owner
	gains   *gains
}

// mix is one distinct sound: a limiter, and what it yielded in the last 40 ms. The tiers that hear it share it, so it is mixed and limited
// once, and encoded once for each of them.
type mix struct {
	hearing
	buses  [lanes]*bus // by tier, and codecs other than Opus behind; nil where nobody is
	pcm    []float32   // by place in the 40 ms
	levels []level     // of gains that are not 1
	mixState
	mergeAt int64 // as Room.mixed: when it is to join another with the same recipe; 0: there is none
	origin  *mix  // it was forked off that and nothing has been mixed since
}

// mixState is what a fork copies beside the samples.
type mixState struct {
	limiter limiter
	loud    [ringTicks]bool // the tick has sound
}

// tick takes 10 ms into their place. src nil is silence.
func (m *mix) tick(src []float32, place int) {
	n := len(m.pcm) / ringTicks
	dst := m.pcm[place*n : (place+1)*n]
	if src == nil && m.limiter.idle() {
		clear(dst)
		m.loud[place] = false
		return
	}
	m.loud[place] = m.limiter.process(dst, src) >= silentPeak
}

// skip makes the 10 ms of a place those of a tick that was not mixed.
func (m *mix) skip(place int) {
	n := len(m.pcm) / ringTicks
	clear(m.pcm[place*n : (place+1)*n])
	m.loud[place] = false
}

// frame returns the last ticks up to and with a place, and whether there is sound in them.
func (m *mix) frame(ticks, place int) (pcm []float32, loud bool) {
	n := len(m.pcm) / ringTicks
	first := place + 1 - ticks
	for _, l := range m.loud[first : place+1] {
		loud = loud || l
	}
	return m.pcm[first*n : (place+1)*n], loud
}

// forkFrom makes m go on where from is.
func (m *mix) forkFrom(from *mix) {
	m.mixState, m.origin = from.mixState, from
	m.levels = append(m.levels[:0], from.levels...)
	copy(m.pcm, from.pcm)
}

// mix sums the active sources once and makes of the sum, per mix, what its listeners are to hear. The sum is in float64, in
// which adding and taking away float32 samples is exact: of one's own voice not the last bit remains.
func (r *Room) mix(place int) {
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
	for _, m := range r.mixes {
		out, changed := m.leaveOut(r.mixed)
		switch {
		case active == out:
			m.tick(nil, place)
		case !changed:
			if !wholeReady {
				for i, v := range sum {
					whole[i] = float32(v)
				}
				wholeReady = true
			}
			m.tick(whole, place)
		default:
			m.tick(r.blend(m), place)
		}
		for i := range m.levels {
			m.levels[i].at = m.levels[i].to
		}
		m.origin = nil
	}
}

// leaveOut counts the active sources that are not in the mix, and tells whether it differs from the sum of all.
func (m *mix) leaveOut(mixed int64) (out int, changed bool) {
	if m.without != nil && m.without.lastActive == mixed {
		out = m.without.sounding()
		changed = out > 0
	}
	for i := range m.levels {
		if v := &m.levels[i]; v.owner.lastActive == mixed && v.owner != m.without && (v.at != 1 || v.to != 1) {
			n := v.owner.sounding()
			changed = changed || n > 0
			if v.at == 0 && v.to == 0 {
				out += n
			}
		}
	}
	return out, changed
}

// sounding counts the sources that are heard in this tick.
func (o *owner) sounding() int {
	n := 0
	for _, s := range o.sources {
		if s.active {
			n++
		}
	}
	return n
}

// blend returns the sum as a mix has it, valid until the next call.
func (r *Room) blend(m *mix) []float32 {
	x := &r.worker.scratch
	sum, minus, rest := x.sum[:frameSamples*r.channels], x.minus[:frameSamples*r.channels], x.rest[:frameSamples*r.channels]
	if m.without != nil && len(m.without.sources) == 1 && len(m.levels) == 0 {
		for i, v := range m.without.sources[0].x {
			minus[i] = float32(sum[i] - float64(v))
		}
		return minus
	}
	copy(rest, sum)
	if m.without != nil {
		m.without.add(rest, -1, -1, r.channels)
	}
	for i := range m.levels {
		if v := &m.levels[i]; v.owner != m.without {
			v.owner.add(rest, v.at-1, v.to-1, r.channels)
		}
	}
	for i, v := range rest {
		minus[i] = float32(v)
	}
	return minus
}

// add adds what the owner says to a sum, with a gain that goes from one value to the other in a straight line.
func (o *owner) add(sum []float64, from, to float32, channels int) {
	for _, s := range o.sources {
		if !s.active {
			continue
		}
		if from == to {
			g := float64(to)
			for i, v := range s.x {
				sum[i] += g * float64(v)
			}
			continue
		}
		step := float64(to-from) / frameSamples
		for i := range frameSamples {
			g := float64(from) + step*float64(i+1)
			for c := range channels {
				sum[i*channels+c] += g * float64(s.x[i*channels+c])
			}
		}
	}
}
