package neteq

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// The checks M-01 to M-09: what a hostile sender can put into its packets. M-03 (rate) is in mixer, at whose door packets are
// counted; M-05 (Opus) in internal/neteqtest, with the real decoder; FuzzNetEq and its like go on where these end.

// bounded checks what must hold at any time.
func bounded(t *testing.T, n *NetEq) {
	t.Helper()
	s := n.Stats()
	if s.BufferedPackets > 200 || s.BufferedBytes > maxBytes || n.buf.span(n.lastFrame) > maxSpan || s.TargetDelay > 2*time.Second {
		t.Fatalf("%d packets, %d bytes, %d ms, target %v", s.BufferedPackets, s.BufferedBytes, n.buf.span(n.lastFrame)/millisecond, s.TargetDelay)
	}
}

// attack sends 20 ms packets in time, each of which change may change, for d.
func (b *bench) attack(d time.Duration, change func(k int, p *Packet)) {
	b.t.Helper()
	for k := range int(d / ms(20)) {
		p := b.next()
		change(k, p)
		_ = b.n.Insert(p, b.now+ms(1)) // any error is fine
		b.tick()
		b.tick()
		bounded(b.t.(*testing.T), b.n)
	}
}

func TestM01TimestampJumps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	shift := func(d uint32) func(int, *Packet) { return func(_ int, p *Packet) { p.Timestamp += d } }
	for _, c := range []struct {
		name   string
		once   bool // the stream goes on from there
		change func(k int, p *Packet)
	}{
		{"half the circle ahead", true, shift(1 << 31)}, {"a little less", true, shift(1<<31 - 1)}, {"ten hours ahead", true, shift(10 * 3600 * sampleRate % (1 << 32))},
		{"a second back", true, shift(1<<32 - sampleRate)}, {"a minute back", true, shift(1<<32 - 60*sampleRate)},
		{"running backwards", false, func(k int, p *Packet) { p.Timestamp -= uint32(2 * 960 * k) }},
		{"constant", false, func(k int, p *Packet) { p.Timestamp -= uint32(960 * k) }},
		{"random", false, func(_ int, p *Packet) { p.Timestamp = r.Uint32() }},
		{"to and fro", false, func(k int, p *Packet) { p.Timestamp += uint32(k%2) << 31 }},
		{"a second ahead in each", false, func(k int, p *Packet) { p.Timestamp += uint32(k) * sampleRate }},
	} {
		b := newBench(t, Config{})
		b.sig = sine(300, 0.5)
		b.run(3*time.Second, nil)
		before := b.n.Stats()
		b.attack(5*time.Second, c.change)
		s := b.n.Stats()
		if c.once {
			if got := int(s.ConcealedSamples-before.ConcealedSamples) / millisecond; got > 100 || s.StreamResets != 1 {
				t.Errorf("%s: %d ms concealed, %d resets", c.name, got, s.StreamResets)
			}
			if level := rms(b.out[len(b.out)-sampleRate:]); level < 0.3 {
				t.Errorf("%s: level %.3f four seconds later", c.name, level)
			}
		}
		b.run(3*time.Second, nil)
		if level := rms(b.out[len(b.out)-sampleRate:]); level < 0.3 {
			t.Errorf("%s: level %.3f after it", c.name, level)
		}
		b.run(12*time.Second, nil) // what the first steps back taught it about the network must be forgotten
		if d := b.n.Stats().PlayoutDelay; d > ms(80) {
			t.Errorf("%s: delay %v after it, target %v", c.name, d, b.n.Stats().TargetDelay)
		}
	}
}

