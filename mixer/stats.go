package mixer

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a mixer. Counters count since New.
type Stats struct {
	Ticks    uint64 // room ticks that were run
	Late     uint64 // of these, begun more than 5 ms after they were due
	CaughtUp uint64 // of these, run although the tick after them was already due
	Skipped  uint64 // room ticks that were left out because they were more than five behind
	Panics   uint64 // rooms closed because their tick panicked

	Lateness Histogram // of room ticks: start less due time
	Duration Histogram // of room ticks: how long they took

	Stages [Stages]Histogram // of packets and frames: how long each stage of their way took, by Stage

	Rooms, ActiveRooms, Sources, Listeners, Buses int64

	Decodes   uint64 // source ticks (10 ms of one source) that were taken through a decoder
	Elections uint64 // times a source got one of a room's places
	Shared    uint64 // steps of ticks that were given to several workers
	Liars     uint64 // times a sender was found to state false audio levels

	// Load is the share of its time that the busiest worker works, 0 to 1; Rung its place on the overload ladder, 0 (all is
	// well) to Rungs-1 (refuse joins). Climbs counts how often a worker got to rung 1, 2 and so on, Descents how often it left one downwards.
	Load     float64
	Rung     int
	Climbs   [Rungs - 1]uint64
	Descents uint64

	NetEq NetEqTotals // at most 100 ms old

	Encodes       uint64 // frames encoded
	SilentFrames  uint64 // frames of a silent bus that were not encoded
	EncodeErrors  uint64
	Frames        uint64 // frames handed to listeners
	Repeated      uint64 // of these, with the frame before in them once more
	Forks, Joins  uint64 // buses made as a copy of another; listeners moved to a bus that others hear
	TierChanges   uint64 // listeners moved to a better or worse tier
	TickDuration  time.Duration
	WorkerThreads int
}

// Histogram counts durations. Counts[i] are those of at most Bounds[i]; the last count has no bound.
type Histogram struct {
	Bounds []time.Duration
	Counts []uint64
	Count  uint64
	Sum    time.Duration
}

// Quantile returns a bound below which at least the fraction q of what was counted lies, 0 if nothing was counted. Beyond
// the last bound it returns twice that.
func (h Histogram) Quantile(q float64) time.Duration {
	need, seen := q*float64(h.Count), uint64(0)
	if h.Count == 0 {
		return 0
	}
	for i, c := range h.Counts {
		seen += c
		if float64(seen) >= need && i < len(h.Bounds) {
			return h.Bounds[i]
		}
	}
	return 2 * h.Bounds[len(h.Bounds)-1]
}

func histogramBounds() []time.Duration {
	us, ms := time.Microsecond, time.Millisecond
	return []time.Duration{
		20 * us, 50 * us, 100 * us, 200 * us, 500 * us, ms, 2 * ms, 3 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 500 * ms,
	}
}

const histogramBuckets = 15

// histogram is written by one worker and read by anybody.
type histogram struct {
	bounds []time.Duration
	counts [histogramBuckets]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) addTo(out *Histogram) {
	if out.Bounds == nil {
		out.Bounds, out.Counts = h.bounds, make([]uint64, histogramBuckets)
	}
	for i := range h.counts {
		c := h.counts[i].Load()
		out.Counts[i] += c
		out.Count += c
	}
	out.Sum += time.Duration(h.sum.Load())
}

// counters are one worker's.
type counters struct {
	ticks, late, caughtUp, skipped, panics      atomic.Uint64
	encodes, silentFrames, encodeErrors, frames atomic.Uint64
	forks, joins, decodes, elections, liars     atomic.Uint64
	shared                                      atomic.Uint64
	repeated, tierChanges                       atomic.Uint64
	active                                      atomic.Int64
	neteq                                       neteqCounters
	lateness, duration                          histogram
	stages                                      stages
}

// Stats returns a snapshot. Any goroutine may call it.
func (m *Mixer) Stats() Stats {
	st := Stats{
		Rooms: m.rooms.Load(), Sources: m.sources.Load(), Listeners: m.listeners.Load(), Buses: m.buses.Load(),
		TickDuration: tickDuration, WorkerThreads: len(m.workers),
	}
	for _, w := range m.workers {
		st.Ticks += w.ticks.Load()
		st.Late += w.late.Load()
		st.CaughtUp += w.caughtUp.Load()
		st.Skipped += w.skipped.Load()
		st.Panics += w.panics.Load()
		st.Encodes += w.encodes.Load()
		st.SilentFrames += w.silentFrames.Load()
		st.EncodeErrors += w.encodeErrors.Load()
		st.Frames += w.frames.Load()
		st.Repeated += w.repeated.Load()
		st.TierChanges += w.tierChanges.Load()
		st.Forks += w.forks.Load()
		st.Joins += w.joins.Load()
		st.Decodes += w.decodes.Load()
		st.Elections += w.elections.Load()
		st.Liars += w.liars.Load()
		st.Shared += w.shared.Load()
		w.ladder.addTo(&st)
		st.ActiveRooms += w.active.Load()
		w.neteq.addTo(&st.NetEq)
		w.lateness.addTo(&st.Lateness)
		w.duration.addTo(&st.Duration)
		for i := range w.stages {
			w.stages[i].addTo(&st.Stages[i])
		}
	}
	return st
}
