package testkit

import (
	"math"
	"time"
)

// Samples is d in samples at 48 kHz.
func Samples(d time.Duration) int { return int(int64(d) * SampleRate / int64(time.Second)) }

// Duration is n samples at 48 kHz.
func Duration(n int) time.Duration { return time.Duration(int64(n) * int64(time.Second) / SampleRate) }

// Amplitude is the peak of a sine of the given level: Amplitude(0) is 1, Amplitude(-20) is 0.1.
func Amplitude(levelDBFS float64) float64 { return math.Pow(10, levelDBFS/20) }

// Tone is a sine that starts at phase 0. With a whole number of cycles in d it loops without a click.
func Tone(freqHz, levelDBFS float64, d time.Duration) []float32 {
	pcm := make([]float32, Samples(d))
	a, w := Amplitude(levelDBFS), 2*math.Pi*freqHz/SampleRate
	for i := range pcm {
		pcm[i] = float32(a * math.Sin(w*float64(i)))
	}
	return pcm
}

// Silence is d of zeros.
func Silence(d time.Duration) []float32 { return make([]float32, Samples(d)) }

// Noise is white noise, uniform, of the given RMS level, always the same for a seed.
func Noise(seed uint64, levelDBFS float64, d time.Duration) []float32 {
	pcm := make([]float32, Samples(d))
	a := Amplitude(levelDBFS) * math.Sqrt(1.5) // uniform in ±a has RMS a/√3; a sine of peak p has p/√2
	for i := range pcm {
		pcm[i] = float32(a * unit(&seed))
	}
	return pcm
}

// unit is the next number in [-1, 1) of SplitMix64 (Steele, Lea, Flood 2014).
func unit(seed *uint64) float64 {
	*seed += 0x9e3779b97f4a7c15
	z := *seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(int64(z)) / (1 << 63)
}

// Chirp is a linear sweep with raised-cosine edges of 5 ms. Its autocorrelation is one narrow peak, which FindChirp finds.
func Chirp(fromHz, toHz, levelDBFS float64, d time.Duration) []float32 {
	pcm := make([]float32, Samples(d))
	a, n := Amplitude(levelDBFS), float64(len(pcm))
	for i := range pcm {
		t := float64(i)
		phase := 2 * math.Pi * (fromHz*t + (toHz-fromHz)*t*t/(2*n)) / SampleRate
		pcm[i] = float32(a * math.Sin(phase))
	}
	Fade(pcm, 5*time.Millisecond)
	return pcm
}

// Fade ramps both ends of pcm over d with a raised cosine, in place.
func Fade(pcm []float32, d time.Duration) {
	n := min(Samples(d), len(pcm)/2)
	for i := range n {
		g := float32(0.5 - 0.5*math.Cos(math.Pi*(float64(i)+0.5)/float64(n)))
		pcm[i] *= g
		pcm[len(pcm)-1-i] *= g
	}
}

// Mix sums parts sample by sample; the result is as long as the longest. It does not limit.
func Mix(parts ...[]float32) []float32 {
	var n int
	for _, p := range parts {
		n = max(n, len(p))
	}
	out := make([]float32, n)
	for _, p := range parts {
		for i, s := range p {
			out[i] += s
		}
	}
	return out
}

// Join puts parts one after the other.
func Join(parts ...[]float32) []float32 {
	var out []float32
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Every repeats pcm once per period for the whole of d, with silence between; pcm must not be longer than period.
func Every(pcm []float32, period, d time.Duration) []float32 {
	out := make([]float32, Samples(d))
	for at := 0; at < len(out); at += Samples(period) {
		copy(out[at:], pcm)
	}
	return out
}
