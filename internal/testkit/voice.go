package testkit

import (
	"math"
	"time"
)

// VoiceConfig describes a synthetic talker.
type VoiceConfig struct {
	PitchHz   float64 // of the glottal pulses: about 110 for a low voice, 210 for a high one
	TractHz   float64 // scales the formants; 0 is 500, the first formant of a neutral vowel of an adult tract
	LevelDBFS float64 // RMS over the voiced parts
	Seed      uint64
}

// vowels are the first three formants relative to TractHz = 500, after Peterson and Barney (1952): i, e, a, o, u.
var vowels = [5][3]float64{{0.54, 4.58, 6.02}, {1.06, 3.68, 4.96}, {1.46, 2.18, 4.88}, {1.14, 1.68, 4.82}, {0.6, 1.74, 4.48}}

// Voice is speech-like sound that belongs to nobody: glottal pulses with jitter through three formant resonators, vowels
// that change, syllables four times a second and a breath every two seconds. Voice activity detectors, noise suppressors
// and automatic gain take it for speech. It is silent for the last 20 ms, so that it loops without a click.
func Voice(cfg VoiceConfig, d time.Duration) []float32 {
	if cfg.TractHz == 0 {
		cfg.TractHz = 500
	}
	seed := cfg.Seed + 1
	pcm := make([]float32, Samples(d))
	var formant [3]resonator
	next, pulse := 0.0, 0.0
	for i := range pcm {
		t := float64(i) / SampleRate
		if i%Samples(250*time.Millisecond) == 0 {
			v := vowels[int((unit(&seed)+1)*2.4999)]
			for k := range formant {
				formant[k].tune(v[k]*cfg.TractHz, 60+40*float64(k))
			}
		}
		// A pulse and its decay: -12 dB per octave, as of a glottis. Pitch glides over a phrase and jitters by 1 %.
		if float64(i) >= next {
			pitch := cfg.PitchHz * (1.1 - 0.1*math.Mod(t, 2)) * (1 + 0.01*unit(&seed))
			next += SampleRate / pitch
			pulse += 1
		}
		pulse *= 0.97
		x := pulse + 0.02*unit(&seed)
		y := 0.0
		for k := range formant {
			y += formant[k].step(x) / float64(k+1)
		}
		pcm[i] = float32(y * syllable(t))
	}
	scaleVoiced(pcm, cfg.LevelDBFS)
	clear(pcm[max(0, len(pcm)-Samples(20*time.Millisecond)):])
	return pcm
}

// syllable is the loudness of speech over time: 4 Hz syllables, and 300 ms of breath in every 2 s.
func syllable(t float64) float64 {
	if math.Mod(t, 2) > 1.7 {
		return 0
	}
	return math.Pow(math.Sin(math.Pi*math.Mod(4*t, 1)), 0.7)
}

// scaleVoiced brings the RMS of the samples that are not near silence to levelDBFS and keeps peaks below full scale.
func scaleVoiced(pcm []float32, levelDBFS float64) {
	var peak, sum float64
	for _, s := range pcm {
		peak = max(peak, math.Abs(float64(s)))
	}
	n := 0
	for _, s := range pcm {
		if math.Abs(float64(s)) > peak/100 {
			sum += float64(s) * float64(s)
			n++
		}
	}
	if n == 0 {
		return
	}
	gain := Amplitude(levelDBFS) / math.Sqrt(2*sum/float64(n))
	gain = min(gain, 0.99/peak)
	for i := range pcm {
		pcm[i] *= float32(gain)
	}
}

// resonator is a two-pole band-pass (Klatt 1980).
type resonator struct{ a, b, c, y1, y2 float64 }

func (r *resonator) tune(freqHz, bandwidthHz float64) {
	r.c = -math.Exp(-2 * math.Pi * bandwidthHz / SampleRate)
	r.b = 2 * math.Exp(-math.Pi*bandwidthHz/SampleRate) * math.Cos(2*math.Pi*freqHz/SampleRate)
	r.a = 1 - r.b - r.c
}

func (r *resonator) step(x float64) float64 {
	y := r.a*x + r.b*r.y1 + r.c*r.y2
	r.y1, r.y2 = y, r.y1
	return y
}
