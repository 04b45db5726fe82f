package mixer

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/neteq"
)

// orderSink is a listener's end that wants its frames one after the other, each sent (by the end of a tick on the worker that
// handed it out) before the next comes.
type orderSink struct {
	t       *testing.T
	ends    []atomic.Uint64 // of ticks, per worker; all sinks share it
	workers []atomic.Uint64 // frames per worker; the same

	busy   atomic.Bool
	n      int
	last   uint32
	worker int
	ended  uint64
	onCall func(Frame)
}

func (s *orderSink) WriteFrame(f Frame) {
	if !s.busy.CompareAndSwap(false, true) {
		s.t.Error("two frames at a time")
	}
	if s.onCall != nil {
		s.onCall(f)
	}
	if s.n > 0 {
		if d := f.Timestamp - s.last; d != 960 {
			s.t.Errorf("frame %d is %d samples after the one before", s.n, int32(d))
		}
		if s.ended == s.ends[s.worker].Load() {
			s.t.Errorf("frame %d is not sent before the next", s.n-1)
		}
	}
	if s.workers[f.Worker].Add(1)%spanListeners == 0 {
		runtime.Gosched() // a helper that was called gets its turn, however few processors are free
	}
	s.n++
	s.last, s.worker, s.ended = f.Timestamp, f.Worker, s.ends[f.Worker].Load()
	s.busy.Store(false)
}

