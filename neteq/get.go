package neteq

import (
	"math"
	"time"
)

// Settings of long concealment under the codec's or our own: it is held, then fades, then the stream is muted.
const (
	concealHold = 4 * sampleRate
	concealFade = sampleRate
	// startFade is the fade-in of the first sound after silence.
	startFade = 5 * millisecond
)

// Get fills frame with the next 10 ms of sound: 480 samples per channel, interleaved, in the range the decoder gives. now is
// the time of the tick. It never fails for want of packets. A frame of the wrong length is filled with silence and nothing
// else happens.
func (n *NetEq) Get(frame []float32, now time.Duration) Result {
	if len(frame) != tickSamples*n.channels {
		clear(frame)
		return Result{Operation: OpSilence, Speech: Silence}
	}
	n.ticks++
	n.now = now
	if n.skip.active {
		n.prime()
	}
	r := n.pull(frame)
	n.burst = 0
	n.st.s.Operations[r.Operation]++
	if n.st.counted {
		n.st.s.TotalSamplesReceived += tickSamples
	}
	return r
}

func (n *NetEq) pull(frame []float32) Result {
	if n.state == stateWaiting && !n.start() {
		return n.silence(frame)
	}
	n.dropPassed()
	n.catchUp()
	n.updateLevel()
	n.tickOp = n.tailOp
	if n.bridged > 0 {
		n.tickOp = OpCodecPLC
	}
	if n.left() < tickSamples {
		n.tickOp = OpNormal
	}
	for i := 0; n.left() < tickSamples; i++ {
		if i > 100 || n.state == stateWaiting { // never, or just faded out
			n.sync.appendZeros(tickSamples - n.left())
			break
		}
		n.produce()
	}
	if !n.tone.active {
		n.stretch()
	}
	at := n.endTS + uint32(n.gen) - uint32(n.sync.future())
	n.sync.readInto(frame, tickSamples)
	n.bridged = max(0, n.bridged-tickSamples)
	n.overdub(frame, at)
	n.followPlayed()
	if n.rampLeft > 0 {
		n.fadeIn(frame)
	}
	return Result{Operation: n.tickOp, Speech: n.speechType(n.tickOp)}
}

func (n *NetEq) speechType(o Operation) SpeechType {
	switch o {
	case OpExpand, OpCodecPLC:
		return Concealment
	case OpRFC3389CNG, OpCodecCNG:
		return ComfortNoise
	case OpSilence, OpMuted, OpSkipped:
		return Silence
	}
	return Speech
}

// silence answers a tick without play position.
func (n *NetEq) silence(frame []float32) Result {
	clear(frame)
	n.gen += tickSamples
	if n.declared || !n.st.counted {
		n.st.s.DeclaredGapSamples += tickSamples
		return Result{Operation: OpSilence, Speech: Silence, Muted: n.buf.len() == 0}
	}
	n.st.conceal(tickSamples, true)
	if n.fresh {
		return Result{Operation: OpSilence, Speech: Silence, Muted: n.buf.len() == 0}
	}
	return Result{Operation: OpMuted, Speech: Silence, Muted: n.buf.len() == 0}
}

// fadeIn raises the first samples after silence.
func (n *NetEq) fadeIn(frame []float32) {
	total := float32(startFade)
	if n.rampLeft > startFade {
		total = tickSamples
	}
	k := min(n.rampLeft, tickSamples)
	g := 1 - float32(n.rampLeft)/total
	for i := range k {
		for c := range n.channels {
			frame[i*n.channels+c] *= g
		}
		g += 1 / total
	}
	n.rampLeft = 0
}

// dropPassed discards what can no longer be played.
func (n *NetEq) dropPassed() {
	if n.state != statePlaying {
		return
	}
	for h := n.buf.head(); h != nil && n.tooLate(h); h = n.buf.head() {
		n.countLate(h)
		n.buf.drop(0)
	}
}

// updateLevel keeps the smoothed buffer level.
func (n *NetEq) updateLevel() {
	switch n.tailOp {
	case OpExpand, OpCodecPLC, OpCodecCNG, OpRFC3389CNG:
		return
	}
	n.level.setTarget(n.target())
	n.level.update(n.buf.span(n.lastFrame), n.stretched)
	n.stretched = 0
}

// decode runs f through its decoder into n.dec and returns the samples per channel, 0 when that failed.
func (n *NetEq) decode(f *storedFrame) int {
	c := n.reg.get(f.payload)
	if c == nil {
		return 0
	}
	d := c.open()
	if d == nil {
		n.st.s.DecodeErrors++
		return 0
	}
	n.use(c)
	n.monoStream = c.kind == codecOpus && f.data[0]&opusStereoBit == 0
	n.reserve(f.samples)
	k, err := d.Decode(f.data, n.pcm[:f.samples*n.channels:f.samples*n.channels])
	if err != nil || k <= 0 {
		n.st.s.DecodeErrors++
		return 0
	}
	return n.split(k)
}

// reserve makes the decoder's scratch hold k samples per channel.
func (n *NetEq) reserve(k int) {
	if cap(n.pcm) >= k*n.channels {
		n.pcm = n.pcm[:cap(n.pcm)]
		return
	}
	n.pcm = make([]float32, k*n.channels)
	if n.channels == 2 {
		n.dec[0], n.dec[1] = make([]float32, k), make([]float32, k)
	}
}

// split turns k interleaved samples in n.pcm into n.dec.
func (n *NetEq) split(k int) int {
	k = min(k, len(n.pcm)/n.channels)
	sanitize(n.pcm[:k*n.channels])
	if n.channels == 1 {
		n.dec[0] = n.pcm
		return k
	}
	l, r := n.dec[0][:k], n.dec[1][:k]
	if n.monoStream {
		for i := range l {
			l[i] = n.pcm[2*i]
		}
		copy(r, l)
		return k
	}
	for i := range l {
		l[i], r[i] = n.pcm[2*i], n.pcm[2*i+1]
	}
	return k
}

// sanitize keeps a hostile or broken decoder from poisoning filters and mix: no NaN, nothing beyond twice full scale.
func sanitize(x []float32) {
	// Of 2 and beyond, infinities and what is no number, bit 30 is set; of all else it is not. So one look at all bits tells
	// whether there is something to mend, which there never is.
	const beyond = 1 << 30
	var a, b, c, d uint32
	k := len(x) &^ 3
	for y := x[:k]; len(y) >= 4; y = y[4:] {
		a |= math.Float32bits(y[0])
		b |= math.Float32bits(y[1])
		c |= math.Float32bits(y[2])
		d |= math.Float32bits(y[3])
	}
	for _, v := range x[k:] {
		a |= math.Float32bits(v)
	}
	if (a|b|c|d)&beyond == 0 {
		return
	}
	for i, v := range x {
		if !(v >= -2 && v <= 2) {
			switch {
			case v > 2:
				x[i] = 2
			case v < -2:
				x[i] = -2
			default:
				x[i] = 0
			}
		}
	}
}

// emitted accounts for a frame taken out of the packet buffer.
func (n *NetEq) emitted(f *storedFrame, samples int) {
	d := max(0, n.now-f.arrival)
	if n.cfg.Policy != PolicyAdaptive {
		d = (d + tickDuration/2) / tickDuration * tickDuration
	}
	n.st.s.JitterBufferDelay += d.Seconds() * float64(samples)
	n.st.s.JitterBufferTargetDelay += n.target().Seconds() * float64(samples)
	n.st.s.JitterBufferMinimumDelay += n.policy.target().Seconds() * float64(samples)
	n.st.s.JitterBufferEmittedCount += uint64(samples)
}
