package mixer

import (
	"testing"
	"time"

	"parley/neteq"
)

// Time passes where the test says so, and each stage has seen exactly what it took.
func TestStages(t *testing.T) {
	const us = time.Microsecond
	l := newLab(t, 1)
	flushes := 0
	l.m.OnEndTick(func(int) { flushes++; l.now += 700 * us })
	b := &statBuffer{}
	b.sound = constant(0.1)
	b.onGet = func(time.Duration) { l.now += 200 * us }
	l.onEncode = func(*fakeEncoder) { l.now += 300 * us }
	r := l.room(RoomConfig{})
	l.m.newBuffer = func(SourceConfig, int) (jitterBuffer, error) { return b, nil }
	s, err := r.AddSource(SourceConfig{Owner: "A", Formats: opusOnly})
	if err != nil {
		t.Fatal(err)
	}
	l.listener(r, "X")
	packets := 0
	for tick := time.Duration(1); tick <= 200; tick++ {
		l.now = tick*tickDuration - 4*time.Millisecond
		if tick%2 == 0 {
			packets++
			b.emitted += 960
			b.delay += 960 * 0.035
			if !s.Push(&neteq.Packet{Payload: []byte{1}, SequenceNumber: uint16(packets)}, l.now) {
				t.Fatal("packet refused")
			}
		}
		l.now = tick * tickDuration
		l.m.Step()
	}
	st := l.m.Stats()
	for stage, want := range map[Stage]struct{ count, least, most time.Duration }{
		StageInsert: {100, 4 * time.Millisecond, 5 * time.Millisecond},
		StageBuffer: {20, 35*time.Millisecond - us, 35 * time.Millisecond},
		StageFrame:  {100, 10*time.Millisecond + 200*us, 10*time.Millisecond + 200*us},
		StageEncode: {100, 300 * us, 300 * us},
		StageSend:   {time.Duration(flushes), 700 * us, 700 * us},
	} {
		h := st.Stages[stage]
		if n := time.Duration(h.Count); n < want.count-2 || n > want.count+1 || n == 0 {
			t.Errorf("stage %d: %d observations, want %d", stage, h.Count, want.count)
			continue
		}
		if mean := h.Sum / time.Duration(h.Count); mean < want.least || mean > want.most {
			t.Errorf("stage %d took %v, want %v to %v", stage, mean, want.least, want.most)
		}
		if len(h.Bounds) != histogramBuckets-1 || len(h.Counts) != histogramBuckets {
			t.Errorf("stage %d has %d bounds and %d counts", stage, len(h.Bounds), len(h.Counts))
		}
		for i := 1; i < len(h.Bounds); i++ {
			if h.Bounds[i] <= h.Bounds[i-1] {
				t.Errorf("stage %d: bound %v after %v", stage, h.Bounds[i], h.Bounds[i-1])
			}
		}
	}
}

// statBuffer says what NetEq would say about its delay.
type statBuffer struct {
	fakeBuffer
	emitted uint64
	delay   float64
}

func (b *statBuffer) Stats() neteq.Stats {
	return neteq.Stats{JitterBufferEmittedCount: b.emitted, JitterBufferDelay: b.delay}
}
