package neteqtest

import (
	"flag"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

var hostilePackets = flag.Int("hostile", 3000, "packets of each kind in TestM05HostileOpus")

// Random, bit-flipped and spliced Opus packets through the real decoder: an error becomes concealment, what comes out is finite
// and of no more than full scale, and the same packets give the same sound. Run it with -hostile 100000000 for days; FuzzDecode
// of internal/opus looks for worse ones.
func TestM05HostileOpus(t *testing.T) {
	t.Parallel()
	good := talk(t, 60*second, opus.EncoderConfig{FEC: true, LossPercent: 10})
	payload := func(r *rand.Rand) []byte { return good[r.IntN(len(good))].Payload }
	for _, c := range []struct {
		name string
		make func(r *rand.Rand, to []byte) []byte
	}{
		{"random", func(r *rand.Rand, to []byte) []byte {
			to = to[:1+r.IntN(200)]
			for i := range to {
				to[i] = byte(r.Uint32())
			}
			return to
		}},
		{"bits flipped", func(r *rand.Rand, to []byte) []byte {
			to = append(to[:0], payload(r)...)
			for range 1 + r.IntN(8) {
				to[r.IntN(len(to))] ^= 1 << r.IntN(8)
			}
			return to
		}},
		{"spliced", func(r *rand.Rand, to []byte) []byte {
			a, b := payload(r), payload(r)
			return append(append(to[:0], a[:1+r.IntN(len(a))]...), b[r.IntN(len(b)):]...)
		}},
	} {
		first := hostileOpus(t, c.name, *hostilePackets, c.make)
		if again := hostileOpus(t, c.name, *hostilePackets, c.make); first != again {
			t.Errorf("%s: another sound in the second run", c.name)
		}
	}
}

// hostileOpus plays count packets and returns a checksum of the sound.
func hostileOpus(t *testing.T, name string, count int, packet func(*rand.Rand, []byte) []byte) uint32 {
	t.Helper()
	n, err := neteq.New(neteq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for pt, f := range replay.DefaultFormats() {
		if err := n.Register(pt, f, func() (neteq.Decoder, error) { return opus.NewDecoder(1) }); err != nil {
			t.Fatal(err)
		}
	}
	r := source(9)
	frame := make([]float32, 480)
	buf := make([]byte, 4000)
	p := neteq.Packet{SSRC: 1, PayloadType: opusPT}
	sum, bytes := uint32(0), make([]byte, 4)
	var now time.Duration
	for range count {
		p.Payload = packet(r, buf)
		_ = n.Insert(&p, now) // an error is fine
		p.SequenceNumber++
		p.Timestamp += frameSamples
		if r.IntN(20) == 0 { // some are lost, so that redundancy and concealment are asked for
			p.SequenceNumber++
			p.Timestamp += frameSamples
			now += FrameTime
		}
		for range 2 {
			now += FrameTime / 2
			n.Get(frame, now)
			for i, v := range frame {
				if !(v >= -math.Sqrt2 && v <= math.Sqrt2) { // an equal-power fade of two of full scale
					t.Fatalf("%s: sample %d is %v", name, i, v)
				}
				b := math.Float32bits(v)
				bytes[0], bytes[1], bytes[2], bytes[3] = byte(b), byte(b>>8), byte(b>>16), byte(b>>24)
				sum = crc32.Update(sum, crc32.IEEETable, bytes)
			}
		}
	}
	s := n.Stats()
	if s.BufferedPackets > 200 || s.JitterBufferEmittedCount < uint64(count)*frameSamples/10 {
		t.Errorf("%s: %d packets kept, %d samples decoded", name, s.BufferedPackets, s.JitterBufferEmittedCount)
	}
	return sum
}

// Item 110: asked for 10 ms of nothing, the decoder makes 10 ms.
func TestDecodingNothing(t *testing.T) {
	t.Parallel()
	for _, channels := range []int{1, 2} {
		d, err := opus.NewDecoder(channels)
		if err != nil {
			t.Fatal(err)
		}
		pcm := make([]float32, 480*channels)
		if _, err := d.Decode(talk(t, 60*second, opus.EncoderConfig{})[50].Payload, make([]float32, 960*channels)); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Conceal(pcm); n != 480 || err != nil {
			t.Errorf("%d channels: %d samples, %v", channels, n, err)
		}
	}
}
