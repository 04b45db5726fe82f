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
	ConcealedSamples               uint64 // the pauses of a sender that stops without saying so included
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

	LatePackets           uint64 // came after their time was concealed
	FlushedPackets        uint64 // dropped to catch up or to keep the bounds
	DuplicatePackets      uint64
	InvalidPackets        uint64 // malformed or of unknown type
	DecodeErrors          uint64
	REDPacketsReceived    uint64 // RED copies
	REDPacketsUsed        uint64 // RED copies decoded in place of a lost packet
	FECPacketsUsed        uint64 // in-band redundancy decoded in place of a lost packet
	RedundancyUnused      uint64 // RED copies and in-band redundancy that nobody needed
	ToleratedTimestamps   uint64 // packets with slightly wrong timestamps, taken as contiguous
	BufferFlushes         uint64 // times that packets were dropped to catch up or to keep the bounds
	StreamResets          uint64 // timestamp or SSRC jumps
	GeneratedNoiseSamples uint64 // comfort noise
	ToneEvents            uint64 // telephone events
	PacketsRequested      uint64 // sequence numbers that NACKs returned
	SkippedSamples        uint64 // passed by Skip
	DeclaredGapSamples    uint64 // silence the sender announced (DeclareGap), in no counter of concealment
	// PausedSamples is the part of ConcealedSamples in which nothing was missing: the sender had stopped unannounced. Its
	// first second, in which that could not be known, is left out.
	PausedSamples uint64
	// NetworkConcealedSamples is ConcealedSamples without PausedSamples. Of a concealment longer than a second the rest
	// enters when its end has told what it was.
	NetworkConcealedSamples uint64
	DelayedOutageSamples    uint64 // concealment after which the sound went on where it had stopped
	DelayedOutageEvents     uint64
	InterruptionCount       uint64 // concealment of 150 ms and more
	InterruptionSamples     uint64
	StutterSamples          uint64                      // in runs of concealment over 200 ms, pauses included
	NetworkStutterSamples   uint64                      // in such runs that were no pause of the sender; counted at their end
	EventsOver              [4]uint64                   // concealments longer than 60, 120, 200 and 500 ms
	LongestConcealment      uint64                      // samples
	RelativeArrivalDelayMs  float64                     // summed over packets
	Operations              [len(operationNames)]uint64 // ticks by Operation

	TargetDelay     time.Duration // now, within bounds
	CurrentDelay    time.Duration // what is buffered, decoded or not
	PlayoutDelay    time.Duration // of the next packet behind the fastest recent one
	FilteredDelay   time.Duration // smoothed buffer level
	BufferedPackets int
	BufferedBytes   int
}

// StutterRate is the share of played time in concealments longer than 200 ms, whatever their cause.
func (s *Stats) StutterRate() float64 { return share(s.StutterSamples, s.TotalSamplesReceived) }

// NetworkStutterRate is StutterRate without the pauses of the sender, declared or not.
func (s *Stats) NetworkStutterRate() float64 {
	return share(s.NetworkStutterSamples, s.TotalSamplesReceived)
}

func share(part, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}

// statistics keeps Stats and the run of concealment that is going on.
type statistics struct {
	s       Stats
	counted bool // decoded sound was played: concealment counts from now on
	run     int  // concealed samples since the sound broke off
	stutter int  // of them, counted as stutter
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
	st.add(n, silent)
}

// add lengthens the run.
func (st *statistics) add(n int, silent bool) {
	st.run += n
	paid := min(n, st.debt)
	st.debt -= paid
	st.s.ConcealedSamples += uint64(n - paid)
	if silent {
		st.s.SilentConcealedSamples += uint64(n - paid)
	}
	if st.run > stutterSamples && st.run > st.stutter {
		st.s.StutterSamples += uint64(st.run - st.stutter)
		st.stutter = st.run
	}
}

// beyond is the part of the run after its first second: a loss or a pause of the sender, the next packet will tell.
func (st *statistics) beyond() int { return max(0, st.run-pauseSamples) }

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
	st.add(n, false)
}

// endRun closes a concealment. late tells that its sound came after all, paused that nothing was missing: the sender had
// stopped.
func (st *statistics) endRun(late, paused bool) {
	n := st.run
	if n == 0 {
		return
	}
	if paused {
		st.s.PausedSamples += uint64(st.beyond())
	} else if n > stutterSamples {
		st.s.NetworkStutterSamples += uint64(n)
	}
	st.run, st.stutter = 0, 0
	for i, l := range eventLimits {
		if n > l {
			st.s.EventsOver[i]++
		}
	}
	if n >= interruptionSamples {
		st.s.InterruptionCount++
		st.s.InterruptionSamples += uint64(n)
	}
	st.s.LongestConcealment = max(st.s.LongestConcealment, uint64(n))
	if late {
		st.s.DelayedOutageEvents++
		st.s.DelayedOutageSamples += uint64(n)
	}
}
