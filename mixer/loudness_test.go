package mixer

import (
	"fmt"
	"math"
	"testing"
)

// Whatever comes in, what is encoded is finite and stays 1 dB below full scale, in every mix and tier: squares and direct current at full scale, what
// is not a number, 64 voices at once at 0 dBFS, and all of that made eight times louder by those who speak and by those who listen.
func TestHostileLoudness(t *testing.T) {
	square := func(hz int) func(int, []float32) {
		return func(k int, frame []float32) {
			for i := range frame {
				frame[i] = 1
				if (k*frameSamples+i)*2*hz/SampleRateHz%2 == 1 {
					frame[i] = -1
				}
			}
		}
	}
	nan := func(k int, frame []float32) {
		square(310)(k, frame)
		frame[k%frameSamples] = float32(math.NaN())
	}
	flip := func(k int, frame []float32) { constant(float32(1-2*(k/7%2)))(k, frame) }
	for name, sounds := range map[string][]func(int, []float32){
		"square":       {square(440)},
		"DC":           {constant(1)},
		"flipping DC":  {flip, constant(1)},
		"NaN":          {nan, square(200)},
		"infinite":     {constant(float32(math.Inf(1))), square(97)},
		"64 at 0 dBFS": nil,
	} {
		l := newLab(t, 1)
		l.redundant = true
		r := l.room(RoomConfig{})
		if sounds == nil {
			for i := range 64 {
				sounds = append(sounds, square(100+7*i))
			}
		}
		for i, f := range sounds {
			s := l.source(r, fmt.Sprint(i), &fakeBuffer{sound: f, busy: true})
			if i%2 == 1 {
				s.SetGain(8)
			}
		}
		var recorders []*recorder
		for i, loss := range []float64{0, 0.05, 0.2} {
			x, rec := l.listener(r, fmt.Sprint("listener ", i))
			recorders = append(recorders, rec)
			x.SetReport(Report{Loss: loss})
			x.SetReport(Report{Loss: loss})
			if err := x.SetGain("0", 8); err != nil {
				t.Fatal(err)
			}
		}
		l.ticks(200)
		for tier, rec := range recorders {
			top, sent := float32(0), 0
			for _, pcm := range rec.pcm {
				sent += len(pcm)
				top = max(top, peakOf(pcm))
			}
			if !(top <= limiterCeiling) || sent < 150*frameSamples {
				t.Errorf("%s, tier %d: peak %v in %d samples", name, tier, top, sent)
			}
		}
	}
}
