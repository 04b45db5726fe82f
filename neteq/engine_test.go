package neteq

import (
	"testing"
	"time"
)

// Item 134: of a packet that is older than what is played, and the next one, only the next is decoded.
func TestPacketOlderThanWhatIsPlayed(t *testing.T) {
	b := newBench(t, Config{})
	b.run(ms(200), nil)
	decodes := b.dec.decodes
	b.insert(&Packet{SequenceNumber: b.seq - 6, Timestamp: b.ts - 6*960 + 1, SSRC: 7, PayloadType: testPT, Payload: b.payload(0, 960)}, b.now)
	b.insert(b.next(), b.now)
	b.tick()
	b.tick()
	b.tick()
	s := b.n.Stats()
	if b.dec.decodes != decodes+1 || s.PacketsDiscarded != 1 || s.LatePackets != 1 || s.BufferedPackets != 0 {
		t.Errorf("%d decoded, %d discarded, %d late, %d left", b.dec.decodes-decodes, s.PacketsDiscarded, s.LatePackets, s.BufferedPackets)
	}
}

// Item 136: ten packets, then none for 150 ms of concealment, then five: one interruption.
func TestOneInterruption(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = voice(120)
	for range 10 {
		b.insert(b.next(), b.now)
		b.tick()
		b.tick()
	}
	for b.last.Speech != Concealment {
		b.tick()
	}
	for range 14 { // 150 ms with the one before
		b.tick()
	}
	for range 5 {
		b.insert(b.next(), b.now)
		b.tick()
		b.tick()
	}
	b.run(ms(300), nil)
	s := b.n.Stats()
	if got := float64(s.InterruptionSamples) / millisecond; s.InterruptionCount != 1 || got < 150 || got > 190 {
		t.Errorf("%d interruptions, %.0f ms", s.InterruptionCount, got)
	}
}

// lengthDecoder returns another number of samples than the payload has.
type lengthDecoder struct {
	pcmDecoder
	add int
}

func (d *lengthDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	n, err := d.pcmDecoder.Decode(payload, pcm)
	return n + d.add, err
}

// Item 138: a decoder that says it made more than there was room for, or less than was announced, does no harm.
func TestDecoderOfWrongLength(t *testing.T) {
	for _, add := range []int{-5, -960, 1, 5761, 1 << 30} {
		n, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		d := &lengthDecoder{pcmDecoder{channels: 1}, add}
		if err := n.Register(testPT, Format{Name: "L16", ClockRateHz: sampleRate}, func() (Decoder, error) { return d, nil }); err != nil {
			t.Fatal(err)
		}
		frame := make([]float32, tickSamples)
		normal := 0
		for k := range 100 {
			now := time.Duration(k) * ms(20)
			p := &Packet{SequenceNumber: uint16(k), Timestamp: uint32(960 * k), PayloadType: testPT, Payload: make([]byte, 1920)}
			if err := n.Insert(p, now); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				now += tickDuration
				if r := n.Get(frame, now); r.Speech == Speech {
					normal++
				}
			}
		}
		if add == -5 && normal < 150 {
			t.Errorf("five samples fewer: %d of 200 ticks of speech", normal)
		}
		if s := n.Stats(); add == -960 && s.DecodeErrors < 90 {
			t.Errorf("nothing decoded: %d errors", s.DecodeErrors)
		}
	}
}

// Items 70 and 151: without stretching, none, over 20 s of jitter.
func TestStretchingDisabled(t *testing.T) {
	for _, policy := range []Policy{PolicyAdaptive, PolicyM150, PolicyLevels} {
		b := newBench(t, Config{Policy: policy, DisableStretching: true})
		b.sig = voice(120)
		b.run(20*time.Second, func(k int) time.Duration { return ms(k * 37 % 120) })
		if s := b.n.Stats(); s.InsertedSamplesForDeceleration+s.RemovedSamplesForAcceleration != 0 {
			t.Errorf("policy %d: %d inserted, %d removed", policy, s.InsertedSamplesForDeceleration, s.RemovedSamplesForAcceleration)
		}
	}
}

// Item 156: the base delay takes 0 to 10 s and nothing else, and the target heeds it.
func TestBaseDelay(t *testing.T) {
	b := newBench(t, Config{})
	for _, d := range []time.Duration{0, ms(1), ms(300), 10 * time.Second} {
		if err := b.n.SetBaseDelay(d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	for _, d := range []time.Duration{-1, 10*time.Second + 1} {
		if err := b.n.SetBaseDelay(d); err == nil {
			t.Errorf("%v taken", d)
		}
	}
	if err := b.n.SetBaseDelay(ms(300)); err != nil {
		t.Fatal(err)
	}
	b.run(ms(500), nil)
	if got := b.n.Stats().TargetDelay; got != ms(300) {
		t.Errorf("target %v", got)
	}
}

// Items 148 and 149: after seconds without packets an instance is muted; its frames are silent and it wakes with a packet
// that is on time, late, early or five of the past.
func TestMutedAndBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		count   int
		advance func(elapsed uint32) uint32
	}{
		{"on time", 5, func(e uint32) uint32 { return e }},
		{"late", 5, func(e uint32) uint32 { return e / 2 }},
		{"early", 5, func(e uint32) uint32 { return 2 * e }},
		{"from the past", 5, func(uint32) uint32 { return 1<<32 - 1000*960 }},
	} {
		b := newBench(t, Config{})
		b.sig = voice(120)
		b.run(time.Second, nil)
		start := b.now
		for !b.last.Muted && b.now-start < 20*time.Second {
			b.tick()
		}
		if !b.last.Muted {
			t.Fatalf("%s: never muted", c.name)
		}
		for i, v := range b.frame {
			if v != 0 {
				t.Fatalf("%s: sample %d is %v", c.name, i, v)
			}
		}
		// Whether the sender has stopped after the first second nobody can tell yet.
		s, gone := b.n.Stats(), uint64(timeToSamples(b.now-start))
		if s.ConcealedSamples < gone-60*millisecond || s.ConcealedSamples > gone || s.StutterSamples != s.ConcealedSamples {
			t.Errorf("%s: %d samples concealed, %d stutter in %v", c.name, s.ConcealedSamples, s.StutterSamples, b.now-start)
		}
		if s.PausedSamples != 0 || s.NetworkConcealedSamples != sampleRate || s.NetworkStutterSamples != 0 {
			t.Errorf("%s: %d samples paused, %d concealed by the network", c.name, s.PausedSamples, s.NetworkConcealedSamples)
		}
		b.ts += c.advance(uint32(timeToSamples(b.now - start)))
		heard := false
		for range 2 * c.count {
			b.insert(b.next(), b.now)
			b.tick()
			b.tick()
			heard = heard || b.last.Operation == OpNormal
		}
		if !heard {
			t.Errorf("%s: %+v", c.name, b.last)
		}
	}
}
