package neteq

import (
	"math"
	"testing"
)

func fill(sig signal, from, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(sig(from+i, 0))
	}
	return x
}

// played makes a sync buffer that has played sig, with future samples of it to come.
func played(sig signal, future int) (*syncBuffer, int) {
	b := newSyncBuffer(1)
	x := [2][]float32{fill(sig, 0, 8*historySamples+future)}
	for from := 0; from < 8*historySamples; from += historySamples {
		part := [2][]float32{x[0][from : from+historySamples]}
		b.append(&part, historySamples)
		b.read = b.end()
	}
	part := [2][]float32{x[0][8*historySamples:]}
	b.append(&part, future)
	return b, 8*historySamples + future
}

func TestSyncBuffer(t *testing.T) { // 7.7 items 72 to 76
	b := newSyncBuffer(2)
	if b.future() != 0 || energy(b.ch[0]) != 0 {
		t.Error("not empty")
	}
	x := [2][]float32{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10}}
	b.append(&x, 10)
	out := make([]float32, 10)
	for k := range 2 {
		b.readInto(out, 5)
		for i := range 5 {
			if out[2*i] != float32(5*k+i+1) || out[2*i+1] != -float32(5*k+i+1) {
				t.Fatalf("read %d: %v", k, out)
			}
		}
	}
	if b.future() != 0 {
		t.Errorf("future %d", b.future())
	}
	// Long use neither grows it nor loses history.
	size := cap(b.ch[0])
	for k := range 1000 {
		y := [2][]float32{fill(silenceSignal, 0, 480), fill(silenceSignal, 0, 480)}
		y[0][0], y[1][479] = float32(k), -float32(k)
		b.append(&y, 480)
		b.readInto(make([]float32, 960), 480)
		if b.ch[0][b.read-480] != float32(k) || b.ch[1][b.read-1] != -float32(k) || b.read < historySamples || len(b.ch[0]) != len(b.ch[1]) {
			t.Fatalf("round %d", k)
		}
	}
	if cap(b.ch[0]) != size {
		t.Errorf("grew from %d to %d", size, cap(b.ch[0]))
	}
}

func TestAppendCrossfade(t *testing.T) { // item 75
	b := newSyncBuffer(1)
	ones := [2][]float32{make([]float32, 100)}
	b.append(&ones, 100)
	hundred := [2][]float32{fill(func(int, int) float64 { return 100 }, 0, 100)}
	b.appendCrossfade(&hundred, 100, 10)
	if b.future() != 190 {
		t.Fatalf("future %d", b.future())
	}
	x := b.ch[0][b.read:]
	for i := range x {
		want := 0.0
		switch {
		case i >= 100:
			want = 100
		case i >= 90:
			want = 100 * float64(i-89) / 11
		}
		if math.Abs(float64(x[i])-want) > 0.01 {
			t.Errorf("sample %d is %v, want %v", i, x[i], want)
		}
	}
}

func TestRamp(t *testing.T) { // item 77
	x := fill(func(int, int) float64 { return 1000 }, 0, 100)
	end := ramp(x, 0, 0.01)
	for i, v := range x {
		if math.Abs(float64(v)-10*float64(i)) > 0.01 {
			t.Errorf("sample %d is %v", i, v)
		}
	}
	if math.Abs(float64(end)-1) > 1e-3 {
		t.Errorf("final gain %v", end)
	}
	if g := ramp(fill(silenceSignal, 0, 10), 0.95, 0.01); g != 1 {
		t.Errorf("gain over 1: %v", g)
	}
	if g := ramp(fill(silenceSignal, 0, 10), 0.05, -0.01); g != 0 {
		t.Errorf("gain below 0: %v", g)
	}
}

func TestPitchIsFoundExactly(t *testing.T) { // item 78
	b, _ := played(sine(1000/7.5, 0.5), 0)
	var e expander
	_, byCorrelation := e.pitch(b.ch[0][b.end()-expandHistory:])
	if d := byCorrelation - 360; d < -3 || d > 3 {
		t.Errorf("period %d samples, want 360", byCorrelation)
	}
}

