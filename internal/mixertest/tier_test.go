package mixertest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

// sent is a frame as it was handed to a sink.
type sent struct {
	payload, redundant []byte
	timestamp, offset  uint32
	samples            int
	at                 time.Duration
}

// keeper keeps what it is handed.
type keeper struct {
	x      *spied
	frames []sent
}

func (k *keeper) WriteFrame(f mixer.Frame) {
	k.frames = append(k.frames, sent{slices.Clone(f.Payload), slices.Clone(f.Redundant), f.Timestamp, f.RedundantOffset, f.Samples, k.x.now})
}

func (k *keeper) bitsPerSecond(redundant bool) float64 {
	bytes, samples := 0, 0
	for _, f := range k.frames {
		bytes += len(f.payload)
		if redundant {
			bytes += len(f.redundant)
		}
		samples += f.samples
	}
	return 8 * float64(bytes) / float64(samples) * 48000
}

// received plays frames through a NetEq after a loss, and returns the share of the sound that was made up.
func received(t *testing.T, frames []sent, loss float64, red bool) float64 {
	t.Helper()
	n, err := neteq.New(neteq.Config{Channels: 1})
	if err == nil {
		err = n.Register(111, neteq.Format{Name: "opus", ClockRateHz: 48000, Channels: 2}, func() (neteq.Decoder, error) { return opus.NewDecoder(1) })
	}
	if err == nil {
		err = n.Register(63, neteq.Format{Name: "red", ClockRateHz: 48000, Channels: 2}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(15, 15))
	pcm := make([]float32, 480)
	now := frames[0].at
	var base neteq.Stats
	for i, f := range frames {
		for ; now < f.at; now += 10 * time.Millisecond {
			n.Get(pcm, now)
		}
		if i == len(frames)/5 {
			base = n.Stats()
		}
		if rng.Float64() < loss {
			continue
		}
		p := neteq.Packet{PayloadType: 111, SequenceNumber: uint16(i), Timestamp: f.timestamp, SSRC: 1, Payload: f.payload}
		if red && f.redundant != nil {
			head := binary.BigEndian.AppendUint32(nil, 1<<31|111<<24|f.offset<<10|uint32(len(f.redundant)))
			p.PayloadType, p.Payload = 63, slices.Concat(head, []byte{111}, f.redundant, f.payload)
		}
		if err := n.Insert(&p, now); err != nil {
			t.Fatal(err)
		}
	}
	st := n.Stats()
	return float64(st.ConcealedSamples-base.ConcealedSamples) / float64(st.TotalSamplesReceived-base.TotalSamplesReceived)
}

// One loses 15 % of its packets, one none, in the same room: each gets what suits it, and the good one's packets are, to the last bit,
// those of a room without the bad one.
func TestBadConnectionDoesNotDisturbOthers(t *testing.T) {
	const seconds = 20
	room := func(withBad bool) (good, bad *keeper, stats mixer.Stats) {
		x := newSpied(t, mixer.EncoderConfig{BitrateBps: 40000, FEC: true, Complexity: 9})
		r := newRoom(t, x.Mixer, mixer.RoomConfig{})
		talkers := []*babble{newBabble(t, r, "A", 1), newBabble(t, r, "B", 2)}
		good, bad = &keeper{x: x}, &keeper{x: x}
		first, err := r.AddListener(mixer.ListenerConfig{Owner: "good", Sink: good, Redundant: true})
		if err != nil {
			t.Fatal(err)
		}
		var second *mixer.Listener
		if withBad {
			if second, err = r.AddListener(mixer.ListenerConfig{Owner: "bad", Sink: bad, Redundant: true}); err != nil {
				t.Fatal(err)
			}
		}
		for frame := range seconds * 50 {
			if frame%50 == 25 {
				first.SetReport(mixer.Report{})
				if withBad {
					second.SetReport(mixer.Report{Loss: 0.15})
				}
			}
			x.run(talkers...)
		}
		if withBad && (first.Tier() != mixer.Excellent || second.Tier() != mixer.Poor) {
			t.Errorf("tiers %v and %v", first.Tier(), second.Tier())
		}
		return good, bad, x.Stats()
	}
	alone, _, _ := room(false)
	good, bad, stats := room(true)
	if len(alone.frames) != len(good.frames) || len(good.frames) < seconds*50-2 {
		t.Fatalf("%d frames alone, %d beside a bad connection", len(alone.frames), len(good.frames))
	}
	for i, f := range good.frames {
		if string(f.payload) != string(alone.frames[i].payload) || f.redundant != nil {
			t.Fatalf("frame %d to the good one is another because of the bad one", i)
		}
	}
	if stats.TierChanges != 1 {
		t.Errorf("%d changes of tiers", stats.TierChanges)
	}
	settled := &keeper{frames: bad.frames[50:]}
	for _, f := range settled.frames {
		if f.samples != 1920 {
			t.Fatalf("a frame of %d samples to the bad one", f.samples)
		}
	}
	plain, single, red := received(t, alone.frames, 0.15, false), received(t, settled.frames, 0.15, false), received(t, settled.frames, 0.15, true)
	t.Logf("at 15 %% loss %.1f %% of the sound is made up as for good connections, %.1f %% in frames of 40 ms, %.1f %% of these with RED", 100*plain, 100*single, 100*red)
	if red > 0.03 || red > 0.25*plain {
		t.Errorf("%.1f %% of the sound is made up", 100*red)
	}
	rates := []float64{good.bitsPerSecond(true), settled.bitsPerSecond(false), settled.bitsPerSecond(true)}
	t.Log("bit/s of the good one, of the bad one, and with what is sent twice: ", fmt.Sprintf("%.0f", rates))
	for i, want := range []float64{40000, 16000, 32000} {
		if rates[i] < 0.75*want || rates[i] > 1.15*want {
			t.Errorf("rate %d: %.0f bit/s, want about %.0f", i, rates[i], want)
		}
	}
}
