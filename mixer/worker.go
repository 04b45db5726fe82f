package mixer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// phases is how many starting points within the 10 ms rooms are spread over: every 2 ms.
	phases = 5
	// maxCatchUp is how many missed ticks in a row are made up: 50 ms, what a listener's jitter buffer can still smooth. What
	// is further behind is skipped as a whole: made up, it would leave in one burst of packets that come too late anyway.
	maxCatchUp = 5
	// lateAfter is when a tick counts as late.
	lateAfter = 5 * time.Millisecond
	// holdFrames is how long frames of several rooms may be collected at most.
	holdFrames = 500 * time.Microsecond
	// longestWait is how long a worker without rooms sleeps.
	longestWait = time.Hour
)

// worker runs the ticks of its rooms, one after the other.
type worker struct {
	counters
	ladder
	mixer   *Mixer
	index   int
	slots   [phases]slot  // the worker's own
	scratch scratch       // the same
	handed  bool          // frames were handed out since the last end of a tick
	encoded time.Duration // when the first of these were encoded
	flushed time.Duration
	job     job
	idle    atomic.Bool // waits, and can help
	helpC   chan *job   // capacity one

	mu    sync.Mutex
	woken *Room         // rooms to be put on the list, linked by Room.next
	wakeC chan struct{} // capacity one
}

// scratch is what mixing needs within a tick, whatever room it is.
type scratch struct {
	sum   [2 * frameSamples]float64
	rest  [2 * frameSamples]float64 // the sum without somebody
	whole [2 * frameSamples]float32 // the whole mix
	minus [2 * frameSamples]float32 // the mix without somebody
}

// slot holds the rooms of one phase.
type slot struct {
	rooms  []*Room // those with listeners: run every tick
	dozing []*Room // those without: run every deafEvery ticks
	tick   int64   // to be run next, when there are rooms
	ran    int64   // last tick that was run
	dozed  int64   // last tick in which the dozing rooms were run
}

// next is the tick to be run next, when there is one.
func (s *slot) next() (n int64, any bool) {
	if len(s.rooms) > 0 {
		return s.tick, true
	}
	return max(s.tick, s.dozed+deafEvery), len(s.dozing) > 0
}

func newWorker(m *Mixer, index int) *worker {
	w := &worker{mixer: m, index: index, wakeC: make(chan struct{}, 1), helpC: make(chan *job, 1)}
	w.job.done = make(chan struct{}, 1)
	w.lateness.bounds, w.duration.bounds = histogramBounds(), histogramBounds()
	w.stages.init()
	return w
}

// due is the time of a tick: the grid is absolute, so nothing that happens moves it.
func due(tick int64, phase int) time.Duration {
	return time.Duration(tick)*tickDuration + time.Duration(phase)*(tickDuration/phases)
}

// firstDue is the first tick of a phase that is not due before now.
func firstDue(now time.Duration, phase int) int64 {
	return int64((now - due(0, phase) + tickDuration - 1) / tickDuration)
}

// admit asks for a room to be put on the list. Any goroutine may call it, once per parking.
func (w *worker) admit(r *Room) {
	w.mu.Lock()
	r.next = w.woken
	w.woken = r
	w.mu.Unlock()
	select {
	case w.wakeC <- struct{}{}:
	default:
	}
}

// run works until ctx ends. Mixer.Run waits for it.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	w.ladder.cpu = processCPU
	for ctx.Err() == nil {
		next, any := w.step()
		wait := longestWait
		if any {
			wait = next - w.mixer.Now()
		}
		if wait <= 0 {
			continue
		}
		timer.Reset(wait)
		w.idle.Store(true)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wakeC:
		case j := <-w.helpC:
			w.help(j)
		}
		w.idle.Store(false)
	}
}

// step runs what is due, one tick per phase at most, and returns when the next tick is due; any is false when no room is
// on the list.
func (w *worker) step() (next time.Duration, any bool) {
	for range phases {
		now := w.mixer.Now()
		w.enlist(now)
		phase, at, ok := w.earliest()
		if !ok {
			w.ladder.idle()
			return 0, false
		}
		if at > now {
			return at, true
		}
		w.runSlot(phase, now)
	}
	_, at, ok := w.earliest()
	return at, ok
}

