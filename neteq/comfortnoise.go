package neteq

import (
	"fmt"
	"math"
)

const (
	// noiseMaxCoefficients of a SID are looked at (RFC 3389 does not bound them).
	noiseMaxCoefficients = 12
	// noiseLoudest bounds the level of comfort noise in -dBov: nobody needs it louder.
	noiseLoudest  = 30
	noiseQuietest = 93
	// noisePeak bounds a sample, in RMS.
	noisePeak = 6
)

// comfortNoise makes noise after the silence descriptions of RFC 3389.
type comfortNoise struct {
	factor           int // 48 kHz over the rate it runs at
	up               *upsampler
	random           noise
	reflection       [noiseMaxCoefficients]float32
	targetReflection [noiseMaxCoefficients]float32
	energy, target   float64 // mean square
	fresh            bool    // the first block of a period
	filter           [maxLPCOrder + 1]float32
	state            [maxLPCOrder]float32
	gain             float32
	read             int
	block            [tickSamples]float32
}

func newComfortNoise(factor int) *comfortNoise {
	return &comfortNoise{factor: factor, up: newUpsampler(factor), fresh: true}
}

// checkNoise tells whether a payload is a silence description.
func checkNoise(payload []byte) error {
	if len(payload) == 0 {
		return fmt.Errorf("%w: empty silence description", ErrMalformed)
	}
	return nil
}

// update takes a silence description.
func (c *comfortNoise) update(payload []byte) {
	level := max(noiseLoudest, min(noiseQuietest, int(payload[0]&0x7f)))
	// Full scale of a sine is 0 dBov; 0.625 of the energy is used, as libwebrtc does.
	c.target = 0.625 * math.Pow(10, -float64(level)/10)
	c.targetReflection = [noiseMaxCoefficients]float32{}
	for i, b := range payload[1:] {
		if i == noiseMaxCoefficients {
			break
		}
		c.targetReflection[i] = max(-0.98, min(0.98, (float32(b)-127)/128))
	}
}

// restart begins a new period of noise.
func (c *comfortNoise) restart() { c.fresh = true }

// generate fills x, at 48 kHz.
func (c *comfortNoise) generate(x []float32) {
	per := tickSamples / c.factor // input samples per 10 ms
	for len(x) > 0 {
		if c.read == 0 {
			c.smooth()
			var raw [tickSamples]float32
			r := raw[:per]
			c.random.fill(r)
			for i := range r {
				r[i] *= c.gain
			}
			synthesize(r, &c.filter, &c.state, noiseMaxCoefficients)
			// Where the spectrum turns sharply, what the filter remembers does not fit it: noise has no such peaks.
			limit := float32(noisePeak * math.Sqrt(c.energy))
			for i, v := range r {
				if !(v >= -limit && v <= limit) {
					c.state = [maxLPCOrder]float32{}
					v = max(-limit, min(limit, v))
				}
				c.up.push(v, c.block[i*c.factor:], 1)
			}
			for i, v := range &c.block { // between such peaks interpolation makes higher ones
				c.block[i] = max(-limit, min(limit, v))
			}
		}
		k := copy(x, c.block[c.read:])
		c.read = (c.read + k) % tickSamples
		x = x[k:]
	}
}

// smooth moves the spectrum by a fifth and the energy by half of the way to what was last described.
func (c *comfortNoise) smooth() {
	keep := float32(0.8)
	if c.fresh {
		keep = 0.6
		if c.energy == 0 {
			c.energy, c.reflection = c.target, c.targetReflection
		}
		c.fresh = false
	}
	for i := range c.reflection {
		c.reflection[i] = keep*c.reflection[i] + (1-keep)*c.targetReflection[i]
	}
	c.energy = (c.energy + c.target) / 2
	// Reflection coefficients to a predictor, and the share of the energy that the excitation has.
	a := [maxLPCOrder + 1]float32{0: 1}
	product := 1.0
	for i, k := range c.reflection {
		old := a
		for j := 1; j <= i; j++ {
			a[j] = old[j] + k*old[i+1-j]
		}
		a[i+1] = k
		product *= 1 - float64(k)*float64(k)
	}
	c.filter = a
	c.gain = float32(math.Sqrt(c.energy * product))
}
