package neteqtest

import (
	"math"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

// The scenarios of neteq.md 6.17 and of the aims of docs/neteq.md, with the real codec.

const millisecond = time.Millisecond

// at returns the tick at time t.
func at(o *replay.Outcome, t time.Duration) *replay.Tick {
	for i := range o.Ticks {
		if o.Ticks[i].At >= t {
			return &o.Ticks[i]
		}
	}
	return &o.Ticks[len(o.Ticks)-1]
}

func TestBackFromJitterInTwelveSeconds(t *testing.T) { // 6.1, item 175
	t.Parallel()
	packets := talk(t, 60*second, opus.EncoderConfig{})
	r := source(3)
	jittery := Delay(packets, FIFO(func(_ int, at time.Duration) time.Duration {
		if at < 30*second {
			return time.Duration(r.Float64() * float64(100*millisecond))
		}
		return 0
	}))
	_, clean := play(t, packets, replay.Options{})
	out, _ := play(t, jittery, replay.Options{})
	before, after := at(out, 29*second).Stats.PlayoutDelay, at(out, 42*second).Stats.PlayoutDelay
	if before < 60*millisecond {
		t.Errorf("delay %v under 100 ms of jitter", before)
	}
	if ideal := time.Duration(clean.JitterBufferDelayMeanMs * 1e6); after > ideal+20*millisecond {
		t.Errorf("after 12 s of calm the delay is %v, ideal %v", after, ideal)
	}
}

func TestEarlySpike(t *testing.T) { // 6.2, item 175
	t.Parallel()
	packets := talk(t, 20*second, opus.EncoderConfig{})
	for _, when := range []time.Duration{200 * millisecond, second, 3 * second} {
		out, s := play(t, Delay(packets, FIFO(func(_ int, at time.Duration) time.Duration {
			if at >= when && at < when+20*millisecond {
				return 600 * millisecond
			}
			return 0
		})), replay.Options{})
		if s.MaxTargetDelayMs > 200 {
			t.Errorf("spike at %v: target up to %.0f ms", when, s.MaxTargetDelayMs)
		}
		if d := last(out).PlayoutDelay; d > 60*millisecond {
			t.Errorf("spike at %v: delay %v at the end", when, d)
		}
	}
}

func TestZeroJitterStartsWithoutStretching(t *testing.T) { // 6.2, item 175
	t.Parallel()
	packets := talk(t, 20*second, opus.EncoderConfig{})
	for phase := time.Duration(0); phase < 10*millisecond; phase += 1250 * time.Microsecond {
		out, s := play(t, packets, replay.Options{Phase: phase})
		st := &at(out, 5*second).Stats
		if st.InsertedSamplesForDeceleration+st.RemovedSamplesForAcceleration != 0 {
			t.Errorf("phase %v: stretched", phase)
		}
		if s.JitterBufferDelayMeanMs > 22 {
			t.Errorf("phase %v: delay %.1f ms", phase, s.JitterBufferDelayMeanMs)
		}
		first := 0
		for first < len(out.Ticks) && out.Ticks[first].Result.Speech != neteq.Speech {
			first++
		}
		if wait := out.Ticks[first].At - packets[0].Arrival; wait > 60*millisecond {
			t.Errorf("phase %v: first sound after %v", phase, wait)
		}
	}
}

func TestWrongTimestampsAreTolerated(t *testing.T) { // 6.9, items 174
	t.Parallel()
	packets := talk(t, 20*second, opus.EncoderConfig{})
	ts := packets[0].Timestamp
	for i := range packets {
		packets[i].Timestamp = ts
		ts += 953
		if i%2 == 1 {
			ts += 14
		}
	}
	out, s := play(t, packets, replay.Options{})
	st := last(out)
	if st.ConcealedSamples != 0 || st.PacketsDiscarded != 0 || st.ToleratedTimestamps == 0 {
		t.Errorf("concealed %.2f %%, discarded %d, tolerated %d", 100*s.ConcealedRatio, st.PacketsDiscarded, st.ToleratedTimestamps)
	}
}

func TestFrozenTimestamps(t *testing.T) { // 6.6
	t.Parallel()
	// The sender is mute from 5 to 10 s and its clock with it.
	packets := talk(t, 20*second, opus.EncoderConfig{})
	frozen := Delay(packets, func(_ int, at time.Duration) time.Duration {
		if at >= 5*second {
			return 5 * second
		}
		return 0
	})
	out, _ := play(t, frozen, replay.Options{})
	resumed := time.Duration(-1)
	for _, p := range frozen {
		if p.Arrival >= 10*second {
			resumed = p.Arrival
			break
		}
	}
	heard := time.Duration(-1)
	for i := range out.Ticks {
		if k := &out.Ticks[i]; k.At >= resumed && k.Result.Speech == neteq.Speech {
			heard = k.At
			break
		}
	}
	if heard < 0 || heard-resumed > 40*millisecond {
		t.Errorf("first sound %v after the packet", heard-resumed)
	}
	if d := at(out, resumed+second).Stats; d.PlayoutDelay > d.TargetDelay+40*millisecond {
		t.Errorf("a second later: delay %v, target %v", d.PlayoutDelay, d.TargetDelay)
	}
}

func TestNoiseGoesOnInGaps(t *testing.T) { // 6.3, item 179
	t.Parallel()
	r := source(11)
	pcm := make([]float32, 30*sampleRate)
	for i := range pcm {
		pcm[i] = float32(0.02 * r.NormFloat64())
	}
	packets := encode(t, pcm, opus.EncoderConfig{})
	for _, gap := range []time.Duration{300 * millisecond, second, 3 * second} {
		out, _ := play(t, Delay(packets, func(_ int, at time.Duration) time.Duration {
			if at >= 10*second && at < 10*second+gap {
				return -1
			}
			return 0
		}), replay.Options{})
		part := func(from, to time.Duration) []float32 {
			return out.PCM[int(from.Seconds()*sampleRate):int(to.Seconds()*sampleRate)]
		}
		before := level(part(8*second, 10*second))
		for from := 10*second + 100*millisecond; from+100*millisecond <= 10*second+gap; from += 100 * millisecond {
			if l := level(part(from, from+100*millisecond)); math.Abs(l-before) > 4 {
				t.Errorf("gap of %v: %.1f dB at %v, %.1f dB before", gap, l, from-10*second, before)
			}
		}
	}
}

// Stalls that come back after long calms. libwebrtc keeps a target of 320 ms for up to five seconds after each of 300 ms and
// plays 23 to 41 stretches. We conceal no more than its policy does, with fewer stretches: where they come often enough to be
// the network's habit, they are covered; otherwise the delay goes again.
func TestRareStalls(t *testing.T) { // 6.17 number 7
	t.Parallel()
	packets := talk(t, 60*second, opus.EncoderConfig{})
	stretches := func(o *replay.Outcome) int {
		s := last(o)
		return int(s.Operations[neteq.OpAccelerate] + s.Operations[neteq.OpFastAccelerate] + s.Operations[neteq.OpPreemptiveExpand])
	}
	for _, c := range []struct {
		every, length time.Duration
		share         float64 // of the stretches
		rare          bool
	}{{10 * second, 300 * millisecond, 0.5, false}, {25 * second, 200 * millisecond, 0.65, true}, {25 * second, 300 * millisecond, 0.85, true}} {
		stalled := Delay(packets, FIFO(func(_ int, at time.Duration) time.Duration {
			if at > 5*second && at%c.every < 20*millisecond {
				return c.length
			}
			return 0
		}))
		out, s := play(t, stalled, replay.Options{})
		m150, ms := play(t, stalled, replay.Options{Config: neteq.Config{Policy: neteq.PolicyM150}})
		if s.ConcealedRatio > ms.ConcealedRatio+0.0005 {
			t.Errorf("%v every %v: concealed %.2f %%, M150 %.2f %%", c.length, c.every, 100*s.ConcealedRatio, 100*ms.ConcealedRatio)
		}
		if a, b := stretches(out), stretches(m150); float64(a) > c.share*float64(b) {
			t.Errorf("%v every %v: %d stretches, M150 %d", c.length, c.every, a, b)
		}
		for stall := c.every; c.rare && stall < 55*second; stall += c.every {
			if d := at(out, stall+c.length+6*second).Stats.PlayoutDelay; d > 50*millisecond {
				t.Errorf("%v every %v: delay %v six seconds after the stall", c.length, c.every, d)
			}
		}
	}
}

func TestBurstAfterSixSeconds(t *testing.T) { // 6.17 number 6, 6.7
	t.Parallel()
	packets := talk(t, 30*second, opus.EncoderConfig{})
	out, _ := play(t, Delay(packets, func(_ int, at time.Duration) time.Duration {
		if at >= 10*second && at < 16*second {
			return 16*second - at
		}
		return 0
	}), replay.Options{})
	st := at(out, 16500*millisecond).Stats
	if st.PlayoutDelay > st.TargetDelay+60*millisecond {
		t.Errorf("half a second after the burst: delay %v, target %v", st.PlayoutDelay, st.TargetDelay)
	}
	// One cut: after the burst there is sound, with at most one more concealment.
	if e := last(out).ConcealmentEvents; e > 2 {
		t.Errorf("%d concealments", e)
	}
}

func TestMuteCyclesWithDTX(t *testing.T) { // 6.6, item 178
	t.Parallel()
	pcm := speech(60 * second)
	for i := range pcm {
		if i/sampleRate%3 == 2 { // a second of digital silence, twenty times
			pcm[i] = 0
		}
	}
	packets := Delay(encode(t, pcm, opus.EncoderConfig{DTX: true}), Gaussian(5*millisecond, 8))
	out, _ := play(t, packets, replay.Options{})
	st := last(out)
	if st.PlayoutDelay > st.TargetDelay+30*millisecond {
		t.Errorf("delay %v, target %v", st.PlayoutDelay, st.TargetDelay)
	}
}

func TestClockDrift(t *testing.T) { // item 177
	t.Parallel()
	packets := talk(t, driftCall, opus.EncoderConfig{Complexity: 1})
	for _, ppm := range []float64{-500, -100, 100, 500} {
		out, s := play(t, Delay(packets, func(_ int, at time.Duration) time.Duration {
			return 100*millisecond - time.Duration(float64(at)*ppm/1e6)
		}), replay.Options{})
		if s.ConcealedRatio > 0.0005 {
			t.Errorf("%g ppm: concealed %.3f %%", ppm, 100*s.ConcealedRatio)
		}
		if d := last(out).PlayoutDelay; d > 60*millisecond {
			t.Errorf("%g ppm: delay %v in the end", ppm, d)
		}
	}
}

func TestSineIsNotTornByJitter(t *testing.T) { // 6.17 number 10
	t.Parallel()
	pcm := make([]float32, 40*sampleRate)
	for i := range pcm {
		x := float64(i) / sampleRate
		pcm[i] = float32(0.2*math.Sin(2*math.Pi*220*x) + 0.15*math.Sin(2*math.Pi*330*x) + 0.1*math.Sin(2*math.Pi*440*x))
	}
	_, s := play(t, Delay(encode(t, pcm, opus.EncoderConfig{BitrateBps: 64000}), Gaussian(60*millisecond, 12)), replay.Options{})
	if s.ConcealedRatio > 0.012 || s.StutterShare > 0.005 {
		t.Errorf("concealed %.2f %%, stutter %.2f %%", 100*s.ConcealedRatio, 100*s.StutterShare)
	}
}

func TestTakingTurnsWithSkip(t *testing.T) { // 5.5, item 173
	t.Parallel()
	packets := talk(t, 20*second, opus.EncoderConfig{})
	n, err := neteq.New(neteq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dec, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Register(opusPT, neteq.Format{Name: "opus", ClockRateHz: sampleRate}, func() (neteq.Decoder, error) { return dec, nil }); err != nil {
		t.Fatal(err)
	}
	straight, _ := play(t, packets, replay.Options{})
	frame := make([]float32, 480)
	var now time.Duration
	next := 0
	for k := 0; now < 19*second; k++ {
		now += 10 * millisecond
		for next < len(packets) && packets[next].Arrival <= now {
			if err := n.Insert(&packets[next].Packet, packets[next].Arrival); err != nil {
				t.Fatal(err)
			}
			next++
		}
		if k/300%2 == 1 {
			n.Skip(now)
			continue
		}
		n.Get(frame, now)
	}
	a, b := n.Stats(), at(straight, now).Stats
	if a.ConcealedSamples != 0 || a.PacketsDiscarded != 0 {
		t.Errorf("concealed %d, discarded %d", a.ConcealedSamples, a.PacketsDiscarded)
	}
	if d := a.PlayoutDelay - b.PlayoutDelay; d > 20*millisecond || d < -20*millisecond {
		t.Errorf("delay %v, without skipping %v", a.PlayoutDelay, b.PlayoutDelay)
	}
}
