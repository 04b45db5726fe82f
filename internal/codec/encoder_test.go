package codec

import (
	"bytes"
	"math"
	"testing"
)

// sound is 20 ms of a tone and some noise, of a number of channels.
func sound(frame, channels int, hz float64) []float32 {
	pcm := make([]float32, 960*channels)
	for i := range 960 {
		v := float32(0.5 * math.Sin(2*math.Pi*hz*float64(frame*960+i)/48000))
		for c := range channels {
			pcm[channels*i+c] = v
		}
	}
	return pcm
}

// What is encoded comes back from our own decoder at its level and pitch; both sides of stereo count the same.
func TestEncoderTone(t *testing.T) {
	for _, c := range []struct {
		name     string
		channels int
		hz       float64
		noiseDB  float64
	}{{"PCMU", 1, 1000, -33}, {"pcma", 2, 1000, -33}, {"G722", 1, 5000, -15}, {"G722", 2, 1000, -25}} {
		e, err := NewEncoder(c.name, c.channels)
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDecoder(c.name, 1)
		if err != nil {
			t.Fatal(err)
		}
		var heard []float32
		out, pcm := make([]byte, 160), make([]float32, 960)
		for frame := range 50 {
			n, err := e.Encode(sound(frame, c.channels, c.hz), out)
			if err != nil || n != 160 {
				t.Fatalf("%s: %d bytes, %v", c.name, n, err)
			}
			if k, err := d.Decode(out[:n], pcm); err != nil || k != 960 {
				t.Fatalf("%s: %d samples, %v", c.name, k, err)
			}
			heard = append(heard, pcm...)
		}
		amplitude, rest := tone(heard[9600:], c.hz)
		if math.Abs(amplitude-0.5) > 0.02 {
			t.Errorf("%s: amplitude %.3f, want 0.5", c.name, amplitude)
		}
		if db := 20 * math.Log10(rest/amplitude); db > c.noiseDB {
			t.Errorf("%s: noise at %.1f dB, want %.0f at most", c.name, db, c.noiseDB)
		}
	}
}

// What is above the codec's band does not come back as something else.
func TestEncoderDoesNotAlias(t *testing.T) {
	e, err := NewEncoder("PCMU", 1)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 160)
	for frame := range 20 {
		if _, err := e.Encode(sound(frame, 1, 7000), out); err != nil {
			t.Fatal(err)
		}
		for i, b := range out {
			if v := MuLawToLinear(b); frame > 1 && max(v, -v) > 8 {
				t.Fatalf("sample %d of frame %d is %d", i, frame, v)
			}
		}
	}
}

func TestEncoderCopy(t *testing.T) {
	for _, name := range []string{"PCMU", "PCMA", "G722"} {
		a, _ := NewEncoder(name, 1)
		b, _ := NewEncoder(name, 1)
		x, y := make([]byte, 160), make([]byte, 160)
		for frame := range 30 {
			if frame == 20 {
				if err := b.CopyState(a); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.Encode(sound(frame, 1, 700), x); err != nil {
				t.Fatal(err)
			}
			if frame < 20 {
				continue
			}
			if _, err := b.Encode(sound(frame, 1, 700), y); err != nil || !bytes.Equal(x, y) {
				t.Fatalf("%s: frame %d of a copy differs (%v)", name, frame, err)
			}
		}
		other, _ := NewEncoder("PCMU", 2)
		if a.CopyState(other) == nil || a.CopyState(3) == nil {
			t.Errorf("%s copies what is no such encoder", name)
		}
		if err := a.Reset(); err != nil {
			t.Fatal(err)
		}
		fresh, _ := NewEncoder(name, 1)
		_, _ = a.Encode(sound(0, 1, 700), x)
		_, _ = fresh.Encode(sound(0, 1, 700), y)
		if !bytes.Equal(x, y) {
			t.Errorf("%s: something is left after Reset", name)
		}
	}
}

func TestEncoderRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		channels int
	}{{"opus", 1}, {"PCMU", 0}, {"G722", 3}} {
		if _, err := NewEncoder(c.name, c.channels); err == nil {
			t.Errorf("%s with %d channels", c.name, c.channels)
		}
	}
	e, _ := NewEncoder("G722", 2)
	for _, samples := range []int{0, 3, 13, 2 * 1932} {
		if _, err := e.Encode(make([]float32, samples), make([]byte, 1000)); err == nil {
			t.Errorf("%d samples", samples)
		}
	}
	if _, err := e.Encode(make([]float32, 1920), make([]byte, 159)); err == nil {
		t.Error("too little room")
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	e, _ := NewEncoder("G722", 2)
	pcm, out := sound(0, 2, 440), make([]byte, 160)
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Encode(pcm, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncoder(b *testing.B) {
	for _, name := range []string{"PCMU", "G722"} {
		b.Run(name, func(b *testing.B) {
			e, _ := NewEncoder(name, 1)
			pcm, out := sound(0, 1, 440), make([]byte, 160)
			for b.Loop() {
				_, _ = e.Encode(pcm, out)
			}
		})
	}
}
