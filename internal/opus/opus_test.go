package opus

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// voice is something like voice: a gliding fundamental with harmonics, syllables, some noise.
type voice struct {
	rng   *rand.Rand
	phase float64
	n     int
}

func newVoice(seed uint64) *voice { return &voice{rng: rand.New(rand.NewPCG(seed, 7))} }

func (v *voice) fill(pcm []float32, channels int) {
	for i := 0; i < len(pcm); i += channels {
		t := float64(v.n) / SampleRateHz
		f0 := 140 + 30*math.Sin(2*math.Pi*0.7*t)
		v.phase += 2 * math.Pi * f0 / SampleRateHz
		syllable := math.Max(0, math.Sin(2*math.Pi*3*t))
		x := 0.0
		for h := 1; h <= 12; h++ {
			x += math.Sin(float64(h)*v.phase) / float64(h)
		}
		s := float32(0.2*syllable*x + 0.01*v.rng.NormFloat64())
		for c := range channels {
			pcm[i+c] = s
		}
		v.n++
	}
}

func mustEncoder(t testing.TB, cfg EncoderConfig) *Encoder {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustDecoder(t testing.TB, channels int) *Decoder {
	t.Helper()
	d, err := NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var voiceConfig = EncoderConfig{Channels: 1, BitrateBps: 32000, FEC: true, DTX: true, LossPercent: 10, Complexity: 9}

func packets(t testing.TB, cfg EncoderConfig, n int) (out [][]byte, in []float32) {
	t.Helper()
	e, v := mustEncoder(t, cfg), newVoice(1)
	pcm, buf := make([]float32, 960*e.Channels()), make([]byte, 1275)
	for range n {
		v.fill(pcm, e.Channels())
		size, err := e.Encode(pcm, buf)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(buf[:size]))
		in = append(in, pcm...)
	}
	return out, in
}

// snrDB compares b, delayed by delay samples, with a, after the best gain.
func snrDB(a, b []float32, delay int) float64 {
	var aa, ab, bb float64
	for i := 0; i+delay < len(b) && i < len(a); i++ {
		x, y := float64(a[i]), float64(b[i+delay])
		aa, ab, bb = aa+x*x, ab+x*y, bb+y*y
	}
	rho2 := ab * ab / (aa * bb)
	return 10 * math.Log10(rho2/(1-rho2))
}

func TestRoundTripAtTheStatedLookahead(t *testing.T) {
	// Tones: waveform matching of voice is not what Opus promises, of tones it is. High enough for the input filter
	// (a high-pass of 60 Hz) not to turn the phase.
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, BitrateBps: 64000, Complexity: 9}), mustDecoder(t, 1)
	var in, out []float32
	pcm, dec, buf := make([]float32, 960), make([]float32, 960), make([]byte, 1275)
	for f := range 60 {
		for i := range pcm {
			x := 2 * math.Pi * float64(f*960+i) / SampleRateHz
			pcm[i] = float32(0.2*math.Sin(1100*x) + 0.2*math.Sin(1730*x) + 0.2*math.Sin(2310*x))
		}
		n, err := e.Encode(pcm, buf)
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Decode(buf[:n], dec)
		if err != nil || m != 960 {
			t.Fatalf("frame %d: %d samples, %v", f, m, err)
		}
		in, out = append(in, pcm...), append(out, dec...)
	}
	best, bestDelay := math.Inf(-1), 0
	for delay := range 960 {
		if snr := snrDB(in[9600:48000], out[9600:48960], delay); snr > best {
			best, bestDelay = snr, delay
		}
	}
	if best < 10 || bestDelay < LookaheadSamples-2 || bestDelay > LookaheadSamples+2 {
		t.Errorf("best match: SNR %.1f dB at a delay of %d samples, want at least 10 dB at %d", best, bestDelay, LookaheadSamples)
	}
}

