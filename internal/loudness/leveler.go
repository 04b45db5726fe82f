package loudness

import "math"

const (
	// TargetLUFS is what every talker is brought to (EBU R 128).
	TargetLUFS = -23.0
	// MaxBoostDB and MaxCutDB bound the gain. More than 15 dB up lifts the noise of a room above what it is worth.
	MaxBoostDB = 15.0
	MaxCutDB   = 20.0

	// gate is the least loudness that is taken for a voice: quieter blocks are pauses and change nothing.
	gate = -50.0
	// relativeGate is how far below the voice a block is a pause between words (BS.1770-4: 10 LU).
	relativeGate = 10.0
	// memory is how many blocks of 100 ms the estimate goes back: 6 s of voice, not counting pauses.
	memory = 60
	// moved is how many blocks of a quieter voice, with none of the old between, make it the voice: 4 s.
	moved = 40
	// downPerSecond and upPerSecond are how fast the gain moves, in dB: slow enough not to be heard as pumping. Too loud hurts
	// more than too quiet.
	downPerSecond = 6.0
	upPerSecond   = 3.0
	// firstBlocks is for how many blocks of voice the gain may move fastPerSecond: a newcomer is right within a sentence.
	firstBlocks   = 20
	fastPerSecond = 12.0
)

// Leveler brings one talker slowly to TargetLUFS. It listens only to the voice: in pauses the gain stays. One goroutine
// at a time uses it.
type Leveler struct {
	meter *Meter
	voice estimate // what the gain follows
	lower estimate // of blocks that are sound, but well below the voice
	gain  float64  // dB, now
	heard int      // blocks of voice
}

// estimate is a mean of energies that forgets.
type estimate struct {
	mean  float64
	count int
}

func (e *estimate) add(x float64) {
	e.count = min(e.count+1, memory)
	e.mean += (x - e.mean) / float64(e.count)
}

// NewLeveler makes a leveler for interleaved samples of 1 or 2 channels.
func NewLeveler(channels int) *Leveler { return &Leveler{meter: NewMeter(channels)} }

// GainDB is the gain applied at the end of the last call of Process.
func (l *Leveler) GainDB() float64 { return l.gain }

// Process measures pcm (interleaved, 48 kHz, at most 100 ms) and changes its level in place. It allocates nothing.
func (l *Leveler) Process(pcm []float32) {
	channels := len(l.meter.channels)
	if l.meter.Add(pcm) {
		l.hear(l.meter.Momentary())
	}
	from := l.gain
	seconds := float64(len(pcm)/channels) / sampleRateHz
	l.gain = l.approach(seconds)
	if from == 0 && l.gain == 0 {
		return
	}
	g := float32(math.Pow(10, from/20))
	end := float32(math.Pow(10, l.gain/20))
	step := (end - g) / float32(len(pcm)/channels)
	for i := 0; i < len(pcm); i += channels {
		g += step
		for c := range channels {
			pcm[i+c] *= g
		}
	}
}

// hear takes the loudness of a block before any gain.
func (l *Leveler) hear(block float64) {
	if block < gate {
		return
	}
	energy := math.Pow(10, block/10)
	if l.voice.count > 0 && block < 10*math.Log10(l.voice.mean)-relativeGate {
		if l.lower.add(energy); l.lower.count >= moved {
			l.voice, l.lower = l.lower, estimate{}
		}
		return
	}
	l.voice.add(energy)
	l.lower = estimate{}
	l.heard = min(l.heard+1, memory)
}

// approach returns the gain after some time.
func (l *Leveler) approach(seconds float64) float64 {
	if l.voice.count == 0 {
		return l.gain
	}
	want := min(MaxBoostDB, max(-MaxCutDB, TargetLUFS-10*math.Log10(l.voice.mean)))
	up, down := upPerSecond*seconds, downPerSecond*seconds
	if l.heard < firstBlocks {
		up, down = fastPerSecond*seconds, fastPerSecond*seconds
	}
	return l.gain + min(up, max(-down, want-l.gain))
}
