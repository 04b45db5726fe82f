package opus

import (
	"bytes"
	"fmt"
	"math"
)

// SelfCheck proves with the libopus that is linked that a fork of an encoder yields the same bytes as the original.
// It takes a few milliseconds; a program that relies on CopyState calls it once at start.
func SelfCheck() error {
	e, err := NewEncoder(EncoderConfig{Channels: 1, BitrateBps: 32000, FEC: true, DTX: true, LossPercent: 10, Complexity: 9})
	if err != nil {
		return err
	}
	pcm := make([]float32, 960)
	a, b := make([]byte, 1275), make([]byte, 1275)
	seed := uint32(1)
	next := func(frame int) {
		for i := range pcm {
			seed = seed*1664525 + 1013904223
			t := float64(frame*960+i) / SampleRateHz
			pcm[i] = float32(0.3*math.Sin(2*math.Pi*(150+40*math.Sin(t))*t)) + float32(int32(seed))*(0.05/(1<<31))
		}
	}
	for frame := range 8 {
		next(frame)
		if _, err := e.Encode(pcm, a); err != nil {
			return err
		}
	}
	if n := e.interiorPointers(); n != 0 {
		return fmt.Errorf("%w: %d pointers into itself", ErrState, n)
	}
	f, err := e.Fork()
	if err != nil {
		return err
	}
	for frame := 8; frame < 16; frame++ {
		next(frame)
		n, err := e.Encode(pcm, a)
		if err != nil {
			return err
		}
		m, err := f.Encode(pcm, b)
		if err != nil {
			return err
		}
		if !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("%w: frame %d of a fork differs", ErrState, frame)
		}
	}
	return nil
}
