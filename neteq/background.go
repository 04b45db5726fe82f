package neteq

import "math"

const (
	backgroundWindow = 20 * millisecond
	backgroundOrder  = 16
	// The scale of int16 squared, in which the thresholds were found.
	int16Squared = 32768.0 * 32768.0
	// backgroundDefaultEnergy is assumed to be the background before one was heard (per sample).
	backgroundDefaultEnergy = 75000.0 / int16Squared
	backgroundStart         = 500000.0 / int16Squared
	backgroundFloor         = 1.0 / int16Squared
)

// backgroundNoise follows level and colour of the noise behind the speech of one channel.
type backgroundNoise struct {
	initialized bool
	energy      float64 // mean square
	threshold   float64
	maxEnergy   float64
	gain        float32
	filter      [maxLPCOrder + 1]float32
	state       [maxLPCOrder]float32
}

func (b *backgroundNoise) reset() {
	*b = backgroundNoise{threshold: backgroundStart, filter: [maxLPCOrder + 1]float32{0: 1}}
}

// update looks at the newest 20 ms of unmodified output.
func (b *backgroundNoise) update(x []float32) {
	x = x[len(x)-backgroundWindow:]
	e := energy(x) / backgroundWindow
	if e >= b.threshold {
		// The threshold rises slowly (a factor of four in 4 s) so that a rising floor is found again, and never drops
		// further than 60 dB below the loudest.
		b.threshold *= 1.0035
		b.maxEnergy = max(e, b.maxEnergy*(1-1.0/1024))
		b.threshold = max(b.threshold, b.maxEnergy/(1<<20))
		return
	}
	if e <= 0 {
		return
	}
	b.threshold = max(e, backgroundFloor)
	var a [maxLPCOrder + 1]float32
	if !lpc(&a, x, backgroundOrder) {
		return
	}
	tail := x[len(x)-backgroundWindow/2-backgroundOrder:]
	residual := residualEnergy(&a, tail, backgroundOrder) / (backgroundWindow / 2)
	if residual < e/200 { // a vowel or a tone, not noise
		return
	}
	b.filter = a
	for i := range b.state[:backgroundOrder] {
		b.state[i] = x[len(x)-1-i]
	}
	b.energy = max(e, backgroundFloor)
	b.gain = float32(math.Sqrt(residual))
	b.initialized = true
}

// generate fills x with noise of the background's level and colour; silence before any was heard.
func (b *backgroundNoise) generate(x []float32, r *noise) {
	if !b.initialized {
		clear(x)
		return
	}
	r.fill(x)
	for i := range x {
		x[i] *= b.gain
	}
	synthesize(x, &b.filter, &b.state, backgroundOrder)
}

// activityReference is the energy per sample that sound must exceed eightfold to count as active.
func (b *backgroundNoise) activityReference() float64 {
	if b.initialized {
		return b.energy
	}
	return backgroundDefaultEnergy
}