// crowd puts speakers and so many listeners into a room, and keeps the speakers' packets coming until stop.
func crowd(t *testing.T, l *lab, r *Room, listeners int, sink func(i int) Sink) {
	t.Helper()
	for i := range 3 {
		if _, err := r.AddSource(SourceConfig{Owner: fmt.Sprint("speaker ", i), Formats: opusOnly}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range listeners {
		if _, err := r.AddListener(ListenerConfig{Owner: fmt.Sprint("listener ", i), Sink: sink(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// A large room is helped by workers that have nothing to do; every listener gets every frame, once and in order.
func TestLargeRoomIsShared(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			l, stop := runLab(t, workers)
			ends, frames := make([]atomic.Uint64, workers), make([]atomic.Uint64, workers)
			l.m.OnEndTick(func(worker int) { ends[worker].Add(1) })
			const listeners = 1000
			var sinks []*orderSink
			r := l.room(RoomConfig{})
			crowd(t, l, r, listeners, func(int) Sink {
				s := &orderSink{t: t, ends: ends, workers: frames}
				sinks = append(sinks, s)
				return s
			})
			small := &orderSink{t: t, ends: ends, workers: frames}
			crowd(t, l, l.room(RoomConfig{}), 1, func(int) Sink { return small })
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for i, s := range append(sinks, small) {
				if s.n < 498 || s.n > 501 {
					t.Errorf("listener %d of %d got %d frames in 10 s, want 500", i, listeners, s.n)
				}
			}
			st := l.m.Stats()
			if workers == 1 {
				if st.Shared != 0 {
					t.Errorf("one worker shared %d steps", st.Shared)
				}
			} else {
				others := uint64(0)
				for i := range frames {
					if i != r.worker.index {
						others += frames[i].Load()
					}
				}
				if st.Shared < 400 || others < 1000 {
					t.Errorf("%d workers: %d steps shared, %d frames by others", workers, st.Shared, others)
				}
			}
			if st.Frames != total(frames) {
				t.Errorf("%d frames counted, %d seen", st.Frames, total(frames))
			}
			stop()
		})
	}
}

func total(x []atomic.Uint64) (n uint64) {
	for i := range x {
		n += x[i].Load()
	}
	return n
}

// A panic in a part, whoever does it, closes its room and no other; the helper helps on.
func TestPanicInAPart(t *testing.T) {
	for _, by := range []string{"owner", "helper"} {
		synctest.Test(t, func(t *testing.T) {
			l, stop := runLab(t, 2)
			ends, frames := make([]atomic.Uint64, 2), make([]atomic.Uint64, 2)
			l.m.OnEndTick(func(worker int) { ends[worker].Add(1) })
			bad, good := l.room(RoomConfig{}), l.room(RoomConfig{})
			for good.phase == bad.phase { // two workers with a room at the same time do not help each other
				next := l.room(RoomConfig{})
				good.Close()
				good = next
			}
			var armed atomic.Bool
			crowd(t, l, bad, 1000, func(int) Sink {
				return &orderSink{t: t, ends: ends, workers: frames, onCall: func(f Frame) {
					if (f.Worker == bad.worker.index) == (by == "owner") && armed.Load() {
						panic("sink")
					}
				}}
			})
			var sinks []*orderSink
			crowd(t, l, good, 1000, func(int) Sink {
				s := &orderSink{t: t, ends: ends, workers: frames}
				sinks = append(sinks, s)
				return s
			})
			time.Sleep(time.Second)
			shared := l.m.Stats().Shared
			armed.Store(true)
			l.panics = 1
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if err := bad.Err(); !errors.Is(err, ErrRoomPanicked) || !strings.Contains(err.Error(), "sink") {
				t.Errorf("%s: %v", by, err)
			}
			if good.Err() != nil || sinks[0].n < 295 {
				t.Errorf("%s: the other room: %v, %d frames", by, good.Err(), sinks[0].n)
			}
			if st := l.m.Stats(); st.Shared < shared+200 || st.Panics != 1 || st.Rooms != 1 {
				t.Errorf("%s: %d steps shared before, %d after; %d panics, %d rooms", by, shared, st.Shared, st.Panics, st.Rooms)
			}
			stop()
		})
	}
}

// Whichever worker does it, every part is done once, and the owner waits for all; steps follow each other as fast as they can.
func TestEveryPartOnce(t *testing.T) {
	l := newLab(t, 4)
	l.m.clock = func() time.Duration { return 0 }
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for _, w := range l.m.workers[1:] {
		wg.Go(func() {
			for {
				w.idle.Store(true)
				select {
				case j := <-w.helpC:
					w.help(j)
				case <-quit:
					return
				}
			}
		})
	}
	owner := l.m.workers[0]
	var done [500]int32
	do := func(_ *worker, i int) { done[i]++ } // a race if a part is done twice
	for k := range 20000 {
		parts := 2 + k*7%(len(done)-2)
		clear(done[:])
		owner.share(do, parts, time.Second)
		for i, n := range done {
			if (n == 1) != (i < parts) || n > 1 {
				t.Fatalf("step %d of %d parts: part %d done %d times", k, parts, i, n)
			}
		}
	}
	if owner.shared.Load() == 0 {
		t.Error("nobody helped")
	}
	if n := testing.AllocsPerRun(1000, func() { owner.share(do, 100, time.Second) }); n != 0 {
		t.Errorf("%v allocations per step", n)
	}
	close(quit)
	wg.Wait()
}

// In a steady state the workers wait for no lock, however many packets come and however often somebody looks.
func TestNoLockWaits(t *testing.T) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	waits := func() map[string]int64 {
		records := make([]runtime.BlockProfileRecord, 10000)
		n, _ := runtime.BlockProfile(records)
		out := map[string]int64{}
		for _, rec := range records[:n] {
			var stack []string
			frames := runtime.CallersFrames(rec.Stack())
			for more := true; more; {
				var f runtime.Frame
				f, more = frames.Next()
				stack = append(stack, f.Function)
			}
			// Waiting for the next tick, or for who helps in this one, is no lock.
			if s := strings.Join(stack, " < "); strings.HasPrefix(s, "sync.(*") && strings.Contains(s, "mixer.(*worker).run") {
				out[s] = rec.Count
			}
		}
		return out
	}
	synctest.Test(t, func(t *testing.T) {
		l, stop := runLab(t, 2)
		var rooms []*Room
		for range 4 {
			r := l.room(RoomConfig{Speakers: 2})
			rooms = append(rooms, r)
			crowd(t, l, r, 300, func(int) Sink { return nowhere{} })
		}
		time.Sleep(3 * time.Second)
		old := waits()
		quit := make(chan struct{})
		var wg sync.WaitGroup
		for _, r := range rooms {
			for _, s := range r.members {
				wg.Go(func() {
					var levels []Level
					for {
						select {
						case <-quit:
							return
						case <-time.After(20 * time.Millisecond):
						}
						s.Push(&neteq.Packet{Payload: []byte{1, 2, 3}}, l.m.Now())
						s.Stats()
						levels = r.Levels(levels)
					}
				})
			}
		}
		time.Sleep(10 * time.Second)
		close(quit)
		wg.Wait()
		for stack, n := range waits() {
			if n > old[stack] {
				t.Errorf("%d waits for a lock in %s", n-old[stack], stack)
			}
		}
		stop()
	})
}

// work burns so much processor time.
func work(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

type burning struct{}

func (burning) WriteFrame(Frame) { work(frameCost) }

// BenchmarkLargeRoom is the frame tick of one room of 1,000 listeners in which three speak, with encoders and sinks that
// take what real ones do.
func BenchmarkLargeRoom(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers, " workers"), func(b *testing.B) {
			l := newLab(b, workers)
			l.record = false
			l.onEncode = func(*fakeEncoder) { work(encodeCost) }
			r := l.room(RoomConfig{})
			for i := range 3 {
				l.source(r, fmt.Sprint(i), &fakeBuffer{sound: constant(0.2)})
				l.listener(r, fmt.Sprint(i))
			}
			for i := range 1000 {
				if _, err := r.AddListener(ListenerConfig{Owner: fmt.Sprint("x", i), Sink: burning{}}); err != nil {
					b.Fatal(err)
				}
			}
			quit := make(chan struct{})
			var wg sync.WaitGroup
			for _, w := range l.m.workers {
				if w == r.worker {
					continue
				}
				wg.Go(func() {
					for {
						w.idle.Store(true)
						select {
						case j := <-w.helpC:
							w.help(j)
						case <-quit:
							return
						}
					}
				})
			}
			step := func() {
				l.now += tickDuration
				for {
					if next, any := r.worker.step(); !any || next > l.now {
						return
					}
				}
			}
			for range 20 {
				step()
			}
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() { // two ticks: one frame
				start := time.Now()
				step()
				step()
				took = append(took, time.Since(start))
			}
			// The least disturbed and the usual, because others use the machine too.
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/20].Microseconds()), "p5-µs")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			helped := uint64(0)
			for _, w := range l.m.workers {
				if w != r.worker {
					helped += w.frames.Load()
				}
			}
			b.ReportMetric(100*float64(helped)/float64(l.m.Stats().Frames), "%-by-helpers")
			close(quit)
			wg.Wait()
		})
	}
}
