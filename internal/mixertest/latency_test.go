package mixertest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/opus"
	"parley/mixer"
)

// marker is a short burst in the sound, once every 500 ms or so, that can be found again after two codecs.
func markers(seed uint64, n int) (sound func(int) float32, at []int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for k := range n {
		at = append(at, 48000+k*24000+rng.IntN(9600))
	}
	return func(i int) float32 {
		x := 0.02 * math.Sin(2*math.Pi*300*float64(i)/48000)
		if k := (i - 48000 + 480) / 24000; k >= 0 && k < n {
			if d := float64(i - at[k]); d > -480 && d < 480 {
				x += 0.7 * math.Exp(-d*d/(2*48*48)) * math.Sin(2*math.Pi*1500*d/48000)
			}
		}
		return float32(x)
	}, at
}

// find returns where in pcm the markers lie: the middle of each burst.
func find(pcm []float32) []int {
	var out []int
	for i := 0; i < len(pcm); i++ {
		if math.Abs(float64(pcm[i])) < 0.2 {
			continue
		}
		// The centre of energy of the next 10 ms.
		var sum, moment float64
		for k := i; k < min(i+480, len(pcm)); k++ {
			e := float64(pcm[k]) * float64(pcm[k])
			sum, moment = sum+e, moment+e*float64(k)
		}
		out = append(out, int(moment/sum))
		i += 4800
	}
	return out
}

// TestLatency measures the server's time: from the arrival of the RTP packet whose sound holds a marker to the hand-over
// of the RTP packet whose sound holds it, on a clean link, for senders at every phase to the tick. All in virtual time,
// so it is what buffers and frames cost, without the computer.
func TestLatency(t *testing.T) {
	var all []time.Duration
	for phase := range 5 {
		synctest.Test(t, func(t *testing.T) {
			m := newMixer(t, 1, nil)
			stop := start(t, m)
			r := newRoom(t, m, mixer.RoomConfig{})
			const n = 24
			sound, _ := markers(uint64(phase), n)
			x := newTalker(t, r, "A", sound)
			e, _ := newEar(t, m, r, "X")
			time.Sleep(time.Duration(phase)*4*time.Millisecond + 137*time.Microsecond)
			dec, err := opus.NewDecoder(1)
			if err != nil {
				t.Fatal(err)
			}
			var in []float32
			var arrivals []time.Duration
			pcm := make([]float32, frame)
			begun := m.Now()
			for k := range (n*24000 + 2*48000) / frame {
				x.next()
				if _, err := dec.Decode(x.packet.Payload, pcm); err != nil {
					t.Fatal(err)
				}
				in = append(in, pcm...)
				arrivals = append(arrivals, m.Now())
				x.push(m.Now())
				time.Sleep(begun + time.Duration(k+1)*20*time.Millisecond - m.Now())
			}
			time.Sleep(100 * time.Millisecond)
			stop()
			sent, heard := find(in), find(e.pcm)
			if len(sent) != n || len(heard) != n {
				t.Fatalf("phase %d: %d markers sent, %d heard, want %d", phase, len(sent), len(heard), n)
			}
			var here []time.Duration
			for i := range sent {
				here = append(here, e.at[heard[i]/frame]-arrivals[sent[i]/frame])
			}
			all = append(all, here...)
			slices.Sort(here)
			st := x.source.Stats().NetEq
			t.Logf("phase %2d ms: median %.1f ms, max %.1f; NetEq target %v, concealed %d", 4*phase, ms(here[n/2]), ms(here[n-1]), st.TargetDelay, st.ConcealedSamples)
		})
	}
	slices.Sort(all)
	quantile := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))] }
	report := fmt.Sprintf("median %.1f ms, p5 %.1f, p95 %.1f, max %.1f of %d", ms(quantile(0.5)), ms(quantile(0.05)), ms(quantile(0.95)), ms(quantile(1)), len(all))
	t.Log("RTP in to RTP out: " + report)
	if quantile(0.5) > 50*time.Millisecond {
		t.Errorf("RTP in to RTP out: %s; want a median of at most 50 ms", report)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
