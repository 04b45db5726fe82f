package neteq

import "time"

// Settings of time stretching under PolicyAdaptive. A pause is the place to change speed: nobody hears it there. Speech is
// stretched only when the delay is off by so much that a conversation suffers.
const (
	// quietExcess, or a quarter of the target, may stand above it: a start waits for up to 22 ms, and less is nothing a
	// listener notices. What is taken out in silence leaves quietKeep of it, lest it must be put back.
	quietExcess = 20 * time.Millisecond
	quietPart   = 4
	quietKeep   = 0.75
	// While packets come later than that, more is kept: the next one will need it. The disturbance is over settleTime after
	// its last sign, and settleAgain after when it was not the first in recurTime. Nor does a stream know at first what it
	// needs.
	disturbedExcess = 150 * time.Millisecond
	settleTime      = time.Second
	settleAgain     = 4 * time.Second
	recurTime       = 15 * time.Second
	settleStart     = 5 * time.Second
	// When it is over, an excess that has stood for settlePatience, or one of twice the size for settleTime, is taken out of
	// speech; one of speechExcess at any time.
	settlePatience = 3 * time.Second
	speechExcess   = 200 * time.Millisecond
	fastExcess     = time.Second // and by several periods at once, less carefully
	// speechPace is how many times what was taken out of speech is left untouched after it: a tenth faster is hardly noticed.
	speechPace = 10
	// Delay below the target by more than a twelfth of it is put into silence; by quietShortfall or a tick when it is small.
	quietShortfall  = 5 * time.Millisecond
	shortPart       = 12
	speechShortfall = 30 * time.Millisecond // delay below target that is put into speech; less waits for a pause
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
	if n.cfg.DisableStretching || n.state != statePlaying || n.dtx || n.gen > 0 || n.bridged > 0 || n.tailOp != OpNormal && n.tailOp != OpFEC {
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

// stretchAdaptive stretches in silence at once; speech when the delay is off by much, or is still off when the network has
// settled.
func (n *NetEq) stretchAdaptive() {
	delay, target := n.slack(), n.target()
	excess, shortfall := delay-target, n.build()-delay
	n.urgent = delay > urgentDelay && excess > urgentExcess
	band := n.settle.follow(n.now, delay, target)
	switch {
	case excess > band:
		quiet := n.quiet()
		if !quiet && (n.countdown > 0 || excess < speechExcess && !n.settle.releasing) {
			return
		}
		n.fetch(stretchWindow)
		// Whole ticks beyond what is kept can go; slack counts in ticks.
		keep := max(tickDuration, time.Duration(float64(band)*quietKeep))
		spare := int(timeToSamples(excess-keep)) + max(0, n.left())%tickSamples
		limit := min(spare, n.left()-tickSamples)
		if limit < stretchMinLag {
			return
		}
		n.accelerate(excess > fastExcess, limit)
	case shortfall > max(quietShortfall, min(tickDuration, 2*n.build()/shortPart), n.build()/shortPart):
		quiet := n.quiet()
		if !quiet && (n.countdown > 0 || shortfall < speechShortfall) {
			return
		}
		n.fetch(stretchCenter)
		n.preemptive(int(timeToSamples(shortfall)) + tickSamples/2)
	}
}

// quiet tells whether what is about to be played is no louder than the background, or far below the speech around it.
func (n *NetEq) quiet() bool {
	for c := range n.channels {
		x := n.sync.ch[c][n.sync.read:]
		if louder(x, activityFactor*n.quietReference(c)*float64(len(x))) {
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

// followPlayed looks at the tick that was just played: at the level of the loudest sound of the last seconds, and at the
// background where nothing was invented.
func (n *NetEq) followPlayed() {
	unmodified := n.tickOp == OpNormal || n.tickOp == OpCodecCNG || n.tickOp == OpRFC3389CNG
	for c := range n.channels {
		x := n.sync.ch[c][:n.sync.read]
		e := energy(x[len(x)-tickSamples:]) / tickSamples
		n.loudness[c] = max(e, n.loudness[c]*loudnessDecay)
		if unmodified {
			n.bg[c].update(x, (n.played[c]+e)/2)
		}
		n.played[c] = e
	}
}

// measurePlayed measures the last tick anew, after the history was replaced.
func (n *NetEq) measurePlayed() {
	for c := range n.channels {
		n.played[c] = energy(n.sync.ch[c][n.sync.read-tickSamples:n.sync.read]) / tickSamples
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
	if n.cfg.Policy == PolicyAdaptive && outcome == stretchDone {
		n.countdown = max(stretchPause, (max(k, -k)*speechPace+tickSamples-1)/tickSamples)
	}
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
