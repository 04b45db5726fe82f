package neteq

import "time"

// Operation says how the sound of a tick was made.
type Operation uint8

const (
	OpSilence          Operation = iota // nothing heard yet, or the sender said it stops
	OpNormal                            // decoded sound as it is
	OpMerge                             // decoded sound joined to a concealment that replaced lost sound
	OpExpand                            // concealment by pitch repetition
	OpCodecPLC                          // concealment by the codec
	OpFEC                               // decoded from in-band redundancy
	OpAccelerate                        // decoded sound, shortened
	OpFastAccelerate                    // decoded sound, shortened a lot
	OpPreemptiveExpand                  // decoded sound, lengthened
	OpRFC3389CNG                        // comfort noise by RFC 3389
	OpCodecCNG                          // comfort noise by the codec (DTX)
	OpDTMF                              // tone from a telephone event
	OpMuted                             // faded out, nothing buffered
	OpSkipped                           // not decoded, by Skip
)

var operationNames = [...]string{"silence", "normal", "merge", "expand", "codec_plc", "fec", "accelerate", "fast_accelerate",
	"preemptive_expand", "rfc3389_cng", "codec_cng", "dtmf", "muted", "skipped"}

// String returns the name used in traces: "normal", "codec_plc", ...
func (o Operation) String() string {
	if int(o) < len(operationNames) {
		return operationNames[o]
	}
	return "unknown"
}

// SpeechType says what the listener hears in a tick.
type SpeechType uint8

const (
	Speech       SpeechType = iota // sound of the sender
	ComfortNoise                   // noise in place of the sender's silence
	Concealment                    // invented where sound is missing
	Silence                        // nothing
)

var speechTypeNames = [...]string{"speech", "comfort_noise", "concealment", "silence"}

// String returns "speech", "comfort_noise", "concealment" or "silence".
func (s SpeechType) String() string {
	if int(s) < len(speechTypeNames) {
		return speechTypeNames[s]
	}
	return "unknown"
}

// Result describes the tick that Get made.
type Result struct {
	Operation Operation
	Speech    SpeechType
	Muted     bool // every sample is zero and nothing is buffered
}

// Stats counts since New. Samples are per channel at 48 kHz. Names and meaning of the first block follow the W3C's
// webrtc-stats; counters of concealment begin with the first decoded sound.
type Stats struct {
	TotalSamplesReceived           uint64 // played, concealed or not
	ConcealedSamples               uint64
	SilentConcealedSamples         uint64
	ConcealmentEvents              uint64
	InsertedSamplesForDeceleration uint64
	RemovedSamplesForAcceleration  uint64
	JitterBufferEmittedCount       uint64  // samples taken from the packet buffer
	JitterBufferDelay              float64 // s, summed over emitted samples
	JitterBufferTargetDelay        float64 // s, summed over emitted samples
	JitterBufferMinimumDelay       float64 // s, summed over emitted samples: the target without constraints
	PacketsReceived                uint64  // given to Insert
	PacketsDiscarded               uint64  // late or flushed; no duplicates, no redundancy
	FECPacketsReceived             uint64  // packets that carried in-band redundancy
	FECPacketsDiscarded            uint64  // such redundancy not needed or too late

	LatePackets            uint64 // came after their time was concealed
	FlushedPackets         uint64 // dropped to catch up or to keep the bounds
	DuplicatePackets       uint64
	InvalidPackets         uint64 // malformed or of unknown type
	DecodeErrors           uint64
	REDPacketsReceived     uint64 // RED copies
	REDPacketsUsed         uint64 // RED copies decoded in place of a lost packet
	FECPacketsUsed         uint64 // in-band redundancy decoded in place of a lost packet
	RedundancyUnused       uint64 // RED copies and in-band redundancy that nobody needed
	ToleratedTimestamps    uint64 // packets with slightly wrong timestamps, taken as contiguous
	BufferFlushes          uint64 // times that packets were dropped to catch up or to keep the bounds
	StreamResets           uint64 // timestamp or SSRC jumps
	GeneratedNoiseSamples  uint64 // comfort noise
	ToneEvents             uint64 // telephone events
	PacketsRequested       uint64 // sequence numbers that NACKs returned
	SkippedSamples         uint64 // passed by Skip
	DeclaredGapSamples     uint64 // silence the sender announced (DeclareGap)
	PausedSamples          uint64 // silence while the sender had stopped unannounced, but for its first second
	DelayedOutageSamples   uint64 // concealment after which the sound went on where it had stopped
	DelayedOutageEvents    uint64
	InterruptionCount      uint64 // concealment of 150 ms and more
	InterruptionSamples    uint64
	StutterSamples         uint64                      // in runs of concealment over 200 ms
	EventsOver             [4]uint64                   // concealments longer than 60, 120, 200 and 500 ms
	LongestConcealment     uint64                      // samples
	RelativeArrivalDelayMs float64                     // summed over packets
	Operations             [len(operationNames)]uint64 // ticks by Operation

	TargetDelay     time.Duration // now, within bounds
	CurrentDelay    time.Duration // what is buffered, decoded or not
	PlayoutDelay    time.Duration // of the next packet behind the fastest recent one
	FilteredDelay   time.Duration // smoothed buffer level
	BufferedPackets int
	BufferedBytes   int
}

