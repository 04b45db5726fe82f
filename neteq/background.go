package neteq

import "math"

const (
	backgroundWindow = 20 * millisecond
	backgroundOrder  = 16
	// The scale of int16 squared, in which the thresholds were found.
	int16Squared = 32768.0 * 32768.0
	// backgroundDefaultEnergy is assumed to be the background before one was heard (per sample).
	backgroundDefaultEnergy = 75000.0 / int16Squared
	backgroundFloor         = 1.0 / int16Squared
	// The floor is the least energy of 20 ms in the last floorWindows times floorTicks ticks (3 s): pauses between words
	// are in it, and a floor that rises is followed.
	floorTicks   = 50
	floorWindows = 6
	// What is up to backgroundNear times the floor is background.
	backgroundNear = 2
)

// backgroundNoise follows level and colour of the noise behind the speech of one channel.
type backgroundNoise struct {
	initialized bool
	minima      [floorWindows]float64 // of past windows, ring
	windows     int                   // seen
	next        int
	ticks       int     // in the running window
	least       float64 // in the running window
	energy      float64 // mean square of the noise, valid when initialized
	gain        float32
	filter      [maxLPCOrder + 1]float32
	state       [maxLPCOrder]float32
}

func (b *backgroundNoise) reset() {
	*b = backgroundNoise{filter: [maxLPCOrder + 1]float32{0: 1}}
}

// update looks at the newest 20 ms of unmodified output, at the end of x, whose mean square is e. Digital silence tells
// nothing about the background.
func (b *backgroundNoise) update(x []float32, e float64) {
	x = x[len(x)-backgroundWindow:]
	if e <= backgroundFloor/16 {
		return
	}
	if b.ticks == 0 || e < b.least {
		b.least = e
	}
	if b.ticks++; b.ticks == floorTicks {
		b.minima[b.next] = b.least
		b.next = (b.next + 1) % floorWindows
		b.windows = min(b.windows+1, floorWindows)
		b.ticks = 0
	}
	// The spectrum changes slowly: one tick in four is looked at.
	if b.windows == 0 || b.ticks%4 != 0 || e > backgroundNear*b.floor() || e > backgroundDefaultEnergy {
		return
	}
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
	if b.initialized {
		e = 0.8*b.energy + 0.2*e
	}
	b.energy = max(e, backgroundFloor)
	b.gain = float32(math.Sqrt(residual))
	b.initialized = true
}

// floor is the least energy of the last seconds; call it only when windows > 0.
func (b *backgroundNoise) floor() float64 {
	f := math.Inf(1)
	for _, v := range b.minima[:b.windows] {
		f = min(f, v)
	}
	if b.ticks > 0 {
		f = min(f, b.least)
	}
	return f
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

// activityReference is the energy per sample that sound must exceed eightfold to count as active: the floor, but never so
// much that steady sound would count as silence.
func (b *backgroundNoise) activityReference() float64 {
	if b.windows == 0 {
		return backgroundDefaultEnergy
	}
	return max(backgroundFloor, min(b.floor(), backgroundDefaultEnergy))
}
