package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"parley/internal/resample"
)

// SyntheticSpeech is the name that Speech takes for sound of its own.
const SyntheticSpeech = "synthetic"

// speechAmplitude is that of the loudest part of what Speech returns, so that a tone fits beside it.
const speechAmplitude = 0.5

// Speech returns sound for Config.Speech: of a WAV file (16 bits or float, any rate; its first channel), or synthetic, or
// nothing for an empty name. At most a minute is kept.
func Speech(name string) ([]float32, error) {
	var pcm []float32
	switch name {
	case "":
		return nil, nil
	case SyntheticSpeech:
		pcm = babble(4 * sampleRate)
	default:
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var rate int
		if pcm, rate, err = parseWAV(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if pcm, err = toSampleRate(pcm, rate); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	pcm = pcm[:min(len(pcm), 60*sampleRate)]
	var peak float32
	for _, s := range pcm {
		peak = max(peak, s, -s)
	}
	if peak == 0 || len(pcm) < sampleRate {
		return nil, fmt.Errorf("%s: less than a second of sound", name)
	}
	for i := range pcm {
		pcm[i] *= speechAmplitude / peak
	}
	return pcm, nil
}

func toSampleRate(pcm []float32, rate int) ([]float32, error) {
	if rate == sampleRate {
		return pcm, nil
	}
	r, err := resample.New(rate, sampleRate, 1)
	if err != nil {
		return nil, err
	}
	var out []float32
	block := rate / 100
	for ; len(pcm) >= block; pcm = pcm[block:] {
		buf := make([]float32, r.Output(block))
		out = append(out, buf[:r.Process(buf, pcm[:block])]...)
	}
	return out, nil
}

// babble is speech-like sound: pulses at a gliding pitch through three resonances that change with every syllable, four
// syllables a second. It is loud and silent as speech is, and means nothing.
func babble(n int) []float32 {
	random := rand.New(rand.NewPCG(5, 6))
	pcm := make([]float32, n)
	type resonance struct{ a, b, c, y1, y2 float64 }
	var tract [3]resonance
	var next, pulse float64
	for i := range pcm {
		const syllable = sampleRate / 4
		if i%syllable == 0 {
			for k := range tract {
				hz := 300 + 900*float64(k) + 400*random.Float64()
				w := math.Exp(-math.Pi * (80 + 40*float64(k)) / sampleRate)
				tract[k].c = -w * w
				tract[k].b = 2 * w * math.Cos(2*math.Pi*hz/sampleRate)
				tract[k].a = 1 - tract[k].b - tract[k].c
			}
		}
		if float64(i) >= next {
			next += sampleRate / (130 * (1 + 0.1*math.Sin(2*math.Pi*float64(i)/(2*sampleRate))))
			pulse++
		}
		pulse *= 0.97
		x, y := pulse+0.02*random.Float64(), 0.0
		for k := range tract {
			r := &tract[k]
			r.y1, r.y2 = r.a*x+r.b*r.y1+r.c*r.y2, r.y1
			y += r.y1 / float64(k+1)
		}
		pcm[i] = float32(y * math.Sqrt(math.Sin(math.Pi*float64(i%syllable)/syllable)))
	}
	return pcm
}

var errWAV = errors.New("not a WAV file of 16 bits or float")

// parseWAV returns the first channel and the rate in Hz.
func parseWAV(data []byte) (pcm []float32, rate int, err error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return nil, 0, errWAV
	}
	var format, channels, bits int
	for rest := data[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		chunk := rest[8:]
		chunk = chunk[:min(size, len(chunk))]
		rest = rest[min(len(rest), 8+len(chunk)+len(chunk)&1):]
		switch {
		case id == "fmt " && len(chunk) >= 16:
			format, channels = int(binary.LittleEndian.Uint16(chunk)), int(binary.LittleEndian.Uint16(chunk[2:]))
			rate, bits = int(binary.LittleEndian.Uint32(chunk[4:])), int(binary.LittleEndian.Uint16(chunk[14:]))
		case id == "data" && channels > 0:
			step := channels * bits / 8
			for ; step > 0 && len(chunk) >= step; chunk = chunk[step:] {
				switch {
				case bits == 16 && format != 3:
					pcm = append(pcm, float32(int16(binary.LittleEndian.Uint16(chunk)))/32768)
				case bits == 32 && format == 3:
					pcm = append(pcm, math.Float32frombits(binary.LittleEndian.Uint32(chunk)))
				default:
					return nil, 0, errWAV
				}
			}
			return pcm, rate, nil
		}
	}
	return nil, 0, errWAV
}
