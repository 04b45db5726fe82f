package codec

// ITU-T G.722 at 64 kbit/s (mode 1): a quadrature mirror filter cuts 16 kHz in two bands, each is ADPCM with a predictor of
// two poles and six zeros; six bits a sample for the lower, two for the upper. Everything is 16-bit integers as in the
// Recommendation, whose names (clause 6.2) are in the comments, so that every implementation stays in step with every other.

// Tables of the Recommendation; the indices are codewords or magnitudes of them.
var (
	// qmfTaps are half the filter, table 11; the other half is its mirror image.
	qmfTaps = [12]int32{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}
	// levels6 are the decision levels of the lower band, table 14.
	levels6 = [29]int32{35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121,
		1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}
	// outputs6 are the output levels of the lower band by magnitude, table 14 (QQ6).
	outputs6 = [30]int32{17, 54, 91, 130, 170, 211, 254, 300, 347, 396, 447, 501, 558, 618, 682, 750, 822, 899, 982, 1072,
		1170, 1279, 1399, 1535, 1689, 1873, 2088, 2376, 2738, 3101}
	// outputs4 are those that its adaptation sees, of four bits, table 15 (QQ4).
	outputs4 = [8]int32{0, 150, 323, 530, 786, 1121, 1612, 2557}
	weights4 = [8]int32{-60, -30, 58, 172, 334, 538, 1198, 3042} // WL
	// The upper band: magnitudes 1 (small) and 2.
	outputs2 = [3]int32{0, 202, 926}  // QQ2
	weights2 = [3]int32{0, -214, 798} // WH
	// exponent is 2048 times the powers of the 32nd root of 2, table 18 (ILB).
	exponent = [32]int32{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008}
)

const (
	level2     = 564 // decision level of the upper band
	lowMax     = 18432
	highMax    = 22528
	lowStart   = 32 // DETL, the step of a codec that has heard nothing
	highStart  = 8  // DETH
	poleLimit  = 12288
	poleSum    = 15360
	lowShift   = 8  // of SCALEL
	highShift  = 10 // of SCALEH
	bandMaxAmp = 16384
)

// band is one ADPCM coder's memory, the same in encoder and decoder.
type band struct {
	step      int32 // DETL, DETH
	logStep   int32 // NBL, NBH
	predicted int32 // S
	zeros     int32 // SZ, the part of the prediction that the zeros make

	a [2]int32 // poles
	b [6]int32 // zeros
	d [6]int32 // differences, newest first
	p [2]int32 // partly reconstructed signals
	r [2]int32 // reconstructed signals
}

// adapt moves the step on (blocks 3L and 3H).
func (b *band) adapt(weight, limit int32, shift uint) {
	b.logStep = max(0, min(limit, b.logStep*127>>7+weight))
	mantissa := exponent[b.logStep>>6&31]
	if down := int32(shift) - b.logStep>>11; down >= 0 {
		b.step = mantissa >> down << 2
	} else {
		b.step = mantissa << -down << 2
	}
}

// predict takes the quantised difference and predicts the next sample (block 4).
func (b *band) predict(d int32) {
	r := saturate(b.predicted + d)
	p := saturate(b.zeros + d)

	// Poles (UPPOL2, UPPOL1).
	first := saturate(b.a[0] * 4)
	if sameSign(p, b.p[0]) {
		first = min(-first, 32767)
	}
	second := int32(-128)
	if sameSign(p, b.p[1]) {
		second = 128
	}
	second += first>>7 + b.a[1]*32512>>15
	second = max(-poleLimit, min(poleLimit, second))
	first = -192
	if sameSign(p, b.p[0]) {
		first = 192
	}
	first = saturate(first + b.a[0]*32640>>15)
	limit := saturate(poleSum - second)
	b.a = [2]int32{max(-limit, min(limit, first)), second}

	// Zeros (UPZERO).
	for i := range b.b {
		move := int32(0)
		switch {
		case d == 0:
		case sameSign(d, b.d[i]):
			move = 128
		default:
			move = -128
		}
		b.b[i] = saturate(move + b.b[i]*32640>>15)
	}

	copy(b.d[1:], b.d[:5])
	b.d[0] = d
	b.p = [2]int32{p, b.p[0]}
	b.r = [2]int32{r, b.r[0]}

	poles := saturate(b.a[0]*saturate(2*b.r[0])>>15 + b.a[1]*saturate(2*b.r[1])>>15)
	b.zeros = 0
	for i := range b.b {
		b.zeros += b.b[i] * saturate(2*b.d[i]) >> 15
	}
	b.zeros = saturate(b.zeros)
	b.predicted = saturate(poles + b.zeros)
}

// bands is what encoder and decoder share.
type bands struct {
	low, high band
	history   [24]int32 // of the mirror filter, oldest first
}

