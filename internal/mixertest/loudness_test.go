package mixertest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/loudness"
	"parley/mixer"
)

// voice is noise with the slope of speech, in words of 300 ms with pauses of 150, of a loudness.
func voice(seed uint64, lufs float64) func(int) float32 {
	make := func(gain float64) func(int) float32 {
		rng := rand.New(rand.NewPCG(seed, 1))
		state := 0.0
		return func(n int) float32 {
			state = 0.9*state + 0.1*rng.NormFloat64()
			if n/480%45 >= 30 {
				return float32(0.001 * gain * rng.NormFloat64())
			}
			return float32(gain * state)
		}
	}
	probe := make(1)
	pcm := make32(10*48000, probe)
	return make(math.Pow(10, (lufs-spoken(pcm))/20))
}

func make32(n int, sound func(int) float32) []float32 {
	pcm := make([]float32, n)
	for i := range pcm {
		pcm[i] = sound(i)
	}
	return pcm
}

// spoken is the loudness of mono sound as BS.1770-4 measures a programme: in blocks of 400 ms, without those that are 10 LU below the rest.
func spoken(pcm []float32) float64 {
	m := loudness.NewMeter(1)
	var blocks []float64
	for ; len(pcm) >= 480; pcm = pcm[480:] {
		if m.Add(pcm[:480]) && m.Momentary() > loudness.Silence {
			blocks = append(blocks, m.Momentary())
		}
	}
	mean := func(least float64) float64 {
		sum, n := 0.0, 0
		for _, b := range blocks {
			if b >= least {
				sum, n = sum+math.Pow(10, b/10), n+1
			}
		}
		return 10 * math.Log10(sum/float64(max(1, n)))
	}
	return mean(mean(loudness.Silence) - 10)
}

// Voices of very different loudness take turns in one room. Where the room levels them, each is heard at -23 LUFS after a few seconds,
// and from its first word on when its turn comes again; who is how loud is shown, and chosen, by what was sent.
func TestVoicesAreLevelled(t *testing.T) {
	sent := []float64{-38, -32, -26, -20, -15, -10}
	for _, leveling := range []bool{true, false} {
		t.Run(fmt.Sprint(leveling), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMixer(t, 1, nil)
				stop := start(t, m)
				defer stop()
				r := newRoom(t, m, mixer.RoomConfig{Leveling: leveling, Speakers: 3})
				var talkers []*talker
				for i, lufs := range sent {
					talkers = append(talkers, newTalker(t, r, fmt.Sprint(i), voice(uint64(i), lufs)))
				}
				e, _ := newEar(t, m, r, "X")
				hear := func(i int, before, measured time.Duration) float64 {
					talk(m, before, talkers[i])
					e.reset()
					talk(m, measured, talkers[i])
					e.mu.Lock()
					got := spoken(e.pcm)
					e.mu.Unlock()
					talk(m, 2*time.Second)
					return got
				}
				for i, lufs := range sent {
					got, want := hear(i, 6*time.Second, 5*time.Second), loudness.TargetLUFS
					if !leveling {
						want = max(lufs, -38)
					}
					if math.Abs(got-want) > 2 {
						t.Errorf("%.0f LUFS is heard at %.1f, want %.0f", lufs, got, want)
					}
				}
				if !leveling {
					return
				}
				for i, lufs := range sent {
					talkers[i].packet.Marker = true
					if got := hear(i, 200*time.Millisecond, 3*time.Second); math.Abs(got-loudness.TargetLUFS) > 2 {
						t.Errorf("%.0f LUFS is heard at %.1f when its turn comes again", lufs, got)
					}
				}
				talk(m, time.Second, talkers...)
				levels := r.Levels(nil)
				if quiet, loud := levels[0].LevelDBov, levels[5].LevelDBov; loud-quiet < 18 {
					t.Errorf("shown at %d and %d dBov, sent 28 dB apart", quiet, loud)
				}
			})
		})
	}
}
