package testkit

import (
	"math"
	"slices"
	"time"
)

// floorDBFS is what silence reads: below anything that float32 or a 16-bit codec can tell.
const floorDBFS = -200

// DBFS is the level of a sine of peak amplitude a.
func DBFS(a float64) float64 {
	if a < 1e-10 {
		return floorDBFS
	}
	return 20 * math.Log10(a)
}

// Level is the RMS of pcm in dBFS, +3.01 dB so that a full-scale sine is 0 (AES17).
func Level(pcm []float32) float64 {
	if len(pcm) == 0 {
		return floorDBFS
	}
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return DBFS(math.Sqrt(2 * sum / float64(len(pcm))))
}

// Peak is the largest magnitude in pcm.
func Peak(pcm []float32) float64 {
	var peak float64
	for _, s := range pcm {
		peak = max(peak, math.Abs(float64(s)))
	}
	return peak
}

// ToneLevel is the level in dBFS of the sine at freqHz in pcm: Goertzel's algorithm over a four-term Blackman-Harris
// window (side lobes below -92 dB, main lobe ±4/T), so that a loud tone 10 Hz away over one second does not show.
func ToneLevel(pcm []float32, freqHz float64) float64 {
	if len(pcm) == 0 {
		return floorDBFS
	}
	w := 2 * math.Pi * freqHz / SampleRate
	coeff, n := 2*math.Cos(w), float64(len(pcm))
	var s1, s2, gain float64
	for i, s := range pcm {
		win := blackmanHarris(float64(i) / n)
		gain += win
		s1, s2 = float64(s)*win+coeff*s1-s2, s1
	}
	re, im := s1-s2*math.Cos(w), s2*math.Sin(w)
	return DBFS(2 * math.Hypot(re, im) / gain)
}

// blackmanHarris is the four-term window (Harris 1978) at x in [0, 1).
func blackmanHarris(x float64) float64 {
	p := 2 * math.Pi * x
	return 0.35875 - 0.48829*math.Cos(p) + 0.14128*math.Cos(2*p) - 0.01168*math.Cos(3*p)
}

// ToneLevels is ToneLevel of each step of pcm: how a tone's level goes over time. A rest shorter than step is left out.
func ToneLevels(pcm []float32, freqHz float64, step time.Duration) []float64 {
	var out []float64
	n := Samples(step)
	for ; len(pcm) >= n; pcm = pcm[n:] {
		out = append(out, ToneLevel(pcm[:n], freqHz))
	}
	return out
}

// toneStep is the window of SteadyLevel and MeanLevel: long enough to tell tones 25 Hz apart, short enough that a jitter
// buffer, which shifts the phase when it stretches time, spoils few of the windows.
const toneStep = 200 * time.Millisecond

// SteadyLevel is the median of a tone's level in dBFS over windows of 200 ms.
func SteadyLevel(pcm []float32, freqHz float64) float64 {
	levels := ToneLevels(pcm, freqHz, toneStep)
	if len(levels) == 0 {
		return floorDBFS
	}
	slices.Sort(levels)
	return levels[len(levels)/2]
}

// neighbourHz is how far from a tone its background is measured: outside the main lobe of a 200 ms window.
const neighbourHz = 45

// LoudestTone is the highest level in dBFS that a tone has in any window of 200 ms in which it stands out by 10 dB from the
// background on both sides; clicks and noise, which have no pitch, do not count. It finds a voice that is there for a moment.
func LoudestTone(pcm []float32, freqHz float64) float64 {
	loudest := float64(floorDBFS)
	tone := ToneLevels(pcm, freqHz, toneStep)
	below, above := ToneLevels(pcm, freqHz-neighbourHz, toneStep), ToneLevels(pcm, freqHz+neighbourHz, toneStep)
	for i, l := range tone {
		if l > max(below[i], above[i])+10 {
			loudest = max(loudest, l)
		}
	}
	return loudest
}

// Clips counts runs of at least three samples at or beyond full scale of 16 bits: what hard clipping leaves and a
// limiter does not. A sine that just reaches full scale has none at any audible frequency below full scale.
func Clips(pcm []float32) int {
	const full = 32766.0 / 32768
	runs, run := 0, 0
	for _, s := range pcm {
		if s >= full || s <= -full {
			if run++; run == 3 {
				runs++
			}
		} else {
			run = 0
		}
	}
	return runs
}

// Clicks returns the positions where pcm jumps as no band-limited tone does: where the fifth difference exceeds ten times
// what its neighbourhood of ±10 ms shows and also -50 dBFS. Meant for steady tones; speech has plosives.
func Clicks(pcm []float32) []int {
	const order, block = 5, SampleRate / 100
	if len(pcm) < order+3*block {
		return nil
	}
	diff := make([]float64, len(pcm))
	for i := range pcm {
		diff[i] = float64(pcm[i])
	}
	for range order {
		for i := len(diff) - 1; i > 0; i-- {
			diff[i] -= diff[i-1]
		}
	}
	clear(diff[:order])
	var found []int
	// The median of each block's neighbours is robust against the click itself.
	peaks := make([]float64, len(pcm)/block)
	at := make([]int, len(peaks))
	for b := range peaks {
		for i := b * block; i < (b+1)*block; i++ {
			if a := math.Abs(diff[i]); a > peaks[b] {
				peaks[b], at[b] = a, i
			}
		}
	}
	for b := range peaks {
		lo, hi := max(0, b-1), min(len(peaks)-1, b+1)
		near := math.MaxFloat64
		for _, k := range []int{lo, hi} {
			if k != b {
				near = min(near, peaks[k])
			}
		}
		if peaks[b] > 10*near && peaks[b] > 0.003 {
			found = append(found, at[b])
		}
	}
	return found
}

// Gaps returns the lengths of all stretches quieter than belowDBFS that last at least atLeast, in steps of 5 ms.
func Gaps(pcm []float32, belowDBFS float64, atLeast time.Duration) []time.Duration {
	const step = SampleRate / 200
	var gaps []time.Duration
	run := 0
	flush := func() {
		if d := Duration(run * step); run > 0 && d >= atLeast {
			gaps = append(gaps, d)
		}
		run = 0
	}
	for ; len(pcm) >= step; pcm = pcm[step:] {
		if Level(pcm[:step]) < belowDBFS {
			run++
		} else {
			flush()
		}
	}
	flush()
	return gaps
}

// Onset is the first sample at or beyond amplitude, or -1.
func Onset(pcm []float32, amplitude float64) int {
	for i, s := range pcm {
		if math.Abs(float64(s)) >= amplitude {
			return i
		}
	}
	return -1
}