// StutterRate is the share of played time in concealments longer than 200 ms.
func (s *Stats) StutterRate() float64 {
	if s.TotalSamplesReceived == 0 {
		return 0
	}
	return float64(s.StutterSamples) / float64(s.TotalSamplesReceived)
}

// statistics keeps Stats and the run of concealment that is going on.
type statistics struct {
	s       Stats
	counted bool // decoded sound was played: concealment counts from now on
	run     int  // concealed samples since the sound broke off
	pending int  // silence after a second of concealment: a loss or a pause of the sender, the next packet will tell
	debt    int  // concealed samples counted too many (a merge took them back)
}

const (
	pauseSamples        = sampleRate
	interruptionSamples = 150 * millisecond
	stutterSamples      = 200 * millisecond
)

var eventLimits = [4]int{60 * millisecond, 120 * millisecond, 200 * millisecond, 500 * millisecond}

func (st *statistics) conceal(n int, silent bool) {
	if !st.counted {
		return
	}
	if st.run == 0 {
		st.s.ConcealmentEvents++
	}
	if st.run >= pauseSamples {
		st.pending += n
		return
	}
	st.run += n
	st.add(n, silent)
}

func (st *statistics) add(n int, silent bool) {
	paid := min(n, st.debt)
	st.debt -= paid
	st.s.ConcealedSamples += uint64(n - paid)
	if silent {
		st.s.SilentConcealedSamples += uint64(n - paid)
	}
}

// correct changes the number of concealed samples after a merge; a surplus is kept as a debt, the counter never falls.
func (st *statistics) correct(n int) {
	if !st.counted {
		return
	}
	if n < 0 {
		st.debt -= n
		st.run = max(0, st.run+n)
		return
	}
	paid := min(n, st.debt)
	st.debt -= paid
	st.s.ConcealedSamples += uint64(n - paid)
	st.run += n
}

// endRun closes a concealment. late tells that its sound came after all, paused that nothing was missing: the sender had
// stopped. Of a pause only the first second, in which that could not be known, counts as concealed.
func (st *statistics) endRun(late, paused bool) {
	n := st.run
	if n == 0 {
		return
	}
	if paused {
		st.s.PausedSamples += uint64(st.pending)
	} else {
		n += st.pending
		st.add(st.pending, true)
	}
	st.run, st.pending = 0, 0
	for i, l := range eventLimits {
		if n > l {
			st.s.EventsOver[i]++
		}
	}
	if n >= interruptionSamples {
		st.s.InterruptionCount++
		st.s.InterruptionSamples += uint64(n)
	}
	if n > stutterSamples {
		st.s.StutterSamples += uint64(n)
	}
	st.s.LongestConcealment = max(st.s.LongestConcealment, uint64(n))
	if late {
		st.s.DelayedOutageEvents++
		st.s.DelayedOutageSamples += uint64(n)
	}
}