func TestM02Sequences(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name   string
		change func(k int, p *Packet)
		times  int
	}{
		{"wrap in each", func(k int, p *Packet) { p.SequenceNumber = uint16(65535 * (k % 2)) }, 1},
		{"all the same", func(_ int, p *Packet) { p.SequenceNumber = 7 }, 1},
		{"reversed", func(k int, p *Packet) { p.SequenceNumber -= uint16(2 * k) }, 1},
		{"gaps of 32768", func(k int, p *Packet) { p.SequenceNumber += uint16(k) << 15 }, 1},
		{"random", func(_ int, p *Packet) { p.SequenceNumber = uint16(r.Uint32()) }, 1},
	} {
		b := newBench(t, Config{Nack: &NackConfig{PlayoutAware: true}})
		b.sig = sine(300, 0.5)
		b.run(3*time.Second, nil)
		b.attack(5*time.Second, c.change)
		if s := b.n.Stats(); s.ConcealedSamples != 0 || s.TargetDelay > ms(80) {
			t.Errorf("%s: %d ms concealed, target %v", c.name, s.ConcealedSamples/millisecond, s.TargetDelay)
		}
		if got := b.n.NACKs(nil, b.now, ms(20)); len(got) > 50 {
			t.Errorf("%s: %d packets asked for", c.name, len(got))
		}
	}
	// What the network does to the order, too. The memory of nine seconds is what real networks ask for; see docs/neteq.md.
	for _, c := range []struct {
		name    string
		deliver func(k int) time.Duration
	}{
		{"reversed in tens", func(k int) time.Duration { return ms(40 * (9 - k%10)) }},
		{"all 400 ms late", func(int) time.Duration { return ms(400) }},
		{"anything up to a second late", func(k int) time.Duration { return ms(k * 7919 % 1000) }},
	} {
		b := newBench(t, Config{})
		b.sig = sine(300, 0.5)
		b.run(3*time.Second, nil)
		for range 10 {
			b.run(ms(500), c.deliver)
			bounded(t, b.n)
		}
		b.run(10*time.Second, nil)
		if d := b.n.Stats().TargetDelay; d > ms(80) {
			t.Errorf("%s: target %v ten seconds later", c.name, d)
		}
		b.run(5*time.Second, nil)
		if d := b.n.Stats().PlayoutDelay; d > ms(100) {
			t.Errorf("%s: delay %v fifteen seconds later", c.name, d)
		}
	}
	b := newBench(t, Config{})
	b.run(time.Second, nil)
	b.attack(5*time.Second, func(_ int, p *Packet) {
		for range 50 {
			b.insert(p, b.now)
		}
	})
	if s := b.n.Stats(); s.ConcealedSamples != 0 || s.DuplicatePackets != 250*50 || s.TargetDelay > ms(20) {
		t.Errorf("duplicates: %d ms concealed, %d counted, target %v", s.ConcealedSamples/millisecond, s.DuplicatePackets, s.TargetDelay)
	}
}

// opusBench is a bench whose payload type 111 is Opus, decoded to a tone, and that counts what it decodes.
func newOpusBench(t *testing.T, cfg Config) (*bench, *continuing) {
	t.Helper()
	b := newBench(t, cfg)
	d := &continuing{}
	if err := b.n.Register(111, Format{Name: "opus", ClockRateHz: sampleRate}, func() (Decoder, error) { return d, nil }); err != nil {
		t.Fatal(err)
	}
	return b, d
}

// Packets of two bytes that stand for 120 ms, every 2.5 ms: what is decoded is what is played, and one packet more.
func TestM04OpusExpansion(t *testing.T) {
	b, d := newOpusBench(t, Config{})
	p := &Packet{SSRC: 7, PayloadType: 111, Payload: []byte{0x1b, 2}} // two frames of 60 ms
	const ticks = 1000
	most := 0
	for range ticks {
		for q := range 4 {
			_ = b.n.Insert(p, b.now+time.Duration(q)*2500*time.Microsecond)
			p.SequenceNumber++
			p.Timestamp += 5760
		}
		before := d.at
		b.tick()
		most = max(most, d.at-before)
		bounded(t, b.n)
	}
	if s := b.n.Stats(); d.at > 3*ticks*tickSamples || most > 2*maxFrameSamples {
		t.Errorf("%d ticks of sound decoded in %d, %d ms in one; %d removed", d.at/tickSamples, ticks, most/millisecond,
			s.RemovedSamplesForAcceleration/millisecond)
	}
}

