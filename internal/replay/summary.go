package replay

import (
	"encoding/json"
	"io"
	"math"
	"sort"
)

// Summary is what one trace came to, in the fields of a reference file. What only a score can tell is nil.
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
	PESQMean                *float64       `json:"pesq_wb_mean"`
	PESQMin                 *float64       `json:"pesq_wb_min_segment"`
	PESQSegments            *int           `json:"pesq_segments"`
	PlayoutLagMeanMs        *float64       `json:"playout_lag_mean_ms"`
	CPUMsPerAudioS          float64        `json:"cpu_ms_per_audio_s"`
	LostShare               float64        `json:"lost_share"` // of the sequence numbers seen, 0 to 1
	InterruptionCount       uint64         `json:"interruption_count"`
	TotalInterruptionMs     float64        `json:"total_interruption_duration_ms"`
	SilentConcealedSamples  uint64         `json:"silent_concealed_samples"`
	FECPacketsDiscarded     uint64         `json:"fec_packets_discarded"`
	PacketBufferFlushes     uint64         `json:"packet_buffer_flushes"`
	GeneratedNoiseSamples   uint64         `json:"generated_noise_samples"`
	Operations              map[string]int `json:"operations_10ms"`
	// PhaseSpread holds the lowest and highest value over the pull phases of some fields; nil where none is known.
	PhaseSpread map[string]*[2]float64 `json:"phase_spread"`

	// What reference files do not have.
	NetworkConcealedRatio float64 `json:"-"` // without pauses of the sender
	NetworkStutterShare   float64 `json:"-"`
	LatePackets           uint64  `json:"-"`
	DuplicatePackets      uint64  `json:"-"`
	FECPacketsUsed        uint64  `json:"-"`
	REDPacketsUsed        uint64  `json:"-"`
	MaxTargetDelayMs      float64 `json:"-"`
}

// spreadFields are what PhaseSpread is kept of, with how to read them.
var spreadFields = []struct {
	name string
	of   func(*Summary) *float64
}{
	{"concealed_ratio", func(s *Summary) *float64 { return &s.ConcealedRatio }},
	{"concealment_events", func(s *Summary) *float64 { v := float64(s.ConcealmentEvents); return &v }},
	{"jitter_buffer_delay_mean_ms", func(s *Summary) *float64 { return &s.JitterBufferDelayMeanMs }},
	{"target_delay_mean_ms", func(s *Summary) *float64 { return &s.TargetDelayMeanMs }},
	{"pesq_wb_mean", func(s *Summary) *float64 { return s.PESQMean }},
	{"playout_lag_mean_ms", func(s *Summary) *float64 { return s.PlayoutLagMeanMs }},
	{"stutter_share", func(s *Summary) *float64 { return &s.StutterShare }},
}

// spread returns the lowest and highest values over summaries of one trace.
func spread(phases []Summary) map[string]*[2]float64 {
	all := map[string]*[2]float64{}
	for _, f := range spreadFields {
		var s *[2]float64
		for i := range phases {
			v := f.of(&phases[i])
			if v == nil {
				s = nil
				break
			}
			if s == nil {
				s = &[2]float64{*v, *v}
			}
			s[0], s[1] = min(s[0], *v), max(s[1], *v)
		}
		all[f.name] = s
	}
	return all
}

// rounded returns the summary with the digits that mean something: shares to 1e-5, times to 0.1 ms, scores to 0.001.
func (s Summary) rounded() Summary {
	r := func(v *float64, k float64) {
		if v != nil {
			*v = math.Round(*v*k) / k
		}
	}
	for _, v := range []*float64{&s.ConcealedRatio, &s.StutterShare, &s.AccelerateRatio, &s.PreemptiveRatio, &s.LostShare,
		&s.NetworkConcealedRatio, &s.NetworkStutterShare} {
		r(v, 1e5)
	}
	for _, v := range []*float64{&s.ConcealmentEventsPerMin, &s.JitterBufferDelayMeanMs, &s.JitterBufferDelayP95Ms, &s.TargetDelayMeanMs,
		&s.BufferMeanMs, &s.TotalInterruptionMs} {
		r(v, 10)
	}
	r(&s.CPUMsPerAudioS, 1e3)
	digits := map[string]float64{"concealed_ratio": 1e5, "stutter_share": 1e5, "pesq_wb_mean": 1e3}
	rounded := map[string]*[2]float64{}
	for name, v := range s.PhaseSpread {
		if v != nil {
			k := digits[name]
			if k == 0 {
				k = 10
			}
			v = &[2]float64{math.Round(v[0]*k) / k, math.Round(v[1]*k) / k}
		}
		rounded[name] = v
	}
	s.PhaseSpread = rounded
	return s
}

// WriteJSON writes the summary as one JSON object with the fields of a reference file's traces.
func (s Summary) WriteJSON(w io.Writer) error { return writeJSON(w, s.rounded()) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(v)
}

// Summarize computes the summary.
func (o *Outcome) Summarize() Summary {
	s := Summary{Trace: o.Name, Operations: map[string]int{}}
	if len(o.Ticks) == 0 {
		s.PhaseSpread = spread([]Summary{s})
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
	s.NetworkConcealedRatio = float64(last.NetworkConcealedSamples) / total
	s.NetworkStutterShare = last.NetworkStutterRate()
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
	s.PhaseSpread = spread([]Summary{s})
	s.LatePackets, s.DuplicatePackets = last.LatePackets, last.DuplicatePackets
	s.FECPacketsUsed, s.REDPacketsUsed = last.FECPacketsUsed, last.REDPacketsUsed
	return s
}

// lostShare is the part of the sequence numbers that never came, 0 to 1, not counting what was lost before the first and after
// the last packet of an SSRC.
func lostShare(p []Packet) float64 {
	expected, came := 0, 0
	for start := 0; start < len(p); {
		at := int64(p[start].SequenceNumber)
		low, high := at, at
		seen := map[int64]bool{at: true}
		i := start + 1
		for ; i < len(p); i++ {
			step := int64(int16(p[i].SequenceNumber - uint16(at)))
			if p[i].SSRC != p[start].SSRC || step > leapSequence || step < -leapSequence {
				break
			}
			at += step
			seen[at] = true
			low, high = min(low, at), max(high, at)
		}
		expected += int(high - low + 1)
		came += len(seen)
		start = i
	}
	return 1 - float64(came)/float64(max(1, expected))
}