// The binding writes to cap(pcm); nothing may leave [0, len).
func TestNothingIsWrittenBeyondLength(t *testing.T) {
	pkts, _ := packets(t, voiceConfig, 12)
	const mark = 42
	for _, channels := range []int{1, 2} {
		d := mustDecoder(t, channels)
		back := make([]float32, 4*MaxFrameSamples)
		for name, call := range map[string]func(pcm []float32) (int, error){
			"decode":  func(pcm []float32) (int, error) { return d.Decode(pkts[5], pcm) },
			"fec":     func(pcm []float32) (int, error) { return d.DecodeFEC(pkts[6], pcm) },
			"conceal": func(pcm []float32) (int, error) { return d.Conceal(pcm) },
		} {
			for i := range back {
				back[i] = mark
			}
			n, err := call(back[:960*channels])
			if err != nil || n != 960 {
				t.Errorf("%s, %d channels: %d, %v; want 960 samples", name, channels, n, err)
			}
			for i, x := range back {
				if (x == mark) != (i >= 960*channels) {
					t.Fatalf("%s, %d channels: sample %d is %v", name, channels, i, x)
				}
			}
		}
	}
}

func TestEncodeStaysWithinOut(t *testing.T) {
	e, v := mustEncoder(t, voiceConfig), newVoice(3)
	pcm, back := make([]float32, 960), bytes.Repeat([]byte{0xA5}, 2000)
	for range 20 {
		v.fill(pcm, 1)
		n, err := e.Encode(pcm, back[:40])
		if err != nil || n > 40 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if !bytes.Equal(back[40:], bytes.Repeat([]byte{0xA5}, 1960)) {
			t.Fatal("wrote beyond len(out)")
		}
	}
}

func TestConcealLengths(t *testing.T) {
	pkts, _ := packets(t, voiceConfig, 3)
	for _, channels := range []int{1, 2} {
		d := mustDecoder(t, channels)
		pcm := make([]float32, MaxFrameSamples*channels+1)
		if _, err := d.Decode(pkts[2], pcm[:960*channels]); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			length int
			ok     bool
		}{
			{0, false}, {1, false}, {119 * channels, false}, {120 * channels, true}, {480 * channels, true}, {481 * channels, false},
			{960 * channels, true}, {MaxFrameSamples * channels, true}, {MaxFrameSamples*channels + 1, false},
		} {
			n, err := d.Conceal(pcm[:c.length])
			if (err == nil) != c.ok || (c.ok && n != c.length/channels) || (!c.ok && !errors.Is(err, ErrLength)) {
				t.Errorf("conceal %d values, %d channels: %d, %v", c.length, channels, n, err)
			}
			if _, err := d.DecodeFEC(pkts[2], pcm[:c.length]); (err == nil) != c.ok {
				t.Errorf("fec %d values, %d channels: %v", c.length, channels, err)
			}
		}
	}
}

func TestFECRestoresWhatConcealmentInvents(t *testing.T) {
	cfg := voiceConfig
	cfg.LossPercent = 20
	pkts, _ := packets(t, cfg, 100)
	want := make([][]float32, len(pkts))
	ref := mustDecoder(t, 1)
	for i, p := range pkts {
		want[i] = make([]float32, 960)
		if _, err := ref.Decode(p, want[i]); err != nil {
			t.Fatal(err)
		}
	}
	run := func(fec bool) float64 {
		d, pcm := mustDecoder(t, 1), make([]float32, 960)
		var signal, noise float64
		for i, p := range pkts {
			if i%5 == 3 && i+1 < len(pkts) {
				var err error
				if fec {
					_, err = d.DecodeFEC(pkts[i+1], pcm)
				} else {
					_, err = d.Conceal(pcm)
				}
				if err != nil {
					t.Fatal(err)
				}
				for k, x := range pcm {
					e := float64(x - want[i][k])
					signal, noise = signal+float64(want[i][k]*want[i][k]), noise+e*e
				}
				continue
			}
			if _, err := d.Decode(p, pcm); err != nil {
				t.Fatal(err)
			}
		}
		return 10 * math.Log10(signal/noise)
	}
	with, without := run(true), run(false)
	if with < without+3 {
		t.Errorf("lost frames: SNR %.1f dB with FEC, %.1f dB with concealment; want 3 dB better", with, without)
	}
}

