package neteq

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestComfortNoiseLevel(t *testing.T) { // 7.9 items 95, 96
	c := newComfortNoise(6)
	measure := func(payload []byte) float64 {
		c.update(payload)
		x := make([]float32, sampleRate)
		c.generate(x)
		return dB(rms(x[sampleRate/5:]))
	}
	loud, quiet := measure([]byte{35}), measure([]byte{45})
	if math.Abs(loud-quiet-10) > 1 || math.Abs(loud+35) > 4 {
		t.Errorf("level 35: %.1f dB, level 45: %.1f dB", loud, quiet)
	}
	if l := measure([]byte{0}); l > -27 { // M-08
		t.Errorf("level 0 gives %.1f dB", l)
	}
	long := make([]byte, 200)
	for i := range long {
		long[i] = byte(127 + 40*(i%2))
	}
	long[0] = 40
	if l := measure(long); math.IsNaN(l) || l > -30 {
		t.Errorf("199 coefficients: %.1f dB", l)
	}
	c.update([]byte{40})
	for i, k := range c.targetReflection {
		if k != 0 {
			t.Errorf("coefficient %d stays %v after a shorter description", i, k)
		}
	}
	if !errors.Is(checkNoise(nil), ErrMalformed) {
		t.Error("an empty description is accepted")
	}
}

func TestComfortNoiseInTheStream(t *testing.T) { // items 144, 145, 150
	b := newBench(t, Config{})
	if err := b.n.Register(13, Format{Name: "CN", ClockRateHz: 48000}, nil); err != nil {
		t.Fatal(err)
	}
	b.sig = sine(300, 0.3)
	sid := func() {
		b.insert(&Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: 13, Payload: []byte{50}}, b.now+ms(1))
		b.seq++
	}
	sid()
	for range 50 {
		b.tick()
	}
	if b.last.Operation != OpRFC3389CNG {
		t.Errorf("noise first: %v", b.last.Operation)
	}
	b.ts += 50 * 480
	b.sent += 50 * 480
	b.run(3*time.Second, nil)
	if b.last.Speech != Speech {
		t.Errorf("%+v", b.last)
	}
	before := b.n.Stats()
	sid()
	from := len(b.out)
	for range 1000 {
		b.tick()
	}
	s := b.n.Stats()
	if s.ConcealedSamples != before.ConcealedSamples || b.last.Operation != OpRFC3389CNG || b.last.Muted {
		t.Errorf("%d samples concealed in ten seconds of noise, last %+v", s.ConcealedSamples-before.ConcealedSamples, b.last)
	}
	if l := dB(rms(b.out[from+48000:])); math.Abs(l+52) > 4 {
		t.Errorf("noise at %.1f dB", l)
	}
	b.ts += 1000 * 480
	b.run(time.Second, nil)
	if b.last.Speech != Speech || b.n.Stats().PlayoutDelay > ms(40) {
		t.Errorf("%+v, delay %v", b.last, b.n.Stats().PlayoutDelay)
	}
}

func TestG711(t *testing.T) {
	// Corner values of ITU-T G.711, tables 1a and 2a, in 16 bit.
	for _, c := range []struct {
		name   string
		expand func(byte) int16
		in     byte
		want   int16
	}{
		{"mu-law", expandMuLaw, 0x80, 32124}, {"mu-law", expandMuLaw, 0x00, -32124}, {"mu-law", expandMuLaw, 0xff, 0},
		{"mu-law", expandMuLaw, 0x7f, 0}, {"mu-law", expandMuLaw, 0xfe, 8}, {"mu-law", expandMuLaw, 0x7e, -8},
		{"A-law", expandALaw, 0xaa, 32256}, {"A-law", expandALaw, 0x2a, -32256}, {"A-law", expandALaw, 0xd5, 8}, {"A-law", expandALaw, 0x55, -8},
	} {
		if got := c.expand(c.in); got != c.want {
			t.Errorf("%s %02x: %d, want %d", c.name, c.in, got, c.want)
		}
	}
}

func TestUpsamplerKeepsATone(t *testing.T) {
	u := newUpsampler(6)
	out := make([]float32, 6*8000)
	for i := range 8000 {
		u.push(float32(0.5*math.Sin(2*math.Pi*1000*float64(i)/8000)), out[6*i:], 1)
	}
	x := out[4800:]
	w := 2 * math.Pi * 1000 / sampleRate
	var re, im float64
	for i, v := range x {
		re += float64(v) * math.Cos(w*float64(i))
		im += float64(v) * math.Sin(w*float64(i))
	}
	tone := math.Hypot(re, im) * 2 / float64(len(x))
	noise := math.Sqrt(max(0, energy(x)/float64(len(x))-tone*tone/2))
	if math.Abs(tone-0.5) > 0.02 || dB(noise)-dB(tone) < -200 || dB(noise)-dB(tone) > -45 {
		t.Errorf("tone %.3f, everything else %.1f dB below", tone, dB(tone)-dB(noise))
	}
}
