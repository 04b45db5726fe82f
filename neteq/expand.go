package neteq

import "math"

const (
	expandMinLag     = 20 * 6  // 2.5 ms
	expandMaxLag     = 120 * 6 // 15 ms
	expandHistory    = 256 * 6 // 32 ms are analysed
	expandOrder      = 6
	expandMaxCount   = 200
	expandVectorSize = expandMaxLag + overlapSamples
)

// expandChannel is what Expand knows about one channel.
type expandChannel struct {
	v0, v1         []float32 // two variants of the last pitch period, with overlap
	filter         [maxLPCOrder + 1]float32
	state          [maxLPCOrder]float32
	gain           float32
	mix, targetMix float32
	mute, slope    float32
	onset          bool
}

// expander conceals by repeating the last pitch period, mixed with noise of the signal's colour, while it fades; behind the
// fading voice the background noise rises to its level, so that the floor does not drop.
type expander struct {
	channels   int
	ch         [2]expandChannel
	lags       [3]int
	lagIndex   int
	lagStep    int
	maxLag     int
	count      int
	first      bool
	stopMuting bool
	mixStep    float32
	random     noise
	out        [2][]float32 // the last period made
}

func newExpander(channels int) *expander {
	return &expander{channels: channels, first: true}
}

func (e *expander) reset() { e.first, e.count, e.stopMuting = true, 0, false }

// muteFactor is the gain of the voice on channel 0; 1 before anything was concealed.
func (e *expander) muteFactor() float32 {
	if e.first {
		return 1
	}
	return e.ch[0].mute
}

// muted tells whether the voice has faded out on all channels.
func (e *expander) muted() bool {
	if e.first || e.stopMuting {
		return false
	}
	for c := range e.ch[:e.channels] {
		if e.ch[c].mute > 0 {
			return false
		}
	}
	return true
}

func (e *expander) allocate() {
	if e.out[0] != nil {
		return
	}
	for c := range e.ch[:e.channels] {
		e.ch[c].v0 = make([]float32, expandVectorSize)
		e.ch[c].v1 = make([]float32, expandVectorSize)
		e.out[c] = make([]float32, expandVectorSize)
	}
}

// setNormalAfter prepares the last period before sound that is the continuation of what was heard.
func (e *expander) setNormalAfter() { e.lagIndex, e.lagStep, e.stopMuting = 0, 0, true }

// setMergeAfter prepares the periods that later sound will be merged into.
func (e *expander) setMergeAfter() { e.lagIndex, e.lagStep, e.stopMuting = -1, 1, true }

// process makes one period into e.out and returns its length; the last overlapSamples of b are faded into it.
// bg may be nil: then nothing but silence is left when the voice has faded.
func (e *expander) process(b *syncBuffer, bg *[2]backgroundNoise) int {
	e.allocate()
	if e.first {
		e.analyse(b)
	}
	e.lagIndex += e.lagStep
	if e.lagIndex <= 0 {
		e.lagIndex, e.lagStep = 0, 1
	} else if e.lagIndex >= 2 {
		e.lagIndex, e.lagStep = 2, -1
	}
	if e.stopMuting && e.lagStep == 0 {
		e.lagIndex = 0
	}
	n := e.lags[e.lagIndex]
	for c := range e.ch[:e.channels] {
		var noise *backgroundNoise
		if bg != nil {
			noise = &bg[c]
		}
		e.period(&e.ch[c], b.ch[c], e.out[c][:n], noise)
	}
	e.first = false
	e.count = min(e.count+1, expandMaxCount)
	return n
}

// analyse finds pitch, colour and decay of the newest 32 ms.
func (e *expander) analyse(b *syncBuffer) {
	e.lagIndex, e.lagStep, e.stopMuting, e.count = -1, 1, false, 0
	x := b.ch[0][b.end()-expandHistory:]
	short, best := e.pitch(x)
	e.maxLag = max(short, best)
	e.lags[0] = short
	e.lags[1] = (short + best) / 2
	e.lags[2] = e.lags[1]
	if best > short {
		e.lags[2] = (short + best + 1) / 2
	}
	bits := 0
	for v := e.maxLag; v > 0; v >>= 1 {
		bits++
	}
	e.mixStep = float32(math.Exp2(float64(8-(bits-5))) / 16384)
	for c := range e.ch[:e.channels] {
		e.analyseChannel(&e.ch[c], b.ch[c][b.end()-expandHistory:], short, best)
	}
}

// pitch returns two candidates for the period of x: by smallest distortion and by largest correlation.
func (e *expander) pitch(x []float32) (byDistortion, byCorrelation int) {
	var low [expandHistory / decimation]float32
	n := decimate(low[:], x)
	y := low[:n]
	const compared, minLag, maxLag = 60, 10, 60
	var corr [maxLag + 1]float64
	tail := y[n-compared:]
	for lag := minLag; lag <= maxLag; lag++ {
		corr[lag] = dot(tail, y[n-compared-lag:n-lag])
	}
	bestRatio := math.Inf(-1)
	byDistortion, byCorrelation = expandMaxLag/2, expandMaxLag/2
	for range 3 {
		at := minLag
		for lag := minLag; lag <= maxLag; lag++ {
			if corr[lag] > corr[at] {
				at = lag
			}
		}
		peak := corr[at]
		c := at * decimation
		if at > minLag && at < maxLag {
			c += int(math.Round(parabola(corr[at-1], peak, corr[at+1]) * decimation))
		}
		d, distortion := leastDistortion(x, max(expandMinLag, c-24), min(expandMaxLag-1, c+24))
		ratio := math.Inf(1)
		if distortion > 0 {
			ratio = peak / distortion
		} else if peak <= 0 {
			ratio = 0
		}
		if ratio > bestRatio {
			bestRatio, byDistortion, byCorrelation = ratio, d, max(expandMinLag, min(expandMaxLag, c))
		}
		for k := max(minLag, at-2); k <= min(maxLag, at+2); k++ {
			corr[k] = 0
		}
	}
	return byDistortion, byCorrelation
}

