package loudness

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tick = 480

// tone calls f with 10 ms of a sine wave at a time.
func tone(seconds, hz, peakDB float64, channels int, f func([]float32)) {
	amplitude := math.Pow(10, peakDB/20)
	pcm := make([]float32, tick*channels)
	for n := range int(seconds * 100) {
		for i := range tick {
			v := float32(amplitude * math.Sin(2*math.Pi*hz*float64(n*tick+i)/sampleRateHz))
			for c := range channels {
				pcm[i*channels+c] = v
			}
		}
		f(pcm)
	}
}

// The signals of EBU Tech 3341, table 1, as far as they are tones; tolerance as there.
func TestMeterReadsReferenceTones(t *testing.T) {
	for _, c := range []struct {
		peakDB, hz float64
		channels   int
		want       float64
	}{
		{-23, 1000, 2, -23}, {-33, 1000, 2, -33}, {-20, 997, 1, -23}, {0, 997, 1, -3.01},
	} {
		m := NewMeter(c.channels)
		tone(2, c.hz, c.peakDB, c.channels, func(pcm []float32) { m.Add(pcm) })
		assert.InDelta(t, c.want, m.Momentary(), 0.1, "%+v", c)
	}
}

func TestMeterWeightsAsEarsDo(t *testing.T) {
	read := func(hz float64) float64 {
		m := NewMeter(1)
		tone(1, hz, -20, 1, func(pcm []float32) { m.Add(pcm) })
		return m.Momentary()
	}
	assert.Less(t, read(40), read(1000)-5, "rumble counts less")
	assert.Greater(t, read(4000), read(1000)+2, "what a head reflects counts more")
}

func TestMeterSurvivesWhatIsNoNumber(t *testing.T) {
	m := NewMeter(1)
	nan := float32(math.NaN())
	m.Add([]float32{nan, float32(math.Inf(1)), 1})
	tone(2, 997, -20, 1, func(pcm []float32) { m.Add(pcm) })
	assert.InDelta(t, -23, m.Momentary(), 0.1)
	assert.Equal(t, Silence, NewMeter(1).Momentary())
}

// talker speaks in words of 300 ms with pauses of 150 ms: noise with the slope of a voice.
type talker struct {
	random *rand.Rand
	state  float64
	n      int
	gain   float64
}

func newTalker() *talker { return &talker{random: rand.New(rand.NewPCG(1, 2)), gain: 1} }

func (k *talker) next(pcm []float32) {
	for i := range pcm {
		k.state = 0.9*k.state + 0.1*k.random.NormFloat64()
		v := k.state * k.gain
		if k.n/tick%45 >= 30 {
			v = 0.001 * k.gain * k.random.NormFloat64()
		}
		pcm[i] = float32(v)
		k.n++
	}
}

// spoken is the loudness of a talker by the relative gate of BS.1770-4.
func spoken(blocks []float64) float64 {
	mean := func(least float64) float64 {
		sum, n := 0.0, 0
		for _, b := range blocks {
			if b >= least {
				sum, n = sum+math.Pow(10, b/10), n+1
			}
		}
		return 10 * math.Log10(sum/float64(max(1, n)))
	}
	return mean(mean(Silence) - 10)
}

// level runs a talker of a loudness through l and returns the loudness after it, of the last seconds.
func level(l *Leveler, k *talker, seconds, last float64) float64 {
	m := NewMeter(1)
	var blocks []float64
	pcm := make([]float32, tick)
	for n := range int(seconds * 100) {
		k.next(pcm)
		l.Process(pcm)
		if m.Add(pcm) && float64(n) > (seconds-last)*100 {
			blocks = append(blocks, m.Momentary())
		}
	}
	return spoken(blocks)
}

// talkerAt is a talker with a loudness.
func talkerAt(t *testing.T, want float64) *talker {
	t.Helper()
	k := newTalker()
	m := NewMeter(1)
	var blocks []float64
	pcm := make([]float32, tick)
	for range 1000 {
		k.next(pcm)
		if m.Add(pcm) {
			blocks = append(blocks, m.Momentary())
		}
	}
	k = newTalker()
	k.gain = math.Pow(10, (want-spoken(blocks))/20)
	return k
}

func TestEveryTalkerComesToTheTarget(t *testing.T) {
	for _, at := range []float64{-38, -33, -28, -23, -18, -13, -8} {
		got := level(NewLeveler(1), talkerAt(t, at), 20, 8)
		assert.InDelta(t, TargetLUFS, got, 2, "a talker at %g LUFS", at)
	}
}

func TestAQuietTalkerIsRightWithinASentence(t *testing.T) {
	assert.InDelta(t, TargetLUFS, level(NewLeveler(1), talkerAt(t, -33), 4, 2), 2)
}

func TestWhoMovesAwayIsFollowed(t *testing.T) {
	l := NewLeveler(1)
	k := talkerAt(t, -15)
	level(l, k, 15, 5)
	k.gain *= math.Pow(10, -18.0/20)
	assert.InDelta(t, TargetLUFS, level(l, k, 30, 8), 2)
}

func TestPausesChangeNothing(t *testing.T) {
	l := NewLeveler(1)
	level(l, talkerAt(t, -30), 10, 5)
	before := l.GainDB()
	require.Greater(t, before, 5.0)
	pcm := make([]float32, tick)
	random := rand.New(rand.NewPCG(3, 4))
	for range 3000 { // 30 s of a quiet room
		for i := range pcm {
			pcm[i] = float32(0.0005 * random.NormFloat64())
		}
		l.Process(pcm)
	}
	assert.InDelta(t, before, l.GainDB(), 1)
}

func TestTheGainMovesSlowly(t *testing.T) {
	l := NewLeveler(1)
	k := talkerAt(t, -35)
	pcm := make([]float32, tick)
	for n, before := 0, 0.0; n < 2000; n++ {
		k.next(pcm)
		l.Process(pcm)
		require.LessOrEqual(t, math.Abs(l.GainDB()-before), fastPerSecond/100+1e-9)
		require.LessOrEqual(t, l.GainDB(), MaxBoostDB)
		before = l.GainDB()
	}
}

func TestNothingIsAllocated(t *testing.T) {
	l := NewLeveler(2)
	pcm := make([]float32, 2*tick)
	for i := range pcm {
		pcm[i] = float32(i%7) / 10
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { l.Process(pcm) }))
}

func BenchmarkLeveler(b *testing.B) {
	l := NewLeveler(1)
	k := newTalker()
	pcm := make([]float32, tick)
	k.next(pcm)
	for b.Loop() {
		l.Process(pcm)
	}
}
