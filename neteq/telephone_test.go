package neteq

import (
	"errors"
	"math"
	"testing"
)

func TestParseEvent(t *testing.T) { // items 97 and 103
	e, err := parseEvent(99, []byte{7, 0x80 | 17, 0x12, 0x67}, 1)
	if want := (toneEvent{timestamp: 99, event: 7, volume: 17, samples: 4711, ended: true}); err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err = parseEvent(0, []byte{0, 0, 0, 1}, 6); err != nil || e.samples != 6 || e.ended || e.volume != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, p := range [][]byte{nil, {7, 17, 0x12}, {16, 0, 0, 1}, {255, 0, 0, 1}, {0, 0, 0, 0}} {
		if e, err := parseEvent(0, p, 1); !errors.Is(err, ErrMalformed) {
			t.Errorf("% x: %+v, %v", p, e, err)
		}
	}
}

// at is eventBuffer.at without what is left.
func at(b *eventBuffer, ts uint32) (toneEvent, bool) {
	e, _, ok := b.at(ts)
	return e, ok
}

func TestEventQuery(t *testing.T) { // items 98 and 99
	var b eventBuffer
	for k, e := range []toneEvent{{samples: 80}, {samples: 160}, {samples: 240, ended: true}, {samples: 400}} {
		e.timestamp, e.event, e.volume = 5000, 4, 10
		if fresh := b.insert(e); fresh != (k == 0) {
			t.Errorf("update %d is new: %v", k, fresh)
		}
	}
	if b.count != 1 || b.events[0].samples != 240 || !b.events[0].ended {
		t.Fatalf("%d events, %+v", b.count, b.events[0])
	}
	if _, ok := at(&b, 4990); ok {
		t.Error("sounds before its time")
	}
	for _, ts := range []uint32{5000, 5120, 5239} {
		if e, left, ok := b.at(ts); !ok || e.event != 4 || left != int(5240-ts) {
			t.Errorf("at %d: %+v, %d left, %v", ts, e, left, ok)
		}
	}
	if _, ok := at(&b, 5250); ok || b.count != 0 {
		t.Error("sounds after its end")
	}
	// The end is sent three times; a late copy is not a new event.
	if b.insert(toneEvent{timestamp: 5000, event: 4, samples: 240, ended: true}) || b.count != 0 {
		t.Error("the end that came again begins a new tone")
	}
	if !b.insert(toneEvent{timestamp: 9000, event: 4, samples: 240, ended: true}) {
		t.Error("the same key pressed again is not heard")
	}
}

func TestEventsThatOverlap(t *testing.T) { // item 100
	var b eventBuffer
	b.insert(toneEvent{timestamp: 1000, event: 1, samples: 240, ended: true})
	b.insert(toneEvent{timestamp: 1050, event: 2, samples: 80, ended: true})
	for _, ts := range []uint32{1000, 1060, 1239} {
		if e, ok := at(&b, ts); !ok || e.event != 1 {
			t.Errorf("at %d: %+v, %v", ts, e, ok)
		}
	}
	if _, ok := at(&b, 1240); ok || b.count != 0 {
		t.Error("the short one is heard after the long one")
	}
}

func TestEventWithoutEnd(t *testing.T) { // item 101
	const rate = 6 // of 8 kHz
	var b eventBuffer
	b.insert(toneEvent{timestamp: 100, event: 3, samples: 160 * rate})
	if _, ok := at(&b, 100+260*rate); !ok {
		t.Error("silent 100 samples after its end")
	}
	if _, ok := at(&b, 100+(160+559)*rate); !ok {
		t.Error("silent before 70 ms have passed")
	}
	b.insert(toneEvent{timestamp: 100 + 160*rate, event: 5, samples: 160 * rate})
	if e, ok := at(&b, 100+260*rate); !ok || e.event != 5 || b.count != 1 {
		t.Errorf("the next one is not heard: %+v, %v, %d left", e, ok, b.count)
	}
	if _, ok := at(&b, 100+(320+600)*rate); ok {
		t.Error("heard 600 samples after its end")
	}
}

