package mixer

import (
	"fmt"
	"testing"
	"time"
)

// Late by up to five ticks: they are run, and nothing is lost. Later than that: skipped, counted, one gap; the tick after that is on
// time again, because the grid does not move.
func TestLateTicks(t *testing.T) {
	for _, c := range []struct {
		stall                   time.Duration
		caughtUp, skipped, late uint64
		gap                     uint32 // between timestamps, where it is longest
	}{
		{10 * time.Millisecond, 1, 0, 1, 960},
		{30 * time.Millisecond, 3, 0, 3, 960},
		{50 * time.Millisecond, 5, 0, 5, 960},
		{60 * time.Millisecond, 0, 6, 0, 960 + 6*480},
		{200 * time.Millisecond, 0, 20, 0, 960 + 20*480},
		{500 * time.Millisecond, 0, 50, 0, 960 + 50*480},
		{510 * time.Millisecond, 0, 51, 0, 960 + 51*480},
	} {
		for _, parity := range []int{0, 1} {
			l := newLab(t, 1)
			r := l.room(RoomConfig{})
			b := &fakeBuffer{sound: constant(0.3)}
			l.source(r, "A", b)
			_, rec := l.listener(r, "X")
			l.ticks(50 + parity)
			before, pulls, skips := l.m.Stats(), b.pulls, b.skips
			l.advance(tickDuration + c.stall)
			st := l.m.Stats()
			if n := st.CaughtUp - before.CaughtUp; n != c.caughtUp {
				t.Errorf("stall of %v: %d caught up, want %d", c.stall, n, c.caughtUp)
			}
			if n := st.Skipped - before.Skipped; n != c.skipped {
				t.Errorf("stall of %v: %d skipped, want %d", c.stall, n, c.skipped)
			}
			if n := st.Late - before.Late; n != c.late {
				t.Errorf("stall of %v: %d late, want %d", c.stall, n, c.late)
			}
			if n := b.pulls - pulls; n != 1+int(c.caughtUp) {
				t.Errorf("stall of %v: %d pulls, want %d", c.stall, n, 1+c.caughtUp)
			}
			if n := b.skips - skips; n != int(c.skipped) {
				t.Errorf("stall of %v: NetEq skipped %d ticks, want %d", c.stall, n, c.skipped)
			}
			before, count := st, rec.count
			l.ticks(20)
			st = l.m.Stats()
			if st.Late != before.Late || st.Ticks-before.Ticks != 20 || rec.count-count < 10 || rec.count-count > 11 {
				t.Errorf("stall of %v: in the 200 ms after it %d ticks, %d late, %d frames", c.stall, st.Ticks-before.Ticks, st.Late-before.Late, rec.count-count)
			}
			longest := uint32(0)
			for i := 1; i < len(rec.frames); i++ {
				d := rec.frames[i].Timestamp - rec.frames[i-1].Timestamp
				longest = max(longest, d)
				if d < 960 {
					t.Errorf("stall of %v: frames overlap: %d after %d", c.stall, rec.frames[i].Timestamp, rec.frames[i-1].Timestamp)
				}
			}
			if longest < c.gap-960 || longest > c.gap+960 || (c.gap == 960 && longest != 960) {
				t.Errorf("stall of %v: longest step of the timestamp %d, want about %d", c.stall, longest, c.gap)
			}
			// Timestamps are true to time after the gap.
			f, at := rec.frames[len(rec.frames)-1], rec.tick[len(rec.tick)-1]
			if want := r.epoch + uint32((at-10*time.Millisecond)/tickDuration)*480; f.Timestamp != want {
				t.Errorf("stall of %v: timestamp %d at %v, want %d", c.stall, f.Timestamp-r.epoch, at, want-r.epoch)
			}
		}
	}
}

func TestLatenessIsMeasured(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.3)})
	l.listener(r, "X")
	l.ticks(10)
	for range 10 {
		l.advance(tickDuration + 4*time.Millisecond)
		l.advance(tickDuration - 4*time.Millisecond)
	}
	h := l.m.Stats().Lateness
	if h.Count != 30 || h.Sum != 40*time.Millisecond {
		t.Errorf("%d ticks, %v late in all; want 30 and 40 ms", h.Count, h.Sum)
	}
	if p50, p99 := h.Quantile(0.5), h.Quantile(0.99); p50 != 20*time.Microsecond || p99 != 5*time.Millisecond {
		t.Errorf("median %v, p99 %v; want at most 20 µs and 5 ms", p50, p99)
	}
	if q := (Histogram{}).Quantile(0.5); q != 0 {
		t.Errorf("median of nothing: %v", q)
	}
	if n := l.m.Stats().Late; n != 0 {
		t.Errorf("%d late although none by more than 5 ms", n)
	}
}

// Rooms are spread evenly over workers, phases and parities, and encode when their turn comes.
func TestRoomsAreStaggered(t *testing.T) {
	l := newLab(t, 2)
	l.record = false
	per := map[string]int{}
	var rooms []*Room
	for range 2 * phases * frameTicks * 3 {
		r := l.room(RoomConfig{})
		rooms = append(rooms, r)
		l.source(r, "A", &fakeBuffer{sound: constant(0.3)})
		l.listener(r, "X")
		per[fmt.Sprint(r.worker.index, r.phase, r.parity)]++
	}
	if len(per) != 2*phases*frameTicks {
		t.Errorf("%d places used of %d", len(per), 2*phases*frameTicks)
	}
	for place, n := range per {
		if n != 3 {
			t.Errorf("%d rooms at %s, want 3", n, place)
		}
	}
	l.ticks(10)
	// In every 2 ms of a frame the same number of encodes.
	for k := range 40 {
		before := l.m.Stats().Encodes
		l.advance(2 * time.Millisecond)
		if n := l.m.Stats().Encodes - before; n != 6 {
			t.Errorf("slice %d: %d encodes, want 6", k, n)
		}
	}
	// What leaves makes room.
	gone := rooms[7]
	gone.Close()
	r := l.room(RoomConfig{})
	if r.worker != gone.worker || r.phase != gone.phase || r.parity != gone.parity {
		t.Error("a new room does not take the place that became free")
	}
}

// A frame leaves right after its second tick: what is pulled in a tick is at most 10 ms old when it is sent.
func TestFrameLeavesAfterItsSecondTick(t *testing.T) {
	l := newLab(t, 1)
	for range 2 {
		r := l.room(RoomConfig{})
		l.source(r, "A", &fakeBuffer{sound: constant(0.3)})
		_, rec := l.listener(r, "X")
		for range 21 * phases {
			l.advance(tickDuration / phases)
		}
		for i, f := range rec.frames {
			begun := time.Duration(int32(f.Timestamp-r.epoch)) * time.Second / 48000
			if age := rec.tick[i] - begun; age != 10*time.Millisecond+due(0, r.phase) {
				t.Errorf("frame %d is sent %v after its first tick is due", i, age)
			}
		}
	}
}

func TestDueIsAbsolute(t *testing.T) {
	for _, c := range []struct {
		now   time.Duration
		phase int
		want  int64
	}{{0, 0, 0}, {1, 0, 1}, {10 * time.Millisecond, 0, 1}, {0, 2, 0}, {4 * time.Millisecond, 2, 0}, {4*time.Millisecond + 1, 2, 1}, {time.Hour, 4, 360000}} {
		if n := firstDue(c.now, c.phase); n != c.want {
			t.Errorf("first tick of phase %d due at %v: %d, want %d", c.phase, c.now, n, c.want)
		}
	}
	if d := due(360000, 3); d != time.Hour+6*time.Millisecond {
		t.Errorf("due %v", d)
	}
}
