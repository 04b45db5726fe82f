package neteq

import (
	"math"
	"testing"
	"time"
)

// newSwitchBench is a bench with two more payload types: L16 with RTP clocks of 8 and 16 kHz, decoded to 48.
func newSwitchBench(t testing.TB, cfg Config) (b *bench, others [2]*heldDecoder) {
	t.Helper()
	b = newBench(t, cfg)
	for i, clock := range []int{8000, 16000} {
		others[i] = &heldDecoder{factor: sampleRate / clock, channels: b.channels}
		if err := b.n.Register(uint8(testPT+1+i), Format{Name: "L16", ClockRateHz: clock, Channels: b.channels},
			func() (Decoder, error) { return others[i], nil }); err != nil {
			t.Fatal(err)
		}
	}
	return b, others
}

// heldDecoder is pcmDecoder with every sample held for factor samples.
type heldDecoder struct {
	factor, channels int
	decodes, resets  int
}

func (d *heldDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	d.decodes++
	small := make([]float32, len(payload)/2)
	p := pcmDecoder{channels: d.channels}
	n, err := p.Decode(payload, small)
	if err != nil || n*d.factor*d.channels > len(pcm) {
		return 0, errDecode
	}
	for i := range n * d.factor {
		for c := range d.channels {
			pcm[i*d.channels+c] = small[i/d.factor*d.channels+c]
		}
	}
	return n * d.factor, nil
}
func (d *heldDecoder) DecodeFEC([]byte, []float32) (int, error) { return 0, ErrNoConcealment }
func (d *heldDecoder) Conceal([]float32) (int, error)           { return 0, ErrNoConcealment }
func (d *heldDecoder) Reset() error                             { d.resets++; return nil }

// as sends the next 20 ms in another payload type: factor is 48 kHz over its clock.
func (b *bench) as(pt uint8, factor int) *Packet {
	p := &Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: pt}
	full := b.payload(b.sent, b.packet)
	for i := 0; i < b.packet; i += factor {
		p.Payload = append(p.Payload, full[2*i*b.channels:2*(i+1)*b.channels]...)
	}
	b.seq++
	b.ts += uint32(b.packet / factor) // the sender goes on in the codec's own clock
	b.sent += b.packet
	return p
}

// Item 31: which codec decodes, and that coming back to one resets it.
func TestActiveCodec(t *testing.T) {
	b, others := newSwitchBench(t, Config{})
	n := b.n
	if n.codec != nil {
		t.Fatal("a codec is active before anything was decoded")
	}
	wide, narrow := n.reg.get(testPT), n.reg.get(testPT+1)
	for i, c := range []struct {
		use          *codec
		wide, narrow int // resets
	}{{wide, 0, 0}, {wide, 0, 0}, {narrow, 0, 1}, {narrow, 0, 1}, {wide, 1, 1}} {
		if c.use.open() == nil {
			t.Fatal("no decoder")
		}
		n.use(c.use)
		if n.codec != c.use || b.dec.resets != c.wide || others[0].resets != c.narrow {
			t.Errorf("step %d: %d and %d resets", i, b.dec.resets, others[0].resets)
		}
	}
}

// Item 140 as we decided: a stream that changes codec and clock loses nothing, conceals nothing and does not click; a codec
// that comes back starts afresh.
func TestPayloadTypeChangesInTheStream(t *testing.T) {
	for _, channels := range []int{1, 2} {
		b, others := newSwitchBench(t, Config{Channels: channels})
		b.sig = sine(100, 0.3)
		for k := range 200 { // 4 s; a change every 400 ms
			b.now = time.Duration(k) * ms(20)
			switch k / 20 % 4 {
			case 0, 2:
				b.insert(b.next(), b.now)
			case 1:
				b.insert(b.as(testPT+1, 6), b.now)
			default:
				b.insert(b.as(testPT+2, 3), b.now)
			}
			b.tick()
			b.tick()
		}
		s := b.n.Stats()
		if s.PacketsDiscarded+s.InvalidPackets+s.ConcealedSamples+s.StreamResets+s.DecodeErrors != 0 {
			t.Errorf("%d channels: discarded %d, invalid %d, concealed %d, resets %d, errors %d", channels, s.PacketsDiscarded,
				s.InvalidPackets, s.ConcealedSamples, s.StreamResets, s.DecodeErrors)
		}
		if s.JitterBufferEmittedCount < 198*960 {
			t.Errorf("%d channels: %d samples played", channels, s.JitterBufferEmittedCount)
		}
		for i, d := range others {
			if d.decodes < 38 || d.resets < 1 {
				t.Errorf("%d channels: decoder %d decoded %d packets after %d resets", channels, i, d.decodes, d.resets)
			}
		}
		// Six samples held make steps of six times the slope of the sine; a click would be more.
		limit := 2 * 6 * 0.3 * 2 * math.Pi * 100 / sampleRate
		for i := 48000 * channels; i+channels < len(b.out); i++ {
			if d := math.Abs(float64(b.out[i+channels] - b.out[i])); d > limit {
				t.Fatalf("%d channels: step of %.4f at %d ms", channels, d, i/channels/48)
			}
		}
	}
}

// A loss right where the codec changes is concealed like any other.
func TestLossAtAPayloadTypeChange(t *testing.T) {
	b, _ := newSwitchBench(t, Config{})
	b.sig = sine(100, 0.3)
	for k := range 100 {
		b.now = time.Duration(k) * ms(20)
		switch {
		case k == 50: // lost; the sender counted it in the old clock
			b.lose()
		case k < 50:
			b.insert(b.next(), b.now)
		default:
			b.insert(b.as(testPT+1, 6), b.now)
		}
		b.tick()
		b.tick()
	}
	s := b.n.Stats()
	if s.ConcealedSamples < 700 || s.ConcealedSamples > 2000 || s.ConcealmentEvents != 1 || s.PacketsDiscarded != 0 {
		t.Errorf("concealed %d in %d events, discarded %d", s.ConcealedSamples, s.ConcealmentEvents, s.PacketsDiscarded)
	}
}
