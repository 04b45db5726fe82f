package neteq

import "time"

// Settings of time stretching under PolicyAdaptive. A pause is the place to change speed: nobody hears it there. Speech is
// stretched only when the delay is off by so much that a conversation suffers.
const (
	quietExcess = 40 * time.Millisecond // delay above target that is taken out in silence
	// After a concealment the network may well stumble again: delay is kept for a while.
	rideOver       = 6 * time.Second
	rideOverExcess = 150 * time.Millisecond
	quietShortfall = 10 * time.Millisecond // delay below target that is put into silence
	quietExcessFar = 25 * time.Millisecond // the same when the delay is over farDelay
	farDelay       = 150 * time.Millisecond
	speechExcess   = 200 * time.Millisecond // delay above target that is taken out in speech
	// When no pause comes for speechPatience, less is taken out of speech, too.
	speechExcessLong = 80 * time.Millisecond
	speechPatience   = 10 * time.Second
	fastExcess       = time.Second           // and by several periods at once, less carefully
	speechShortfall  = 30 * time.Millisecond // delay below target that is put into speech; less waits for a pause
	// When much delay is to be lost, what is quietBelowSpeech times weaker than the speech around it is quiet, too.
	urgentDelay      = 330 * time.Millisecond
	urgentExcess     = 120 * time.Millisecond
	quietBelowSpeech = 0.003 // of the energy of the speech around: 25 dB
	loudnessDecay    = 0.998 // per tick: 5 s
	stretchPause     = 6     // ticks between two stretches of speech
	m150DeadBand     = 20 * time.Millisecond
	m150FastTimes    = 4
)

// stretch changes the speed of what is about to be played, to move the delay towards its target.
func (n *NetEq) stretch() {
	if n.countdown > 0 {
		n.countdown--
	}
	if n.cfg.DisableStretching || n.state != statePlaying || n.dtx || n.gen > 0 || n.tailOp != OpNormal && n.tailOp != OpFEC {
		return
	}
	switch n.cfg.Policy {
	case PolicyAdaptive:
		n.stretchAdaptive()
	case PolicyLevels:
		n.stretchLevels()
	default:
		n.stretchM150()
	}
}

// stretchAdaptive stretches in silence at once and in speech only when the delay is off by much.
func (n *NetEq) stretchAdaptive() {
	delay, target := n.slack(), n.target()
	excess := delay - target
	band := quietExcess
	if delay > farDelay {
		band = quietExcessFar
	}
	if n.now-n.concealedAt < rideOver && delay < urgentDelay {
		band = rideOverExcess
	}
	n.urgent = delay > urgentDelay && excess > urgentExcess
	if excess < speechExcessLong {
		n.calmAt = n.now
	}
	switch {
	case excess > band:
		quiet := n.quiet()
		if !quiet && (n.countdown > 0 || excess < speechExcess && n.now-n.calmAt < patience(delay)) {
			return
		}
		n.fetch(stretchWindow)
		// Whole ticks beyond the target can go; slack counts in ticks.
		spare := int(timeToSamples(excess-tickDuration)) + max(0, n.left())%tickSamples
		limit := min(spare, n.left()-tickSamples)
		if limit < stretchMinLag {
			return
		}
		n.accelerate(excess > fastExcess, limit)
	case excess < -quietShortfall:
		quiet := n.quiet()
		if !quiet && (n.countdown > 0 || -excess < speechShortfall) {
			return
		}
		n.fetch(stretchCenter)
		n.preemptive(int(timeToSamples(-excess)) + tickSamples/2)
	}
}

// patience is how long an excess in speech may last: the larger the delay, the more it hurts a conversation.
func patience(delay time.Duration) time.Duration {
	r := float64(farDelay) / float64(max(delay, farDelay/2))
	return time.Duration(float64(speechPatience) * r * r)
}