func TestEventsAroundTheWrap(t *testing.T) { // item 102
	first := toneEvent{timestamp: 1<<32 - 100, event: 1, samples: 80, ended: true}
	second := toneEvent{timestamp: 50, event: 2, samples: 80, ended: true}
	for _, order := range [][]toneEvent{{first, second}, {second, first}} {
		var b eventBuffer
		for _, e := range order {
			b.insert(e)
		}
		if e, ok := at(&b, first.timestamp); !ok || e != first {
			t.Errorf("at the first: %+v, %v", e, ok)
		}
		if e, ok := at(&b, 60); !ok || e != second {
			t.Errorf("at the second: %+v, %v", e, ok)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	var b eventBuffer
	for k := range uint32(100) {
		b.insert(toneEvent{timestamp: k * 1000, event: uint8(k % 16), samples: 1 << 24})
	}
	if b.count != maxEvents || b.events[0].timestamp != 92000 || b.events[0].samples != eventLimit {
		t.Errorf("%d events, the first %+v", b.count, b.events[0])
	}
}

func TestToneGenerator(t *testing.T) { // item 104
	for event := range uint8(16) {
		key := toneKeys[event]
		if name := "0123456789*#ABCD"[event]; name != [4]string{"123A", "456B", "789C", "*0#D"}[key[0]][key[1]] {
			t.Errorf("event %d is the wrong key", event)
		}
		for _, rate := range []float64{8000, 16000, 32000, 48000} {
			var reference [10]float64
			for n := range reference {
				low, high := toneRows[key[0]], toneColumns[key[1]]
				phase := 2 * math.Pi * float64(-n-1) / rate
				reference[n] = 16141 * (0.7071*math.Sin(low*phase) + math.Sin(high*phase))
			}
			for _, attenuation := range []uint8{0, 1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 51, 56, 61} {
				var g toneGenerator
				var x [10]float32
				if err := errors.Join(g.start(event, attenuation, rate), g.fill(x[:3]), g.start(event, attenuation, rate), g.fill(x[3:])); err != nil {
					t.Fatal(err)
				}
				bound := 2.0
				if attenuation == 0 {
					bound = 25
				}
				for n, v := range x {
					want := reference[n] * math.Pow(10, -float64(attenuation)/20)
					if math.Abs(float64(v)*32768-want) > bound {
						t.Fatalf("event %d, %v Hz, -%d dB, sample %d: %.1f, want %.1f", event, rate, attenuation, n, v*32768, want)
					}
				}
			}
		}
	}
	var g toneGenerator
	if err := g.fill(make([]float32, 1)); err == nil {
		t.Error("fills before start")
	}
	for _, c := range [][2]uint8{{16, 0}, {255, 0}, {0, 64}, {0, 255}} {
		if err := g.start(c[0], c[1], 48000); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// goertzel is the amplitude of hz in x.
func goertzel(x []float32, hz float64) float64 {
	var s, c float64
	for i, v := range x {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / sampleRate)
		s, c = s+sin*float64(v), c+cos*float64(v)
	}
	return 2 * math.Hypot(s, c) / float64(len(x))
}

const eventPT = 101

func newToneBench(t *testing.T, cfg Config) *bench {
	t.Helper()
	cfg.PlayTones = true
	b := newBench(t, cfg)
	if err := b.n.Register(eventPT, Format{Name: "Telephone-Event", ClockRateHz: sampleRate}, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// press sends the packets of one key: updates every 20 ms and the end three times, while b.seq counts on.
func (b *bench) press(event byte, samples int, tick func()) {
	b.t.Helper()
	start := b.ts
	for sent := 960; ; sent += 960 {
		end := byte(0)
		if sent >= samples {
			end, sent = 0x80, samples
		}
		times := 1 + int(end)>>6 // 3 at the end
		for range times {
			b.insert(&Packet{SequenceNumber: b.seq, Timestamp: start, SSRC: 7, PayloadType: eventPT,
				Payload: []byte{event, end | 6, byte(sent >> 8), byte(sent)}}, b.now)
			b.seq++
			if end != 0 {
				tick()
				tick()
			}
		}
		if end != 0 {
			b.ts = start + uint32(samples)
			return
		}
		tick()
		tick()
	}
}

// Item 105: an event as the very first packet, at the four clock rates.
func TestToneIsTheFirstPacket(t *testing.T) {
	for _, rate := range []int{8000, 16000, 24000, 48000} {
		n, err := New(Config{PlayTones: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Register(eventPT, Format{Name: "telephone-event", ClockRateHz: rate}, nil); err != nil {
			t.Fatal(err)
		}
		p := &Packet{SequenceNumber: 1, Timestamp: 77, PayloadType: eventPT, Payload: []byte{2, 0x91, 0x10, 0xf0}}
		if err := n.Insert(p, 0); err != nil {
			t.Fatal(err)
		}
		frame := make([]float32, tickSamples)
		var out []float32
		for k := range 12 {
			r := n.Get(frame, ms(10*(k+1)))
			if k < 8 && (r.Operation != OpDTMF || r.Speech != Speech) {
				t.Fatalf("%d Hz, tick %d: %v, %v", rate, k, r.Operation, r.Speech)
			}
			out = append(out, frame...)
		}
		for i, v := range out[:overlapSamples] {
			if v != 0 {
				t.Fatalf("%d Hz: sample %d of the overlap is %v", rate, i, v)
			}
		}
		want := toneAmplitude * math.Pow(10, -17.0/20)
		tone := out[480:3360] // 60 ms
		if low, high := goertzel(tone, 697)/want, goertzel(tone, 1336)/want; math.Abs(low-math.Sqrt2/2) > 0.05 || math.Abs(high-1) > 0.05 {
			t.Errorf("%d Hz: lower sine %.3f, upper %.3f", rate, low, high)
		}
	}
}

// A key pressed instead of speech is heard for as long as it was held and at its place, and is no concealment.
func TestToneInsteadOfSpeech(t *testing.T) {
	for _, channels := range []int{1, 2} {
		b := newToneBench(t, Config{Channels: channels})
		b.sig = func(int, int) float64 { return 0.02 }
		b.run(ms(500), nil)
		begin := len(b.out)
		b.press(5, 100*millisecond, func() { b.tick() })
		after := b.n.Stats()
		b.run(ms(500), nil)
		s := b.n.Stats()
		if s.ToneEvents != 1 {
			t.Errorf("%d events", s.ToneEvents)
		}
		if s.ConcealedSamples > 20*millisecond {
			t.Errorf("%d samples concealed, %d until the end of the tone", s.ConcealedSamples, after.ConcealedSamples)
		}
		heard, last := 0, 0
		for at := begin / channels; at+240 <= len(b.out)/channels; at += 240 {
			x := make([]float32, 240)
			for i := range x {
				x[i] = b.out[(at+i)*channels] - 0.02
				if channels == 2 && b.out[(at+i)*2] != b.out[(at+i)*2+1] {
					t.Fatal("channels differ")
				}
			}
			if rms(x) > 0.1 {
				heard += 240
				last = at
			}
		}
		if heard < 95*millisecond || heard > 105*millisecond {
			t.Errorf("%d channels: tone of %.1f ms", channels, float64(heard)/millisecond)
		}
		if end := float64(last-begin/channels) / millisecond; end > 150 {
			t.Errorf("%d channels: the tone ends after %.0f ms", channels, end)
		}
	}
}

// A key pressed while the speech goes on is heard over it.
func TestToneOverSpeech(t *testing.T) {
	b := newToneBench(t, Config{})
	b.sig = sine(300, 0.25)
	b.run(ms(300), nil)
	begin := len(b.out)
	start := b.ts
	for k := range 5 {
		sent := (k + 1) * 960
		end := byte(0)
		if k == 4 {
			end = 0x80
		}
		b.insert(&Packet{SequenceNumber: 60000, Timestamp: start, SSRC: 7, PayloadType: eventPT,
			Payload: []byte{1, end | 10, byte(sent >> 8), byte(sent)}}, b.now)
		b.run(ms(20), nil)
	}
	b.run(ms(200), nil)
	out := b.out[begin:]
	want := toneAmplitude * math.Pow(10, -10.0/20)
	tone := out[30*millisecond : 90*millisecond]
	if high := goertzel(tone, 1209) / want; math.Abs(high-1) > 0.1 {
		t.Errorf("upper sine %.3f of what was asked for", high)
	}
	if speech := goertzel(tone, 300); math.Abs(speech-0.25) > 0.02 {
		t.Errorf("speech at %.3f", speech)
	}
	if high := goertzel(out[150*millisecond:200*millisecond], 1209) / want; high > 0.02 {
		t.Errorf("the tone goes on: %.3f", high)
	}
	if s := b.n.Stats(); s.ConcealedSamples != 0 || s.RemovedSamplesForAcceleration+s.InsertedSamplesForDeceleration != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTonesAreSilentUnlessAskedFor(t *testing.T) {
	b := newToneBench(t, Config{})
	b.n.cfg.PlayTones = false
	b.run(ms(200), nil)
	begin := len(b.out)
	b.press(5, 100*millisecond, func() { b.tick() })
	if level := rms(b.out[begin:]); level != 0 {
		t.Errorf("RMS %v", level)
	}
}

func TestTonesDoNotAllocate(t *testing.T) {
	b := newToneBench(t, Config{})
	b.sig = sine(300, 0.1)
	b.run(ms(200), nil)
	p := &Packet{SequenceNumber: 60000, SSRC: 7, PayloadType: eventPT, Payload: []byte{1, 10, 0x20, 0}}
	now := b.now
	k := 0
	if n := testing.AllocsPerRun(500, func() {
		now += tickDuration
		if k++; k%10 == 1 { // another key
			p.Timestamp = b.n.endTS
		}
		p.SequenceNumber++
		if err := b.n.Insert(p, now); err != nil {
			t.Fatal(err)
		}
		b.n.Get(b.frame, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
