package loudness

import "math"

const (
	sampleRateHz = 48000
	// Silence is what Meter reports of nothing, in LUFS: the absolute gate of BS.1770-4.
	Silence = -70.0
)

// The K weighting of BS.1770-4, tables 1 and 2, for 48 kHz: two filters of second order, what a head does to sound (a shelf), and
// then what low tones count less. The second one's numerator is 1, -2, 1.
const (
	shelfB0, shelfB1, shelfB2 = 1.53512485958697, -2.69169618940638, 1.19839281085285
	shelfA1, shelfA2          = -1.69065929318241, 0.73248077421585
	lowA1, lowA2              = -1.99004745483398, 0.99007225036621
)

// weighting is the K weighting of one channel: both filters' state, in transposed direct form II.
type weighting struct{ shelf1, shelf2, low1, low2 float64 }

// energy returns the sum of squares of the weighted samples of channel c of pcm. The state is in local variables, which the compiler
// keeps in registers: half of the time otherwise goes into memory.
func (w *weighting) energy(pcm []float32, c, channels int) float64 {
	s1, s2, l1, l2 := w.shelf1, w.shelf2, w.low1, w.low2
	sum := 0.0
	for i := c; i < len(pcm); i += channels {
		x := float64(pcm[i])
		y := shelfB0*x + s1
		s1 = (shelfB1*x + s2) - shelfA1*y
		s2 = shelfB2*x - shelfA2*y
		z := y + l1
		l1 = (l2 - 2*y) - lowA1*z
		l2 = y - lowA2*z
		sum += z * z
	}
	w.shelf1, w.shelf2, w.low1, w.low2 = settle(s1), settle(s2), settle(l1), settle(l2)
	return sum
}

// settle keeps a state out of the range in which the processor is slow; it also ends what a sample that is no number has begun.
func settle(v float64) float64 {
	if !(math.Abs(v) > 1e-20 && math.Abs(v) < 1e6) {
		return 0
	}
	return v
}

// Meter measures the loudness of one stream of 48 kHz samples. The zero value is not ready; see NewMeter. One goroutine
// at a time uses it.
type Meter struct {
	channels []weighting
	parts    [4]float64 // mean squares of the last four 100 ms
	part     int
	filled   int // parts measured so far, at most 4
	sum      float64
	samples  int // per channel, in the part under way
}

// NewMeter makes a meter for interleaved samples of 1 or 2 channels, which count the same (BS.1770-4, table 3).
func NewMeter(channels int) *Meter { return &Meter{channels: make([]weighting, max(1, channels))} }

// Add takes samples in [-1, 1], interleaved, of at most 100 ms. It returns true when another 100 ms are complete and
// four of them, 400 ms, are there: Momentary then is that of a new block. It allocates nothing.
func (m *Meter) Add(pcm []float32) (block bool) {
	n := len(m.channels)
	for c := range m.channels {
		m.sum += m.channels[c].energy(pcm, c, n)
	}
	m.samples += len(pcm) / n
	if m.samples < sampleRateHz/10 {
		return false
	}
	m.parts[m.part] = m.sum / float64(m.samples)
	m.part = (m.part + 1) % len(m.parts)
	m.filled = min(m.filled+1, len(m.parts))
	m.sum, m.samples = 0, 0
	return m.filled == len(m.parts)
}

// Momentary is the loudness of the last 400 ms, in LUFS; never below Silence.
func (m *Meter) Momentary() float64 {
	return lufs((m.parts[0] + m.parts[1] + m.parts[2] + m.parts[3]) / 4)
}

// lufs is a weighted mean square as loudness (BS.1770-4, formula 2).
func lufs(meanSquare float64) float64 {
	if !(meanSquare > 0) {
		return Silence
	}
	return max(Silence, -0.691+10*math.Log10(meanSquare))
}
