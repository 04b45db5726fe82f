package neteq

import (
	"errors"
	"math"
	"testing"
	"time"
)

// noiseLevel is the mean square in dBov.
func noiseLevel(x []float32) float64 { return dB(rms(x)) }

// describe makes a silence description.
func describe(level byte, coefficients ...byte) []byte { return append([]byte{level}, coefficients...) }

// Item 95. How much is asked for at once does not matter (libwebrtc refuses more than 640 samples): it is the same noise.
func TestComfortNoiseInAnyPieces(t *testing.T) {
	whole, pieces := newComfortNoise(6), newComfortNoise(6)
	whole.update(describe(40, 180, 100))
	pieces.update(describe(40, 180, 100))
	want, got := make([]float32, 48000), make([]float32, 48000)
	whole.generate(want)
	for at, k := 0, 1; at < len(got); at, k = at+k, k*7%701+1 {
		k = min(k, len(got)-at)
		pieces.generate(got[at : at+k])
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("sample %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// Item 95: twelve coefficients count, and a shorter description makes the others 0.
func TestSilenceDescriptions(t *testing.T) {
	c := newComfortNoise(6)
	long := describe(50)
	for i := range 20 {
		long = append(long, byte(140+i))
	}
	c.update(long)
	for i, k := range c.targetReflection {
		if want := float32(140+i-127) / 128; k != want {
			t.Errorf("coefficient %d: %v, want %v", i, k, want)
		}
	}
	c.update(describe(50, 255, 0))
	if k := c.targetReflection; k[0] != 0.98 || k[1] != -0.98 || k[2] != 0 || k[11] != 0 {
		t.Errorf("after a shorter one: %v", k)
	}
	if err := checkNoise(nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("empty: %v", err)
	}
}

func TestComfortNoiseFallsWithItsDescription(t *testing.T) { // item 96
	for _, factor := range []int{6, 3, 1} {
		c := newComfortNoise(factor)
		x := make([]float32, 4*sampleRate)
		c.update(describe(30))
		c.generate(x[:2*sampleRate])
		c.update(describe(40))
		c.generate(x[2*sampleRate:])
		before := noiseLevel(x[sampleRate/10 : 2*sampleRate])
		after := noiseLevel(x[2*sampleRate+100*millisecond : 4*sampleRate])
		if fall := before - after; math.Abs(fall-10) > 1 {
			t.Errorf("factor %d: falls by %.2f dB", factor, fall)
		}
		if want := -30 + 10*math.Log10(0.625); math.Abs(before-want) > 1 {
			t.Errorf("factor %d: %.2f dBov, want %.2f", factor, before, want)
		}
	}
}

// The level does not depend on the spectrum, and the spectrum is the one described: a positive first coefficient of the
// predictor A(z) = 1 + k z^-1 is noise of the upper half, a negative one of the lower.
func TestComfortNoiseSpectrum(t *testing.T) {
	for _, k := range []byte{127, 67, 187, 227} {
		c := newComfortNoise(6)
		c.update(describe(40, k))
		x := make([]float32, 4*sampleRate)
		c.generate(x)
		x = x[sampleRate:]
		if level, want := noiseLevel(x), -40+10*math.Log10(0.625); math.Abs(level-want) > 0.5 {
			t.Errorf("coefficient %d: %.2f dBov, want %.2f", k, level, want)
		}
		low, high, beyond := 0.0, 0.0, 0.0
		for i := 0; i+4800 <= len(x); i += 4800 {
			for hz := 100.0; hz < 2000; hz += 100 {
				a := goertzel(x[i:i+4800], hz)
				low += a * a
				a = goertzel(x[i:i+4800], 4000-hz)
				high += a * a
				a = goertzel(x[i:i+4800], 6000+hz)
				beyond += a * a
			}
		}
		tilt := 10 * math.Log10(high/low)
		switch {
		case k == 127 && math.Abs(tilt) > 1.5, k == 67 && tilt > -5, k > 127 && tilt < 5:
			t.Errorf("coefficient %d: upper half %.1f dB above the lower", k, tilt)
		}
		if image := 10 * math.Log10(beyond/(low+high)); image > -25 {
			t.Errorf("coefficient %d: %.1f dB beyond 4 kHz", k, image)
		}
	}
}

// The loudest that a description may ask for is -30 dBov: comfort is not an attack (M-08).
func TestComfortNoiseIsBounded(t *testing.T) {
	c := newComfortNoise(6)
	c.update(describe(0))
	x := make([]float32, sampleRate)
	c.generate(x)
	if level := noiseLevel(x); level > -29 {
		t.Errorf("%.1f dBov", level)
	}
	c.update(describe(127))
	c.generate(x)
	c.generate(x)
	if level := noiseLevel(x); level > -90 {
		t.Errorf("quietest: %.1f dBov", level)
	}
}

const noisePT = 13

// newNoiseBench is a bench whose sender knows comfort noise at 8 kHz and 16 kHz, in a stream with a clock of 48 kHz.
func newNoiseBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	b := newBench(t, cfg)
	for pt, rate := range map[uint8]int{noisePT: 8000, noisePT + 1: 16000} {
		if err := b.n.Register(pt, Format{Name: "cn", ClockRateHz: rate}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// hush sends a silence description now.
func (b *bench) hush(level byte) {
	b.t.Helper()
	b.insert(&Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: noisePT, Payload: describe(level, 127)}, b.now)
	b.seq++
}

// pause lets time pass without packets, for the sender's clock too.
func (b *bench) pause(d time.Duration) {
	for range d / tickDuration {
		b.tick()
	}
	b.ts += uint32(timeToSamples(d))
	b.sent += int(timeToSamples(d))
}

// Items 137 and 144 to 146 without drift: speech, noise and speech again. The noise has the level described, is no
// concealment, and the delay stays as it was.
func TestSpeechNoiseSpeech(t *testing.T) {
	for _, channels := range []int{1, 2} {
		b := newNoiseBench(t, Config{Channels: channels})
		b.sig = sine(440, 0.2)
		b.run(time.Second, nil)
		before := b.n.Stats()
		begin := len(b.out)
		b.hush(50)
		b.pause(ms(400))
		b.hush(50) // the description again, as senders do
		b.pause(ms(1600))
		noise := b.out[begin+500*millisecond*channels : begin+1900*millisecond*channels]
		if level := noiseLevel(noise); math.Abs(level+52) > 1.5 {
			t.Errorf("noise at %.1f dBov", level)
		}
		if b.last.Operation != OpRFC3389CNG || b.last.Speech != ComfortNoise || b.last.Muted {
			t.Errorf("%+v", b.last)
		}
		b.run(ms(500), nil)
		s := b.n.Stats()
		if s.ConcealedSamples != 0 || s.ConcealmentEvents != 0 || s.PacketsDiscarded != 0 {
			t.Errorf("concealed %d, discarded %d", s.ConcealedSamples, s.PacketsDiscarded)
		}
		if got := float64(s.GeneratedNoiseSamples) / sampleRate; math.Abs(got-2) > 0.05 {
			t.Errorf("%.2f s of noise", got)
		}
		if d := s.PlayoutDelay - before.PlayoutDelay; d > ms(10) || d < -ms(10) {
			t.Errorf("delay %v, was %v", s.PlayoutDelay, before.PlayoutDelay)
		}
		if a := goertzel(b.out[len(b.out)-100*millisecond*channels:], 440/float64(channels)); channels == 1 && math.Abs(a-0.2) > 0.01 {
			t.Errorf("speech at %.3f", a)
		}
	}
}

func TestNoiseIsTheFirstPacket(t *testing.T) { // item 145
	b := newNoiseBench(t, Config{})
	b.hush(40)
	b.pause(ms(200))
	if b.last.Operation != OpRFC3389CNG {
		t.Errorf("after 200 ms: %v", b.last.Operation)
	}
	b.hush(60) // a change is heard without any speech before it
	b.pause(ms(400))
	if level := noiseLevel(b.out[len(b.out)-200*millisecond:]); math.Abs(level+62) > 2 {
		t.Errorf("%.1f dBov after the second description", level)
	}
	for k := range 20 {
		b.insert(b.next(), b.now)
		b.tick()
		if b.last.Operation == OpNormal {
			return
		}
		b.tick()
		if k == 19 {
			t.Errorf("no speech after 20 packets: %v", b.last.Operation)
		}
	}
}

func TestRepeatedDescriptionsStandStill(t *testing.T) { // item 144
	b := newNoiseBench(t, Config{})
	b.sig = sine(440, 0.2)
	b.run(ms(500), nil)
	for range 5 { // 100 ms of the same packet again
		b.hush(50)
		b.tick()
		b.tick()
		if b.last.Operation != OpRFC3389CNG {
			t.Fatalf("%v", b.last.Operation)
		}
	}
	if n := b.n.buf.len(); n > 1 {
		t.Errorf("%d descriptions wait", n)
	}
	b.run(ms(80), nil)
	if b.last.Operation != OpNormal {
		t.Errorf("four speech packets later: %v", b.last.Operation)
	}
	if s := b.n.Stats(); s.ConcealedSamples != 0 {
		t.Errorf("concealed %d", s.ConcealedSamples)
	}
}

// Item 146: two clocks that differ by 25 ms a second (absurdly much) while there is only noise, with and without a network
// that stops for five seconds.
func TestLongNoiseWithDrift(t *testing.T) {
	for _, c := range []struct {
		name   string
		drift  float64 // of the sender's clock
		freeze bool
		resume time.Duration
		change time.Duration
	}{
		{"no drift", 0, false, ms(50), ms(10)},
		{"sender fast", 0.025, false, ms(100), ms(60)},
		{"sender slow", -0.025, false, ms(100), ms(40)},
		{"sender fast, freeze", 0.025, true, ms(200), ms(60)},
		{"sender slow, freeze", -0.025, true, ms(100), ms(40)},
	} {
		b := newNoiseBench(t, Config{})
		b.sig = sine(440, 0.2)
		speak := func(d time.Duration) (first time.Duration) {
			begin := b.now
			due := b.now
			for b.now-begin < d {
				if b.now >= due {
					b.insert(b.next(), b.now)
					due += time.Duration(float64(ms(20)) / (1 + c.drift))
				}
				b.tick()
				if first == 0 && b.last.Operation == OpNormal {
					first = b.now - begin
				}
			}
			return first
		}
		speak(3 * time.Second)
		before := b.n.Stats().PlayoutDelay
		for k := range 100 { // 10 s
			frozen := c.freeze && k >= 30 && k < 80
			if !frozen {
				b.hush(50)
			}
			for range 10 {
				b.tick()
			}
			b.ts += uint32(float64(100*millisecond) * (1 + c.drift))
		}
		if first := speak(time.Second); first == 0 || first > c.resume {
			t.Errorf("%s: speech after %v", c.name, first)
		}
		if d := b.n.Stats().PlayoutDelay - before; d > c.change || d < -c.change {
			t.Errorf("%s: delay changed by %v", c.name, d)
		}
	}
}

func TestNoiseNeverMutes(t *testing.T) { // item 150
	b := newNoiseBench(t, Config{})
	b.sig = sine(440, 0.2)
	b.run(ms(200), nil)
	b.hush(50)
	b.pause(10 * time.Second)
	for i, r := range b.results[40:] {
		if r.Muted || r.Operation != OpRFC3389CNG {
			t.Fatalf("tick %d: %+v", 40+i, r)
		}
	}
	b.run(ms(100), nil)
	if b.last.Operation != OpNormal {
		t.Errorf("%v", b.last.Operation)
	}
}

func TestNoiseBeforeSpeechIsShortenedToTheTarget(t *testing.T) { // item 71
	b := newNoiseBench(t, Config{MinDelay: ms(60)})
	b.sig = sine(440, 0.2)
	b.run(time.Second, nil)
	b.hush(50)
	b.pause(ms(500))
	b.ts += 180 * millisecond // the next speech has a timestamp of three targets later, and comes now
	begin := b.now
	for range 20 {
		b.insert(b.next(), b.now)
		b.tick()
		b.tick()
		if b.last.Operation == OpNormal {
			break
		}
	}
	if waited := b.now - begin; waited > ms(90) || waited < ms(50) {
		t.Errorf("speech after %v", waited)
	}
}

// Item 140: noise at 8 kHz and speech of another rate, then noise of another rate. We drop nothing (libwebrtc: 1 packet).
func TestNoiseOfAnotherRate(t *testing.T) {
	b := newNoiseBench(t, Config{})
	b.sig = sine(440, 0.2)
	b.hush(50)
	b.pause(ms(100))
	b.run(ms(300), nil)
	if b.last.Operation != OpNormal {
		t.Errorf("%v", b.last.Operation)
	}
	for pt, factor := range map[uint8]int{noisePT + 1: 3, noisePT: 6} {
		b.insert(&Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: pt, Payload: describe(45, 127)}, b.now)
		b.seq++
		b.pause(ms(200))
		if b.last.Operation != OpRFC3389CNG || b.n.cn.factor != factor {
			t.Errorf("payload type %d: %v, factor %d", pt, b.last.Operation, b.n.cn.factor)
		}
	}
	if s := b.n.Stats(); s.PacketsDiscarded != 0 || s.InvalidPackets != 0 {
		t.Errorf("%d discarded, %d invalid", s.PacketsDiscarded, s.InvalidPackets)
	}
}

// A source that falls silent while nobody hears it, or before, is heard as its noise when it is chosen again; one whose speech
// goes on is not.
func TestNoiseOfASkippedSource(t *testing.T) {
	for _, c := range []struct {
		name         string
		described    time.Duration // when the silence is described, from the start of the second that is skipped
		resumed      bool          // speech again, before it is heard again
		level, width float64
	}{
		{"before", -ms(100), false, -52, 2},
		{"meanwhile", ms(200), false, -52, 2},
		{"meanwhile, and speech again", ms(200), true, -17, 2},
	} {
		b := newNoiseBench(t, Config{})
		b.sig = sine(440, 0.2)
		b.run(time.Second, nil)
		if c.described < 0 {
			b.hush(50)
			b.pause(-c.described)
		}
		for k := range 100 {
			at := ms(10 * k)
			if speaks := c.described >= 0 && at < c.described || c.resumed && at >= ms(600); speaks && k%2 == 0 {
				b.insert(b.next(), b.now)
			} else if !speaks {
				if at == c.described {
					b.hush(50)
				}
				b.ts, b.sent = b.ts+tickSamples, b.sent+tickSamples
			}
			b.now += tickDuration
			b.n.Skip(b.now)
		}
		from := len(b.out)
		concealed := b.n.Stats().ConcealedSamples
		for k := range 10 {
			if c.resumed && k%2 == 0 {
				b.insert(b.next(), b.now)
			}
			b.tick()
		}
		if level := noiseLevel(b.out[from+480:]); math.Abs(level-c.level) > c.width {
			t.Errorf("%s: %.1f dBov", c.name, level)
		}
		if got := b.n.Stats().ConcealedSamples - concealed; got != 0 {
			t.Errorf("%s: %d samples concealed", c.name, got)
		}
	}
}

func TestNoiseDoesNotAllocate(t *testing.T) { // item 168
	b := newNoiseBench(t, Config{Channels: 2})
	b.hush(50)
	b.pause(ms(500))
	now := b.now
	p := &Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: noisePT, Payload: describe(50, 127, 140, 90)}
	if n := testing.AllocsPerRun(500, func() {
		now += tickDuration
		p.SequenceNumber++
		p.Timestamp += tickSamples
		if err := b.n.Insert(p, now); err != nil {
			t.Fatal(err)
		}
		b.n.Get(b.frame, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
