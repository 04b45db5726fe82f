package neteq

import "math"

// upsampleTaps is the length of the interpolation filter in input samples; the delay is half of it. From 8 kHz it falls from
// 3.8 to 4.2 kHz.
const upsampleTaps = 48

// upsampler raises the rate of a signal by an integer factor with a windowed-sinc interpolator.
type upsampler struct {
	factor  int
	phases  []float32 // factor rows of upsampleTaps
	history [upsampleTaps]float32
}

func newUpsampler(factor int) *upsampler {
	u := &upsampler{factor: factor, phases: make([]float32, factor*upsampleTaps)}
	for p := range factor {
		sum := 0.0
		row := u.phases[p*upsampleTaps : (p+1)*upsampleTaps]
		for k := range row {
			// Distance of tap k, newest first, from the output sample, in input samples.
			x := float64(k) - upsampleTaps/2 + float64(p)/float64(factor)
			w := 0.5 + 0.5*math.Cos(math.Pi*x/(upsampleTaps/2+1))
			s := 1.0
			if a := math.Pi * x; a != 0 {
				s = math.Sin(a) / a
			}
			row[k] = float32(s * w)
			sum += s * w
		}
		for k := range row {
			row[k] /= float32(sum)
		}
	}
	return u
}

// push takes one input sample and writes factor output samples with the given stride.
func (u *upsampler) push(x float32, out []float32, stride int) {
	copy(u.history[1:], u.history[:upsampleTaps-1])
	u.history[0] = x
	for p := range u.factor {
		row := u.phases[p*upsampleTaps : (p+1)*upsampleTaps]
		var y float32
		for k, c := range row {
			y += c * u.history[k]
		}
		out[p*stride] = y
	}
}