func (w *worker) earliest() (phase int, at time.Duration, ok bool) {
	for p := range w.slots {
		n, any := w.slots[p].next()
		if !any {
			continue
		}
		if d := due(n, p); !ok || d < at {
			phase, at, ok = p, d, true
		}
	}
	return phase, at, ok
}

// enlist puts woken rooms on the list.
func (w *worker) enlist(now time.Duration) {
	w.mu.Lock()
	r := w.woken
	w.woken = nil
	w.mu.Unlock()
	for r != nil {
		next := r.next
		r.next = nil
		s := &w.slots[r.phase]
		if r.asleep {
			r.asleep = false
			s.dozing = slices.DeleteFunc(s.dozing, func(x *Room) bool { return x == r })
		}
		if len(s.rooms) == 0 {
			s.tick = max(firstDue(now, r.phase), s.ran+1)
		}
		s.rooms = append(s.rooms, r)
		w.active.Add(1)
		r = next
	}
}

// runSlot runs one tick of all rooms of a phase.
func (w *worker) runSlot(phase int, now time.Duration) {
	s := &w.slots[phase]
	n, _ := s.next()
	behind := int64((now - due(n, phase)) / tickDuration)
	skipped := behind > maxCatchUp
	if skipped {
		n += behind
		w.skipped.Add(uint64(behind) * uint64(len(s.rooms)))
		behind = 0
	}
	s.tick, s.ran = n+1, n
	begun := now
	doze := n-s.dozed >= deafEvery
	for i := 0; i < len(s.rooms); {
		r := s.rooms[i]
		var keep bool
		if keep, now = w.timeTick(r, n, now, behind); keep && !r.doze() {
			i++
			continue
		}
		last := len(s.rooms) - 1
		s.rooms[i], s.rooms[last] = s.rooms[last], nil
		s.rooms = s.rooms[:last]
		w.active.Add(-1)
		if keep {
			s.dozing = append(s.dozing, r)
		}
	}
	if doze {
		s.dozed = n
		for i := 0; i < len(s.dozing); {
			r := s.dozing[i]
			if !r.dozing.CompareAndSwap(true, false) { // woken: it is about to be enlisted
				i++
				continue
			}
			r.asleep = false
			var keep bool
			if keep, now = w.timeTick(r, n, now, 0); keep && r.doze() {
				i++
				continue
			}
			last := len(s.dozing) - 1
			s.dozing[i], s.dozing[last] = s.dozing[last], nil
			s.dozing = s.dozing[:last]
			if keep {
				s.rooms = append(s.rooms, r)
				w.active.Add(1)
			}
		}
	}
	if w.handed {
		now = w.endTick()
		w.flushed = now
	}
	w.measure(now-begun, now, skipped)
}

// endTick tells that frames were handed out, and returns the time afterwards.
func (w *worker) endTick() time.Duration {
	w.handed = false
	for _, f := range w.mixer.endTick {
		f(w.index)
	}
	now := w.mixer.Now()
	w.stages[StageSend].observe(now - w.encoded)
	return now
}

// timeTick runs one tick of a room that begins at now, and returns when it ended.
func (w *worker) timeTick(r *Room, n int64, now time.Duration, behind int64) (keep bool, end time.Duration) {
	late := now - due(n, r.phase)
	w.lateness.observe(late)
	w.ticks.Add(1)
	if late > lateAfter {
		w.late.Add(1)
	}
	if behind > 0 {
		w.caughtUp.Add(1)
	}
	keep = w.tickRoom(r, n, now)
	end = w.mixer.Now()
	if w.handed && end-w.flushed > holdFrames {
		end = w.endTick()
		w.flushed = end
	}
	w.duration.observe(end - now)
	return keep, end
}

// tickRoom is the boundary at which a panic ends: the room is closed, the others go on.
func (w *worker) tickRoom(r *Room, n int64, now time.Duration) (keep bool) {
	defer func() {
		if v := recover(); v != nil {
			keep = false
			stack := zap.Stack("stack")
			if p, ok := v.(*partPanic); ok {
				v, stack = p.value, zap.ByteString("stack", p.stack)
			}
			w.panics.Add(1)
			w.mixer.log.Error("room panicked and is closed",
				zap.String("room", r.id), zap.Int64("tick", n), zap.Any("panic", v), stack)
			r.parked.Store(false) // it is closed: nothing must wake it
			r.end(fmt.Errorf("%w: %v", ErrRoomPanicked, v))
			r.teardown()
		}
	}()
	return r.tick(n, now)
}
