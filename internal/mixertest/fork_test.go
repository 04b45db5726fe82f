package mixertest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/resample"
	"parley/internal/testkit"
	"parley/mixer"
	"parley/neteq"
)

// spy is an encoder that tells what it was last given, and what it was forked from.
type spy struct {
	*opus.Encoder
	pcm     []float32
	bitrate int
	loss    int
	source  *spy // of its state
	encoded int  // frames since then
}

func (s *spy) Encode(pcm []float32, out []byte) (int, error) {
	s.pcm = append(s.pcm[:0], pcm...)
	s.encoded++
	return s.Encoder.Encode(pcm, out)
}

func (s *spy) SetBitrate(bps int) error {
	s.bitrate = bps
	return s.Encoder.SetBitrate(bps)
}

func (s *spy) SetPacketLoss(percent int) error {
	s.loss = percent
	return s.Encoder.SetPacketLoss(percent)
}

func (s *spy) CopyState(from any) error {
	o := from.(*spy)
	s.source, s.encoded, s.bitrate, s.loss = o, 0, o.bitrate, o.loss
	return s.Encoder.CopyState(o.Encoder)
}

// spied is a mixer in virtual time whose encoders can be found by what they have written.
type spied struct {
	*mixer.Mixer
	now  time.Duration
	from map[*byte]*spy
}

func newSpied(t testing.TB, config mixer.EncoderConfig) *spied {
	x := &spied{from: map[*byte]*spy{}}
	m, err := mixer.New(mixer.Config{
		Workers: 1, Encoder: config, Clock: func() time.Duration { return x.now },
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) },
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) {
			e, err := opus.NewEncoder(opus.EncoderConfig(c))
			s := &spy{Encoder: e, bitrate: c.BitrateBps, loss: c.LossPercent}
			return &listed{s, x}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Mixer = m
	return x
}

// listed notes which spy a payload is of.
type listed struct {
	*spy
	x *spied
}

func (l *listed) Encode(pcm []float32, out []byte) (int, error) {
	l.x.from[&out[0]] = l.spy
	return l.spy.Encode(pcm, out)
}

func (l *listed) CopyState(from any) error { return l.spy.CopyState(from.(*listed).spy) }

// twin hears what a listener is sent, and beside it what an encoder of its own, which was never forked nor joined, makes of the same
// samples with the same settings.
type twin struct {
	t                  testing.TB
	x                  *spied
	private            *opus.Encoder
	bitrate, loss      int
	shared, own        *opus.Decoder
	of                 *spy
	next               uint32
	begun              bool
	input, heard, want []float32
	frames             []twinFrame
}

type twinFrame struct {
	at      int // in samples
	joined  bool
	forked  bool
	same    bool // payload is that of the private encoder
	samples int
}

