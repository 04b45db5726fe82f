package mixer

import "time"

// Stage is a stage of the way through the node. What a listener hears late is the sum of all five, and of the time in the encoder
// (6.5 ms of look-ahead with Opus) and the limiter (1.5 ms).
type Stage uint8

const (
	// StageInsert is from Source.Push's arrival to the room's tick that gives the packet to NetEq. One observation per packet; none
	// in rooms without listeners.
	StageInsert Stage = iota
	// StageBuffer is the time in the jitter buffer: NetEq's own delay, the mean of a source's 100 ms. One observation for each.
	StageBuffer
	// StageFrame is from the tick that took the first sample of a frame out of NetEq to the beginning of its encoding: the rest of the
	// frame, and mixing. One observation per room and tick in which frames end, of the shortest frame that does.
	StageFrame
	// StageEncode is how long encoding one frame takes.
	StageEncode
	// StageSend is from the end of encoding to the return of the functions of OnEndTick: the last datagram is out. One observation per
	// call, of the frames that waited longest.
	StageSend

	// Stages is their number.
	Stages = int(StageSend) + 1
)

// bounds are those of a stage's histogram: histogramBuckets - 1 of them.
func (s Stage) bounds() []time.Duration {
	const ms = time.Millisecond
	switch s {
	case StageInsert:
		return []time.Duration{
			ms, 2 * ms, 3 * ms, 4 * ms, 5 * ms, 6 * ms, 7 * ms, 8 * ms, 9 * ms, 10 * ms, 12 * ms, 15 * ms, 20 * ms, 50 * ms,
		}
	case StageBuffer:
		return []time.Duration{
			5 * ms, 10 * ms, 15 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms, 60 * ms, 80 * ms, 100 * ms, 150 * ms, 200 * ms, 300 * ms, 500 * ms,
		}
	case StageFrame:
		return []time.Duration{
			ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 10*ms + ms/2, 11 * ms, 12 * ms, 15 * ms, 20 * ms, 30 * ms, 31 * ms, 35 * ms, 50 * ms,
		}
	}
	return histogramBounds()
}

// stages are one worker's histograms, by Stage.
type stages [Stages]histogram

func (s *stages) init() {
	for i := range s {
		s[i].bounds = Stage(i).bounds()
	}
}

// handsOut notes that frames encoded by a time are about to be handed out on this worker.
func (w *worker) handsOut(encoded time.Duration) {
	if !w.handed {
		w.encoded = encoded
	}
}

// waited notes how long a source's packets lay in the jitter buffer since the last look, by what NetEq counted before and counts now.
func (w *worker) waited(before NetEqTotals, after *NetEqTotals) {
	samples, us := after.EmittedSamples-before.EmittedSamples, after.DelayMicroseconds-before.DelayMicroseconds
	if samples > 0 && after.EmittedSamples > before.EmittedSamples && after.DelayMicroseconds >= before.DelayMicroseconds {
		w.stages[StageBuffer].observe(time.Duration(us/samples) * time.Microsecond)
	}
}
