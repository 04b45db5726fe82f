package neteq

import "math"

const (
	sampleRate  = 48000
	tickSamples = sampleRate / 100 // one pull, 10 ms
	// overlapSamples are always kept unplayed, so that what comes next can be faded in: 0.625 ms.
	overlapSamples = 30
	// decimation leads to the 4 kHz at which pitch is looked for.
	decimation = 12
	// millisecond in samples.
	millisecond = sampleRate / 1000
)

// dot is the scalar product of a and b over len(a).
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	var total float64
	for len(a) >= 64 { // in blocks, so that float32 sums stay exact enough
		s0, s1, s2, s3 = 0, 0, 0, 0
		x, y := a[:64], b[:64]
		for i := 0; i < 64; i += 4 {
			s0 += x[i] * y[i]
			s1 += x[i+1] * y[i+1]
			s2 += x[i+2] * y[i+2]
			s3 += x[i+3] * y[i+3]
		}
		total += float64(s0 + s1 + s2 + s3)
		a, b = a[64:], b[64:]
	}
	s0 = 0
	for i, v := range a {
		s0 += v * b[i]
	}
	return total + float64(s0)
}

func energy(x []float32) float64 { return dot(x, x) }

// louder tells whether the energy of x is above limit; of speech the beginning is mostly enough to know.
func louder(x []float32, limit float64) bool {
	const part = 256
	sum := 0.0
	for len(x) > part {
		if sum += energy(x[:part]); sum > limit {
			return true
		}
		x = x[part:]
	}
	return sum+energy(x) > limit
}

// crossfade turns old into new over its length, linearly, in place.
func crossfade(old, new []float32) {
	n := len(old)
	if n == 0 {
		return
	}
	new = new[:n]
	step := 1 / float32(n+1)
	w := step
	for i := range old {
		old[i] += (new[i] - old[i]) * w
		w += step
	}
}

// crossfadePower is crossfade with the gains of equal power, for signals that do not correlate.
func crossfadePower(old, new []float32) {
	n := len(old)
	if n == 0 {
		return
	}
	new = new[:n]
	// A rotation by a fixed angle per sample gives sine and cosine without calling either.
	angle := math.Pi / 2 / float64(n+1)
	sinStep, cosStep := float32(math.Sin(angle)), float32(math.Cos(angle))
	s, c := sinStep, cosStep
	for i := range old {
		old[i] = old[i]*c + new[i]*s
		s, c = s*cosStep+c*sinStep, c*cosStep-s*sinStep
	}
}

// ramp multiplies x by a gain that starts at from and moves by step per sample within [0, 1]; it returns the gain after it.
func ramp(x []float32, from, step float32) float32 {
	g := from
	for i := range x {
		x[i] *= g
		g += step
		if g > 1 {
			g = 1
		} else if g < 0 {
			g = 0
		}
	}
	return g
}

// decimate brings x to 4 kHz: dst[i] is the triangular mean of 24 samples around the end of block i. It returns the number
// of values, len(x)/12 - 1.
func decimate(dst, x []float32) int {
	n := len(x)/decimation - 1
	if n <= 0 {
		return 0
	}
	last := blockSum(x)
	for i := range dst[:n] {
		x = x[decimation:]
		s := blockSum(x)
		dst[i] = (last + s) * (1.0 / (2 * decimation))
		last = s
	}
	return n
}

func blockSum(x []float32) float32 {
	x = x[:decimation]
	return x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7] + x[8] + x[9] + x[10] + x[11]
}

// parabola returns the place of the maximum of the parabola through three equidistant values, relative to the middle one.
func parabola(left, mid, right float64) float64 {
	d := left - 2*mid + right
	if d >= 0 {
		return 0
	}
	return max(-0.5, min(0.5, 0.5*(left-right)/d))
}

const maxLPCOrder = 16

// lpc finds the linear predictor of the given order by the Levinson-Durbin recursion: a[0] = 1 and the prediction error is
// sum a[i]*x[n-i]. It returns false, and the identity, when the signal is silent or the filter close to unstable.
func lpc(a *[maxLPCOrder + 1]float32, x []float32, order int) bool {
	var r [maxLPCOrder + 1]float64
	for i := 0; i <= order; i++ {
		if i < len(x) {
			r[i] = dot(x[i:], x[:len(x)-i])
		}
	}
	*a = [maxLPCOrder + 1]float32{0: 1}
	if r[0] <= 0 {
		return false
	}
	r[0] *= 1.0001 // white noise correction, -40 dB
	var p [maxLPCOrder + 1]float64
	p[0] = 1
	e := r[0]
	for i := 1; i <= order; i++ {
		k := r[i]
		for j := 1; j < i; j++ {
			k += p[j] * r[i-j]
		}
		k = -k / e
		if math.Abs(k) > 0.9994 {
			return false
		}
		for j := 1; j <= i/2; j++ {
			lo, hi := p[j], p[i-j]
			p[j] = lo + k*hi
			p[i-j] = hi + k*lo
		}
		p[i] = k
		e *= 1 - k*k
	}
	for i := 1; i <= order; i++ {
		a[i] = float32(p[i])
	}
	return true
}

// residualEnergy is the energy of x filtered by a, from index order on.
func residualEnergy(a *[maxLPCOrder + 1]float32, x []float32, order int) float64 {
	var sum float64
	for i := order; i < len(x); i++ {
		e := x[i]
		for j := 1; j <= order; j++ {
			e += a[j] * x[i-j]
		}
		sum += float64(e * e)
	}
	return sum
}

// synthesize runs excitation x through 1/a in place; state holds the last order outputs, newest first.
func synthesize(x []float32, a *[maxLPCOrder + 1]float32, state *[maxLPCOrder]float32, order int) {
	s := *state
	for i, v := range x {
		for j := order; j >= 1; j-- {
			v -= a[j] * s[j-1]
			if j > 1 {
				s[j-1] = s[j-2]
			}
		}
		s[0] = v
		x[i] = v
	}
	*state = s
}

// noise is a white generator of unit variance; the period of its 64-bit xorshift is beyond any call.
type noise struct{ state uint64 }

func (r *noise) fill(x []float32) {
	s := r.state
	if s == 0 {
		s = 0x9e3779b97f4a7c15
	}
	for i := range x {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		// The sum of two uniform values of 32 bits: triangular, variance 2/12 of a range of 2.
		u := float32(int32(s)) + float32(int32(s>>32))
		x[i] = u * (1.2247449 / (1 << 31))
	}
	r.state = s
}