func TestDecoderReset(t *testing.T) {
	pkts, _ := packets(t, voiceConfig, 30)
	for _, channels := range []int{1, 2} {
		used, fresh := mustDecoder(t, channels), mustDecoder(t, channels)
		a, b := make([]float32, 960*channels), make([]float32, 960*channels)
		for _, p := range pkts[10:] {
			if _, err := used.Decode(p, a); err != nil {
				t.Fatal(err)
			}
		}
		if err := used.Reset(); err != nil {
			t.Fatal(err)
		}
		for i, p := range pkts {
			used.Decode(p, a)
			fresh.Decode(p, b)
			for k := range a {
				if math.Float32bits(a[k]) != math.Float32bits(b[k]) {
					t.Fatalf("%d channels, frame %d, sample %d: %v after reset, %v in a fresh decoder", channels, i, k, a[k], b[k])
				}
			}
		}
	}
}

func TestCorruptPacketIsAnErrorAndNoMore(t *testing.T) {
	pkts, _ := packets(t, voiceConfig, 5)
	d, pcm := mustDecoder(t, 1), make([]float32, MaxFrameSamples)
	for name, payload := range map[string][]byte{
		"empty": {}, "too long": make([]byte, 65535), "code 3 without frames": {0x03, 0x00}, "code 3 cut": {0x03}, "over 120 ms": {0x1B, 0x3F, 0},
	} {
		if _, err := d.Decode(payload, pcm); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := d.Decode(pkts[0], pcm[:100]); err == nil {
		t.Error("960 samples into room for 100: no error")
	}
	if n, err := d.Decode(pkts[1], pcm); err != nil || n != 960 {
		t.Errorf("good packet after bad ones: %d, %v", n, err)
	}
}

// A fork continues bit for bit, through voice, silence with DTX, changed settings and in stereo.
func TestForkIsBitIdentical(t *testing.T) {
	for _, channels := range []int{1, 2} {
		for _, bitrate := range []int{16000, 32000, 96000} {
			cfg := voiceConfig
			cfg.Channels, cfg.BitrateBps = channels, bitrate
			e, v := mustEncoder(t, cfg), newVoice(uint64(channels*bitrate))
			pcm, a, b := make([]float32, 960*channels), make([]byte, 1275), make([]byte, 1275)
			var forks []*Encoder
			for frame := range 150 {
				v.fill(pcm, channels)
				if frame%60 > 40 { // 20 frames of silence: DTX begins
					clear(pcm)
				}
				if frame%13 == 5 {
					f, err := e.Fork()
					if err != nil {
						t.Fatal(err)
					}
					forks = append(forks, f)
				}
				if frame == 70 {
					for _, x := range append(forks, e) {
						if x.SetPacketLoss(3) != nil || x.SetComplexity(5) != nil || x.SetBitrate(bitrate+4000) != nil {
							t.Fatal("settings refused")
						}
					}
				}
				n, err := e.Encode(pcm, a)
				if err != nil {
					t.Fatal(err)
				}
				for i, f := range forks {
					m, err := f.Encode(pcm, b)
					if err != nil || !bytes.Equal(a[:n], b[:m]) {
						t.Fatalf("%d channels, %d bit/s, frame %d: fork %d differs (%d and %d bytes, %v)", channels, bitrate, frame, i, n, m, err)
					}
				}
			}
		}
	}
}

// What a fork does must not reach the original.
func TestForkIsSeparate(t *testing.T) {
	alone, e, v := mustEncoder(t, voiceConfig), mustEncoder(t, voiceConfig), newVoice(9)
	other, pcm, noise := newVoice(10), make([]float32, 960), make([]float32, 960)
	a, b, c := make([]byte, 1275), make([]byte, 1275), make([]byte, 1275)
	var f *Encoder
	for frame := range 60 {
		if frame == 20 {
			f, _ = e.Fork()
		}
		v.fill(pcm, 1)
		n, _ := alone.Encode(pcm, a)
		m, _ := e.Encode(pcm, b)
		if !bytes.Equal(a[:n], b[:m]) {
			t.Fatalf("frame %d: the original changed", frame)
		}
		if f != nil {
			other.fill(noise, 1)
			f.Encode(noise, c)
		}
	}
}

func TestCopyStateRefusesStrangers(t *testing.T) {
	mono, stereo := mustEncoder(t, voiceConfig), mustEncoder(t, EncoderConfig{Channels: 2})
	for _, from := range []any{stereo, nil, (*Encoder)(nil), "x", mustDecoder(t, 1)} {
		if err := mono.CopyState(from); !errors.Is(err, ErrState) {
			t.Errorf("from %T: %v", from, err)
		}
	}
}

func TestSelfCheck(t *testing.T) {
	if err := SelfCheck(); err != nil {
		t.Fatal(err)
	}
	e := mustEncoder(t, voiceConfig)
	if n := e.interiorPointers(); n != 0 {
		t.Errorf("%d interior pointers", n)
	}
	t.Logf("encoder state: %d bytes", e.StateBytes())
}

// A fork stays the same through changes of rate, protection and frame length, as listeners get them that change their tier.
func TestForkThroughTiers(t *testing.T) {
	for _, complexity := range []int{2, 5, 9} {
		e := mustEncoder(t, EncoderConfig{Channels: 1, BitrateBps: 40000, FEC: true, DTX: true, Complexity: complexity})
		v := newVoice(4)
		pcm := make([]float32, 1920)
		a, b := make([]byte, 2600), make([]byte, 2600)
		encode := func(e *Encoder, n int, out []byte) []byte {
			k, err := e.Encode(pcm[:n], out)
			if err != nil {
				t.Fatal(err)
			}
			return out[:k]
		}
		for range 20 {
			v.fill(pcm[:960], 1)
			encode(e, 960, a)
		}
		f, err := e.Fork()
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range []struct{ bps, loss, n int }{{16000, 25, 1920}, {24000, 6, 960}, {40000, 0, 480}, {16000, 2, 1920}, {40000, 5, 960}} {
			for _, x := range []*Encoder{e, f} {
				if x.SetBitrate(s.bps) != nil || x.SetPacketLoss(s.loss) != nil {
					t.Fatal("settings")
				}
			}
			for k := range 10 {
				v.fill(pcm[:s.n], 1)
				if !bytes.Equal(encode(e, s.n, a), encode(f, s.n, b)) {
					t.Fatalf("complexity %d, setting %d, frame %d differs", complexity, i, k)
				}
			}
		}
	}
}

// Direct current does not get through, at any tier.
func TestNoDirectCurrent(t *testing.T) {
	for _, s := range []struct{ bps, n int }{{40000, 960}, {24000, 960}, {16000, 1920}, {40000, 480}} {
		e, d := mustEncoder(t, EncoderConfig{Channels: 1, BitrateBps: s.bps, FEC: true, Complexity: 9}), mustDecoder(t, 1)
		v, pcm, out := newVoice(5), make([]float32, s.n), make([]byte, 2600)
		sum, counted := 0.0, 0
		for at := 0; at < 5*SampleRateHz; at += s.n {
			v.fill(pcm, 1)
			for i := range pcm {
				pcm[i] += 0.5
			}
			n, err := e.Encode(pcm, out)
			if err == nil {
				n, err = d.Decode(out[:n], pcm)
			}
			if err != nil || n != s.n {
				t.Fatal(n, err)
			}
			if at < SampleRateHz {
				continue // the filter settles
			}
			for _, x := range pcm {
				sum += float64(x)
			}
			counted += n
		}
		if dc := 20 * math.Log10(math.Abs(sum/float64(counted))+1e-9); dc > -60 {
			t.Errorf("%d bit/s: %.1f dB of DC left of -6", s.bps, dc)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	pkts, _ := packets(t, voiceConfig, 20)
	e, f, d := mustEncoder(t, voiceConfig), mustEncoder(t, voiceConfig), mustDecoder(t, 1)
	pcm, buf, i := make([]float32, 960), make([]byte, 1275), 0
	newVoice(4).fill(pcm, 1)
	for name, call := range map[string]func(){
		"encode":     func() { e.Encode(pcm, buf) },
		"copy state": func() { _ = f.CopyState(e) },
		"decode":     func() { i++; d.Decode(pkts[i%20], pcm) },
		"fec":        func() { i++; d.DecodeFEC(pkts[i%20], pcm) },
		"conceal":    func() { d.Conceal(pcm) },
		"reset":      func() { _ = d.Reset() },
		"settings":   func() { _ = e.SetPacketLoss(5); _ = e.SetBitrate(24000); _ = e.SetComplexity(7) },
	} {
		if n := testing.AllocsPerRun(200, call); n != 0 {
			t.Errorf("%s: %v allocations per call", name, n)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, cfg := range []EncoderConfig{{Channels: 3}, {Channels: -1}, {BitrateBps: -5}, {Complexity: 11}, {LossPercent: 101}} {
		if _, err := NewEncoder(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	for _, channels := range []int{-1, 0, 3} {
		if _, err := NewDecoder(channels); err == nil {
			t.Errorf("decoder with %d channels: no error", channels)
		}
	}
	e := mustEncoder(t, voiceConfig)
	for _, length := range []int{0, 1, 479, 481, 961, 5760} {
		if _, err := e.Encode(make([]float32, length), make([]byte, 1275)); !errors.Is(err, ErrLength) {
			t.Errorf("encode %d samples: %v", length, err)
		}
	}
	if _, err := e.Encode(make([]float32, 960), nil); err == nil {
		t.Error("encode into nothing: no error")
	}
}

func TestOutputIsInRange(t *testing.T) {
	// A full-scale square wave overshoots in the float decoder.
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, BitrateBps: 24000, Complexity: 5}), mustDecoder(t, 1)
	pcm, buf := make([]float32, 960), make([]byte, 1275)
	for range 20 {
		for i := range pcm {
			pcm[i] = float32(1 - 2*(i/40%2))
		}
		n, _ := e.Encode(pcm, buf)
		if _, err := d.Decode(buf[:n], pcm); err != nil {
			t.Fatal(err)
		}
		for i, x := range pcm {
			if !(x >= -1 && x <= 1) {
				t.Fatalf("sample %d is %v", i, x)
			}
		}
	}
	nan := float32(math.NaN())
	got := []float32{nan, 2, -2, 0.5, float32(math.Inf(1)), float32(math.Inf(-1))}
	bound(got)
	for i, want := range []float32{0, 1, -1, 0.5, 1, -1} {
		if got[i] != want {
			t.Errorf("bound: value %d is %v, want %v", i, got[i], want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	pkts, _ := packets(f, voiceConfig, 5)
	for _, p := range pkts {
		f.Add(p, uint16(960), byte(0))
	}
	f.Add([]byte{0xFC, 0xFF, 0xFE}, uint16(5760), byte(1))
	f.Add([]byte{0x03, 0x30}, uint16(480), byte(2))
	f.Fuzz(func(t *testing.T, payload []byte, room uint16, how byte) {
		channels := 1 + int(how>>7)
		d := mustDecoder(t, channels)
		size := int(room) % (MaxFrameSamples*2 + 1)
		pcm := make([]float32, size)
		for range 2 {
			var n int
			var err error
			switch how % 3 {
			case 0:
				n, err = d.Decode(payload, pcm)
			case 1:
				n, err = d.DecodeFEC(payload, pcm)
			case 2:
				n, err = d.Conceal(pcm)
			}
			if err == nil && (n <= 0 || n*channels > size) {
				t.Fatalf("%d samples into %d values", n, size)
			}
			for i, x := range pcm {
				if !(x >= -1 && x <= 1) {
					t.Fatalf("sample %d is %v", i, x)
				}
			}
		}
	})
}

func BenchmarkEncode20ms(b *testing.B) {
	e, v, pcm, buf := mustEncoder(b, voiceConfig), newVoice(1), make([]float32, 96000), make([]byte, 1275)
	v.fill(pcm, 1)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.Encode(pcm[i:i+960], buf)
		i = (i + 960) % 96000
	}
}

func BenchmarkDecode20ms(b *testing.B) {
	pkts, _ := packets(b, voiceConfig, 100)
	d, pcm := mustDecoder(b, 1), make([]float32, 960)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.Decode(pkts[i%100], pcm)
		i++
	}
}

func BenchmarkCopyState(b *testing.B) {
	e, f := mustEncoder(b, voiceConfig), mustEncoder(b, voiceConfig)
	b.ReportAllocs()
	for b.Loop() {
		_ = f.CopyState(e)
	}
}
