package mixer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// runLimiter feeds samples in ticks and returns what comes out, without the delay.
func runLimiter(l *limiter, in []float32) []float32 {
	n := frameSamples * l.channels
	out := make([]float32, 0, len(in)+n)
	dst := make([]float32, n)
	for at := 0; at+n <= len(in); at += n {
		l.process(dst, in[at:at+n])
		out = append(out, dst...)
	}
	l.process(dst, nil)
	out = append(out, dst...)
	d := limiterLookahead * l.channels
	return out[d : d+len(in)]
}

func TestLimiterIsADelayBelowItsCeiling(t *testing.T) {
	for _, channels := range []int{1, 2} {
		in := make([]float32, 20*frameSamples*channels)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range in {
			in[i] = limiterCeiling * (2*rng.Float32() - 1)
		}
		in[1000], in[2000] = limiterCeiling, -limiterCeiling
		l := newLimiter(channels)
		out := runLimiter(&l, in)
		for i := range in {
			if math.Float32bits(in[i]) != math.Float32bits(out[i]) {
				t.Fatalf("%d channels, sample %d: %v became %v", channels, i, in[i], out[i])
			}
		}
		if !l.idle() {
			t.Error("not idle after silence")
		}
	}
}

// Whatever goes in, no sample leaves the ceiling, and the gain never jumps: it moves by at most what the look-ahead allows.
func TestLimiterBoundsAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	makers := map[string]func(i int) float32{
		"noise at +20 dB": func(int) float32 { return 10 * (2*rng.Float32() - 1) },
		"square of 64":    func(i int) float32 { return 64 * float32(1-2*(i/240%2)) },
		"DC of 3":         func(int) float32 { return 3 },
		"impulses":        func(i int) float32 { return 30 * float32(((i%997)+996)/997-1) * -1 },
		"three tones": func(i int) float32 {
			x := 2 * math.Pi * float64(i) / 48000
			return float32(math.Sin(440*x) + math.Sin(554*x) + math.Sin(659*x))
		},
		"bursts": func(i int) float32 {
			if i/2400%2 == 0 {
				return 0.3 * (2*rng.Float32() - 1)
			}
			return 4 * (2*rng.Float32() - 1)
		},
		"edge of a tick": func(i int) float32 {
			if i%480 == 0 {
				return 5
			}
			return 0.5
		},
	}
	for name, f := range makers {
		for _, channels := range []int{1, 2} {
			in := make([]float32, 60*frameSamples*channels)
			for i := range in {
				in[i] = f(i / channels)
			}
			l := newLimiter(channels)
			out := runLimiter(&l, in)
			previous := 1.0
			for i := range out {
				if !(out[i] <= limiterCeiling && out[i] >= -limiterCeiling) {
					t.Fatalf("%s, %d channels: sample %d is %v", name, channels, i, out[i])
				}
				if math.Abs(float64(in[i])) < 1e-3 {
					continue
				}
				g := float64(out[i]) / float64(in[i])
				if g < 0 || g > 1+1e-6 {
					t.Fatalf("%s, %d channels: gain %v at sample %d", name, channels, g, i)
				}
				if math.Abs(g-previous) > 1.0/limiterLookahead+1e-3 && i >= channels && math.Abs(float64(in[i-channels])) >= 1e-3 {
					t.Fatalf("%s, %d channels: gain jumps from %v to %v at sample %d", name, channels, previous, g, i)
				}
				previous = g
			}
		}
	}
}

func TestLimiterReleases(t *testing.T) {
	in := make([]float32, 100*frameSamples)
	for i := range in {
		in[i] = 0.25
		if i >= 4800 && i < 9600 {
			in[i] = 2 // +6 dBFS, so 7 dB of reduction
		}
	}
	l := newLimiter(1)
	out := runLimiter(&l, in)
	gainDB := func(i int) float64 { return 20 * math.Log10(float64(out[i])/float64(in[i])) }
	if g := gainDB(7000); math.Abs(g+7.02) > 0.05 {
		t.Errorf("gain within the burst %.2f dB, want -7.02", g)
	}
	// Held for 10 ms, then 1 dB in 20 ms (960 samples): 70 ms later it has risen by 3 dB.
	for _, c := range []struct {
		at   int
		want float64
	}{{9600 + 400, -7.02}, {9600 + 480 + 960, -6.02}, {9600 + 480 + 3*960, -4.02}, {9600 + 480 + 8*960, 0}} {
		if g := gainDB(c.at); math.Abs(g-c.want) > 0.15 {
			t.Errorf("gain %.2f dB %d samples after the burst, want %.2f", g, c.at-9600, c.want)
		}
	}
	if l.active {
		t.Error("still active long after the burst")
	}
	if math.Float32bits(out[40000]) != math.Float32bits(in[40000]) {
		t.Error("not transparent again")
	}
}

// A steady loud tone is turned down, not bent: its harmonics stay low.
func TestLimiterDoesNotDistortATone(t *testing.T) {
	for _, hz := range []float64{60, 100, 440, 1000} {
		in := make([]float32, 100*frameSamples)
		for i := range in {
			in[i] = float32(3 * math.Sin(2*math.Pi*hz*float64(i)/48000))
		}
		l := newLimiter(1)
		out := runLimiter(&l, in)
		tail := out[len(out)-24000:] // whole periods
		fundamental, rest := split(tail, hz)
		if db := 10 * math.Log10(rest/fundamental); db > -40 {
			t.Errorf("%v Hz at +9.5 dB: distortion %.1f dB", hz, db)
		}
	}
}

// split returns the power of one frequency and of all others.
func split(x []float32, hz float64) (at, rest float64) {
	var s, c, all float64
	for i, v := range x {
		p := 2 * math.Pi * hz * float64(i) / 48000
		s += float64(v) * math.Sin(p)
		c += float64(v) * math.Cos(p)
		all += float64(v) * float64(v)
	}
	n := float64(len(x))
	at = 2 * (s*s + c*c) / n / n
	return at, max(all/n-at, 1e-20)
}

// A copy goes on exactly like the original, wherever it is taken.
func TestLimiterCopies(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	l := newLimiter(2)
	in, a, b := make([]float32, 960), make([]float32, 960), make([]float32, 960)
	for k := range 100 {
		scale := float32(k % 7)
		for i := range in {
			in[i] = scale * (2*rng.Float32() - 1)
		}
		c := l
		l.process(a, in)
		c.process(b, in)
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("tick %d: sample %d differs", k, i)
			}
		}
	}
}

func BenchmarkLimiterQuiet(b *testing.B) { benchmarkLimiter(b, 0.5) }
func BenchmarkLimiterLoud(b *testing.B)  { benchmarkLimiter(b, 2) }

func benchmarkLimiter(b *testing.B, amplitude float32) {
	l := newLimiter(1)
	in, out := make([]float32, frameSamples), make([]float32, frameSamples)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range in {
		in[i] = amplitude * (2*rng.Float32() - 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.process(out, in)
	}
}
