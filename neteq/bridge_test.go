package neteq

import (
	"math"
	"testing"
	"time"
)

// wave gives k samples of sig from sample at on.
func wave(sig signal, at, k int) []float32 {
	x := make([]float32, k)
	for i := range x {
		x[i] = float32(sig(at+i, 0))
	}
	return x
}

func TestBridgeHole(t *testing.T) {
	const k, after = 1920, 960
	level := func(x []float32) float64 { return math.Sqrt(energy(x) / float64(len(x))) }
	t.Run("a voice that concealment let fade comes back", func(t *testing.T) {
		truth := wave(voice(125), 0, k+after)
		x := append([]float32(nil), truth...)
		ramp(x[:k], 1, -1.0/k)
		bridgeHole(x[:k], x[k:])
		for at := 0; at+480 <= k; at += 480 {
			part, want := x[at:at+480], truth[at:at+480]
			if r := dot(part, want) / math.Sqrt(energy(part)*energy(want)); r < 0.95 {
				t.Errorf("at %d: correlation with the truth %.3f", at, r)
			}
		}
		if l, want := level(x[k-480:k]), level(truth[k-480:k]); l < 0.8*want {
			t.Errorf("end of the hole at %.3f, the voice at %.3f", l, want)
		}
	})
	t.Run("noise keeps its level", func(t *testing.T) {
		x := wave(white(0.1), 0, k+after)
		bridgeHole(x[:k], x[k:])
		for at := 0; at+480 <= k; at += 480 {
			if l := level(x[at : at+480]); l < 0.085 || l > 0.115 {
				t.Errorf("at %d: level %.3f", at, l)
			}
		}
	})
	t.Run("a loud past sinks into silence", func(t *testing.T) {
		x := append(wave(voice(125), 0, k), make([]float32, after)...)
		was := level(x[k-480 : k])
		bridgeHole(x[:k], x[k:])
		if l := level(x[k-480 : k]); l > was/3 {
			t.Errorf("end of the hole at %.3f before silence, %.3f without it", l, was)
		}
	})
	t.Run("sides that cancel each other, full scale, too little to see", func(t *testing.T) {
		x := wave(sine(200, 1), 0, k+after)
		for i := range x[:k] {
			x[i] = -x[i]
		}
		bridgeHole(x[:k], x[k:])
		for i, v := range x {
			if !(v >= -1 && v <= 1) {
				t.Fatalf("sample %d is %v", i, v)
			}
		}
		short := []float32{1, 1, 1}
		bridgeHole(short[:1], short[1:])
		bridgeHole(nil, nil)
		if short[0] != 1 {
			t.Error("a hole of one sample was changed")
		}
	})
}

func TestBridgePeriod(t *testing.T) {
	for _, hz := range []float64{90, 125, 180, 300} {
		lag, voiced := bridgePeriod(wave(voice(hz), 777, 960))
		if off := float64(lag) * hz / sampleRate; !voiced || math.Abs(off-math.Round(off)) > 0.03 {
			t.Errorf("%v Hz: lag %d, voiced %v", hz, lag, voiced)
		}
	}
	if _, voiced := bridgePeriod(wave(white(0.1), 0, 960)); voiced {
		t.Error("noise has a period")
	}
	if _, voiced := bridgePeriod(make([]float32, 960)); voiced {
		t.Error("silence has a period")
	}
}

// TestHoleIsFilledFromBothSides plays a voice with a codec that conceals silence: only what comes after a hole of 40 ms can
// make it sound. What is counted stays as it was, and the ticks of the hole are called what they are.
func TestHoleIsFilledFromBothSides(t *testing.T) {
	for _, channels := range []int{1, 2} {
		b := newBench(t, Config{Channels: channels, DisableStretching: true, MinDelay: ms(80)})
		b.sig = voice(125)
		b.dec.conceal = func(pcm []float32) { clear(pcm) }
		b.run(ms(2000), func(k int) time.Duration {
			if k%25 == 20 || k%25 == 21 {
				return -1
			}
			return 0
		})
		s := b.n.Stats()
		holes := int(s.ConcealmentEvents)
		if holes < 2 || int(s.ConcealedSamples) != holes*2*b.packet {
			t.Fatalf("%d channels: %d samples concealed in %d events", channels, s.ConcealedSamples, holes)
		}
		concealed, loud := 0, 0
		for i, r := range b.results {
			if r.Operation != OpCodecPLC {
				continue
			}
			concealed++
			x := b.out[i*len(b.frame) : (i+1)*len(b.frame)]
			if energy(x)/float64(len(x)) > 1e-3 {
				loud++
			}
		}
		if concealed < 3*holes || concealed > 5*holes {
			t.Errorf("%d channels: %d ticks of concealment in %d holes of 40 ms", channels, concealed, holes)
		}
		if loud < 2*holes {
			t.Errorf("%d channels: %d of %d ticks are filled", channels, loud, concealed)
		}
	}
}

// TestNoBridgeWherePacketsOvertake swaps two packets before the holes: a missing one may still come, and the hole is left to
// the codec.
func TestNoBridgeWherePacketsOvertake(t *testing.T) {
	b := newBench(t, Config{DisableStretching: true, MinDelay: ms(80)})
	b.sig = voice(125)
	b.dec.conceal = func(pcm []float32) { clear(pcm) }
	b.run(ms(2000), func(k int) time.Duration {
		switch {
		case k == 10:
			return ms(30)
		case k%25 == 20 || k%25 == 21:
			return -1
		}
		return 0
	})
	concealed := 0
	for i, r := range b.results {
		if r.Operation != OpCodecPLC {
			continue
		}
		// All but the ends of a hole is the silence that the codec conceals with.
		if x := b.out[i*tickSamples : (i+1)*tickSamples]; energy(x) == 0 {
			concealed++
		}
	}
	if concealed < 2 {
		t.Errorf("%d ticks are the codec's alone", concealed)
	}
}
