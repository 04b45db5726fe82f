package testkit

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// Match is one place where a reference was found.
type Match struct {
	At    int     // index of the reference's first sample
	Score float64 // normalised correlation, 0..1
}

// FindAll returns every place in pcm where ref is found with a normalised correlation of at least score, best within any
// len(ref) samples, in order of time. Polarity does not matter. ref must have at least two samples.
func FindAll(pcm, ref []float32, score float64) []Match {
	if len(ref) < 2 || len(pcm) < len(ref) {
		return nil
	}
	corr := correlate(pcm, ref)
	var refEnergy, energy float64
	for _, s := range ref {
		refEnergy += float64(s) * float64(s)
	}
	for _, s := range pcm[:len(ref)] {
		energy += float64(s) * float64(s)
	}
	// Places with next to no energy correlate by chance; 60 dB below the reference is no sound of ours.
	least := refEnergy * 1e-6
	var found []Match
	for i := 0; i+len(ref) <= len(pcm); i++ {
		if i > 0 {
			in, out := float64(pcm[i+len(ref)-1]), float64(pcm[i-1])
			energy += in*in - out*out
		}
		if energy < least {
			continue
		}
		s := math.Abs(corr[i]) / math.Sqrt(refEnergy*energy)
		if s < score {
			continue
		}
		if n := len(found); n > 0 && i-found[n-1].At < len(ref) {
			if s > found[n-1].Score {
				found[n-1] = Match{i, s}
			}
			continue
		}
		found = append(found, Match{i, s})
	}
	return found
}

// correlate returns the cross-correlation sum(pcm[i+k]*ref[k]) for every i, by FFT.
func correlate(pcm, ref []float32) []float64 {
	n := 1 << bits.Len(uint(len(pcm)+len(ref)))
	a, b := make([]complex128, n), make([]complex128, n)
	for i, s := range pcm {
		a[i] = complex(float64(s), 0)
	}
	for i, s := range ref {
		b[i] = complex(float64(s), 0)
	}
	fft(a, false)
	fft(b, false)
	for i := range a {
		a[i] *= cmplx.Conj(b[i])
	}
	fft(a, true)
	out := make([]float64, len(pcm))
	for i := range out {
		out[i] = real(a[i]) / float64(n)
	}
	return out
}

// fft is the iterative radix-2 transform (Cooley, Tukey 1965), in place; len(x) is a power of two. The inverse is not scaled.
func fft(x []complex128, inverse bool) {
	n := len(x)
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); j > i {
			x[i], x[j] = x[j], x[i]
		}
	}
	sign := -2 * math.Pi
	if inverse {
		sign = -sign
	}
	for size := 2; size <= n; size *= 2 {
		half := size / 2
		twiddle := make([]complex128, half)
		for k := range twiddle {
			twiddle[k] = cmplx.Rect(1, sign*float64(k)/float64(size))
		}
		for start := 0; start < n; start += size {
			for k := range half {
				u, v := x[start+k], x[start+k+half]*twiddle[k]
				x[start+k], x[start+k+half] = u+v, u-v
			}
		}
	}
}
