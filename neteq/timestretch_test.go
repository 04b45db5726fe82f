package neteq

import (
	"math"
	"testing"
)

func TestStretchPulseTrain(t *testing.T) { // items 91, 92, 93, 94
	for _, hz := range []float64{80, 100, 160, 350} {
		sig := voice(hz)
		b, _ := played(sig, stretchWindow+overlapSamples)
		before := b.future()
		k, outcome := accelerate(b, 1e-9, false, 0)
		period := int(math.Round(sampleRate / hz))
		if outcome != stretchDone || k%period > 2 && k%period < period-2 || b.future() != before-k || k < stretchMinLag || k > stretchMaxLag {
			t.Errorf("%g Hz: removed %d (%v), period %d", hz, k, outcome, period)
		}
		b, _ = played(sig, stretchWindow+overlapSamples)
		k, outcome = preemptiveExpand(b, 1e-9, 0)
		if outcome != stretchDone || k%period > 2 && k%period < period-2 || b.future() != before+k {
			t.Errorf("%g Hz: added %d (%v), period %d", hz, k, outcome, period)
		}
		// The result is still periodic: compare with itself one period later.
		x := b.ch[0][b.read : b.read+2*k+period]
		rho := dot(x[:2*k], x[period:]) / math.Sqrt(energy(x[:2*k])*energy(x[period:period+2*k]))
		if rho < 0.97 {
			t.Errorf("%g Hz: correlation %.3f one period apart", hz, rho)
		}
	}
	b, _ := played(white(0.1), stretchWindow+overlapSamples)
	if k, o := accelerate(b, 1e-9, false, 0); o != stretchFailed || k != 0 {
		t.Errorf("noise was shortened by %d", k)
	}
	if k, o := preemptiveExpand(b, 1e-9, 0); o != stretchFailed || k != 0 {
		t.Errorf("noise was lengthened by %d", k)
	}
	b, _ = played(white(0.0001), stretchWindow+overlapSamples)
	if k, o := accelerate(b, backgroundDefaultEnergy, false, 500); o != stretchLowEnergy || k != 500 {
		t.Errorf("silence: %d, %v", k, o)
	}
	b, _ = played(voice(100), stretchWindow-1)
	if k, o := accelerate(b, 1e-9, false, 0); o != stretchFailed || k != 0 || b.future() != stretchWindow-1 {
		t.Errorf("too short: %d, %v", k, o)
	}
}

func TestFastAccelerateRemovesMore(t *testing.T) { // item 91
	slow, fast := 0, 0
	for hz := 90.0; hz < 380; hz += 13 {
		b, _ := played(sine(hz, 0.3), stretchWindow)
		s, _ := accelerate(b, 1e-9, false, 0)
		b, _ = played(sine(hz, 0.3), stretchWindow)
		f, _ := accelerate(b, 1e-9, true, 0)
		if f < s || f > stretchCenter {
			t.Errorf("%g Hz: fast %d, slow %d", hz, f, s)
		}
		slow, fast = slow+s, fast+f
	}
	if fast <= slow {
		t.Errorf("fast %d, slow %d", fast, slow)
	}
}

// How clean a held tone stays when it is shortened and lengthened (6.5): what is not the tone lies 40 dB below it.
func TestToneStaysCleanWhenStretched(t *testing.T) {
	for _, hz := range []float64{110, 220, 440, 523.25, 880} {
		for _, shorter := range []bool{true, false} {
			x := stretchedTone(t, hz, shorter)
			tone, all := 0.0, 0.0
			const part = 4800
			for i := 0; i+part <= len(x); i += part {
				a := goertzel(x[i:i+part], hz)
				tone += a * a / 2
				all += energy(x[i:i+part]) / part
			}
			if side := 10 * math.Log10(max(1e-9, all-tone)/all); side > -40 {
				t.Errorf("%g Hz, shorter %v: %.1f dB beside the tone", hz, shorter, side)
			}
		}
	}
}

// stretchedTone is 4 s of a tone that is changed in length every 100 ms.
func stretchedTone(t *testing.T, hz float64, shorter bool) []float32 {
	t.Helper()
	const every = 100 * millisecond
	sig := sine(hz, 0.3)
	b, at := played(sig, stretchWindow)
	var out []float32
	changed := 0
	for len(out) < 4*sampleRate {
		x := [2][]float32{fill(sig, at, every)}
		b.append(&x, every)
		at += every
		k, outcome := 0, stretchFailed
		if shorter {
			k, outcome = accelerate(b, 1e-9, false, 0)
		} else {
			k, outcome = preemptiveExpand(b, 1e-9, 0)
		}
		if outcome == stretchDone {
			changed += k
		}
		n := b.future() - stretchWindow
		out = append(out, make([]float32, n)...)
		b.readInto(out[len(out)-n:], n)
	}
	if changed < sampleRate/20 {
		t.Errorf("%g Hz: changed by %d samples only", hz, changed)
	}
	return out
}
