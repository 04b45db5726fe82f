package neteq

import "math"

const (
	mergeLength    = 202 * millisecond / 8 // 25.25 ms of expanded signal are searched
	mergeEnergy    = 8 * millisecond
	mergeFade      = 60 * millisecond / 8 // 7.5 ms
	mergeGainStep  = 0.004 / 6            // per sample
	afterFade      = millisecond
	mergeMaxFuture = 1260
)

// merge joins newly decoded sound, n samples per channel in x, to a concealment that replaced lost sound: the concealment
// runs on until the new sound fits its phase, then they are cross-faded. The future of b is replaced by the result. It returns
// how much longer (or shorter) than n the future became.
func merge(b *syncBuffer, e *expander, bg *[2]backgroundNoise, x *[2][]float32, n int) int {
	if n == 0 {
		return 0
	}
	e.setMergeAfter()
	muted := e.muteFactor()
	period := e.process(b, bg)
	old := b.future()
	var expanded [2][mergeLength + mergeMaxFuture]float32
	length := max(mergeLength, old+1)
	for c := range b.ch[:b.channels] {
		k := copy(expanded[c][:length], b.ch[c][b.read:])
		for k < length {
			k += copy(expanded[c][k:length], e.out[c][:period])
		}
	}
	at := mergeOffset(expanded[0][:length], x[0][:n], period, old)
	fade := max(0, min(mergeFade, length-at, n))
	b.clearFuture()
	b.appendZeros(at + n)
	for c := range b.ch[:b.channels] {
		in, out := x[c][:n], b.ch[c][b.read:]
		g := afterGain(expanded[c][:min(mergeEnergy, length)], in, muted)
		if g < 1 {
			ramp(in, g, max(mergeGainStep, (1-g)/float32(n)))
		}
		copy(out[:at+fade], expanded[c][:at+fade])
		crossfade(out[at:at+fade], in[:fade])
		copy(out[at+fade:], in[fade:])
	}
	e.reset()
	return at - old
}

// afterGain is the gain at which sound after a concealment starts: that of the faded concealment, or what brings the new
// sound down to its level if that is more.
func afterGain(expanded, in []float32, muted float32) float32 {
	k := min(len(expanded), len(in), mergeEnergy)
	en, ee := energy(in[:k]), energy(expanded[:k])
	g := float32(1)
	if en > ee {
		g = float32(math.Sqrt(ee / en))
	}
	return max(muted, g)
}

// mergeOffset finds where in expanded the new sound starts best: at least old and a tick must be left to play.
func mergeOffset(expanded, in []float32, period, old int) int {
	var lowE [(mergeLength + mergeMaxFuture) / decimation]float32
	var lowN [40]float32
	ne := decimate(lowE[:], expanded)
	nn := decimate(lowN[:], in[:min(len(in), len(lowN)*decimation+decimation)])
	lags := min(60, period/decimation+1)
	start := 0
	need := max(tickSamples+overlapSamples, old) - len(in)
	if need > 0 {
		start = min((need+decimation-1)/decimation, max(0, lags-1))
	}
	best, bestCorr := start*decimation, math.Inf(-1)
	for lag := start; lag < lags && nn > 0 && lag+nn <= ne; lag++ {
		if c := dot(lowN[:nn], lowE[lag:lag+nn]); c > bestCorr {
			best, bestCorr = lag*decimation, c
		}
	}
	if bestCorr > 0 && nn > 10 {
		// The 4 kHz grid is too coarse for a joint without a click: refine on the full signal.
		k := min(len(in), 240)
		center, c0 := best, math.Inf(-1)
		for at := max(0, center-decimation); at <= center+decimation && at+k <= len(expanded); at++ {
			if c := dot(in[:k], expanded[at:at+k]); c > c0 {
				best, c0 = at, c
			}
		}
	}
	for best < need {
		best += max(1, period)
	}
	return min(best, len(expanded)-1)
}

// normalAfter joins newly decoded sound to a concealment that only bridged its lateness: the expanded signal is faded out
// over the first millisecond of x.
func normalAfter(b *syncBuffer, e *expander, bg *[2]backgroundNoise, x *[2][]float32, n int) {
	if n == 0 {
		return
	}
	muted := e.muteFactor()
	e.setNormalAfter()
	period := e.process(b, bg)
	for c := range b.ch[:b.channels] {
		in := x[c][:n]
		g := float32(1)
		if ref := bg[c].activityReference(); muted < 1 {
			k := min(mergeEnergy, n)
			if en := energy(in[:k]) / float64(k); en > ref {
				g = float32(math.Sqrt(ref / en))
			}
			if g = max(muted, g); g < 1 {
				ramp(in, g, max(64.0/16384/6, (1-g)/float32(n)))
			}
		}
		fade := min(afterFade, n, period)
		var tmp [afterFade]float32
		copy(tmp[:fade], e.out[c][:fade])
		crossfade(tmp[:fade], in[:fade])
		copy(in[:fade], tmp[:fade])
	}
	e.reset()
}