func newTwin(t testing.TB, x *spied, c mixer.EncoderConfig) *twin {
	w := &twin{t: t, x: x, bitrate: c.BitrateBps, loss: c.LossPercent}
	c.Channels = 1
	var err error
	if w.private, err = opus.NewEncoder(opus.EncoderConfig(c)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []**opus.Decoder{&w.shared, &w.own} {
		if *d, err = opus.NewDecoder(1); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *twin) WriteFrame(f mixer.Frame) {
	s := w.x.from[&f.Payload[0]]
	if w.begun && f.Timestamp != w.next {
		w.t.Errorf("a frame at %d, want %d", f.Timestamp, w.next)
	}
	w.next, w.begun = f.Timestamp+uint32(f.Samples), true
	if len(s.pcm) != f.Samples {
		w.t.Fatalf("a frame of %d samples was made of %d", f.Samples, len(s.pcm))
	}
	var err error
	if s.bitrate != w.bitrate {
		w.bitrate, err = s.bitrate, w.private.SetBitrate(s.bitrate)
	}
	if err == nil && s.loss != w.loss {
		w.loss, err = s.loss, w.private.SetPacketLoss(s.loss)
	}
	var out [2600]byte
	n := 0
	if err == nil {
		n, err = w.private.Encode(s.pcm, out[:])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	frame := twinFrame{at: len(w.heard), same: bytes.Equal(out[:n], f.Payload), samples: f.Samples}
	if w.of != nil && w.of != s {
		frame.forked = s.source == w.of && s.encoded == 1
		frame.joined = !frame.forked
	}
	w.of = s
	w.frames = append(w.frames, frame)
	decode := func(d *opus.Decoder, payload []byte, to []float32) []float32 {
		pcm := make([]float32, f.Samples)
		if n, err := d.Decode(payload, pcm); err != nil || n != f.Samples {
			w.t.Fatalf("%d samples decoded: %v", n, err)
		}
		return append(to, pcm...)
	}
	w.input = append(w.input, s.pcm...)
	w.heard = decode(w.shared, f.Payload, w.heard)
	w.want = decode(w.own, out[:n], w.want)
}

const block = 960 // of the comparison: 20 ms

// snr is the signal-to-noise ratio of a decoded block to what went in, in dB, bounded as is usual to -10 and 35; false in near silence,
// where a ratio says nothing.
func (w *twin) snr(decoded []float32, at int) (float64, bool) {
	if at < opus.LookaheadSamples || at+block > len(decoded) {
		return 0, false
	}
	var signal, noise float64
	for i := at; i < at+block; i++ {
		x := float64(w.input[i-opus.LookaheadSamples])
		signal += x * x
		d := float64(decoded[i]) - x
		noise += d * d
	}
	if signal < block*1e-5 { // -50 dBFS
		return 0, false
	}
	return max(-10, min(35, 10*math.Log10(signal/max(noise, 1e-12)))), true
}

// jump is the highest second difference around a place: what a splice that does not fit makes high, and speech does not.
func jump(x []float32, at int) float64 {
	top := 0.0
	for i := max(2, at-48); i < min(len(x), at+480); i++ {
		top = max(top, math.Abs(float64(x[i])-2*float64(x[i-1])+float64(x[i-2])))
	}
	return top
}

// babble is a talker in virtual time whose voice can be turned on and off, softly.
type babble struct {
	*talker
	on    bool
	level float32
}

func newBabble(t testing.TB, r *mixer.Room, owner string, seed uint64) *babble {
	b := &babble{on: true}
	voice := testkit.Voice(testkit.VoiceConfig{PitchHz: 100 + 30*float64(seed), LevelDBFS: -24, Seed: seed}, 20*time.Second)
	b.talker = newTalker(t, r, owner, func(n int) float32 {
		if b.on {
			b.level = min(1, b.level+1.0/480)
		} else {
			b.level = max(0, b.level-1.0/480)
		}
		return b.level * voice[n%len(voice)]
	})
	return b
}

// run lets 20 ms pass.
func (x *spied) run(talkers ...*babble) {
	for _, b := range talkers {
		b.next()
		b.push(x.now)
	}
	for range 2 {
		x.now += 10 * time.Millisecond
		x.Step()
	}
}

// forkedRoom is a room in which seven listeners are forked and joined at random: they speak, lose packets, and change the volumes of others. Two
// more voices never stop, so that every seam is in the middle of sound; and on every tier somebody just listens, so that there is always
// a bus to leave and to come back to.
func forkedRoom(t testing.TB, seconds int, seed uint64) []*twin {
	config := mixer.EncoderConfig{BitrateBps: 40000, FEC: true, Complexity: 5}
	x := newSpied(t, config)
	r := newRoom(t, x.Mixer, mixer.RoomConfig{})
	rng := rand.New(rand.NewPCG(seed, 5))
	var talkers []*babble
	for i, owner := range []string{"A", "B", "Y", "Z"} {
		talkers = append(talkers, newBabble(t, r, owner, uint64(i)))
	}
	var twins []*twin
	var listeners, anchors []*mixer.Listener
	add := func(owner string, sink mixer.Sink) *mixer.Listener {
		l, err := r.AddListener(mixer.ListenerConfig{Owner: owner, Sink: sink})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, owner := range []string{"A", "B", "D", "E", "F", "G", "H"} {
		w := newTwin(t, x, config)
		twins, listeners = append(twins, w), append(listeners, add(owner, w))
	}
	for _, owner := range []string{"excellent", "good", "poor"} {
		anchors = append(anchors, add(owner, &discard{}))
	}
	for frame := range seconds * 50 {
		for _, b := range talkers[:2] {
			if b.on && rng.IntN(40) == 0 || !b.on && rng.IntN(80) == 0 {
				b.on = !b.on
			}
		}
		if frame%50 == 25 {
			for i, l := range anchors {
				l.SetReport(mixer.Report{Loss: []float64{0, 0.05, 0.15}[i]})
			}
		}
		for i, l := range listeners {
			if frame%50 == 7*i { // down by a step or two now and then, up again after ten seconds
				l.SetReport(mixer.Report{Loss: []float64{0, 0, 0.05, 0.15}[max(0, rng.IntN(40)-36)]})
			}
			if rng.IntN(35) == 0 {
				if err := l.SetGain("Z", []float32{0.5, 1}[rng.IntN(2)]); err != nil {
					t.Fatal(err)
				}
			}
		}
		x.run(talkers...)
	}
	return twins
}

// A listener's stream through hundreds of forks and joins, against that of an encoder of its own.
//
// Until its first join, and through every fork, a listener's payloads are those of the private encoder, bit for bit. A join takes it to an
// encoder that has been given the same samples for a second, and other samples before. What that costs is measured over 20 ms blocks, as
// the signal-to-noise ratio of what the listener's decoder yields to what was mixed, less the ratio of what the private encoder and
// decoder yield: the mean difference over all joins in each of the first blocks after a join, and over all blocks elsewhere. Single blocks
// differ by several dB either way, joined or not, because two encoders that differ by a bit choose differently: what says whether joins are
// harmful is the mean.
func TestForksAndJoinsAgainstPrivateEncoder(t *testing.T) {
	seconds, short := 80, testing.Short() || underRace
	if short {
		seconds = 25
	}
	forks, joins, clicks := 0, 0, 0
	var after [10][]float64
	var elsewhere []float64
	tiers := map[string]int{}
	for i, w := range forkedRoom(t, seconds, 1) {
		joined := false
		near := map[int]bool{} // blocks after a join
		for _, f := range w.frames {
			if f.joined {
				joins++
				joined = true
				if j := jump(w.heard, f.at); j > 2.5*jump(w.want, f.at) && j > 0.05 {
					clicks++
					t.Logf("listener %d: jump of %.3f at %d, private %.3f", i, j, f.at, jump(w.want, f.at))
				}
				// Whole blocks only of what a single join did.
				for k := range after {
					at := f.at + k*block
					near[at/block], near[at/block+1] = true, true
					a, ok := w.snr(w.want, at)
					b, _ := w.snr(w.heard, at)
					if ok {
						after[k] = append(after[k], a-b)
					}
				}
			}
			if f.forked {
				forks++
			}
			if !joined && !f.same {
				t.Fatalf("listener %d: frame at %d differs from a private encoder's before any join", i, f.at)
			}
			tiers[fmt.Sprint(f.samples/48, " ms")]++
		}
		for k := range len(w.heard) / block {
			if near[k] {
				continue
			}
			a, ok := w.snr(w.want, k*block)
			b, _ := w.snr(w.heard, k*block)
			if ok {
				elsewhere = append(elsewhere, a-b)
			}
		}
	}
	t.Logf("%d forks, %d joins, frames %v", forks, joins, tiers)
	if !short && forks+joins < 200 || forks < 10 || joins < 10 {
		t.Errorf("%d forks and %d joins", forks, joins)
	}
	mean := func(v []float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum / float64(len(v))
	}
	for k, v := range after {
		slices.Sort(v)
		t.Logf("%3d ms after a join: %.2f dB less on average of %d; median %.2f, 95 %% below %.2f", 20*k, mean(v), len(v), v[len(v)/2], v[len(v)*95/100])
		if m := mean(v); m > 1 {
			t.Errorf("%d ms after a join: %.2f dB less than a private encoder's", 20*k, m)
		}
	}
	slices.Sort(elsewhere)
	t.Logf("elsewhere: %.3f dB less on average of %d; 95 %% below %.2f", mean(elsewhere), len(elsewhere), elsewhere[len(elsewhere)*95/100])
	if m := mean(elsewhere); m > 0.1 {
		t.Errorf("elsewhere: %.3f dB less than a private encoder's", m)
	}
	if clicks > 0 {
		t.Errorf("%d clicks", clicks)
	}
}

// The same, as PESQ (ITU-T P.862.2) hears it: PARLEY_PESQ names a program that takes two WAV files of 16 kHz and prints the score.
func TestForksAndJoinsPESQ(t *testing.T) {
	program := os.Getenv("PARLEY_PESQ")
	if program == "" {
		t.Skip("PARLEY_PESQ names no program")
	}
	dir := t.TempDir()
	score := func(reference, degraded []float32) float64 {
		files := []string{filepath.Join(dir, "reference.wav"), filepath.Join(dir, "degraded.wav")}
		for i, pcm := range [][]float32{reference, degraded} {
			if err := os.WriteFile(files[i], wav16k(t, pcm), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(program, files...).Output()
		if err != nil {
			t.Fatal(err)
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var shared, private float64
	n := 0
	for _, w := range forkedRoom(t, 120, 2) {
		const piece = 8 * 48000
		for at := 0; at+piece <= len(w.heard); at += piece {
			in := w.input[at : at+piece]
			shared += score(in, w.heard[at:at+piece])
			private += score(in, w.want[at:at+piece])
			n++
		}
	}
	shared, private = shared/float64(n), private/float64(n)
	t.Logf("PESQ of %d pieces of 8 s: %.4f shared, %.4f private", n, shared, private)
	if private-shared > 0.02 {
		t.Errorf("PESQ is %.4f lower than a private encoder's", private-shared)
	}
}

// wav16k is pcm as a WAV file of 16 kHz and 16 bits.
func wav16k(t testing.TB, pcm []float32) []byte {
	r, err := resample.New(48000, 16000, 1)
	if err != nil {
		t.Fatal(err)
	}
	low := make([]float32, r.Output(len(pcm))+8)
	low = low[:r.Process(low, pcm)]
	path := filepath.Join(t.TempDir(), "x.wav")
	if err := testkit.WriteWAV(path, low); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path) // of 48 kHz, says its header; the scorer goes by its samples
	if err != nil {
		t.Fatal(err)
	}
	return data
}