func newBands() bands {
	return bands{low: band{step: lowStart}, high: band{step: highStart}}
}

// follow takes a codeword into both predictors.
func (s *bands) follow(code byte) {
	magnitude, negative := lowMagnitude(code & 63 >> 2)
	d := quantised(s.low.step, outputs4[magnitude], negative)
	s.low.adapt(weights4[magnitude], lowMax, lowShift)
	s.low.predict(d)

	magnitude, negative = highMagnitude(code >> 6)
	d = quantised(s.high.step, outputs2[magnitude], negative)
	s.high.adapt(weights2[magnitude], highMax, highShift)
	s.high.predict(d)
}

// lowMagnitude takes four bits apart: 1 to 7 are negative and falling, 8 to 14 positive and falling, 0 and 15 nothing.
func lowMagnitude(code byte) (magnitude int, negative bool) {
	switch {
	case code == 0 || code == 15:
		return 0, false
	case code < 8:
		return 8 - int(code), true
	}
	return 15 - int(code), false
}

// low6Magnitude takes six bits apart: 4 to 31 are negative and falling, 32 to 61 positive and falling; 62 and 63 are the
// two smallest negative ones. 0 to 3 are never sent and taken for the smallest.
func low6Magnitude(code byte) (magnitude int, negative bool) {
	switch {
	case code < 4:
		return 0, true
	case code < 32:
		return 33 - int(code), true
	case code < 62:
		return 61 - int(code), false
	}
	return 63 - int(code), true
}

// highMagnitude takes two bits apart.
func highMagnitude(code byte) (magnitude int, negative bool) {
	return 2 - int(code&1), code < 2
}

// quantised is step times an output level of 12 bits.
func quantised(step, level int32, negative bool) int32 {
	if negative {
		level = -level
	}
	return step * (level * 8) >> 15
}

// G722Decoder decodes ITU-T G.722. Make it with NewG722Decoder.
type G722Decoder struct{ bands }

// NewG722Decoder makes a decoder that has heard nothing.
func NewG722Decoder() *G722Decoder { return &G722Decoder{newBands()} }

// Decode returns the two samples, at 16 kHz, that a byte stands for.
func (d *G722Decoder) Decode(code byte) (first, second int16) {
	magnitude, negative := low6Magnitude(code & 63)
	low := d.low.predicted + quantised(d.low.step, outputs6[magnitude], negative)
	magnitude, negative = highMagnitude(code >> 6)
	high := d.high.predicted + quantised(d.high.step, outputs2[magnitude], negative)
	low = max(-bandMaxAmp, min(bandMaxAmp-1, low))
	high = max(-bandMaxAmp, min(bandMaxAmp-1, high))
	d.follow(code)

	even, odd := d.mirror(low+high, low-high)
	return int16(saturate(odd >> 11)), int16(saturate(even >> 11))
}

// G722Encoder encodes ITU-T G.722. Make it with NewG722Encoder.
type G722Encoder struct{ bands }

// NewG722Encoder makes an encoder that has heard nothing.
func NewG722Encoder() *G722Encoder { return &G722Encoder{newBands()} }

// Encode returns the byte for two samples at 16 kHz.
func (e *G722Encoder) Encode(first, second int16) byte {
	even, odd := e.mirror(int32(first), int32(second))
	low, high := (odd+even)>>14, (odd-even)>>14

	difference := saturate(low - e.low.predicted)
	magnitude := absolute(difference)
	i := 0
	for i < len(levels6) && magnitude >= levels6[i]*e.low.step>>12 {
		i++
	}
	code := byte(61 - i)
	if difference < 0 {
		code = byte(33 - i)
		if i < 2 {
			code = byte(63 - i)
		}
	}

	difference = saturate(high - e.high.predicted)
	upper := byte(3)
	if difference < 0 {
		upper = 1
	}
	if absolute(difference) >= level2*e.high.step>>12 {
		upper--
	}
	code |= upper << 6
	e.follow(code)
	return code
}

// mirror takes two samples into the filter and returns the sums over the even and the odd places.
func (s *bands) mirror(x, y int32) (even, odd int32) {
	copy(s.history[:], s.history[2:])
	s.history[22], s.history[23] = x, y
	for i, c := range qmfTaps {
		even += s.history[2*i] * c
		odd += s.history[2*i+1] * qmfTaps[11-i]
	}
	return even, odd
}

// absolute is the magnitude as the Recommendation compares it: one less for negative numbers.
func absolute(v int32) int32 {
	if v < 0 {
		return -(v + 1)
	}
	return v
}

// sameSign compares signs, where 0 is positive.
func sameSign(a, b int32) bool { return a>>31 == b>>31 }

func saturate(v int32) int32 { return max(-32768, min(32767, v)) }