// quiet tells whether what is about to be played is no louder than the background, or far below the speech around it.
func (n *NetEq) quiet() bool {
	for c := range n.channels {
		x := n.sync.ch[c][n.sync.read:]
		if energy(x)/float64(len(x)) > activityFactor*n.quietReference(c) {
			return false
		}
	}
	return true
}

// quietReference is an eighth of the energy below which channel c counts as quiet.
func (n *NetEq) quietReference(c int) float64 {
	r := n.bg[c].activityReference()
	if n.urgent {
		r = max(r, n.loudness[c]*quietBelowSpeech/activityFactor)
	}
	return r
}

// followLoudness keeps the level of the loudest sound of the last seconds.
func (n *NetEq) followLoudness() {
	for c := range n.channels {
		x := n.sync.ch[c][n.sync.read-tickSamples : n.sync.read]
		n.loudness[c] = max(energy(x)/tickSamples, n.loudness[c]*loudnessDecay)
	}
}

// fetch decodes contiguous packets until the future holds k samples, if they are there.
func (n *NetEq) fetch(k int) {
	for n.sync.future() < k {
		h := n.buf.head()
		if h == nil || h.timestamp != n.endTS || h.isDTX || h.payload != n.codec.payloadType {
			return
		}
		n.play(h, 0)
		if n.gen > 0 {
			return
		}
	}
}

// reference is that of the quieter channel.
func (n *NetEq) reference() float64 {
	r := n.quietReference(0)
	if n.channels == 2 {
		r = min(r, n.quietReference(1))
	}
	return r
}

func (n *NetEq) accelerate(fast bool, limit int) {
	k, outcome := accelerate(n.sync, n.reference(), fast, limit)
	if outcome == stretchFailed {
		return
	}
	n.st.s.RemovedSamplesForAcceleration += uint64(k)
	n.stretchedBy(k, outcome)
	n.tickOp = OpAccelerate
	if fast {
		n.tickOp = OpFastAccelerate
	}
}

func (n *NetEq) preemptive(limit int) {
	k, outcome := preemptiveExpand(n.sync, n.reference(), limit)
	if outcome == stretchFailed {
		return
	}
	n.st.s.InsertedSamplesForDeceleration += uint64(k)
	n.stretchedBy(-k, outcome)
	n.tickOp = OpPreemptiveExpand
}

func (n *NetEq) stretchedBy(k int, outcome stretchOutcome) {
	n.stretched += k
	n.exp.reset()
	n.countdown = stretchPause
}

// stretchM150 compares the delay of the play position with target and dead band, as libwebrtc M150 does.
func (n *NetEq) stretchM150() {
	now := time.Duration(n.ticks) * tickDuration
	delay := n.hist.delay(n.endTS-uint32(n.left()), now)
	low := n.target()
	high := low + n.hist.maxDelay() + m150DeadBand
	switch {
	case delay >= m150FastTimes*high:
		n.m150Accelerate(true)
	case n.countdown > 0:
	case delay >= high:
		n.m150Accelerate(false)
	case delay < low:
		n.fetch(stretchCenter)
		n.preemptive(0)
	}
}

// stretchLevels compares the smoothed buffer level with thresholds, as libwebrtc did until 2023.
func (n *NetEq) stretchLevels() {
	target := int(timeToSamples(n.target()))
	low := max(target*3/4, target-85*millisecond)
	high := max(target, low+20*millisecond)
	level := int(n.level.level)
	switch {
	case level >= 4*high:
		n.m150Accelerate(true)
	case n.countdown > 0:
	case level >= high:
		n.m150Accelerate(false)
	case level < low:
		n.fetch(stretchCenter)
		n.preemptive(0)
	}
}

func (n *NetEq) m150Accelerate(fast bool) {
	n.fetch(stretchWindow)
	if n.left() >= tickSamples+stretchCenter || n.sync.future() >= stretchWindow {
		n.accelerate(fast, 0)
	}
}
