package neteq

import (
	"encoding/binary"
	"testing"
	"time"
)

// fuzzed reads decisions from fuzz input; when it is used up everything is 0.
type fuzzed struct{ data []byte }

func (f *fuzzed) byte() byte {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return b
}

// fuzzOpus decodes anything to a ramp of the length its TOC says, with broken samples now and then.
type fuzzOpus struct{ calls int }

func (d *fuzzOpus) fill(pcm []float32) (int, error) {
	d.calls++
	for i := range pcm {
		pcm[i] = float32(i%100)/50 - 1
	}
	if d.calls%97 == 0 && len(pcm) > 0 {
		pcm[0] = float32(1e30)
		pcm[len(pcm)-1] = pcm[0] * pcm[0] * 0 // not a number
	}
	return len(pcm), nil
}

func (d *fuzzOpus) Decode(p []byte, pcm []float32) (int, error) {
	if len(p) > 2 && p[2] == 13 {
		return 0, errDecode
	}
	n := opusDuration(p)
	if n > len(pcm) {
		return 0, errDecode
	}
	return d.fill(pcm[:n])
}
func (d *fuzzOpus) DecodeFEC(_ []byte, pcm []float32) (int, error) { return d.fill(pcm) }
func (d *fuzzOpus) Conceal(pcm []float32) (int, error)             { return d.fill(pcm) }
func (d *fuzzOpus) Reset() error                                   { return nil }

