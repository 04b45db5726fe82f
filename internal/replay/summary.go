package replay

import (
	"math"
	"sort"
)

// Summary is what one trace came to, in the fields of the reference file.
type Summary struct {
	Trace                   string         `json:"trace"`
	Seconds                 float64        `json:"seconds"`
	ConcealedRatio          float64        `json:"concealed_ratio"`
	ConcealmentEvents       uint64         `json:"concealment_events"`
	ConcealmentEventsPerMin float64        `json:"concealment_events_per_min"`
	StutterShare            float64        `json:"stutter_share"`
	JitterBufferDelayMeanMs float64        `json:"jitter_buffer_delay_mean_ms"`
	JitterBufferDelayP95Ms  float64        `json:"jitter_buffer_delay_p95_ms"`
	TargetDelayMeanMs       float64        `json:"target_delay_mean_ms"`
	BufferMeanMs            float64        `json:"buffer_mean_ms"`
	AccelerateRatio         float64        `json:"accelerate_ratio"`
	PreemptiveRatio         float64        `json:"preemptive_ratio"`
	FECPacketsReceived      uint64         `json:"fec_packets_received"`
	PacketsDiscarded        uint64         `json:"packets_discarded"`
	PESQMean                float64        `json:"pesq_wb_mean,omitempty"`
	PESQMin                 float64        `json:"pesq_wb_min_segment,omitempty"`
	PlayoutLagMeanMs        float64        `json:"playout_lag_mean_ms,omitempty"`
	CPUMsPerAudioS          float64        `json:"cpu_ms_per_audio_s"`
	LostShare               float64        `json:"lost_share"` // of the sequence numbers seen, %
	InterruptionCount       uint64         `json:"interruption_count"`
	TotalInterruptionMs     float64        `json:"total_interruption_duration_ms"`
	SilentConcealedSamples  uint64         `json:"silent_concealed_samples"`
	FECPacketsDiscarded     uint64         `json:"fec_packets_discarded"`
	PacketBufferFlushes     uint64         `json:"packet_buffer_flushes"`
	GeneratedNoiseSamples   uint64         `json:"generated_noise_samples"`
	Operations              map[string]int `json:"operations_10ms"`
	LatePackets             uint64         `json:"late_packets"`
	DuplicatePackets        uint64         `json:"duplicate_packets"`
	FECPacketsUsed          uint64         `json:"fec_packets_used"`
	REDPacketsUsed          uint64         `json:"red_packets_used"`
	MaxTargetDelayMs        float64        `json:"target_delay_max_ms"`
}

// Summarize computes the summary.
func (o *Outcome) Summarize() Summary {
	s := Summary{Trace: o.Name, Operations: map[string]int{}}
	if len(o.Ticks) == 0 {
		return s
	}
	var previous, carry float64 // concealed samples
	var emitted, delay float64
	type span struct{ ms, weight float64 }
	var delays []span
	run, stutter := 0, 0
	end := func() {
		if run > 20 {
			stutter += run
		}
		run = 0
	}
	for i := range o.Ticks {
		t := &o.Ticks[i]
		st := &t.Stats
		s.Operations[t.Result.Operation.String()]++
		// Concealment is made in blocks longer than 10 ms: spread it over the ticks that play them.
		carry = max(0, carry+float64(st.ConcealedSamples)-previous)
		previous = float64(st.ConcealedSamples)
		played := min(carry, tickFrames)
		carry -= played
		if played >= tickFrames/2 {
			run++
		} else {
			end()
		}
		e, d := float64(st.JitterBufferEmittedCount), st.JitterBufferDelay*1000
		if e > emitted {
			delays = append(delays, span{(d - delay) / (e - emitted), e - emitted})
		}
		emitted, delay = e, d
		s.TargetDelayMeanMs += float64(st.TargetDelay) / 1e6
		s.BufferMeanMs += float64(st.CurrentDelay) / 1e6
		s.MaxTargetDelayMs = max(s.MaxTargetDelayMs, float64(st.TargetDelay)/1e6)
	}
	end()
	n := float64(len(o.Ticks))
	last := &o.Ticks[len(o.Ticks)-1].Stats
	total := math.Max(1, float64(last.TotalSamplesReceived))
	s.Seconds = n / 100
	s.ConcealedRatio = float64(last.ConcealedSamples) / total
	s.ConcealmentEvents = last.ConcealmentEvents
	s.ConcealmentEventsPerMin = float64(last.ConcealmentEvents) / s.Seconds * 60
	s.StutterShare = float64(stutter) / n
	if emitted > 0 {
		s.JitterBufferDelayMeanMs = delay / emitted
	}
	sort.Slice(delays, func(i, j int) bool { return delays[i].ms < delays[j].ms })
	sum := 0.0
	for _, d := range delays {
		if sum += d.weight; sum >= 0.95*emitted {
			s.JitterBufferDelayP95Ms = d.ms
			break
		}
	}
	s.TargetDelayMeanMs /= n
	s.BufferMeanMs /= n
	s.AccelerateRatio = float64(last.RemovedSamplesForAcceleration) / total
	s.PreemptiveRatio = float64(last.InsertedSamplesForDeceleration) / total
	s.FECPacketsReceived, s.FECPacketsDiscarded = last.FECPacketsReceived, last.FECPacketsDiscarded
	s.PacketsDiscarded = last.PacketsDiscarded
	s.CPUMsPerAudioS = o.CPU.Seconds() * 1000 / s.Seconds
	s.LostShare = lostShare(o.Packets)
	s.InterruptionCount = last.InterruptionCount
	s.TotalInterruptionMs = float64(last.InterruptionSamples) / sampleRate * 1000
	s.SilentConcealedSamples = last.SilentConcealedSamples
	s.PacketBufferFlushes = last.BufferFlushes
	s.GeneratedNoiseSamples = last.GeneratedNoiseSamples
	s.LatePackets, s.DuplicatePackets = last.LatePackets, last.DuplicatePackets
	s.FECPacketsUsed, s.REDPacketsUsed = last.FECPacketsUsed, last.REDPacketsUsed
	return s
}

// lostShare is the part of the sequence numbers between first and last that never came, in percent.
func lostShare(p []Packet) float64 {
	if len(p) == 0 {
		return 0
	}
	seen := map[int64]bool{}
	at, low, high := int64(p[0].SequenceNumber), int64(p[0].SequenceNumber), int64(p[0].SequenceNumber)
	for i := range p {
		at += int64(int16(p[i].SequenceNumber - uint16(at)))
		seen[at] = true
		low, high = min(low, at), max(high, at)
	}
	return 100 * (1 - float64(len(seen))/float64(high-low+1))
}
