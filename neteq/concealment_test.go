package neteq

import (
	"math"
	"testing"
	"time"
)

// continuing is a decoder whose sound goes on through losses without a break: whatever it is asked for is the next piece of
// a tone.
type continuing struct {
	at     int
	silent bool
}

func (d *continuing) fill(pcm []float32) (int, error) {
	if d.at += len(pcm); d.silent {
		clear(pcm)
		return len(pcm), nil
	}
	for i := range pcm {
		pcm[i] = float32(sine(317, 0.3)(d.at-len(pcm)+i, 0))
	}
	return len(pcm), nil
}

func (d *continuing) Decode(payload []byte, pcm []float32) (int, error) {
	return d.fill(pcm[:opusDuration(payload)])
}
func (d *continuing) DecodeFEC(_ []byte, pcm []float32) (int, error) { return d.fill(pcm) }
func (d *continuing) Conceal(pcm []float32) (int, error)             { return d.fill(pcm) }
func (d *continuing) Reset() error                                   { return nil }

// conceals plays 50 packets of 20 ms a second for the given time, without those that lost names.
func conceals(t *testing.T, d time.Duration, lost func(k int) bool) ([]float32, Stats) {
	t.Helper()
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Register(111, Format{Name: "opus", ClockRateHz: 48000}, func() (Decoder, error) { return &continuing{}, nil }); err != nil {
		t.Fatal(err)
	}
	var out []float32
	frame := make([]float32, tickSamples)
	payload := make([]byte, 40)
	payload[0] = 0x48 // SILK, 20 ms
	for k := range int(d / ms(20)) {
		now := time.Duration(k) * ms(20)
		if !lost(k) {
			p := &Packet{SequenceNumber: uint16(k), Timestamp: uint32(960 * k), PayloadType: 111, Payload: payload}
			if err := n.Insert(p, now); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			now += tickDuration
			n.Get(frame, now)
			out = append(out, frame...)
		}
	}
	return out, n.Stats()
}

// Item 154: with a codec that conceals, what is heard is what the decoder made, lost or not but
// for the fade from a hole into what follows, and the counters tell what was
// lost: concealed in the length of the loss, an interruption from 150 ms.
func TestConcealmentByTheCodec(t *testing.T) {
	want, _ := conceals(t, 4*time.Second, func(int) bool { return false })
	for _, c := range []struct {
		name          string
		every, burst  int // packets
		times         int
		interruptions int
		total         int // ms of them
	}{
		{"one", 100, 1, 1, 0, 0}, {"four", 100, 4, 1, 0, 0}, {"five", 100, 5, 1, 0, 0}, {"seven", 100, 7, 1, 0, 0},
		{"eight", 100, 8, 1, 1, 160}, {"nine", 100, 9, 1, 1, 180}, {"one in ten", 10, 1, 18, 0, 0},
		{"250", 1000, 250, 1, 1, 5000}, {"125 twice", 400, 125, 2, 2, 5000},
	} {
		length := 4 * time.Second
		if c.burst > 100 {
			length = 18 * time.Second
		}
		got, s := conceals(t, length, func(k int) bool {
			return k > 20 && k/c.every < c.times && k%c.every >= c.every/2 && k%c.every < c.every/2+c.burst
		})
		events := c.times
		if c.every == 10 {
			events = 16
		}
		concealed := events * c.burst * 20 * millisecond
		if int(s.ConcealedSamples) < concealed-20*millisecond || int(s.ConcealedSamples) > concealed+20*millisecond*events || int(s.ConcealmentEvents) != events {
			t.Errorf("%s: %d ms concealed in %d events, want %d in %d", c.name, s.ConcealedSamples/millisecond, s.ConcealmentEvents,
				concealed/millisecond, events)
		}
		if total := int(s.InterruptionSamples) / millisecond; int(s.InterruptionCount) != c.interruptions || total < c.total-30 || total > c.total+30 {
			t.Errorf("%s: %d interruptions, %d ms, want %d, %d", c.name, s.InterruptionCount, total, c.interruptions, c.total)
		}
		if c.burst > 100 {
			continue // what lasts for seconds fades
		}
		// Only the holes may differ, by the fade into what follows.
		differ, most := 0, 0.0
		for i := range want {
			d := math.Abs(float64(got[i] - want[i]))
			if most = max(most, d); d > 1e-6 {
				differ++
			}
		}
		if differ > events*c.burst*20*millisecond || most > 0.25 {
			t.Errorf("%s: %d ms differ from the sound without loss, by up to %.3f", c.name, differ/millisecond, most)
		}
	}
}

// Item 142: a decoder that never makes anything of use leaves silence, and no more.
func TestDecoderThatAlwaysFails(t *testing.T) {
	for _, channels := range []int{1, 2} {
		b := newBench(t, Config{Channels: channels})
		b.sig = voice(120)
		b.dec.fail = func([]byte) bool { return true }
		b.run(2*time.Second, nil)
		if level := rms(b.out); level != 0 {
			t.Errorf("%d channels: level %v", channels, level)
		}
		if s := b.n.Stats(); s.DecodeErrors < 90 || s.TotalSamplesReceived != 0 {
			t.Errorf("%d channels: %d errors, %d samples received", channels, s.DecodeErrors, s.TotalSamplesReceived)
		}
		b.dec.fail = nil
		b.run(time.Second, nil)
		if level := rms(b.out[len(b.out)-sampleRate/2*channels:]); level < 0.1 {
			t.Errorf("%d channels: level %.3f when it has recovered", channels, level)
		}
	}
}
