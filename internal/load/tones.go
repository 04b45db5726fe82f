package load

import "math"

// Sound is analysed at 8 kHz: everything that marks a voice lies below 4 kHz.
const (
	sampleRate = 48000
	earRate    = 8000
	decimation = sampleRate / earRate
)

// Voices is how many speakers can be told apart in one room. Tones above 1900 Hz would be of no use: at 24 kb/s libopus moves them
// and makes new ones.
const Voices = 32

// voiceHz is the tone that marks voice v. Tones lie on a grid of 50 Hz, so that they are whole cycles in 20 ms (a loop of
// frames has no seam) and a window of 100 ms tells neighbours apart.
//
// 1350 Hz is left out: of all these, libopus makes another tone only of that one, 1800 Hz, and more so the second time.
func voiceHz(v int) float64 {
	hz := 350 + 50*float64(v)
	if hz >= 1350 {
		hz += 50
	}
	return hz
}

// decimator brings 48 kHz to 8 kHz by the mean of six samples. Aliases of what lies above 4 kHz do not matter here: chirps and
// tones lie below 3 kHz, and both ends of every comparison go through it.
type decimator struct {
	sum float32
	n   int
}

func (d *decimator) append(out []float32, pcm []float32) []float32 {
	for _, s := range pcm {
		d.sum += s
		if d.n++; d.n == decimation {
			out = append(out, d.sum/decimation)
			d.sum, d.n = 0, 0
		}
	}
	return out
}

const windowSamples = earRate / 10 // of one look for tones

// What counts as a tone. Speakers send theirs at -20 dBFS. Coders add tones of their own, harmonics of what they take for
// a pitch: libopus at 16 kb/s, as listeners with bad paths get it, up to -32 dBFS. So what should be there may be faint, what
// should not must be loud.
const (
	faintDBFS, faintOutDB = -46.0, 6 // outDB: above the background on both sides
	loudDBFS, loudOutDB   = -27.0, 10
)

// tones finds the marks of voices in 100 ms of sound. Not safe for concurrent use.
type tones struct {
	window [windowSamples]float64 // Hann
}

func newTones() *tones {
	t := new(tones)
	for i := range t.window {
		t.window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/windowSamples)
	}
	return t
}

// present returns the sets of the first n voices whose tone stands out in pcm, windowSamples at 8 kHz: of all, and of
// those that are loud.
func (t *tones) present(pcm []float32, n int) (faint, loud uint64) {
	for v := range n {
		hz := voiceHz(v)
		tone := t.level(pcm, hz)
		if tone < faintDBFS {
			continue
		}
		out := tone - max(t.level(pcm, hz-25), t.level(pcm, hz+25))
		if out > faintOutDB {
			faint |= 1 << v
		}
		if tone > loudDBFS && out > loudOutDB {
			loud |= 1 << v
		}
	}
	return faint, loud
}

// level is the level of a sine of hz in dBFS (Goertzel's algorithm).
func (t *tones) level(pcm []float32, hz float64) float64 {
	w := 2 * math.Pi * hz / earRate
	c := 2 * math.Cos(w)
	var s1, s2 float64
	for i, s := range pcm[:windowSamples] {
		s1, s2 = float64(s)*t.window[i]+c*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - c*s1*s2 // (amplitude · windowSamples / 4)²
	return 10 * math.Log10(power*16/(windowSamples*windowSamples)+1e-20)
}

// rms is the level of pcm in dBFS, where a full-scale sine is 0 less 3.
func rms(pcm []float32) float64 {
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return 10 * math.Log10(sum/float64(max(1, len(pcm)))+1e-20)
}

// Chirps: a sweep whose autocorrelation is one narrow peak.
const (
	chirpFromHz  = 600.0
	chirpToHz    = 3000.0
	chirpSeconds = 0.03
	chirpSamples = chirpSeconds * earRate
	chirpScore   = 0.55 // least normalised correlation
	chirpLeast   = 2.5  // energy of a place that is looked at: 6 dB below a chirp as it is sent, above a tone
)

// chirp is the sweep at a rate in Hz, of amplitude 1, with raised-cosine edges of 5 ms.
func chirp(rate float64) []float32 {
	n := int(chirpSeconds * rate)
	edge := int(0.005 * rate)
	pcm := make([]float32, n)
	for i := range pcm {
		x := float64(i)
		s := math.Sin(2 * math.Pi * (chirpFromHz*x + (chirpToHz-chirpFromHz)*x*x/(2*float64(n))) / rate)
		if k := min(i, n-1-i); k < edge {
			s *= 0.5 - 0.5*math.Cos(math.Pi*(float64(k)+0.5)/float64(edge))
		}
		pcm[i] = float32(s)
	}
	return pcm
}

// chirpFinder finds chirps in a stream at 8 kHz, sample by sample. Not safe for concurrent use.
type chirpFinder struct {
	ref    []float32
	energy float64
	buf    []float32 // what is not searched yet, from sample start on
	start  int64
	best   float64 // of the peak being climbed
	at     int64
}

func newChirpFinder() *chirpFinder {
	f := &chirpFinder{}
	var d decimator
	f.ref = d.append(nil, chirp(sampleRate))
	for _, s := range f.ref {
		f.energy += float64(s) * float64(s)
	}
	return f
}

// search takes the next samples and calls found with the position of the first sample of each chirp.
func (f *chirpFinder) search(pcm []float32, found func(at int64)) {
	f.buf = append(f.buf, pcm...)
	n := len(f.buf) - len(f.ref)
	if n <= 0 {
		return
	}
	var energy float64
	for _, s := range f.buf[:len(f.ref)] {
		energy += float64(s) * float64(s)
	}
	for i := range n {
		if i > 0 {
			in, out := float64(f.buf[i+len(f.ref)-1]), float64(f.buf[i-1])
			energy += in*in - out*out
		}
		at := f.start + int64(i)
		if f.best > 0 && at-f.at > int64(len(f.ref)) {
			found(f.at)
			f.best = 0
		}
		if energy < chirpLeast {
			continue
		}
		var dot float64
		for k, r := range f.ref {
			dot += float64(f.buf[i+k]) * float64(r)
		}
		if score := math.Abs(dot) / math.Sqrt(f.energy*energy); score > chirpScore && score > f.best {
			f.best, f.at = score, at
		}
	}
	f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	f.start += int64(n)
}