func TestNoiseGenerator(t *testing.T) { // item 79
	var r noise
	x := make([]float32, 10*sampleRate)
	r.fill(x)
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	mean, variance := sum/float64(len(x)), energy(x)/float64(len(x))
	if math.Abs(mean) > 0.02 || math.Abs(variance-1) > 0.02 {
		t.Errorf("mean %.3f, variance %.3f", mean, variance)
	}
	// No period of less than 5 s.
	for lag := 1; lag < 5*sampleRate; lag++ {
		if x[lag] == x[0] && x[lag+1] == x[1] && x[lag+2] == x[2] {
			t.Fatalf("repeats after %d samples", lag)
		}
	}
}

func TestLPC(t *testing.T) {
	// An AR(2) signal gives its own coefficients back.
	a := [maxLPCOrder + 1]float32{1, -1.2, 0.7}
	x := make([]float32, 20000)
	var r noise
	r.fill(x)
	var state [maxLPCOrder]float32
	synthesize(x, &a, &state, 2)
	var got [maxLPCOrder + 1]float32
	if !lpc(&got, x, 2) || math.Abs(float64(got[1]+1.2)) > 0.03 || math.Abs(float64(got[2]-0.7)) > 0.03 {
		t.Errorf("%v", got[:3])
	}
	if e := residualEnergy(&got, x, 2) / float64(len(x)-2); math.Abs(e-1) > 0.05 {
		t.Errorf("residual %.3f", e)
	}
	if lpc(&got, make([]float32, 100), 8) || got[0] != 1 || got[1] != 0 {
		t.Error("silence has a predictor")
	}
}

func TestBackgroundNoise(t *testing.T) { // 7.8 item 80
	var b backgroundNoise
	b.reset()
	if b.initialized || b.activityReference() != backgroundDefaultEnergy {
		t.Error("initialised before any sound")
	}
	const sigma = 0.001
	sig := white(sigma)
	x := fill(sig, 0, 4*sampleRate)
	step := func(x []float32) {
		for k := backgroundWindow; k <= len(x); k += tickSamples {
			b.update(x[:k], energy(x[k-backgroundWindow:k])/backgroundWindow)
		}
	}
	step(x[:2*sampleRate])
	if d := 10 * math.Log10(b.energy/(sigma*sigma)); !b.initialized || math.Abs(d) > 1.5 {
		t.Errorf("energy off by %.1f dB", d)
	}
	before := b.energy
	loud := fill(white(sigma*31.6), 0, sampleRate)
	step(loud)
	if d := 10 * math.Log10(b.energy/before); d > 3 {
		t.Errorf("speech raised the estimate by %.1f dB", d)
	}
	var r noise
	out := make([]float32, sampleRate)
	b.generate(out, &r)
	if d := dB(rms(out)) - dB(sigma); math.Abs(d) > 2 {
		t.Errorf("generated noise off by %.1f dB", d)
	}
}

func TestExpandDecay(t *testing.T) { // items 81, 82, 83, 84, 85
	for _, c := range []struct {
		name         string
		sig          signal
		halfMs, zero [2]int // bounds
	}{
		{"100 Hz", voice(100), [2]int{40, 160}, [2]int{250, 700}},
		{"400 Hz", sine(400, 0.3), [2]int{30, 100}, [2]int{250, 700}},
		{"noise", white(0.1), [2]int{5, 40}, [2]int{100, 300}},
	} {
		b, _ := played(c.sig, overlapSamples)
		before := rms(b.ch[0][b.end()-sampleRate/50:])
		e := newExpander(1)
		step := float32(0)
		for i := b.end() - 960; i < b.end(); i++ {
			step = max(step, abs32(b.ch[0][i]-b.ch[0][i-1]))
		}
		joint := b.end()
		half, silent, made := -1, -1, 0
		for calls := 0; made < sampleRate; calls++ {
			n := e.process(b, nil)
			if n < expandMinLag || n > expandMaxLag {
				t.Fatalf("%s: %d samples", c.name, n)
			}
			b.append(&e.out, n)
			if calls == 0 && c.name != "noise" {
				for i := joint - overlapSamples; i < joint+overlapSamples; i++ {
					if d := abs32(b.ch[0][i] - b.ch[0][i-1]); d > 1.5*step {
						t.Errorf("%s: step of %.3f at the joint, %.3f before", c.name, d, step)
						break
					}
				}
			}
			b.read = b.end() - overlapSamples
			made += n
			l := rms(b.ch[0][b.end()-n:])
			if half < 0 && l < before/2 {
				half = made / millisecond
			}
			if silent < 0 && e.muted() {
				silent = made / millisecond
			}
			if calls > 1000 {
				t.Fatal("never ends")
			}
		}
		if half < c.halfMs[0] || half > c.halfMs[1] || silent < c.zero[0] || silent > c.zero[1] {
			t.Errorf("%s: half after %d ms, silent after %d ms", c.name, half, silent)
		}
		e.reset()
		if e.muted() {
			t.Errorf("%s: muted after reset", c.name)
		}
	}
	b, _ := played(silenceSignal, overlapSamples)
	e := newExpander(1)
	for range 100 {
		n := e.process(b, nil)
		if energy(e.out[0][:n]) != 0 {
			t.Fatal("sound out of silence")
		}
		b.append(&e.out, n)
		b.read = b.end() - overlapSamples
	}
}