// leastDistortion finds the lag at which the last 2.5 ms of x differ least from what was before.
func leastDistortion(x []float32, from, to int) (int, float64) {
	tail := x[len(x)-expandMinLag:]
	best, bestSum := from, math.Inf(1)
	for lag := from; lag <= to; lag++ {
		ref := x[len(x)-expandMinLag-lag:]
		var sum float32
		for i, v := range tail {
			d := v - ref[i]
			if d < 0 {
				d = -d
			}
			sum += d
		}
		if float64(sum) < bestSum {
			best, bestSum = lag, float64(sum)
		}
	}
	return best, bestSum
}

func (e *expander) analyseChannel(s *expandChannel, x []float32, d, c int) {
	s.mix, s.mute, s.onset = 1, 1, false
	n := len(x)
	// The correlation at the full rate, over at least 7.5 ms.
	length := max(min(d+10, expandMaxLag), expandMaxLag/2)
	tail := x[n-length:]
	et := energy(tail)
	var rho float64
	for lag := min(d, c); lag <= max(d, c); lag++ {
		ref := x[n-length-lag : n-lag]
		if p := math.Sqrt(et * energy(ref)); p > 0 {
			rho = max(rho, dot(tail, ref)/p)
		}
	}
	rho = min(rho, 1)

	size := e.maxLag + overlapSamples
	v0, v1 := s.v0[:size], s.v1[:size]
	copy(v0, x[n-size:])
	copy(v1, x[n-size-d:n-d])
	e0, e1 := energy(v0), energy(v1)
	var r float64
	if e1 > 0 && e0/e1 > 0.25 && e0/e1 < 4 {
		r = math.Sqrt(e0 / e1)
		for i := range v1 {
			v1[i] *= float32(r)
		}
	} else {
		copy(v1, v0)
		r = 0.5
		if e0 > e1 {
			r = 2
		}
	}

	if !lpc(&s.filter, x[n-160*6:], expandOrder) {
		s.filter = [maxLPCOrder + 1]float32{0: 1}
	}
	s.gain = float32(math.Sqrt(residualEnergy(&s.filter, x[n-128-expandOrder:], expandOrder) / 128))
	for i := range s.state[:expandOrder] {
		s.state[i] = x[n-1-i]
	}

	v := 0.0
	if rho > 0.4807 {
		v = max(0, min(1, (-5179+rho*(19931+rho*(-16422+rho*5776)))/4096))
	}
	s.targetMix = float32(v)
	var slope float64
	if r > 1.5 {
		s.onset = true
		slope = (1 - 1/r) / float64(d)
		if r > 1.8 {
			slope /= 2
		} else {
			slope /= 8
		}
	} else {
		slope = max(0, (1-r)/float64(d))
		if v <= 0.8 {
			slope = max(slope, 0.005/6)
		} else if r > 0.98 {
			slope = 0
		}
	}
	s.slope = float32(slope)
	if e0 == 0 {
		s.gain = 0
	}
}

// period makes the next period of one channel into out and joins it to the end of past.
func (e *expander) period(s *expandChannel, past, out []float32, bg *backgroundNoise) {
	n := len(out)
	size := e.maxLag + overlapSamples
	v0, v1 := s.v0[size-n-overlapSamples:size], s.v1[size-n-overlapSamples:size]
	var w float32 // share of the older period
	switch e.lagIndex {
	case 1:
		w = 0.25
	case 2:
		w = 0.5
	}
	voiced := func(i int) float32 { return v0[i] + (v1[i]-v0[i])*w }
	if s.mute > 0.05 && s.mix > 0.5 {
		joint := past[len(past)-overlapSamples:]
		for i := range joint {
			g := float32(i+1) / (overlapSamples + 1)
			joint[i] += (voiced(i)*s.mute - joint[i]) * g
		}
	}
	var scratch [expandVectorSize]float32
	unvoiced := scratch[:n]
	e.random.fill(unvoiced)
	for i := range unvoiced {
		unvoiced[i] *= s.gain
	}
	synthesize(unvoiced, &s.filter, &s.state, expandOrder)
	step := e.mixStep
	if e.stopMuting {
		step = 0
	}
	for i := range out {
		out[i] = s.mix*voiced(i+overlapSamples) + (1-s.mix)*unvoiced[i]
		if s.mix > s.targetMix {
			s.mix = max(s.targetMix, s.mix-step)
		}
	}
	if e.count == 3 {
		s.slope = max(s.slope, 0.001/6)
	} else if e.count == 7 {
		s.slope = max(s.slope, 0.002/6)
	}
	before := s.mute
	if !(e.first && s.onset) {
		if e.stopMuting {
			for i := range out {
				out[i] *= s.mute
			}
		} else {
			after := max(0, s.mute*(1-float32(n)*s.slope))
			linear := (after - s.mute) / float32(n)
			ramp(out, s.mute, linear)
			s.mute = after
			if e.count > 3 && s.mute >= before || s.mute < 1e-4 {
				s.mute = 0
			}
		}
	}
	if bg == nil || !bg.initialized {
		return
	}
	// The background fills the place of the voice, so that the sum of powers stays above the floor.
	fill := scratch[:n]
	bg.generate(fill, &e.random)
	from := float32(math.Sqrt(float64(max(0, 1-before*before))))
	to := float32(math.Sqrt(float64(max(0, 1-s.mute*s.mute))))
	g, gs := from, (to-from)/float32(n)
	for i := range out {
		out[i] += fill[i] * g
		g += gs
	}
}
