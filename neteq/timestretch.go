package neteq

import "math"

const (
	stretchWindow  = 30 * millisecond
	stretchCenter  = 15 * millisecond
	stretchMinLag  = 20 * 6 // 2.5 ms
	stretchMaxLag  = 119 * 6
	stretchRho     = 0.9 // least similarity of neighbouring periods
	stretchRhoFast = 0.5
	activityFactor = 8 // times the background is speech
)

// stretchOutcome is what became of an attempt to change the length of the sound.
type stretchOutcome uint8

const (
	stretchFailed    stretchOutcome = iota
	stretchDone                     // a pitch period was taken out or put in
	stretchLowEnergy                // the same in what is as good as silence
)

// stretchAnalysis describes 30 ms of sound around its middle.
type stretchAnalysis struct {
	lag    int     // best period, samples
	rho    float64 // similarity of the periods left and right of the middle, 0..1
	active bool    // louder than eight times the background
}

// analyseStretch looks at x, 30 ms per channel starting at index from, for two neighbouring similar periods. All channels
// take part.
func analyseStretch(b *syncBuffer, from int, reference float64) stretchAnalysis {
	var mono [stretchWindow]float32
	x := b.ch[0][from : from+stretchWindow]
	if b.channels == 2 {
		right := b.ch[1][from : from+stretchWindow]
		for i := range mono {
			mono[i] = (x[i] + right[i]) * 0.5
		}
		x = mono[:]
	}
	var low [stretchWindow / decimation]float32
	n := decimate(low[:], x)
	const compared, minLag, maxLag = 50, 10, 59
	tail := low[n-compared : n]
	best, bestCorr := minLag, math.Inf(-1)
	var corr [maxLag + 2]float64
	for lag := minLag; lag <= maxLag; lag++ {
		ref := low[n-compared-lag : n-lag]
		if e := energy(ref); e > 0 {
			corr[lag] = dot(tail, ref) / math.Sqrt(e)
		}
		if corr[lag] > bestCorr {
			best, bestCorr = lag, corr[lag]
		}
	}
	at := float64(best)
	if best > minLag && best < maxLag {
		at += parabola(corr[best-1], corr[best], corr[best+1])
	}
	center := max(stretchMinLag, min(stretchMaxLag, int(math.Round(at*decimation))))
	var a stretchAnalysis
	a.rho = -1
	for lag := max(stretchMinLag, center-6); lag <= min(stretchMaxLag, center+6); lag++ {
		left, right := x[stretchCenter-lag:stretchCenter], x[stretchCenter:stretchCenter+lag]
		rho := 0.0
		if p := energy(left) * energy(right); p > 0 {
			rho = dot(left, right) / math.Sqrt(p)
		}
		if rho > a.rho {
			a.lag, a.rho = lag, rho
		}
	}
	a.rho = max(0, min(1, a.rho))
	around := x[stretchCenter-a.lag : stretchCenter+a.lag]
	a.active = energy(around)/float64(2*a.lag) > activityFactor*reference
	return a
}

// accelerate takes one period, or several when fast, out of the future of b, which must hold 30 ms. In low energy it takes
// what it can up to limit samples. It returns the samples removed.
func accelerate(b *syncBuffer, reference float64, fast bool, limit int) (int, stretchOutcome) {
	if b.future() < stretchWindow {
		return 0, stretchFailed
	}
	a := analyseStretch(b, b.read, reference)
	outcome := stretchDone
	p := a.lag
	switch {
	case !a.active:
		outcome = stretchLowEnergy
		if limit > 0 {
			p = max(min(limit, stretchCenter), stretchMinLag)
		}
	case fast && a.rho > stretchRhoFast:
		p = stretchCenter / p * p
	case a.rho <= stretchRho:
		return 0, stretchFailed
	}
	cut(b, b.read+stretchCenter, p, outcome)
	return p, outcome
}

// cut removes the p samples before or after index at (they are mixed).
func cut(b *syncBuffer, at, p int, outcome stretchOutcome) {
	for c := range b.ch[:b.channels] {
		x := b.ch[c]
		if outcome == stretchLowEnergy {
			crossfadePower(x[at-p:at], x[at:at+p])
		} else {
			crossfade(x[at-p:at], x[at:at+p])
		}
	}
	b.remove(at, p)
}

// preemptiveExpand puts one period into the future of b, which must hold 15 ms: the last period played is heard again.
// In low energy it adds up to limit samples. It returns the samples added.
func preemptiveExpand(b *syncBuffer, reference float64, limit int) (int, stretchOutcome) {
	if b.future() < stretchCenter || b.read < stretchCenter {
		return 0, stretchFailed
	}
	a := analyseStretch(b, b.read-stretchCenter, reference)
	outcome := stretchDone
	p := a.lag
	switch {
	case !a.active:
		outcome = stretchLowEnergy
		if limit > 0 {
			p = max(min(limit, stretchCenter), stretchMinLag)
		}
	case a.rho <= stretchRho:
		return 0, stretchFailed
	}
	at := b.read
	at += b.insert(at, p)
	for c := range b.ch[:b.channels] {
		x := b.ch[c]
		gap := x[at : at+p]
		copy(gap, x[at+p:at+2*p])
		if outcome == stretchLowEnergy {
			crossfadePower(gap, x[at-p:at])
		} else {
			crossfade(gap, x[at-p:at])
		}
	}
	return p, outcome
}
