package mixer

import (
	"fmt"
	"testing"
	"time"
)

// tickEnds counts, per worker, the frames that were handed out and not followed by the end of a tick yet.
type tickEnds struct {
	open  []int
	ends  int
	empty int // ends with nothing before them
}

func (e *tickEnds) WriteFrame(f Frame) { e.open[f.Worker]++ }

func (e *tickEnds) end(worker int) {
	e.ends++
	if e.open[worker] == 0 {
		e.empty++
	}
	e.open[worker] = 0
}

// Whatever was handed out is followed by the end of a tick on the same worker, and nothing else is.
func TestEndOfTick(t *testing.T) {
	l := newLab(t, 2)
	l.record = false
	e := &tickEnds{open: make([]int, l.m.Workers())}
	l.m.OnEndTick(e.end)
	for range 7 {
		r := l.room(RoomConfig{})
		l.source(r, "A", &fakeBuffer{sound: constant(0.3)})
		for i := range 3 {
			if _, err := r.AddListener(ListenerConfig{Owner: fmt.Sprint(i), Sink: e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.room(RoomConfig{}) // nobody there
	for range 100 * phases {
		l.advance(tickDuration / phases)
		if e.open[0]+e.open[1] != 0 {
			t.Fatalf("at %v frames wait: %v", l.now, e.open)
		}
	}
	if e.ends < 7*40 || e.empty != 0 {
		t.Errorf("%d ends, %d of them for nothing", e.ends, e.empty)
	}
	l.advance(40 * time.Millisecond) // late: some at once
	if e.open[0]+e.open[1] != 0 {
		t.Errorf("frames wait: %v", e.open)
	}
}
