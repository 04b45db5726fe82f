package neteq

import (
	"math"
	"time"
)

// A hole whose end is known is filled from both sides: the codec's concealment, which extrapolates the past, is faded into an
// extension of what follows to the past. What follows is decoded after the concealment, as ever, only earlier than it is
// needed. The idea is as old as packet voice: Goodman et al., "Waveform substitution techniques for recovering missing speech
// segments in packet voice communications", IEEE Trans. ASSP 34(6), 1986, and two-sided pitch waveform replication since.
const (
	bridgeMax    = 60 * millisecond
	bridgeMin    = millisecond
	bridgeMinLag = 20 * 6 // as Expand: 2.5 to 15 ms
	bridgeMaxLag = 120 * 6
	bridgeStep   = 4 // samples, of the first search
	// bridgeVoiced is the correlation of two periods above which the sound after the hole is continued as a voice.
	bridgeVoiced = 0.5
	// bridgeLagCost is how much of the correlation a sample of lag costs, so that a period is not taken twice.
	bridgeLagCost = 1.0 / 40000
	// bridgeOpposed bounds how much sides that cancel each other are raised.
	bridgeOpposed = -0.5
	// What was bridged cannot be taken back: where packets overtook each other lately, one may still come.
	bridgeOrdered = time.Minute
)

// bridgeable tells whether the missing samples before h, of which its redundancy knows nothing, can be filled from both sides.
func (n *NetEq) bridgeable(h *storedFrame, missing int) bool {
	return n.cfg.Policy == PolicyAdaptive && n.useCodecPLC() && h.kind == kindSpeech && missing <= bridgeMax &&
		n.gen+missing < concealHold && n.codec != nil && n.codec.payloadType == h.payload &&
		(!n.reordered || n.now-n.reorderedAt > bridgeOrdered)
}

// bridge fills the missing samples before h and takes h, or its redundancy, which follows them.
func (n *NetEq) bridge(h *storedFrame, missing int) {
	start := n.sync.future()
	for end := n.gen + missing; n.gen < end; {
		n.concealLost(end - n.gen)
		if n.expanded { // the codec has none; Expand is joined by merge
			return
		}
	}
	end, emitted := n.sync.future(), n.st.s.JitterBufferEmittedCount
	if fec := h.fecSamples; fec <= 0 {
		n.play(h, 0)
	} else if !n.playFEC(h, fec) {
		return // its part is missing, too
	}
	// It is heard by that much later than it was decoded.
	n.st.s.JitterBufferDelay += float64(missing) / sampleRate * float64(n.st.s.JitterBufferEmittedCount-emitted)
	for c := range n.channels {
		x := n.sync.ch[c][n.sync.read:]
		bridgeHole(x[start:end], x[end:])
	}
	n.bridged, n.tickOp = end, OpCodecPLC
}

// bridgeHole fades hole into the extension of after, which follows it, to the past: its first period repeated when it is a
// voice, else its mirror image. The sides add to the power that both have, as far as they correlate.
func bridgeHole(hole, after []float32) {
	if len(hole) < bridgeMin || len(after) < bridgeMinLag {
		return
	}
	lag, voiced := bridgePeriod(after)
	if !voiced {
		lag = len(after)
	}
	e := extension{after: after, lag: lag, mirror: !voiced}
	var cross, past, future float64
	for i := len(hole) - 1; i >= 0; i-- {
		p, f := float64(hole[i]), float64(e.next())
		cross, past, future = cross+p*f, past+p*p, future+f*f
	}
	rho := 0.0
	if voiced && past > 0 && future > 0 {
		rho = max(bridgeOpposed, cross/math.Sqrt(past*future))
	}
	e = extension{after: after, lag: lag, mirror: !voiced}
	step := 1 / float64(len(hole)+1)
	for i := len(hole) - 1; i >= 0; i-- {
		w := float64(i+1) * step
		g := float32(1 / math.Sqrt((1-w)*(1-w)+w*w+2*rho*w*(1-w)))
		v := g * (hole[i]*float32(1-w) + e.next()*float32(w))
		hole[i] = max(-1, min(1, v))
	}
}

// extension gives the samples before after, last first: its first lag samples for ever, or there and back in a mirror.
type extension struct {
	after  []float32
	lag    int
	mirror bool
	at     int
	back   bool
}

func (e *extension) next() float32 {
	if e.at == e.lag {
		e.at, e.back = 0, !e.back
	}
	i := e.at
	if e.at++; e.mirror && !e.back {
		return e.after[i]
	}
	return e.after[e.lag-1-i]
}

// bridgePeriod finds the first pitch period of x; false when it has none.
func bridgePeriod(x []float32) (lag int, voiced bool) {
	k := min(len(x)-bridgeMaxLag, 2*tickSamples)
	if k < 2*bridgeMinLag {
		return 0, false
	}
	first := energy(x[:k])
	best := 0.0
	try := func(l int) {
		y := x[l : l+k]
		r := dot(x[:k], y)/math.Sqrt(first*energy(y)+1e-12) - bridgeLagCost*float64(l)
		if lag == 0 || r > best {
			lag, best = l, r
		}
	}
	for l := bridgeMinLag; l <= bridgeMaxLag; l += bridgeStep {
		try(l)
	}
	for l, end := max(bridgeMinLag, lag-bridgeStep+1), min(bridgeMaxLag, lag+bridgeStep-1); l <= end; l++ {
		try(l)
	}
	return lag, best >= bridgeVoiced
}
