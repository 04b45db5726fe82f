package neteq

import (
	"testing"
	"time"
)

// Items 32 to 35: the ratio holds in every direction across the wrap, and comfort noise and events do not change it. The
// reverse mapping of items 32 and 33 has no use here: what leaves has the room's timestamps.
func TestTimestampScaler(t *testing.T) {
	for _, c := range []struct {
		name  string
		scale uint32
	}{{"PCMU", 6}, {"G722", 6}, {"16 kHz", 3}, {"Opus", 1}} {
		for _, step := range []uint32{1, 160, 320, 960, 1<<32 - 160} {
			var s timestampScaler
			external := uint32(1<<32 - 1000)
			first := s.toInternal(external, c.scale, 0)
			if first != external {
				t.Fatalf("%s: first packet maps to %d", c.name, first)
			}
			for k := range uint32(2000) {
				external += step
				if got, want := s.toInternal(external, c.scale, 0), first+(k+1)*step*c.scale; got != want {
					t.Fatalf("%s, step %d, packet %d: %d, want %d", c.name, int32(step), k, got, want)
				}
			}
		}
	}
}

func TestTimestampScalerKeepsTheRatio(t *testing.T) { // items 34 and 35
	var s timestampScaler
	if got := s.ratio(6); got != 6 {
		t.Errorf("ratio of a stream that begins with noise: %d", got)
	}
	at := s.toInternal(100, 3, 0)
	if got := s.ratio(6); got != 3 {
		t.Errorf("ratio for noise: %d", got)
	}
	if got := s.toInternal(110, s.ratio(6), 0); got != at+30 {
		t.Errorf("10 on is %d", got-at)
	}
	s = timestampScaler{}
	if got := s.toInternal(7, 3, 0); got != 7 {
		t.Errorf("after a reset %d", got)
	}
}

// A change of clock rate: the sender may count the 20 ms before it in either clock (RFC 7160, section 3).
func TestTimestampScalerAcrossClocks(t *testing.T) {
	for _, c := range []struct {
		name           string
		from, to, step uint32
		late           time.Duration
		want           int32
	}{
		{"8000 to 48000, in the old clock", 6, 1, 160, 0, 960},
		{"8000 to 48000, in the new clock", 6, 1, 960, 0, 960},
		{"48000 to 8000, in the old clock", 1, 6, 960, 0, 960},
		{"48000 to 8000, in the new clock", 1, 6, 160, 0, 960},
		{"in the old clock, 30 ms of jitter", 6, 1, 160, ms(30), 960},
		{"backwards, reordered", 6, 1, 1<<32 - 160, -ms(40), -960},
	} {
		var s timestampScaler
		begin := s.toInternal(1<<32-50, c.from, ms(1000))
		got := int32(s.toInternal(1<<32-50+c.step, c.to, ms(1020)+c.late) - begin)
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if next := int32(s.toInternal(1<<32-50+c.step+100, c.to, ms(1040)) - begin); next != got+100*int32(c.to) {
			t.Errorf("%s: then %d", c.name, next)
		}
	}
}

// Item 36 does not arise: 48 kHz comes out, so no ratio is below 1 (the registry refuses other clocks).
func TestNoClockAbove48kHz(t *testing.T) {
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, rate := range []int{44100, 96000, 90000, 0, -8000} {
		err := n.Register(100, Format{Name: "L16", ClockRateHz: rate}, func() (Decoder, error) { return &pcmDecoder{channels: 1}, nil })
		if err == nil {
			t.Errorf("clock of %d Hz taken", rate)
		}
	}
}