func fuzzTarget(t testing.TB, policy Policy) *NetEq {
	n, err := New(Config{Policy: policy, PlayTones: true})
	if err != nil {
		t.Fatal(err)
	}
	for pt, f := range map[uint8]Format{
		111: {Name: "opus", ClockRateHz: 48000}, 63: {Name: "red", ClockRateHz: 48000}, 13: {Name: "CN", ClockRateHz: 8000},
		101: {Name: "telephone-event", ClockRateHz: 48000}, 96: {Name: "L16", ClockRateHz: 48000}, 0: {Name: "PCMU", ClockRateHz: 8000},
	} {
		var d func() (Decoder, error)
		switch pt {
		case 111:
			d = func() (Decoder, error) { return &fuzzOpus{}, nil }
		case 96:
			d = func() (Decoder, error) { return &pcmDecoder{channels: 1}, nil }
		case 0:
			d = func() (Decoder, error) { return &lawDecoder{}, nil }
		}
		if err := n.Register(pt, f, d); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// drive feeds n with packets and ticks as input says and checks what must hold whatever comes (item 182).
func drive(t testing.TB, n *NetEq, input []byte) {
	f := &fuzzed{input}
	payload := make([]byte, 1500)
	types := []uint8{111, 111, 111, 111, 63, 13, 101, 96, 0, 77}
	p := Packet{SSRC: 1, SequenceNumber: 65530, Timestamp: 1<<32 - 5000}
	var now time.Duration
	frame := make([]float32, tickSamples)
	var before Stats
	for len(f.data) > 0 {
		switch op := f.byte(); op % 8 {
		case 0, 1, 2, 3:
			p.SequenceNumber += uint16(f.byte()) % 4
			switch step := f.byte(); {
			case step < 200:
				p.Timestamp += 960
			case step < 220:
				p.Timestamp += uint32(step) * 7
			case step < 230:
				p.Timestamp -= 1920
			case step < 234: // a pause
				p.Timestamp += uint32(step) * 500
				now += samplesToTime(int64(step) * 500)
			default:
				p.Timestamp += uint32(f.byte()) << 24
			}
			if f.byte() == 255 {
				p.SSRC++
			}
			p.PayloadType = types[int(f.byte())%len(types)]
			k := int(f.byte())
			if p.PayloadType == 96 || p.PayloadType == 0 {
				k = 2 * (k + 1)
			}
			for i := range payload[:k] {
				payload[i] = byte(i * int(op))
			}
			for i := 0; i < 6 && i < k; i++ {
				payload[i] = f.byte()
			}
			p.Payload = payload[:k]
			if p.PayloadType == 63 && op >= 128 { // as browsers send it
				p.Payload = redPayload(111, []uint32{1920, 960}, []byte{0x48, op, 3}, []byte{0x48, 1, op}, []byte{0x48, 7, 7})
			}
			at := now - time.Duration(f.byte()%16)*time.Millisecond
			_ = n.Insert(&p, at) // any error is fine
		case 4, 5, 6:
			for range 1 + f.byte()%4 {
				now += tickDuration
				if op >= 250 {
					n.Skip(now)
					continue
				}
				n.Get(frame, now)
				for i, v := range frame {
					if !(v >= -16 && v <= 16) {
						t.Fatalf("sample %d is %v, made by %v", i, v, n.tickOp)
					}
				}
			}
		default:
			switch f.byte() % 16 {
			case 0:
				n.Flush()
			case 1:
				n.DeclareGap()
			case 2:
				now += time.Duration(f.byte()) * 100 * time.Millisecond
			case 3:
				_ = n.SetDelayBounds(time.Duration(f.byte())*time.Millisecond, time.Duration(f.byte())*10*time.Millisecond)
			}
		}
		s := n.Stats()
		if s.BufferedPackets > 200 || s.BufferedBytes > maxBytes {
			t.Fatalf("%d packets, %d bytes", s.BufferedPackets, s.BufferedBytes)
		}
		if s.ConcealedSamples > s.TotalSamplesReceived+s.ConcealmentEvents*maxFrameSamples+tickSamples {
			t.Fatalf("concealed %d of %d in %d events", s.ConcealedSamples, s.TotalSamplesReceived, s.ConcealmentEvents)
		}
		if s.ConcealedSamples < before.ConcealedSamples || s.TotalSamplesReceived < before.TotalSamplesReceived ||
			s.SilentConcealedSamples > s.ConcealedSamples || s.PacketsDiscarded < before.PacketsDiscarded {
			t.Fatalf("counters went back: %+v after %+v", s, before)
		}
		before = s
	}
	if c := cap(n.sync.ch[0]); c > 6*maxFrameSamples+historySamples+2*futureSamples {
		t.Fatalf("sync buffer of %d samples", c)
	}
}

func FuzzNetEq(f *testing.F) {
	for seed := range 24 {
		in := make([]byte, 400)
		x := uint64(seed)*0x9e3779b97f4a7c15 + 1
		for i := 0; i+8 <= len(in); i += 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			binary.LittleEndian.PutUint64(in[i:], x)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		in = in[:min(len(in), 600)] // some seconds of a call: longer inputs are slow, not better
		policies := [4]Policy{PolicyAdaptive, PolicyAdaptive, PolicyM150, PolicyLevels}
		drive(t, fuzzTarget(t, policies[in[0]%4]), in[1:])
	})
}

func FuzzEvent(f *testing.F) { // M-07
	f.Add([]byte{7, 0x91, 0x10, 0xf0})
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := parseEvent(1, in, 6)
		if err == nil && (e.event > 15 || e.volume > 63 || e.samples <= 0 || len(in) < 4) {
			t.Fatalf("%x: %+v", in, e)
		}
		var b eventBuffer
		var pace eventPace
		var begun []int // in packets
		in = in[:min(len(in), 400)]
		for i := range in {
			ts := uint32(i) * 960
			if e, err := parseEvent(ts-uint32(in[i])*8, in[i:], 1); err == nil {
				fresh := !b.known(e)
				if !fresh || pace.allow(samplesToTime(int64(ts))) {
					b.insert(e)
					if fresh {
						begun = append(begun, i)
					}
				}
			}
			if n := len(begun); b.count > maxEvents || n > eventsPerSecond && begun[n-1]-begun[n-1-eventsPerSecond] < 50 {
				t.Fatalf("%d events wait, begun at %v times 20 ms", b.count, begun)
			}
			for k := 1; k < b.count; k++ {
				if newer32(b.events[k-1].timestamp, b.events[k].timestamp) {
					t.Fatalf("%+v before %+v", b.events[k-1], b.events[k])
				}
			}
			if e, left, ok := b.at(ts - 480); ok && (left <= 0 || left > eventLimit+eventExtrapolation || newer32(e.timestamp, ts-480)) {
				t.Fatalf("%d samples left of %+v", left, e)
			}
		}
	})
}

func FuzzComfortNoise(f *testing.F) { // M-08
	f.Add([]byte{30, 127, 200, 3})
	f.Add([]byte{0})
	c := newComfortNoise(6)
	x := make([]float32, 4*tickSamples)
	f.Fuzz(func(t *testing.T, in []byte) {
		if checkNoise(in) != nil {
			return
		}
		up := c.up
		*c = comfortNoise{factor: 6, up: up, fresh: true}
		up.history = [upsampleTaps]float32{}
		// Two descriptions after each other, the second from the end of the input.
		for _, description := range [][]byte{in, in[len(in)/2:]} {
			c.update(description)
			for _, k := range c.targetReflection {
				if !(k >= -0.98 && k <= 0.98) {
					t.Fatalf("%x: reflection %v", in, k)
				}
			}
			c.generate(x)
			for i, v := range x {
				if !(v > -0.16 && v < 0.16) { // six times the loudest RMS there is
					t.Fatalf("%x: sample %d is %v", in, i, v)
				}
			}
		}
	})
}
