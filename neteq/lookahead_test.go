package neteq

import (
	"math"
	"testing"
	"time"
)

func TestGuessLevel(t *testing.T) {
	opus := &codec{kind: codecOpus}
	celt := func(n int) []byte { return append([]byte{0xF8}, make([]byte, n)...) } // full band, 20 ms
	silk := func(config, flags byte, stereo bool) []byte {
		toc := config << 3
		if stereo {
			toc |= opusStereoBit
		}
		return []byte{toc, flags, 1, 2, 3, 4, 5, 6, 7, 8}
	}
	law := func(expand func(byte) int16, dBov float64) []byte {
		out := make([]byte, 160)
		for i := range out {
			want, best := math.Sqrt2*math.Pow(10, dBov/20)*32768*math.Sin(2*math.Pi*float64(i)*0.0617), math.Inf(1)
			for b := range 256 {
				if d := math.Abs(float64(expand(byte(b))) - want); d < best {
					best, out[i] = d, byte(b)
				}
			}
		}
		return out
	}
	for _, c := range []struct {
		name     string
		codec    *codec
		payload  []byte
		from, to int
	}{
		{"DTX", opus, []byte{0xF8}, -127, -127},
		{"DTX of two bytes", opus, []byte{0xF8, 0}, -127, -127},
		{"malformed", opus, []byte{0xFB, 63, 1, 2}, -127, -127},
		{"CELT", opus, celt(60), guessSpeech, guessSpeech},
		{"CELT of digital silence", opus, celt(3), -127, -127},
		{"SILK with voice", opus, silk(9, 0x80, false), guessSpeech, guessSpeech},
		{"SILK without", opus, silk(9, 0x00, false), guessNoise, guessNoise},
		{"SILK without voice, with redundancy", opus, silk(9, 0x40, false), guessNoise, guessNoise},
		{"SILK of 40 ms, voice in the second half", opus, silk(10, 0x40, false), guessSpeech, guessSpeech},
		{"SILK of 40 ms, redundancy", opus, silk(10, 0x20, false), guessNoise, guessNoise},
		{"SILK of 60 ms, voice at the end", opus, silk(11, 0x20, false), guessSpeech, guessSpeech},
		{"stereo, voice at the side", opus, silk(9, 0x20, true), guessSpeech, guessSpeech},
		{"stereo, redundancy only", opus, silk(9, 0x50, true), guessNoise, guessNoise},
		{"hybrid with voice", opus, silk(15, 0x80, false), guessSpeech, guessSpeech},
		{"hybrid without", opus, silk(15, 0x3f, false), guessNoise, guessNoise},
		{"mu-law, -20", &codec{kind: codecG711, payloadType: 0}, law(expandMuLaw, -20), -21, -19},
		{"A-law, -20", &codec{kind: codecG711, payloadType: 8}, law(expandALaw, -20), -21, -19},
		{"mu-law, silence", &codec{kind: codecG711, payloadType: 0}, law(expandMuLaw, -200), -127, -80},
		{"A-law, silence", &codec{kind: codecG711, payloadType: 8}, law(expandALaw, -200), -127, -70},
		{"comfort noise", &codec{kind: codecNoise}, []byte{40}, -127, -127},
		{"G.722", &codec{kind: codecG722}, make([]byte, 160), guessSpeech, guessSpeech},
	} {
		if got := guessLevel(c.codec, c.payload); got < c.from || got > c.to {
			t.Errorf("%s: %d dBov, want %d to %d", c.name, got, c.from, c.to)
		}
	}
}

// steps is a signal that tells by its value which packet it is of.
func steps(i, _ int) float64 { return 0.001 + float64(i/960%500)*0.0015 }

// first returns the tick, counted from the one at start, whose sound first is of packet k or later.
func first(out []float32, k int) int {
	for i, v := range out {
		if int(math.Round((float64(v)-0.001)/0.0015)) >= k {
			return i
		}
	}
	return -1
}