func TestM06RED(t *testing.T) {
	var thousand []byte
	for range 1000 {
		thousand = append(thousand, 0x80|testPT, 0, 4, 1)
	}
	zeros := func(n int) []byte { return make([]byte, n) }
	for _, c := range []struct {
		name    string
		payload []byte
		refused bool
	}{
		{"no block", []byte{}, true}, {"header only", []byte{testPT}, true}, {"cut header", []byte{0x80 | testPT, 0}, true},
		{"only headers", []byte{0x80 | testPT, 0, 4, 0}, true},
		{"1000 blocks", append(thousand, append([]byte{testPT}, zeros(1002)...)...), true},
		{"length past the end", append([]byte{0x80 | testPT, 15, 3, 255, testPT}, zeros(100)...), true},
		{"nested", append([]byte{0x80 | 63, 15, 0, 4, 63, 63, 63, 63, 63}, zeros(1920)...), true},
		{"nested copy", append([]byte{0x80 | 63, 15, 0, 4, testPT, 63, 63, 63, 63}, zeros(1920)...), false},
		{"offset 16383", append([]byte{0x80 | testPT, 255, 252, 100, testPT}, zeros(100+1920)...), false},
		{"offset 0", append([]byte{0x80 | testPT, 0, 0, 100, testPT}, zeros(100+1920)...), false},
	} {
		b := newBench(t, Config{})
		b.run(time.Second, nil)
		before := b.n.Stats()
		for range 50 {
			p := b.next()
			p.PayloadType, p.Payload = 63, c.payload
			if err := b.n.Insert(p, b.now); (err != nil) != c.refused {
				t.Fatalf("%s: %v", c.name, err)
			}
			b.tick()
			b.tick()
			bounded(t, b.n)
		}
		if s := b.n.Stats(); !c.refused && s.ConcealedSamples != before.ConcealedSamples {
			t.Errorf("%s: %d ms concealed", c.name, (s.ConcealedSamples-before.ConcealedSamples)/millisecond)
		}
	}
	// Of ten levels of redundancy three are kept.
	b := newBench(t, Config{MinDelay: ms(300)})
	b.packet = 480
	b.run(time.Second, nil)
	var offsets []uint32
	var blocks [][]byte
	for k := 10; k > 0; k-- {
		offsets = append(offsets, uint32(480*k))
		blocks = append(blocks, zeros(960))
	}
	for range 10 {
		b.lose()
	}
	p := b.next()
	p.PayloadType, p.Payload = 63, redPayload(testPT, offsets, append(blocks, p.Payload)...)
	before := b.n.Stats()
	b.insert(p, b.now)
	if s := b.n.Stats(); s.REDPacketsReceived-before.REDPacketsReceived != 3 || s.BufferedPackets-before.BufferedPackets != 4 {
		t.Errorf("%d copies taken, %d packets more", s.REDPacketsReceived-before.REDPacketsReceived, s.BufferedPackets-before.BufferedPackets)
	}
}

func TestM07TelephoneEvents(t *testing.T) {
	b := newToneBench(t, Config{})
	b.run(ms(200), nil)
	for _, p := range [][]byte{nil, {1}, {1, 2, 3}, {16, 0, 0, 1}, {255, 255, 255, 255}, {1, 0, 0, 0}} {
		if err := b.n.Insert(&Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: eventPT, Payload: p}, b.now); err == nil {
			t.Errorf("% x is taken", p)
		}
	}
	// Ten thousand a second, none of which ends, of the longest duration there is.
	taken := 0
	for k := range 1000 {
		for q := range 100 {
			p := &Packet{SequenceNumber: b.seq, Timestamp: b.ts + uint32(q), SSRC: 7, PayloadType: eventPT, Payload: []byte{byte(q % 16), 63, 255, 255}}
			err := b.n.Insert(p, b.now)
			if err == nil {
				taken++
			} else if !errors.Is(err, ErrTooMany) {
				t.Fatal(err)
			}
			b.seq++
		}
		b.ts += tickSamples
		b.tick()
		if b.n.events.count > maxEvents {
			t.Fatalf("%d events after %d ticks", b.n.events.count, k)
		}
	}
	if got := b.n.Stats().ToneEvents; got > 11*eventsPerSecond || got < 9*eventsPerSecond {
		t.Errorf("%d tones in ten seconds", got)
	}
	// One that never ends.
	b = newToneBench(t, Config{})
	b.run(ms(200), nil)
	start, from := b.ts, len(b.out)
	for k := range 2000 { // 20 s
		b.insert(&Packet{SequenceNumber: b.seq, Timestamp: start, SSRC: 7, PayloadType: eventPT, Payload: []byte{5, 0, 255, 255}}, b.now)
		b.seq++
		b.tick()
		if silent := energy(b.frame) == 0; silent && k > 10 {
			break
		}
	}
	if d := samplesToTime(int64(len(b.out) - from)); d > 6200*time.Millisecond || d < time.Second {
		t.Errorf("a tone of %v", d)
	}
	// In others' ears only when asked for.
	b = newToneBench(t, Config{})
	b.n.cfg.PlayTones = false
	b.run(ms(200), nil)
	b.press(5, 100*millisecond, func() { b.tick() })
	if level := rms(b.out); level != 0 {
		t.Errorf("level %v", level)
	}
}

