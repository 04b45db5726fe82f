package resample

import (
	"errors"
	"fmt"
	"math"
)

// ErrFormat says that no Resampler can be made for these rates or channels.
var ErrFormat = errors.New("resample: unsupported rates or channels")

const (
	// passShare and stopShare of the lower Nyquist frequency bound the transition. They lie evenly around it, so that what
	// folds back or is mirrored falls outside the pass band: for 8 kHz that is 3.4 kHz, the edge of telephone speech.
	passShare = 0.85
	stopShare = 1.15
	// attenuation in dB the filter is designed for, a little more than promised.
	attenuation = 84.0
	// maxRatio bounds both sides of the reduced ratio: 160:147 is 48 to 44.1 kHz.
	maxRatio = 640
	maxRate  = 384000
	// block is how many input samples per channel are worked on at a time.
	block = 480
)

// Resampler converts one interleaved stream. It is not safe for concurrent use and allocates nothing after New.
type Resampler struct {
	channels int
	up, down int       // ratio, reduced: output rate / input rate = up / down
	taps     int       // per phase
	phases   []float32 // up rows of taps, oldest sample first
	window   [][]float32
	pos      int // index in window after the newest input of the next output sample
	phase    int // of the next output sample
}

// New makes a Resampler from one rate to another, in Hz, for 1 to 8 channels.
func New(fromHz, toHz, channels int) (*Resampler, error) {
	if fromHz <= 0 || toHz <= 0 || fromHz > maxRate || toHz > maxRate || channels < 1 || channels > 8 {
		return nil, fmt.Errorf("%w: %d to %d Hz, %d channels", ErrFormat, fromHz, toHz, channels)
	}
	g := gcd(fromHz, toHz)
	r := &Resampler{channels: channels, up: toHz / g, down: fromHz / g}
	if r.up > maxRatio || r.down > maxRatio {
		return nil, fmt.Errorf("%w: ratio %d:%d", ErrFormat, r.up, r.down)
	}
	if r.up == 1 && r.down == 1 {
		r.taps, r.phases = 1, []float32{1}
	} else {
		r.design()
	}
	r.window = make([][]float32, channels)
	for c := range r.window {
		r.window[c] = make([]float32, r.taps-1+block)
	}
	r.Reset()
	return r, nil
}

// design makes the prototype, a sinc under a Kaiser window (J. F. Kaiser, 1974), and cuts it into phases.
func (r *Resampler) design() {
	lower := min(1, float64(r.up)/float64(r.down)) // the lower of the rates over the input's
	width := (stopShare - passShare) / 2 * lower   // of the transition, over the input rate
	half := int(math.Ceil((attenuation - 7.95) / (2.285 * 2 * math.Pi * width) / 2))
	beta := 0.1102 * (attenuation - 8.7)
	r.taps = 2 * half
	r.phases = make([]float32, r.up*r.taps)
	row := make([]float64, r.taps)
	for p := range r.up {
		sum := 0.0
		for k := range row {
			// Time from the tap, newest first, to the centre, in input samples.
			t := float64(p)/float64(r.up) + float64(k-half)
			row[k] = sinc(t*lower) * kaiser(t/float64(half), beta)
			sum += row[k]
		}
		for k := range row {
			r.phases[p*r.taps+r.taps-1-k] = float32(row[k] / sum)
		}
	}
}

// Reset forgets the stream: what comes next follows silence.
func (r *Resampler) Reset() {
	for c := range r.window {
		clear(r.window[c])
	}
	r.pos, r.phase = r.taps, 0
}

// CopyState makes r go on where from is, and returns false when that has other rates or channels.
func (r *Resampler) CopyState(from *Resampler) bool {
	if r.channels != from.channels || r.up != from.up || r.down != from.down {
		return false
	}
	for c := range r.window {
		copy(r.window[c], from.window[c])
	}
	r.pos, r.phase = from.pos, from.phase
	return true
}

// Delay is by how many input samples the output lags behind, beside waiting for whole samples.
func (r *Resampler) Delay() int { return r.taps / 2 }

// Output is the number of samples per channel that the next n input samples per channel make.
func (r *Resampler) Output(n int) int {
	// Output sample j needs input up to index pos-taps + (phase + j*down)/up.
	have := n - (r.pos - r.taps)
	if have <= 0 {
		return 0
	}
	return (have*r.up - r.phase + r.down - 1) / r.down
}

// Process takes src and returns how many samples per channel it wrote to dst. Both are interleaved; dst must have room for
// Output(len(src)/channels) samples per channel, or nothing happens and 0 is returned. dst and src must not overlap.
func (r *Resampler) Process(dst, src []float32) int {
	total := len(src) / r.channels
	if len(dst)/r.channels < r.Output(total) {
		return 0
	}
	made := 0
	for total > 0 {
		n := min(total, block)
		for c, w := range r.window {
			in := w[r.taps-1 : r.taps-1+n]
			for i := range in {
				in[i] = src[i*r.channels+c]
			}
		}
		src, total = src[n*r.channels:], total-n
		made += r.run(dst[made*r.channels:], n)
		for _, w := range r.window {
			copy(w, w[n:n+r.taps-1])
		}
	}
	return made
}

// run filters n new samples per channel that lie in the windows.
func (r *Resampler) run(dst []float32, n int) int {
	end := r.taps - 1 + n
	made := 0
	for r.pos <= end {
		row := r.phases[r.phase*r.taps : (r.phase+1)*r.taps]
		for c, w := range r.window {
			dst[made*r.channels+c] = dot(row, w[r.pos-r.taps:r.pos])
		}
		made++
		r.phase += r.down
		r.pos += r.phase / r.up
		r.phase %= r.up
	}
	r.pos -= n
	return made
}

// dot is the inner product; four sums keep the processor busy.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the window at x in -1..1.
func kaiser(x, beta float64) float64 {
	if x < -1 || x > 1 {
		return 0
	}
	return bessel(beta*math.Sqrt(1-x*x)) / bessel(beta)
}

// bessel is the modified Bessel function of the first kind and order 0, by its power series.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-17; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}
