package mixer

import (
	"sync/atomic"

	"parley/neteq"
)

// NetEqTotals are counters of the sources' jitter buffers, summed over all sources since New, departed ones included.
// Samples are per channel at 48 kHz. What they count: neteq.Stats.
type NetEqTotals struct {
	PlayedSamples, ConcealedSamples, ConcealmentEvents, StutterSamples uint64
	InsertedSamples, RemovedSamples, SkippedSamples                    uint64 // by deceleration, by acceleration, undecoded
	EmittedSamples                                                     uint64 // taken from the packet buffers
	DelayMicroseconds                                                  uint64 // of the emitted samples, summed over them
	PacketsReceived, PacketsDiscarded, LatePackets, DuplicatePackets   uint64
	FECPacketsUsed, REDPacketsUsed, PacketsRequested, DecodeErrors     uint64
}

// neteqCounters are one worker's NetEqTotals: it writes, anybody reads.
type neteqCounters struct {
	counters [17]atomic.Uint64
}

// fields lists the totals in one fixed order.
func (t *NetEqTotals) fields() [17]*uint64 {
	return [17]*uint64{
		&t.PlayedSamples, &t.ConcealedSamples, &t.ConcealmentEvents, &t.StutterSamples,
		&t.InsertedSamples, &t.RemovedSamples, &t.SkippedSamples, &t.EmittedSamples, &t.DelayMicroseconds,
		&t.PacketsReceived, &t.PacketsDiscarded, &t.LatePackets, &t.DuplicatePackets,
		&t.FECPacketsUsed, &t.REDPacketsUsed, &t.PacketsRequested, &t.DecodeErrors,
	}
}

func totalsOf(s *neteq.Stats) NetEqTotals {
	return NetEqTotals{
		PlayedSamples: s.TotalSamplesReceived, ConcealedSamples: s.ConcealedSamples, ConcealmentEvents: s.ConcealmentEvents,
		StutterSamples: s.StutterSamples, InsertedSamples: s.InsertedSamplesForDeceleration,
		RemovedSamples: s.RemovedSamplesForAcceleration, SkippedSamples: s.SkippedSamples,
		EmittedSamples: s.JitterBufferEmittedCount, DelayMicroseconds: uint64(s.JitterBufferDelay * 1e6),
		PacketsReceived: s.PacketsReceived, PacketsDiscarded: s.PacketsDiscarded, LatePackets: s.LatePackets,
		DuplicatePackets: s.DuplicatePackets, FECPacketsUsed: s.FECPacketsUsed, REDPacketsUsed: s.REDPacketsUsed,
		PacketsRequested: s.PacketsRequested, DecodeErrors: s.DecodeErrors,
	}
}

// add counts what has happened in one source since the last call for it, and returns what to pass as before next time.
func (c *neteqCounters) add(before NetEqTotals, now *neteq.Stats) NetEqTotals {
	after := totalsOf(now)
	was := before.fields()
	for i, v := range after.fields() {
		if *v > *was[i] {
			c.counters[i].Add(*v - *was[i])
		}
	}
	return after
}

func (c *neteqCounters) addTo(out *NetEqTotals) {
	for i, v := range out.fields() {
		*v += c.counters[i].Load()
	}
}
