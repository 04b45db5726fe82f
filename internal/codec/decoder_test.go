package codec

import (
	"errors"
	"math"
	"testing"
)

// encodeTone is a tone of 0.5 at the codec's rate.
func encodeTone(name string, hz float64, bytes int) []byte {
	out := make([]byte, bytes)
	e := NewG722Encoder()
	at := func(i, rate int) int16 { return int16(16384 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))) }
	for i := range out {
		switch name {
		case "PCMU":
			out[i] = LinearToMuLaw(at(i, 8000))
		case "PCMA":
			out[i] = LinearToALaw(at(i, 8000))
		default:
			out[i] = e.Encode(at(2*i, 16000), at(2*i+1, 16000))
		}
	}
	return out
}

// A tone keeps its pitch and level, whatever the length of packets, in one channel and in two equal ones.
func TestDecoderTone(t *testing.T) {
	for _, c := range []struct {
		name string
		hz   float64
		snr  float64
	}{{"PCMU", 1000, 33}, {"pcma", 1000, 33}, {"PCMU", 3300, 33}, {"G722", 1000, 35}, {"g722", 6000, 9}} {
		for _, channels := range []int{1, 2} {
			d, err := NewDecoder(c.name, channels)
			if err != nil {
				t.Fatal(err)
			}
			name := "G722"
			if c.name == "PCMU" || c.name == "pcma" {
				name = map[string]string{"PCMU": "PCMU", "pcma": "PCMA"}[c.name]
			}
			code := encodeTone(name, c.hz, 8000)
			var out []float32
			pcm := make([]float32, 6*320*channels)
			for k := 0; len(code) > 0; k++ {
				n := min(len(code), []int{160, 80, 1, 320, 240, 7}[k%6])
				got, err := d.Decode(code[:n], pcm[:6*n*channels])
				if err != nil || got != 6*n {
					t.Fatalf("%d samples, %v", got, err)
				}
				for i := range got {
					if channels == 2 && pcm[2*i] != pcm[2*i+1] {
						t.Fatalf("%s: channels differ at %d", c.name, i)
					}
					out = append(out, pcm[i*channels])
				}
				code = code[n:]
			}
			signal, noise := tone(out[4800:], c.hz)
			if math.Abs(20*math.Log10(signal/0.5)) > 0.3 || 20*math.Log10(signal/math.Sqrt2/noise) < c.snr {
				t.Errorf("%s %v Hz, %d channels: amplitude %.3f, SNR %.1f dB", c.name, c.hz, channels, signal, 20*math.Log10(signal/math.Sqrt2/noise))
			}
		}
	}
}

// tone returns the amplitude of hz in x, and the RMS of the rest.
func tone(x []float32, hz float64) (amplitude, rest float64) {
	x = x[:len(x)/480*480] // whole periods of all tones used
	var s, c float64
	for i, v := range x {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / 48000)
		s, c = s+sin*float64(v), c+cos*float64(v)
	}
	s, c = 2*s/float64(len(x)), 2*c/float64(len(x))
	for i, v := range x {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / 48000)
		d := float64(v) - s*sin - c*cos
		rest += d * d
	}
	return math.Hypot(s, c), math.Sqrt(rest / float64(len(x)))
}

func TestDecoderRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		channels int
	}{{"opus", 1}, {"", 1}, {"PCMU", 0}, {"PCMU", 3}, {"G722", -1}} {
		if _, err := NewDecoder(c.name, c.channels); !errors.Is(err, ErrFormat) {
			t.Errorf("%q, %d channels: %v", c.name, c.channels, err)
		}
	}
	d, err := NewDecoder("PCMA", 2)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, 12*160)
	for _, c := range []struct{ bytes, room int }{{0, len(pcm)}, {160, 12*160 - 1}, {1, 11}} {
		if n, err := d.Decode(make([]byte, c.bytes), pcm[:c.room:c.room]); n != 0 || !errors.Is(err, ErrPayload) {
			t.Errorf("%d bytes into %d: %d, %v", c.bytes, c.room, n, err)
		}
	}
	if _, err := d.Conceal(pcm); !errors.Is(err, ErrNone) {
		t.Errorf("conceal: %v", err)
	}
	if _, err := d.DecodeFEC([]byte{1}, pcm); !errors.Is(err, ErrNone) {
		t.Errorf("FEC: %v", err)
	}
}

// After Reset the decoder is as new.
func TestDecoderReset(t *testing.T) {
	for _, name := range []string{"PCMU", "PCMA", "G722"} {
		d, _ := NewDecoder(name, 1)
		code := encodeTone(name, 440, 320)
		want, got := make([]float32, 6*320), make([]float32, 6*320)
		for _, out := range [][]float32{want, got} {
			if _, err := d.Decode(code, out); err != nil {
				t.Fatal(err)
			}
			if err := d.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range want {
			if want[i] != got[i] {
				t.Fatalf("%s: sample %d is %v, was %v", name, i, got[i], want[i])
			}
		}
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"PCMU", "PCMA", "G722"} {
		d, _ := NewDecoder(name, 2)
		code, pcm := encodeTone(name, 440, 160), make([]float32, 12*160)
		if n := testing.AllocsPerRun(100, func() { _, _ = d.Decode(code, pcm) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzDecoder: no payload panics, writes elsewhere, or yields what is not a number or far beyond full scale.
func FuzzDecoder(f *testing.F) {
	f.Add(byte(0), encodeTone("PCMU", 440, 160))
	f.Add(byte(3), encodeTone("PCMA", 440, 160))
	f.Add(byte(4), encodeTone("G722", 440, 160))
	f.Add(byte(5), []byte{0, 0xff, 0x80, 0x7f})
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		channels := 1 + int(kind&1)
		d, err := NewDecoder([]string{"PCMU", "PCMA", "G722", "PCMU"}[kind>>1&3], channels)
		if err != nil {
			t.Fatal(err)
		}
		for len(payload) > 0 {
			n := 1 + int(payload[0])%min(len(payload), 400)
			pcm := make([]float32, 6*n*channels+1)
			pcm[len(pcm)-1] = 7
			got, err := d.Decode(payload[:min(n, len(payload))], pcm[:len(pcm)-1])
			if err != nil || got != 6*min(n, len(payload)) {
				t.Fatalf("%d, %v", got, err)
			}
			if pcm[len(pcm)-1] != 7 {
				t.Fatal("wrote beyond the end")
			}
			for i, v := range pcm[:got*channels] {
				if !(v > -3 && v < 3) { // a filter overshoots
					t.Fatalf("sample %d is %v", i, v)
				}
			}
			payload = payload[min(n, len(payload)):]
		}
	})
}

// 20 ms.
func BenchmarkDecoder(b *testing.B) {
	for _, name := range []string{"PCMU", "G722"} {
		b.Run(name, func(b *testing.B) {
			d, err := NewDecoder(name, 1)
			if err != nil {
				b.Fatal(err)
			}
			code, pcm := encodeTone(name, 440, 160), make([]float32, 6*160)
			for b.Loop() {
				if _, err := d.Decode(code, pcm); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
