package codec

import (
	"hash/crc32"
	"testing"
)

// Values of ITU-T G.711, tables 1a to 2b: decoder outputs in 16 bits.
func TestG711Values(t *testing.T) {
	for _, c := range []struct {
		code  byte
		mu, a int16
	}{
		{0x00, -32124, -5504},
		{0x80, 32124, 5504},
		{0xff, 0, 848},
		{0x7f, 0, -848},
		{0xd5, 716, 8},
		{0x55, -716, -8},
		{0xaa, 5372, 32256},
		{0x2a, -5372, -32256},
	} {
		if got := MuLawToLinear(c.code); got != c.mu {
			t.Errorf("mu-law %#x: %d, want %d", c.code, got, c.mu)
		}
		if got := ALawToLinear(c.code); got != c.a {
			t.Errorf("A-law %#x: %d, want %d", c.code, got, c.a)
		}
	}
}

// TestG711AllValues compares every codeword and every sample with Python's audioop (Sun's g711.c).
func TestG711AllValues(t *testing.T) {
	var mu, a [256]int16
	for i := range mu {
		mu[i], a[i] = MuLawToLinear(byte(i)), ALawToLinear(byte(i))
	}
	if got := sum16(mu[:]); got != wantMuLaw {
		t.Errorf("mu-law decoded: %#x, want %#x", got, wantMuLaw)
	}
	if got := sum16(a[:]); got != wantALaw {
		t.Errorf("A-law decoded: %#x, want %#x", got, wantALaw)
	}
	var toA [65536]byte
	for i := range toA {
		toA[i] = LinearToALaw(int16(i - 32768))
	}
	if got := crc32.ChecksumIEEE(toA[:]); got != wantToALaw {
		t.Errorf("encoded to A-law: %#x, want %#x", got, wantToALaw)
	}
}

// A codeword survives decoding and encoding; mu-law has two zeros.
func TestG711RoundTrip(t *testing.T) {
	for i := range 256 {
		if got := LinearToALaw(ALawToLinear(byte(i))); got != byte(i) {
			t.Errorf("A-law %#x becomes %#x", i, got)
		}
		if got := LinearToMuLaw(MuLawToLinear(byte(i))); got != byte(i) && i != 0x7f {
			t.Errorf("mu-law %#x becomes %#x", i, got)
		}
	}
}

// The error is at most half a step, which is a 32nd of the value (and of the bias, in mu-law).
func TestG711Error(t *testing.T) {
	for v := -32768; v < 32768; v++ {
		if e := abs(int(MuLawToLinear(LinearToMuLaw(int16(v)))) - v); 32*e > abs(v)+muLawBias {
			t.Fatalf("mu-law: %d is off by %d", v, e)
		}
		if e := abs(int(ALawToLinear(LinearToALaw(int16(v)))) - v); e > max(8, abs(v)/32) {
			t.Fatalf("A-law: %d is off by %d", v, e)
		}
	}
}

func abs(v int) int { return max(v, -v) }

const (
	wantMuLaw  = 0xc847a9f
	wantALaw   = 0x9d764657
	wantToALaw = 0x9133796e
)
