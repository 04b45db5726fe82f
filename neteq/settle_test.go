package neteq

import (
	"math"
	"testing"
	"time"
)

// talk is speech without pauses: a voice whose pitch glides and whose level swings with the syllables, in noise.
func talk(noiseRMS float64) signal {
	noise := white(noiseRMS)
	return func(i, c int) float64 {
		t := float64(i) / sampleRate
		phase := 2 * math.Pi * (130*t + 6*math.Sin(2*math.Pi*0.7*t)) // 104 to 156 Hz
		s := 0.0
		for k := 1; k <= 12; k++ {
			s += math.Sin(float64(k)*phase) / float64(k)
		}
		return 0.2*s*(0.7+0.3*math.Sin(2*math.Pi*4*t)) + noise(i, c)
	}
}

// excess is how far the delay lies above its target.
func excess(b *bench) time.Duration {
	s := b.n.Stats()
	return s.PlayoutDelay - s.TargetDelay
}

func TestExcessIsReleasedFromSpeech(t *testing.T) {
	stalled := func(from, length time.Duration) func(time.Duration) time.Duration {
		return func(at time.Duration) time.Duration {
			if at >= from && at < from+length {
				return from + length - at
			}
			return 0
		}
	}
	for _, c := range []struct {
		name    string
		noise   float64
		delay   func(at time.Duration) time.Duration
		over    time.Duration // the disturbance, or the start
		settled time.Duration // after that the delay is to be as without it
	}{
		{"burst", 0.001, stalled(20*time.Second, ms(200)), ms(20200), 7 * time.Second},
		{"burst in noise", 0.03, stalled(20*time.Second, ms(200)), ms(20200), 7 * time.Second},
		{"bunched start", 0.001, stalled(0, ms(180)), 5 * time.Second, 3 * time.Second},
		{"bunched start in noise", 0.03, stalled(0, ms(180)), 5 * time.Second, 3 * time.Second},
		{"stall in the first second", 0.001, stalled(ms(500), ms(150)), 5 * time.Second, 3 * time.Second},
		{"end of jitter", 0.001, func(at time.Duration) time.Duration {
			if at < 20*time.Second {
				return ms(int(at/time.Millisecond*7919) % 100)
			}
			return 0
		}, 20 * time.Second, 13 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Config{})
			b.sig = talk(c.noise)
			deliver := func(at time.Duration) { // sends on until at
				k := b.sent / b.packet
				base := k
				b.run(at-b.now, func(i int) time.Duration {
					return c.delay(samplesToTime(int64((base + i) * b.packet)))
				})
			}
			deliver(c.over + 3*time.Second)
			if e := excess(b); e > ms(20) {
				t.Errorf("three seconds after the disturbance the delay is %v above its target", e)
			}
			deliver(c.over + c.settled)
			fast := b.n.Stats().RemovedSamplesForAcceleration
			if d := b.n.Stats().PlayoutDelay; d > ms(40) {
				t.Errorf("delay %v in the end", d)
			}
			before := b.n.Stats().ConcealedSamples
			deliver(c.over + c.settled + 10*time.Second)
			if e := excess(b); e > ms(20) || e < -ms(20) || b.n.Stats().ConcealedSamples != before {
				t.Errorf("later the delay is %v above its target, %d samples concealed", e, b.n.Stats().ConcealedSamples-before)
			}
			if more := b.n.Stats().RemovedSamplesForAcceleration - fast; more > 20*millisecond {
				t.Errorf("stretches on: %d samples", more)
			}
		})
	}
}

func TestSpeechIsNeverMuchFaster(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = talk(0.001)
	var removed []uint64 // every 20 ms
	b.run(12*time.Second, func(k int) time.Duration {
		removed = append(removed, b.n.Stats().RemovedSamplesForAcceleration)
		return max(0, ms(180-20*k))
	})
	if all := removed[len(removed)-1]; all < 100*millisecond {
		t.Fatalf("%d samples removed: nothing to see", all)
	}
	for i := 50; i < len(removed); i++ {
		if r := removed[i] - removed[i-50]; r > sampleRate/10+stretchMaxLag {
			t.Fatalf("%d samples taken out of the second before %d ms", r, 20*i)
		}
	}
}
