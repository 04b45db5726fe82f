package mixer

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A room is one worker's. When the work of one of its steps (decode, encode, hand out) is large, the worker cuts it into parts,
// tells workers that have nothing to do just now, and does parts itself until none is left; then it waits for those that others
// still do. Parts touch nothing in common: one source, one bus, or some listeners of a bus each. What others did is the room's
// again when the wait is over, so nothing outside of a step knows that there was help.

const (
	// shareAbove is the work from which help is asked for: 5 % of a tick. Waking a worker costs some 10 to 50 µs.
	shareAbove = 500 * time.Microsecond

	// What work costs, roughly (docs/performance.md): it only decides whether to ask for help.
	decodeCost = 25 * time.Microsecond
	encodeCost = 150 * time.Microsecond
	frameCost  = 3 * time.Microsecond

	// spanListeners is how many listeners are one part: some 200 µs, by which a helper's own rooms may be late.
	spanListeners = 64
)

// part does part i of a step, on any worker.
type part func(w *worker, i int)

// job is a step that is being done, by the worker it belongs to and by those who help. It is used again and again: a helper that
// comes late finds nothing left to do, or helps with the next step.
type job struct {
	do     part
	state  atomic.Uint64 // generation, number of parts, next part
	left   atomic.Int32  // parts that are not done
	done   chan struct{} // the last part was done by a helper
	failed atomic.Pointer[partPanic]
}

const (
	jobBits  = 20
	jobMask  = 1<<jobBits - 1
	maxParts = jobMask
)

// partPanic is what a part panicked with.
type partPanic struct {
	value any
	stack []byte
}

// take returns the next part that nobody does.
func (j *job) take() (i int, ok bool) {
	for {
		s := j.state.Load()
		next, parts := s&jobMask, s>>jobBits&jobMask
		if next >= parts {
			return 0, false
		}
		if j.state.CompareAndSwap(s, s+1) {
			return int(next), true
		}
	}
}

// work does parts until none is left, and returns how many it did.
func (j *job) work(w *worker) (did int32) {
	for {
		i, ok := j.take()
		if !ok {
			return did
		}
		j.run(w, i)
		did++
	}
}

// run is the boundary at which a part's panic ends. The room's own worker closes the room.
func (j *job) run(w *worker, i int) {
	defer func() {
		if v := recover(); v != nil {
			j.failed.CompareAndSwap(nil, &partPanic{v, debug.Stack()})
		}
	}()
	j.do(w, i)
}

// share does the parts 0 to parts-1 of a step that costs about so much, and returns when all are done. Without anybody to help
// it is a loop.
func (w *worker) share(do part, parts int, cost time.Duration) {
	if parts < 2 || parts > maxParts || cost < shareAbove || !w.call(do, parts) {
		for i := range parts {
			do(w, i)
		}
		return
	}
	j := &w.job
	did := j.work(w)
	if did == 0 || j.left.Add(-did) != 0 {
		<-j.done
	}
	if p := j.failed.Swap(nil); p != nil {
		panic(p)
	}
}

// call asks idle workers for help with a step, and returns whether there is any.
func (w *worker) call(do part, parts int) bool {
	called := 0
	for _, h := range w.mixer.workers {
		if h == w || !h.idle.Load() || !h.idle.CompareAndSwap(true, false) {
			continue
		}
		if called == 0 {
			j := &w.job
			j.do = do
			j.left.Store(int32(parts))
			generation := j.state.Load()>>(2*jobBits) + 1
			j.state.Store(generation<<(2*jobBits) | uint64(parts)<<jobBits)
		}
		select {
		case h.helpC <- &w.job:
		default: // somebody else's call, which it has not seen yet
		}
		if called++; called == parts-1 {
			break
		}
	}
	if called > 0 {
		w.shared.Add(1)
	}
	return called > 0
}

// help does parts of another worker's step. What it has handed out is sent before it says that it is done, so that the
// order of a listener's frames does not depend on who handed them out.
func (w *worker) help(j *job) {
	begun := w.mixer.Now()
	did := j.work(w)
	if did == 0 {
		return
	}
	if w.handed {
		w.endTick()
	}
	if j.left.Add(-did) == 0 {
		j.done <- struct{}{}
	}
	now := w.mixer.Now()
	w.measure(now-begun, now, false)
}

// span is some of the listeners of a bus.
type span struct {
	bus      *bus
	from, to int
}

// cut appends the spans of a bus.
func (b *bus) cut(spans []span) []span {
	for from := 0; from < len(b.listeners); from += spanListeners {
		spans = append(spans, span{b, from, min(from+spanListeners, len(b.listeners))})
	}
	return spans
}

// step is what the parts of a room's steps need to know. It is set before a step, and read by whoever does parts of it.
type step struct {
	tick  int64
	now   time.Duration
	due   []*bus
	spans []span

	encoded time.Duration // when the due frames were

	pull, encode, hand part // the same functions always: making one would allocate
}

func (r *Room) prepare() {
	r.step.pull = func(_ *worker, i int) { r.sources[i].pull(r.step.tick, r.step.now) }
	r.step.encode = func(w *worker, i int) {
		b := r.step.due[i]
		begun, before := w.mixer.Now(), w.encodes.Load()
		b.encode(r.place40(r.step.tick), r.epoch+uint32(r.step.tick+1-int64(b.ticks))*frameSamples, &w.counters)
		if w.encodes.Load() != before {
			w.stages[StageEncode].observe(w.mixer.Now() - begun)
		}
	}
	r.step.hand = func(w *worker, i int) {
		s := r.step.spans[i]
		w.handsOut(r.step.encoded)
		s.bus.deliver(w, s.from, s.to)
	}
}

// decode takes the 10 ms of tick n out of every source.
func (r *Room) decode(n int64, now time.Duration) {
	decodes := 0
	for _, s := range r.sources {
		if s.chosen || s.audit || s.applied != 0 {
			decodes++
		}
	}
	r.step.tick, r.step.now = n, now
	r.worker.share(r.step.pull, len(r.sources), time.Duration(decodes)*decodeCost)
}

// send encodes the frames that end with tick n and began at last or before, all of them, and then hands them out.
func (r *Room) send(n, last int64) {
	place := r.place40(n)
	st := &r.step
	st.tick, st.due, st.spans = n, st.due[:0], st.spans[:0]
	for _, m := range r.mixes {
		for _, b := range m.buses {
			if b == nil || (place+1)%b.ticks != 0 || n+1-int64(b.ticks) > last {
				continue
			}
			b.follow(r.worker.rung, &r.encoding)
			st.due = append(st.due, b)
		}
	}
	if len(st.due) == 0 {
		return
	}
	shortest := ringTicks
	for _, b := range st.due {
		shortest = min(shortest, b.ticks)
	}
	begun := r.mixer.Now()
	r.worker.stages[StageFrame].observe(begun - st.now + time.Duration(shortest-1)*tickDuration)
	r.worker.share(st.encode, len(st.due), time.Duration(len(st.due))*encodeCost)
	st.encoded = r.mixer.Now()
	frames := 0
	for _, b := range st.due {
		if b.ready.frame.Payload == nil {
			b.pause()
			continue
		}
		st.spans = b.cut(st.spans)
		b.gaps = false
		frames += len(b.listeners)
	}
	r.worker.share(st.hand, len(st.spans), time.Duration(frames)*frameCost)
}
