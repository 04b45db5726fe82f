package mixer

import (
	"math"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// The rungs of the overload ladder. Each includes those before it.
const (
	rungNone        = iota
	rungFEC         // no redundancy in what is sent
	rungComplexity  // encoders at 5 at most: half of the work of 9
	rungComplexity2 // encoders at 2 at most
	rungLong        // frames of 40 ms for all: half of the packets
	rungSpeakers    // three speakers per room at most
	rungRefuse      // no more joins: see Mixer.Overloaded

	// Rungs is their number.
	Rungs = rungRefuse + 1
)

const (
	fewestSpeakers = 3

	// loadWindow is over what time load is measured.
	loadWindow = 200 * time.Millisecond
	// highLoad for two windows, or fullLoad in one, is a rung up, and so are skipped ticks where the load is not low. What is left above highLoad is for the
	// garbage collector and for whatever comes at once.
	highLoad = 0.85
	fullLoad = 0.97
	// A rung down after load was below lowLoad for a hold: highLoad times 0.72, which is more than any rung saves. When the
	// rung is needed again within a hold, the next hold is twice as long.
	lowLoad     = 0.61
	leastHold   = 5 * time.Second
	longestHold = 80 * time.Second
)

// complexityAt is what is left of an encoder's complexity.
func complexityAt(rung, complexity int) int {
	switch {
	case rung >= rungComplexity2:
		return min(complexity, 2)
	case rung >= rungComplexity:
		return min(complexity, 5)
	}
	return complexity
}

// ladder lowers what a worker does, step by step, when it does not find the time for it. The worker updates it, anybody
// reads what is atomic.
type ladder struct {
	rung int // the worker's own, for its rooms; published below

	// cpu is the time that the process has had on processors; nil: not known. A worker that others keep from its processor is
	// not overloaded by its own work: doing less would cost quality and free nothing.
	cpu   func() time.Duration
	cpuAt time.Duration // at the beginning of the window

	began  time.Duration // of the window
	busy   time.Duration // spent in it
	missed bool
	high   int // windows of high load in a row
	low    time.Duration
	hold   time.Duration
	fell   time.Duration // when a rung was last left downwards
	left   bool          // that was the last move

	published atomic.Int32
	load      atomic.Uint64 // bits of a float64, of the last window
	climbs    [Rungs - 1]atomic.Uint64
	descents  atomic.Uint64
}

// worked notes work that ended at now, and returns -1, 0 or +1: which way the worker went on the ladder. skipped tells that
// ticks were left out.
func (l *ladder) worked(took, now time.Duration, skipped bool) int {
	l.busy += took
	l.missed = l.missed || skipped
	elapsed := now - l.began
	if elapsed < loadWindow {
		return 0
	}
	load := min(1, float64(l.busy)/float64(elapsed))
	if l.cpu != nil {
		used := l.cpu()
		load = min(load, float64(used-l.cpuAt)/float64(elapsed))
		l.cpuAt = used
	}
	full := load >= fullLoad || l.missed && load >= lowLoad // else something else kept the worker from working
	l.load.Store(math.Float64bits(load))
	l.began, l.busy, l.missed = now, 0, false
	if load < lowLoad && !full {
		l.low += elapsed
	} else {
		l.low = 0
	}
	if load < highLoad && !full {
		l.high = 0
	} else {
		l.high++
	}
	switch {
	case (full || l.high >= 2) && l.rung < Rungs-1:
		switch {
		case l.hold == 0 || l.left && now-l.fell > l.hold:
			l.hold = leastHold
		case l.left:
			l.hold = min(longestHold, 2*l.hold)
		}
		l.left = false
		l.high = 0
		l.set(l.rung + 1)
		l.climbs[l.rung-1].Add(1)
		return 1
	case l.rung > rungNone && l.low >= l.hold:
		l.low, l.fell, l.left = 0, now, true
		l.set(l.rung - 1)
		l.descents.Add(1)
		return -1
	}
	return 0
}

// idle is called when the worker has nothing to do.
func (l *ladder) idle() {
	if l.rung != rungNone {
		l.descents.Add(uint64(l.rung))
		l.set(rungNone)
	}
	l.load.Store(0)
	l.busy, l.missed, l.high, l.low = 0, false, 0, 0
}

func (l *ladder) set(rung int) {
	l.rung = rung
	l.published.Store(int32(rung))
}

func (l *ladder) addTo(st *Stats) {
	st.Load = max(st.Load, math.Float64frombits(l.load.Load()))
	st.Rung = max(st.Rung, int(l.published.Load()))
	for i := range l.climbs {
		st.Climbs[i] += l.climbs[i].Load()
	}
	st.Descents += l.descents.Load()
}

// measure tells the ladder of work, and says so when it moves.
func (w *worker) measure(took, now time.Duration, skipped bool) {
	switch w.worked(took, now, skipped) {
	case 1:
		w.mixer.log.Warn("overload: doing less", zap.Int("worker", w.index), zap.Int("rung", w.rung))
	case -1:
		w.mixer.log.Info("overload is over: doing more", zap.Int("worker", w.index), zap.Int("rung", w.rung))
	}
}

// Overloaded tells that every worker has done all it can to get by with its time, and does not: no more rooms, and nobody
// into any room, can be taken. It takes it back by itself. Any goroutine may call it.
func (m *Mixer) Overloaded() bool {
	for _, w := range m.workers {
		if w.published.Load() < rungRefuse {
			return false
		}
	}
	return true
}

// Overloaded tells that the worker which runs this room has done all it can to get by with its time, and does not: nobody
// should join. It takes it back by itself. Any goroutine may call it.
func (r *Room) Overloaded() bool { return r.worker.published.Load() >= rungRefuse }