func TestForecastTellsWhenItPlays(t *testing.T) {
	for _, c := range []struct {
		name  string
		skip  int // ticks before the last ones that pass without decoding
		phase time.Duration
	}{{"heard", 0, 0}, {"heard, other phase", 0, ms(7)}, {"returning", 100, 0}, {"returning, other phase", 100, ms(7)}} {
		b := newBench(t, Config{DisableStretching: true})
		b.sig = steps
		const packets = 200
		forecasts := make([]Forecast, packets)
		k := 0
		for tick := range 2 * packets {
			at := b.now + c.phase + time.Microsecond
			if tick%2 == 0 {
				p := b.next()
				b.insert(p, at)
				f, ok := b.n.Forecast(p, b.now)
				if !ok || f.End-f.Start != ms(20) || f.LevelDBov != guessSpeech {
					t.Fatalf("%s: packet %d: %+v, %v", c.name, k, f, ok)
				}
				forecasts[k] = f
				k++
			}
			b.now += tickDuration
			if tick > 100 && tick <= 100+c.skip {
				b.n.Skip(b.now)
				b.out = append(b.out, make([]float32, tickSamples)...)
			} else {
				b.n.Get(b.frame, b.now)
				b.out = append(b.out, b.frame...)
			}
		}
		checked := 0
		for k := 20; k < packets-5; k++ {
			if played := 50 + (c.skip+1)/2; k > 40 && k < played+5 && c.skip > 0 {
				continue // not played, or a fade
			}
			i := first(b.out, k)
			if i < 0 {
				t.Fatalf("%s: packet %d is never heard", c.name, k)
			}
			// Sample i is played at the end of the tick before it.
			at := tickDuration + samplesToTime(int64(i))
			if d := at - forecasts[k].Start; d < -ms(11) || d > ms(21) {
				t.Errorf("%s: packet %d heard %v after what was forecast", c.name, k, d)
			}
			checked++
		}
		if checked < 100 {
			t.Errorf("%s: %d packets checked", c.name, checked)
		}
	}
}

func TestForecastOfNothing(t *testing.T) {
	b := newBench(t, Config{})
	if err := b.n.Register(101, Format{Name: "telephone-event", ClockRateHz: 8000}, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Packet{
		{PayloadType: testPT, Payload: make([]byte, 1920)}, // nothing was inserted yet
		{PayloadType: 99, Payload: []byte{1}},
		{PayloadType: 63, Payload: nil},
		{PayloadType: 63, Payload: []byte{0x80 | testPT}},
		{PayloadType: 101, Payload: []byte{1, 2, 3, 4}},
	} {
		if f, ok := b.n.Forecast(p, 0); ok {
			t.Errorf("payload type %d: %+v", p.PayloadType, f)
		}
		if b.n.buf.len() == 0 {
			b.insert(b.next(), 0)
		}
	}
	// The primary of a RED packet counts.
	red := &Packet{PayloadType: 63, Payload: append([]byte{testPT}, make([]byte, 1920)...)}
	if f, ok := b.n.Forecast(red, 0); !ok || f.LevelDBov != guessSpeech {
		t.Errorf("RED: %+v, %v", f, ok)
	}
	if n := testing.AllocsPerRun(100, func() { b.n.Forecast(red, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A return from skip mode goes on at the very sample that is due, also within a packet, and not with old sound after a pause
// of the sender.
func TestReturnToThePosition(t *testing.T) {
	for ticks := range 8 {
		b := newBench(t, Config{DisableStretching: true})
		b.sig = func(i, _ int) float64 { return float64(i) / 48000 / 8 } // tells the sample
		b.packet = 2880                                                  // 60 ms
		tick := 0
		step := func() {
			if tick%6 == 0 {
				b.insert(b.next(), b.now+time.Microsecond)
			}
			tick++
			b.now += tickDuration
		}
		for range 60 + ticks {
			step()
			b.n.Skip(b.now)
		}
		step()
		b.n.Get(b.frame, b.now)
		step()
		b.n.Get(b.frame, b.now)
		want := float64(b.now-b.n.skipDelay()) / 8e9
		if d := (float64(b.frame[0]) - want) * 8; math.Abs(d) > 0.001 {
			t.Errorf("return after %d ticks: %.1f ms from where it should be", 60+ticks, d*1000)
		}
	}

	b := newBench(t, Config{})
	b.sig = sine(300, 0.5)
	b.run(time.Second, nil)
	for range 20 {
		b.now += tickDuration
		b.n.Skip(b.now)
	}
	// Nothing is sent for two seconds.
	b.ts, b.sent = b.ts+2*sampleRate-9600, b.sent+2*sampleRate-9600
	for range 180 {
		b.now += tickDuration
		b.n.Skip(b.now)
	}
	before := b.n.Stats()
	begin := b.now
	for k := range 20 {
		if k%2 == 0 {
			b.insert(b.next(), b.now+time.Microsecond)
		}
		b.tick()
		if loud := rms(b.frame) > 0.3; loud {
			begin = b.now - begin
			break
		}
	}
	if begin > ms(50) {
		t.Errorf("heard %v after the first packet", begin)
	}
	if s := b.n.Stats(); s.ConcealmentEvents != before.ConcealmentEvents {
		t.Errorf("a pause was concealed")
	}
}
