package codec

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"
)

// lcg is a generator of 32 bits that is easily written in any language.
func lcg(seed *uint32) uint32 {
	*seed = *seed*1664525 + 1013904223
	return *seed
}

// g722Input is noise at many levels, in every other eighth of a second with the upper band damped.
func g722Input() []int16 {
	seed, slow := uint32(1), 0
	x := make([]int16, 64000)
	for k := range x {
		v := int(int16(lcg(&seed) >> 16))
		if k/2000%2 == 1 {
			slow += (v - slow) >> 3
			v = slow
		}
		x[k] = int16(v >> (1 + k/4000%9))
	}
	return x
}

func g722Encode(x []int16) []byte {
	e := NewG722Encoder()
	out := make([]byte, len(x)/2)
	for i := range out {
		out[i] = e.Encode(x[2*i], x[2*i+1])
	}
	return out
}

func g722Decode(code []byte) []int16 {
	d := NewG722Decoder()
	out := make([]int16, 2*len(code))
	for i, b := range code {
		out[2*i], out[2*i+1] = d.Decode(b)
	}
	return out
}

func sum16(x []int16) uint32 {
	h := crc32.NewIEEE()
	_ = binary.Write(h, binary.LittleEndian, x) // a hash takes everything
	return h.Sum32()
}

// TestG722BitExact compares with what spandsp 0.0.6 (Debian's libspandsp2) makes of the same input, bit by bit. Nothing here is
// so loud that the output saturates: spandsp's then wraps around.
func TestG722BitExact(t *testing.T) {
	code := g722Encode(g722Input())
	if got := crc32.ChecksumIEEE(code); got != wantEncoded {
		t.Errorf("encoded: %#x, want %#x; begins % x", got, wantEncoded, code[:16])
	}
	if got := sum16(g722Decode(code)); got != wantDecoded {
		t.Errorf("decoded: %#x, want %#x", got, wantDecoded)
	}
	for i, seed := 0, uint32(7); i < len(code); i++ { // one bit in 512 is wrong
		if r := lcg(&seed); r>>16%64 == 0 {
			code[i] ^= 1 << (r >> 29)
		}
	}
	if got := sum16(g722Decode(code)); got != wantBroken {
		t.Errorf("decoded with bit errors: %#x, want %#x", got, wantBroken)
	}
}

// What goes in comes out, 22 samples later, with the noise a 64 kbit/s ADPCM has.
func TestG722Quality(t *testing.T) {
	for _, hz := range []float64{200, 1000, 3000, 5000, 6500} {
		x := make([]int16, 16000)
		for i := range x {
			x[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/16000))
		}
		y := g722Decode(g722Encode(x))
		const lag = 22
		signal, noise := 0.0, 0.0
		for i := 2000; i < len(x)-lag; i++ {
			d := float64(y[i+lag]) - float64(x[i])
			signal += float64(x[i]) * float64(x[i])
			noise += d * d
		}
		want := 30.0
		if hz > 4000 { // two bits a sample
			want = 9
		}
		if snr := 10 * math.Log10(signal/noise); snr < want {
			t.Errorf("%v Hz: SNR %.1f dB, want %v", hz, snr, want)
		}
	}
}

// The step table is a power of two in 32 steps, as the Recommendation says how it was made.
func TestG722ExponentTable(t *testing.T) {
	for i, v := range exponent {
		if want := 2048 * math.Exp2(float64(i)/32); math.Abs(float64(v)-want) > 1 {
			t.Errorf("%d: %d, want %.1f", i, v, want)
		}
	}
}

const (
	wantEncoded = 0x9d3e9fae
	wantDecoded = 0xb10d296f
	wantBroken  = 0xb8a6951f
)
