package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"parley/internal/opus"
)

// track is a loop of encoded sound that speakers send. It is shared and never changed.
type track struct {
	samples int      // of a frame, at 48 kHz
	frames  [][]byte // nil: not sent (DTX)
	levels  []uint8  // of each frame, -dBov (RFC 6464)
	chirps  []int    // where chirps begin in what a decoder makes of it, in samples at 8 kHz from the start of the loop
}

// frameChirps calls f for every chirp that begins in frame k, with its place in the frame.
func (t *track) frameChirps(k int, f func(offset time.Duration)) {
	n := t.samples / decimation
	i, _ := slices.BinarySearch(t.chirps, k*n)
	for ; i < len(t.chirps) && t.chirps[i] < (k+1)*n; i++ {
		f(time.Duration(t.chirps[i]-k*n) * time.Second / earRate)
	}
}

// Levels of what is sent, as amplitudes of a sine.
var (
	toneAmplitude  = amplitude(-20)
	chirpAmplitude = amplitude(-10)
	noiseAmplitude = amplitude(-52) // quieter than any speaker, and no silence
	hushAmplitude  = amplitude(-80)
)

func amplitude(dbfs float64) float64 { return math.Pow(10, dbfs/20) }

// encoding says how tracks are made.
type encoding struct {
	frame      time.Duration // 10, 20, 40 or 60 ms
	bitrate    int
	complexity int
	fec        bool
}

func (e encoding) samples() int { return int(e.frame * sampleRate / time.Second) }

// encodeLoop encodes pcm, whole frames at 48 kHz, twice, and keeps the second time: so the loop continues itself.
func (e encoding) encodeLoop(pcm []float32, dtx bool) (*track, error) {
	loss := 0
	if e.fec {
		loss = 10
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{
		Channels: 1, BitrateBps: e.bitrate, Complexity: e.complexity, FEC: e.fec, LossPercent: loss, DTX: dtx,
	})
	if err != nil {
		return nil, err
	}
	n := e.samples()
	if len(pcm) == 0 || len(pcm)%n != 0 {
		return nil, fmt.Errorf("a loop of %d samples is not whole frames of %d", len(pcm), n)
	}
	t := &track{samples: n}
	buf := make([]byte, 1275)
	for pass := range 2 {
		sound := pcm
		if dtx && pass == 0 { // what is quiet is told by what was loud before
			sound = slices.Concat(babble(100*n), pcm)
		}
		for rest := sound; len(rest) > 0; rest = rest[n:] {
			size, err := enc.Encode(rest[:n], buf)
			if err != nil {
				return nil, fmt.Errorf("encode: %w", err)
			}
			if pass == 0 {
				continue
			}
			level := uint8(min(127, max(0, -rms(rest[:n]))))
			if dtx && size <= 2 {
				t.frames, t.levels = append(t.frames, nil), append(t.levels, level)
				continue
			}
			t.frames, t.levels = append(t.frames, slices.Clone(buf[:size])), append(t.levels, level)
		}
	}
	return t, nil
}

// tone is voice v, steady.
func (e encoding) tone(v int) (*track, error) {
	return e.encodeLoop(sine(voiceHz(v), toneAmplitude, 10*e.samples()), false)
}

// chirping is voice v with a chirp every 600 to 700 ms, at places in the frame that no other shares.
func (e encoding) chirping(v int) (*track, error) {
	const count = 10
	n := e.samples()
	length := count * 700 * sampleRate / 1000 / n * n
	pcm := sine(voiceHz(v), toneAmplitude, length)
	sweep := chirp(sampleRate)
	random := rand.New(rand.NewPCG(uint64(v), 1))
	for at := 0; at+sampleRate*3/4 <= length; at += sampleRate*6/10 + random.IntN(sampleRate/10) {
		for i, s := range sweep {
			pcm[at+i] = pcm[at+i]/8 + float32(chirpAmplitude)*s
		}
	}
	t, err := e.encodeLoop(pcm, false)
	if err != nil {
		return nil, err
	}
	return t, t.locateChirps()
}

// locateChirps finds where the chirps are once coder and decoder have delayed them, so that this is no part of any delay
// measured later.
func (t *track) locateChirps() error {
	dec, err := opus.NewDecoder(1)
	if err != nil {
		return err
	}
	var d decimator
	var low []float32
	finder := newChirpFinder()
	loop := int64(len(t.frames) * t.samples / decimation)
	buf := make([]float32, opus.MaxFrameSamples)
	for range 3 {
		low = low[:0]
		for _, f := range t.frames {
			n, err := dec.Decode(f, buf)
			if err != nil {
				return fmt.Errorf("decode our own loop: %w", err)
			}
			low = d.append(low, buf[:n])
		}
		finder.search(low, func(at int64) {
			if at >= loop && at < 2*loop {
				t.chirps = append(t.chirps, int(at-loop))
			}
		})
	}
	slices.Sort(t.chirps)
	if len(t.chirps) == 0 {
		return fmt.Errorf("no chirp in our own loop")
	}
	return nil
}

// speech is sound that is given, in place of voice v's tone.
func (e encoding) speech(v int, pcm []float32) (*track, error) {
	n := e.samples()
	pcm = pcm[:len(pcm)/n*n]
	// Each voice begins elsewhere, so that they do not say the same in chorus.
	begin := v * 7919 % (len(pcm) / n) * n
	return e.encodeLoop(slices.Concat(pcm[begin:], pcm[:begin]), false)
}

// noise is what a noisy room sends: never chosen, never silent.
func (e encoding) noise() (*track, error) {
	return e.encodeLoop(whiteNoise(noiseAmplitude, 100*e.samples()), false)
}

// dtx is what an encoder with DTX sends of a quiet room.
func (e encoding) dtx() (*track, error) {
	return e.encodeLoop(whiteNoise(hushAmplitude, 200*e.samples()), true)
}

// hush is how a speaker ends: 100 ms of silence, so that nothing is left to conceal.
func (e encoding) hush() (*track, error) {
	n := e.samples()
	return e.encodeLoop(make([]float32, (sampleRate/10+n-1)/n*n), false)
}

func sine(hz, amplitude float64, n int) []float32 {
	pcm := make([]float32, n)
	for i := range pcm {
		pcm[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(i)/sampleRate))
	}
	return pcm
}

func whiteNoise(amplitude float64, n int) []float32 {
	random := rand.New(rand.NewPCG(3, 4))
	pcm := make([]float32, n)
	for i := range pcm {
		pcm[i] = float32(amplitude * (2*random.Float64() - 1))
	}
	return pcm
}