func abs32(x float32) float32 {
	if x < 0 {
		return -x
	}
	return x
}

func TestMergeShortInputs(t *testing.T) { // items 86, 88
	for _, n := range []int{1, 2, 3, 80, 81, 160, 480, 960, 5760} {
		for _, left := range []int{overlapSamples, 240, 500} {
			b, at := played(voice(130), left)
			e := newExpander(1)
			k := e.process(b, nil)
			b.append(&e.out, k)
			old := b.future()
			x := [2][]float32{fill(voice(130), at+k, n)}
			change := merge(b, e, nil, &x, n)
			if got := b.future(); got != old+n+change || got < old || got < min(tickSamples+overlapSamples, mergeLength) {
				t.Errorf("%d samples into %d: future %d, change %d", n, old, got, change)
			}
		}
	}
}

func TestMergeKeepsThePhase(t *testing.T) { // item 87
	b, at := played(sine(200, 0.5), 240)
	e := newExpander(1)
	k := e.process(b, nil)
	b.append(&e.out, k)
	x := [2][]float32{fill(sine(200, 0.5), at+k+77, 1440)} // the sound comes back at any phase
	merge(b, e, nil, &x, 1440)
	out := b.ch[0][b.read : b.read+1200]
	// A sine stays a sine: x[n] = 2cos(w)x[n-1] - x[n-2] but for the slow fades.
	w := 2 * math.Cos(2*math.Pi*200/sampleRate)
	var residual float64
	for i := 2; i < len(out); i++ {
		d := float64(out[i]) - w*float64(out[i-1]) + float64(out[i-2])
		residual = max(residual, math.Abs(d))
	}
	if residual > 0.02 {
		t.Errorf("largest break of the sine: %.4f", residual)
	}
}

func TestNormalAfterShortInputs(t *testing.T) { // item 89
	for _, n := range []int{0, 1, 63, 480, 11520} {
		b, _ := played(voice(130), overlapSamples)
		e := newExpander(1)
		for range 3 {
			k := e.process(b, nil)
			b.append(&e.out, k)
		}
		var bg [2]backgroundNoise
		x := [2][]float32{make([]float32, n)}
		before := b.future()
		normalAfter(b, e, &bg, &x, n)
		if len(x[0]) != n || b.future() != before || n > 0 && !e.first {
			t.Errorf("%d samples: %d, future %d, was %d", n, len(x[0]), b.future(), before)
		}
		for i, v := range x[0] {
			if v != v || i >= afterFade && v != 0 {
				t.Fatalf("%d samples of silence: sample %d is %v", n, i, v)
			}
		}
	}
}

// Item 90: sound that was only late comes back at no less than the gain the concealment had left, and is whole at the end of
// its packet.
func TestNormalAfterGain(t *testing.T) {
	b, _ := played(voice(130), overlapSamples)
	e := newExpander(1)
	for e.process(b, nil); e.muteFactor() > 0.35; e.process(b, nil) {
		b.append(&e.out, expandMinLag)
	}
	muted := e.muteFactor()
	var bg [2]backgroundNoise
	x := [2][]float32{make([]float32, 960)}
	for i := range x[0] {
		x[0][i] = 1
	}
	normalAfter(b, e, &bg, &x, 960)
	if at := x[0][afterFade]; at < muted || at > muted+0.1 || muted < 0.1 {
		t.Errorf("begins at %.3f, the concealment was at %.3f", at, muted)
	}
	for i := afterFade + 1; i < 960; i++ {
		if x[0][i] < x[0][i-1] {
			t.Fatalf("falls at %d", i)
		}
	}
	if end := x[0][959]; end < 0.99 {
		t.Errorf("ends at %.3f", end)
	}
}
