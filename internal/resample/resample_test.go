package resample

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pairs are the conversions a call can need.
var pairs = [][2]int{{8000, 48000}, {16000, 48000}, {24000, 48000}, {32000, 48000}, {44100, 48000},
	{48000, 8000}, {48000, 16000}, {48000, 24000}, {48000, 32000}, {48000, 44100}, {8000, 16000}, {44100, 8000}}

func make1(t testing.TB, from, to int) *Resampler {
	t.Helper()
	r, err := New(from, to, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// through sends a sine of hz, with amplitude 1, through r and returns the settled output.
func through(r *Resampler, hz float64, from, to int) []float32 {
	in := make([]float32, from/4)
	for i := range in {
		in[i] = float32(math.Sin(2 * math.Pi * hz * float64(i) / float64(from)))
	}
	out := make([]float32, r.Output(len(in)))
	out = out[:r.Process(out, in)]
	return out[2*r.Delay()*to/from+8:]
}

// fit returns the amplitude of hz in x, and the RMS of everything else.
func fit(x []float32, hz float64, rate int) (amplitude, rest float64) {
	// Least squares on sine and cosine, so that no whole number of periods is needed.
	var ss, cc, sc, xs, xc float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		ss, cc, sc = ss+s*s, cc+c*c, sc+s*c
		xs, xc = xs+float64(v)*s, xc+float64(v)*c
	}
	det := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/det, (xc*ss-xs*sc)/det
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		d := float64(v) - a*s - b*c
		rest += d * d
	}
	return math.Hypot(a, b), math.Sqrt(rest / float64(len(x)))
}

func db(x float64) float64 { return 20 * math.Log10(max(x, 1e-12)) }

func TestPassBandAndStopBand(t *testing.T) {
	for _, p := range pairs {
		from, to := p[0], p[1]
		nyquist := float64(min(from, to)) / 2
		worstGain, worstRest, worstStop := 0.0, -200.0, -200.0
		for share := 0.02; share <= passShare; share += 0.0203 {
			hz := share * nyquist
			a, rest := fit(through(make1(t, from, to), hz, from, to), hz, to)
			if math.Abs(db(a)) > math.Abs(worstGain) {
				worstGain = db(a)
			}
			worstRest = max(worstRest, db(rest*math.Sqrt2))
		}
		if from > to {
			for hz := stopShare * nyquist; hz < float64(from)/2; hz += nyquist / 23 {
				x := through(make1(t, from, to), hz, from, to)
				peak := 0.0
				for _, v := range x {
					peak = max(peak, math.Abs(float64(v)))
				}
				worstStop = max(worstStop, db(peak))
			}
		}
		t.Logf("%5d to %5d: pass band %+.4f dB, images and aliases %.1f dB, stop band %.1f dB, delay %.2f ms",
			from, to, worstGain, worstRest, worstStop, 1000*float64(make1(t, from, to).Delay())/float64(from))
		if math.Abs(worstGain) > 0.01 {
			t.Errorf("%d to %d: pass band %.3f dB", from, to, worstGain)
		}
		if worstRest > -80 || worstStop > -80 {
			t.Errorf("%d to %d: images %.1f dB, stop band %.1f dB", from, to, worstRest, worstStop)
		}
	}
}

func TestDelayIsWhatDelaySays(t *testing.T) {
	for _, p := range pairs {
		r := make1(t, p[0], p[1])
		in := make([]float32, p[0]/10)
		in[100] = 1
		out := make([]float32, r.Output(len(in)))
		r.Process(out, in)
		best := 0
		for i, v := range out {
			if v > out[best] {
				best = i
			}
		}
		want := float64(100+r.Delay()) * float64(p[1]) / float64(p[0])
		if math.Abs(float64(best)-want) > 0.51 {
			t.Errorf("%d to %d: peak at %d, want %.2f", p[0], p[1], best, want)
		}
		if lag := float64(r.Delay()) / float64(min(p[0], p[1])) * 1000 * min(1, float64(p[1])/float64(p[0])); lag > 2.5 {
			t.Errorf("%d to %d: %.2f ms", p[0], p[1], lag)
		}
	}
}

