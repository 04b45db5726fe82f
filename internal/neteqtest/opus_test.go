package neteqtest

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/internal/testkit"
	"parley/neteq"
)

const second = time.Second

// voice is the longest call any test needs, made once.
var voice = sync.OnceValue(func() []float32 {
	return testkit.Voice(testkit.VoiceConfig{PitchHz: 130, LevelDBFS: -22, Seed: 3}, max(driftCall, 60*second))
})

func speech(d time.Duration) []float32 { return slices.Clone(voice()[:testkit.Samples(d)]) }

// calls holds what talk encoded: many tests want the same call over another network.
var calls sync.Map // of call, func() ([]replay.Packet, error)

type call struct {
	length time.Duration
	config opus.EncoderConfig
}

// talk returns the packets of a call.
func talk(t testing.TB, d time.Duration, cfg opus.EncoderConfig) []replay.Packet {
	t.Helper()
	made, _ := calls.LoadOrStore(call{d, cfg}, sync.OnceValues(func() ([]replay.Packet, error) { return Encode(speech(d), cfg) }))
	packets, err := made.(func() ([]replay.Packet, error))()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(packets)
}

func encode(t testing.TB, pcm []float32, cfg opus.EncoderConfig) []replay.Packet {
	t.Helper()
	p, err := Encode(pcm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func play(t testing.TB, packets []replay.Packet, o replay.Options) (*replay.Outcome, replay.Summary) {
	t.Helper()
	o.NewDecoder = Decoder
	out, err := replay.Run(packets, o)
	if err != nil {
		t.Fatal(err)
	}
	return out, out.Summarize()
}

func level(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return 10 * math.Log10(s/float64(max(1, len(x)))+1e-12)
}

func last(o *replay.Outcome) *neteq.Stats { return &o.Ticks[len(o.Ticks)-1].Stats }

func TestCleanLinkIsTransparent(t *testing.T) {
	t.Parallel()
	packets := talk(t, 20*second, opus.EncoderConfig{})
	for _, phase := range []time.Duration{0, 2500 * time.Microsecond, 5 * time.Millisecond, 7500 * time.Microsecond} {
		out, s := play(t, Delay(packets, func(int, time.Duration) time.Duration { return 3700 * time.Microsecond }),
			replay.Options{Phase: phase})
		st := last(out)
		if st.ConcealedSamples != 0 || st.InsertedSamplesForDeceleration != 0 || st.RemovedSamplesForAcceleration != 0 {
			t.Errorf("phase %v: concealed %d, stretched +%d -%d", phase, st.ConcealedSamples, st.InsertedSamplesForDeceleration,
				st.RemovedSamplesForAcceleration)
		}
		if s.JitterBufferDelayMeanMs > 22 {
			t.Errorf("phase %v: delay %.1f ms", phase, s.JitterBufferDelayMeanMs)
		}
		if l, want := level(out.PCM), level(speech(20*second)); math.Abs(l-want) > 1 {
			t.Errorf("level %.1f dB, sent %.1f", l, want)
		}
	}
}

func TestInBandFECFillsSingleLosses(t *testing.T) { // items 107 and 153
	t.Parallel()
	packets := talk(t, 30*second, opus.EncoderConfig{FEC: true, LossPercent: 10})
	lossy := Delay(packets, func(i int, _ time.Duration) time.Duration {
		if i%10 == 5 && i > 100 {
			return -1
		}
		return 0
	})
	out, s := play(t, lossy, replay.Options{})
	st := last(out)
	lost := uint64(len(packets) - len(lossy))
	if st.FECPacketsUsed < lost*8/10 {
		t.Errorf("%d of %d lost packets came from redundancy", st.FECPacketsUsed, lost)
	}
	if rest := st.FECPacketsReceived - st.FECPacketsUsed - st.FECPacketsDiscarded; st.FECPacketsReceived < uint64(len(packets))/3 ||
		rest > uint64(st.BufferedPackets) {
		t.Errorf("FEC received %d, used %d, discarded %d", st.FECPacketsReceived, st.FECPacketsUsed, st.FECPacketsDiscarded)
	}
	if s.ConcealedRatio > 0.03 {
		t.Errorf("concealed %.2f %%", 100*s.ConcealedRatio)
	}
}

func TestREDRecoversLosses(t *testing.T) { // 6.8
	t.Parallel()
	packets := talk(t, 60*second, opus.EncoderConfig{})
	_, clean := play(t, packets, replay.Options{})
	_, red := play(t, RED(packets, 2), replay.Options{})
	if d := red.JitterBufferDelayMeanMs - clean.JitterBufferDelayMeanMs; math.Abs(d) > 1 || red.ConcealedRatio != 0 {
		t.Errorf("RED without loss changes the delay by %.1f ms, concealed %.3f %%", d, 100*red.ConcealedRatio)
	}
	_, s := play(t, Delay(RED(packets, 2), Loss(0.2, 5)), replay.Options{})
	if s.ConcealedRatio > 0.015 {
		t.Errorf("RED distance 2 at 20 %% loss: concealed %.2f %%", 100*s.ConcealedRatio)
	}
	if s.REDPacketsUsed == 0 || s.JitterBufferDelayMeanMs > clean.JitterBufferDelayMeanMs+50 {
		t.Errorf("used %d copies, delay %.1f ms", s.REDPacketsUsed, s.JitterBufferDelayMeanMs)
	}
}

func TestDTXIsComfortNoiseNotConcealment(t *testing.T) { // item 137, 6.6
	t.Parallel()
	pcm, r := speech(20*second), source(51)
	for i := range pcm { // two seconds of speech, three of a quiet room
		if i/sampleRate%5 >= 2 {
			pcm[i] = 0.0003 * float32(r.NormFloat64())
		}
	}
	packets := encode(t, pcm, opus.EncoderConfig{DTX: true})
	if len(packets) > 900 {
		t.Fatalf("%d packets: no DTX", len(packets))
	}
	out, s := play(t, packets, replay.Options{})
	st := last(out)
	if st.ConcealedSamples != 0 {
		t.Errorf("concealed %d samples of an announced silence", st.ConcealedSamples)
	}
	if st.GeneratedNoiseSamples < 2*sampleRate {
		t.Errorf("%d samples of comfort noise", st.GeneratedNoiseSamples)
	}
	if s.JitterBufferDelayMeanMs > 30 {
		t.Errorf("delay %.1f ms", s.JitterBufferDelayMeanMs)
	}
}

func TestStereo(t *testing.T) { // item 158
	t.Parallel()
	mono := speech(10 * second)
	pcm := make([]float32, 2*len(mono))
	for i, v := range mono {
		pcm[2*i] = v // right is silent
	}
	packets := encode(t, pcm, opus.EncoderConfig{Channels: 2, BitrateBps: 64000})
	out, s := play(t, Delay(packets, Loss(0.05, 9)), replay.Options{Config: neteq.Config{Channels: 2}})
	var l, r []float32
	for i := 0; i < len(out.PCM); i += 2 {
		l, r = append(l, out.PCM[i]), append(r, out.PCM[i+1])
	}
	if level(l)-level(r) < 25 || s.ConcealedRatio == 0 {
		t.Errorf("left %.1f dB, right %.1f dB, concealed %.2f %%", level(l), level(r), 100*s.ConcealedRatio)
	}
}

func TestMonoPacketsInStereo(t *testing.T) { // item 109
	t.Parallel()
	packets := talk(t, 10*second, opus.EncoderConfig{FEC: true, LossPercent: 10, DTX: true})
	out, _ := play(t, Delay(packets, Bursts(0.1, 2, 4)), replay.Options{Config: neteq.Config{Channels: 2}})
	for i := 0; i < len(out.PCM); i += 2 {
		if d := out.PCM[i] - out.PCM[i+1]; d > 1e-3 || d < -1e-3 {
			t.Fatalf("sample %d: left %g, right %g", i/2, out.PCM[i], out.PCM[i+1])
		}
	}
}

func TestNoAllocationWithOpus(t *testing.T) { // item 168
	packets := Delay(RED(talk(t, 60*second, opus.EncoderConfig{FEC: true, LossPercent: 10, DTX: true}), 1),
		Sum(Gaussian(20*time.Millisecond, 1), Bursts(0.1, 2, 2)))
	n, err := neteq.New(neteq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for pt, f := range replay.DefaultFormats() {
		if err := n.Register(pt, f, func() (neteq.Decoder, error) { return opus.NewDecoder(1) }); err != nil {
			t.Fatal(err)
		}
	}
	frame := make([]float32, 480)
	now, next := time.Duration(0), 0
	step := func() {
		now += 10 * time.Millisecond
		for next < len(packets) && packets[next].Arrival <= now {
			if err := n.Insert(&packets[next].Packet, packets[next].Arrival); err != nil {
				t.Fatal(err)
			}
			next++
		}
		n.Get(frame, now)
	}
	for now < 20*second {
		step()
	}
	if a := testing.AllocsPerRun(3000, step); a != 0 {
		t.Errorf("%.3f allocations per tick", a)
	}
}
