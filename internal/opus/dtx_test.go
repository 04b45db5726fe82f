package opus

import (
	"math"
	"testing"
)

func TestDTXGoesQuiet(t *testing.T) {
	e, pcm, buf := mustEncoder(t, voiceConfig), make([]float32, 960), make([]byte, 1275)
	newVoice(2).fill(pcm, 1)
	e.Encode(pcm, buf)
	clear(pcm)
	sent := 0
	for range 100 {
		n, err := e.Encode(pcm, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > 2 {
			sent++
		}
	}
	if sent > 20 {
		t.Errorf("%d of 100 silent frames are sent", sent)
	}
}

// A held chord is no silence, however little the encoder may compute.
func TestDTXLeavesSteadySoundAlone(t *testing.T) {
	for complexity := range 11 {
		e := mustEncoder(t, EncoderConfig{Channels: 1, BitrateBps: 32000, DTX: true, Complexity: 9})
		if err := e.SetComplexity(complexity); err != nil {
			t.Fatal(err)
		}
		pcm, out := make([]float32, 960), make([]byte, 1275)
		kept := 0
		for frame := range 200 {
			for i := range pcm {
				at := float64(frame*len(pcm)+i) / SampleRateHz
				pcm[i] = float32(0.1*math.Sin(2*math.Pi*523*at) + 0.1*math.Sin(2*math.Pi*787*at))
			}
			n, err := e.Encode(pcm, out)
			if err != nil {
				t.Fatal(err)
			}
			if n <= 2 {
				kept++
			}
		}
		if kept != 0 {
			t.Errorf("complexity %d: %d of 200 frames of a chord kept back", complexity, kept)
		}
	}
}