// However a stream is cut, the output is the same, and as long as Output says.
func TestCutsDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range pairs {
		for _, channels := range []int{1, 2} {
			in := make([]float32, 6000*channels)
			for i := range in {
				in[i] = rng.Float32()*2 - 1
			}
			whole, err := New(p[0], p[1], channels)
			if err != nil {
				t.Fatal(err)
			}
			cut, _ := New(p[0], p[1], channels)
			want := make([]float32, whole.Output(6000)*channels)
			if n := whole.Process(want, in); n*channels != len(want) {
				t.Fatalf("%v: %d samples, promised %d", p, n, len(want)/channels)
			}
			if exact := (6000*p[1] + p[0] - 1) / p[0]; len(want)/channels != exact {
				t.Errorf("%v: %d samples, want %d", p, len(want)/channels, exact)
			}
			var got []float32
			for rest := in; len(rest) > 0; {
				n := min(len(rest)/channels, rng.IntN(700))
				promised := cut.Output(n)
				out := make([]float32, promised*channels)
				if k := cut.Process(out, rest[:n*channels]); k != promised {
					t.Fatalf("%v: %d samples, promised %d", p, k, promised)
				}
				got, rest = append(got, out...), rest[n*channels:]
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%v: sample %d is %v, want %v", p, i, got[i], want[i])
				}
			}
		}
	}
}

func TestChannelsAreApart(t *testing.T) {
	r, err := New(16000, 48000, 2)
	if err != nil {
		t.Fatal(err)
	}
	in := make([]float32, 640)
	for i := 0; i < len(in); i += 2 {
		in[i] = 1
	}
	out := make([]float32, 2*r.Output(320))
	r.Process(out, in)
	if left := out[len(out)-2]; math.Abs(float64(left)-1) > 1e-4 {
		t.Errorf("left settles at %v", left)
	}
	for i := 1; i < len(out); i += 2 {
		if out[i] != 0 {
			t.Fatalf("right sample %d is %v", i/2, out[i])
		}
	}
}

func TestSameRateIsExact(t *testing.T) {
	r := make1(t, 48000, 48000)
	in := []float32{1, -0.5, 0.25, 0}
	out := make([]float32, 4)
	if n := r.Process(out, in); n != 4 {
		t.Fatalf("%d samples", n)
	}
	for i := range in {
		if out[i] != in[i] {
			t.Errorf("sample %d is %v", i, out[i])
		}
	}
}

func TestCopyGoesOn(t *testing.T) {
	a, b := make1(t, 48000, 8000), make1(t, 48000, 8000)
	rng := rand.New(rand.NewPCG(4, 4))
	in, x, y := make([]float32, 500), make([]float32, 100), make([]float32, 100)
	for k := range 20 {
		for i := range in {
			in[i] = rng.Float32()
		}
		n := a.Process(x, in)
		if k == 10 && !b.CopyState(a) {
			t.Fatal("no copy")
		}
		if k > 10 {
			if m := b.Process(y, in); m != n || !slices.Equal(x[:n], y[:n]) {
				t.Fatalf("a copy yields something else: %d and %d samples", n, m)
			}
		}
	}
	if b.CopyState(make1(t, 48000, 16000)) {
		t.Error("a copy of other rates")
	}
}

func TestResetForgets(t *testing.T) {
	r := make1(t, 8000, 48000)
	out := make([]float32, 6*160)
	r.Process(out, []float32{1, 1, 1, 1, 1})
	r.Reset()
	if n := r.Process(out, make([]float32, 160)); n != 960 {
		t.Fatalf("%d samples", n)
	}
	for i, v := range out {
		if v != 0 {
			t.Fatalf("sample %d is %v", i, v)
		}
	}
}

func TestTooShortAndTooOdd(t *testing.T) {
	r := make1(t, 8000, 48000)
	out := make([]float32, 5)
	if n := r.Process(out, []float32{1}); n != 0 || out != nil && out[0] != 0 {
		t.Errorf("wrote %d samples into too little room", n)
	}
	for _, c := range [][3]int{{0, 48000, 1}, {8000, -1, 1}, {8000, 48000, 0}, {8000, 48000, 9}, {44101, 48000, 1}, {1 << 30, 48000, 1}} {
		if _, err := New(c[0], c[1], c[2]); !errors.Is(err, ErrFormat) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	r := make1(t, 44100, 48000)
	in, out := make([]float32, 441), make([]float32, 490)
	if n := testing.AllocsPerRun(100, func() { r.Process(out, in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ten milliseconds of one channel.
func BenchmarkProcess(b *testing.B) {
	for _, p := range pairs[:10] {
		b.Run(fmt.Sprintf("%d_%d", p[0], p[1]), func(b *testing.B) {
			r := make1(b, p[0], p[1])
			in, out := make([]float32, p[0]/100), make([]float32, p[1]/100+2)
			for b.Loop() {
				r.Process(out, in)
			}
		})
	}
}