func TestM08ComfortNoise(t *testing.T) {
	for level := range 256 {
		for _, count := range []int{0, 1, 12, 13, 200} {
			payload := make([]byte, 1+count)
			payload[0] = byte(level)
			for i := range payload[1:] {
				payload[1+i] = byte(255 * (i * level % 2))
			}
			c := newComfortNoise(6)
			c.update(payload)
			if limit := 0.625 * 1e-3; c.target > limit { // -30 dBov
				t.Fatalf("level %d: energy %g", level, c.target)
			}
			for i, k := range c.targetReflection {
				if k < -0.98 || k > 0.98 || i >= count && k != 0 {
					t.Fatalf("%d coefficients: number %d is %v", count, i, k)
				}
			}
		}
	}
	// At a rate that is not the speech's, loud and in every packet.
	for pt := range uint8(2) {
		b := newNoiseBench(t, Config{})
		b.sig = sine(300, 0.2)
		b.run(time.Second, nil)
		from := len(b.out)
		for k := range 100 {
			p := &Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: noisePT + pt, Payload: make([]byte, 201)}
			for i := range p.Payload {
				p.Payload[i] = byte(255 * ((i + k) % 2))
			}
			p.Payload[0] = 0
			b.insert(p, b.now)
			b.seq++
			b.ts += 960
			b.sent += 960
			b.tick()
			b.tick()
			bounded(t, b.n)
		}
		if level := noiseLevel(b.out[from+4800:]); level > -29 {
			t.Errorf("payload type %d: %.1f dBov", noisePT+pt, level)
		}
	}
}

func TestM09PayloadTypes(t *testing.T) {
	n, err := New(Config{Channels: 2, PlayTones: true})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for pt, f := range map[uint8]Format{0: {Name: "PCMU", ClockRateHz: 8000}, 8: {Name: "PCMA", ClockRateHz: 8000}, 9: {Name: "G722", ClockRateHz: 8000},
		111: {Name: "opus", ClockRateHz: 48000, Channels: 2}, 13: {Name: "CN", ClockRateHz: 8000}, 63: {Name: "red", ClockRateHz: 48000}} {
		var make func() (Decoder, error)
		if f.Name != "CN" && f.Name != "red" {
			make = func() (Decoder, error) { made++; return &fuzzOpus{}, nil }
		}
		if err := n.Register(pt, f, make); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	frame := make([]float32, 2*tickSamples)
	types := []uint8{0, 8, 9, 111, 13, 63, 77, 127}
	toc := []byte{0x48, 0x4c, 0xf8, 0xfc, 0x18} // mono, stereo, SILK, CELT, 60 ms
	refused, now := 0, time.Duration(0)
	for k := range 2000 {
		size := []int{1, 1400, 160}[k%3]
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		pt := types[r.IntN(len(types))]
		if pt == 111 {
			payload[0] = toc[r.IntN(len(toc))]
		}
		p := &Packet{SequenceNumber: uint16(k), Timestamp: uint32(960 * k), PayloadType: pt, Payload: payload}
		if n.Insert(p, now) != nil {
			refused++
		}
		for range 2 {
			now += tickDuration
			n.Get(frame, now)
			for _, v := range frame {
				if !(v >= -4 && v <= 4) {
					t.Fatalf("packet %d: %v", k, v)
				}
			}
		}
		bounded(t, n)
	}
	if s := n.Stats(); made > 4 || refused < 400 || s.InvalidPackets == 0 {
		t.Errorf("%d decoders made, %d packets refused, %d invalid", made, refused, s.InvalidPackets)
	}
	// An hour of announced silence.
	b, d := newOpusBench(t, Config{})
	d.silent = true
	speech := append([]byte{0x48}, make([]byte, 40)...) // SILK, 20 ms
	opus := func(payload []byte) {
		b.insert(&Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: 111, Payload: payload}, b.now)
		b.lose()
	}
	for range 50 {
		opus(speech)
		b.tick()
		b.tick()
	}
	opus([]byte{0x08})
	hour := shortCall * 36 / 5 // less under the race detector
	for range hour / tickDuration {
		b.now += tickDuration
		b.n.Get(b.frame, b.now)
	}
	b.ts += uint32(timeToSamples(hour)) - 960
	concealed := b.n.Stats().ConcealedSamples
	for range 50 {
		opus(speech)
		b.tick()
		b.tick()
	}
	if s := b.n.Stats(); concealed != 0 || s.ConcealedSamples != 0 || s.PlayoutDelay > ms(40) || b.last.Speech != Speech {
		t.Errorf("%d and %d samples concealed, delay %v, %+v", concealed, s.ConcealedSamples, s.PlayoutDelay, b.last)
	}
}
