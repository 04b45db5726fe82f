package mixer

import "math"

const (
	// limiterLookahead is how long the limiter looks ahead, and its delay: 1.5 ms. Shorter is harsher, longer is later.
	limiterLookahead = 72
	// limiterCeiling is the highest output: -1 dBFS, so that the overshoot of a lossy codec stays below full scale (EBU R 128
	// asks for the same of true peaks).
	limiterCeiling = 0.89125094
	// limiterHold keeps a reduction for 10 ms, half a period of the lowest voice, before it is released.
	limiterHold   = 480
	limiterWindow = limiterLookahead + 1
)

// limiterRelease raises the gain by 1 dB in 20 ms (960 samples).
var limiterRelease = math.Pow(10, 1.0/20/960)

// limiter keeps a bus within the ceiling without ever bending a wave: the gain that the loudest sample of the next
// 1.5 ms needs is reached, by a moving average, exactly when that sample comes out. Below the ceiling it is a pure
// delay, bit for bit. It holds no pointers: assignment copies its state.
type limiter struct {
	channels int
	delay    [2 * limiterLookahead]float32 // the last samples in, interleaved
	sounding int                           // frames of samples until the delay line is all zeros

	active bool    // some gain below is not one
	gain   float64 // minimum over the window, held and released
	hold   int
	ones   int // samples for which nothing was reduced
	n      int // samples since it became active
	sum    float64
	box    [limiterWindow]float64
	// monotone queue of the lowest gains needed in the window
	first, count int
	needAt       [128]int
	need         [128]float64
}

func newLimiter(channels int) limiter { return limiter{channels: channels} }

// idle reports whether silence in would now yield silence out, so that process need not be called.
func (l *limiter) idle() bool { return l.sounding == 0 && !l.active }

// process fills dst with what went in limiterLookahead samples ago, limited. src nil is silence. The slices have the
// same length, hold at least the look-ahead, and do not overlap. It returns the highest absolute value in dst.
func (l *limiter) process(dst, src []float32) float32 {
	d := l.delay[:limiterLookahead*l.channels]
	if src == nil {
		l.sounding = 0
	} else {
		l.sounding = limiterLookahead
	}
	if !l.active {
		if src == nil || peakOf(src) <= limiterCeiling {
			n := copy(dst, d)
			if src == nil {
				clear(dst[n:])
				clear(d)
			} else {
				copy(dst[n:], src)
				copy(d, src[len(src)-n:])
			}
			return peakOf(dst)
		}
		l.start()
	}
	l.limit(dst, src, d)
	return peakOf(dst)
}

func (l *limiter) start() {
	l.active, l.gain, l.hold, l.ones, l.n = true, 1, 0, 0, 0
	for i := range l.box {
		l.box[i] = 1
	}
	l.sum = limiterWindow
	l.first, l.count = 0, 0
}

func (l *limiter) limit(dst, src, d []float32) {
	ch := l.channels
	for i := 0; i < len(dst); i += ch {
		need := 1.0
		if src != nil {
			if a := peakOf(src[i : i+ch]); a > limiterCeiling {
				need = limiterCeiling / float64(a)
			}
		}
		low := l.lowest(need)
		switch {
		case low <= l.gain:
			if low < 1 {
				l.hold = limiterHold
			}
			l.gain = low
		case l.hold > 0:
			l.hold--
		default:
			l.gain = math.Min(low, l.gain*limiterRelease)
		}
		if l.gain == 1 {
			l.ones++
		} else {
			l.ones = 0
		}
		k := l.n % limiterWindow
		l.sum += l.gain - l.box[k]
		l.box[k] = l.gain
		l.n++
		g := min(float32(l.sum/limiterWindow), 1)
		for c := range ch {
			at := (i + c) % len(d)
			x := d[at] * g
			if src != nil {
				d[at] = src[i+c]
			} else {
				d[at] = 0
			}
			// The average of gains that all suffice suffices, but for rounding in the last place.
			dst[i+c] = min(max(x, -limiterCeiling), limiterCeiling)
		}
	}
	// The delay line was used as a ring; put its oldest sample first again.
	rotate(d, len(dst)%len(d))
	if l.ones >= 2*limiterWindow {
		l.active = false
	}
}

// lowest adds a gain to the window and returns the smallest in it.
func (l *limiter) lowest(need float64) float64 {
	const mask = len(l.need) - 1
	if l.count > 0 && l.needAt[l.first&mask] <= l.n-limiterWindow {
		l.first++
		l.count--
	}
	for l.count > 0 && l.need[(l.first+l.count-1)&mask] >= need {
		l.count--
	}
	at := (l.first + l.count) & mask
	l.need[at], l.needAt[at] = need, l.n
	l.count++
	return l.need[l.first&mask]
}

// rotate moves the first k values to the end.
func rotate(x []float32, k int) {
	if k == 0 {
		return
	}
	reverse(x[:k])
	reverse(x[k:])
	reverse(x)
}

func reverse(x []float32) {
	for i, j := 0, len(x)-1; i < j; i, j = i+1, j-1 {
		x[i], x[j] = x[j], x[i]
	}
}

// peakOf returns the highest absolute value. Compared as integers, which orders floats without a sign and is faster.
func peakOf(x []float32) float32 {
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(top)
}
