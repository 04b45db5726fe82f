package mixertest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

// caller sends sound as a browser does: with levels or not, with DTX or not, over a network that delays.
type caller struct {
	*talker
	levels  bool
	sparse  bool                 // frames of silence are not sent, but for one in 20
	nothing func(n int) bool     // nothing is sent at all
	delay   func() time.Duration // on the way; nil: none
	unsent  int
	flight  []letter
}

type letter struct {
	at     time.Duration
	packet neteq.Packet
}

func newCaller(t testing.TB, r *mixer.Room, owner string, sound func(int) float32, levels, sparse bool) *caller {
	c := &caller{talker: newTalker(t, r, owner, sound), levels: levels, sparse: sparse}
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: 32000, Complexity: 9, FEC: true, DTX: sparse})
	if err != nil {
		t.Fatal(err)
	}
	c.enc = e
	return c
}

// send encodes 20 ms and puts them on their way.
func (c *caller) send(now time.Duration) {
	at := c.n
	c.next()
	quiet := c.nothing != nil && c.nothing(at)
	if c.sparse && len(c.packet.Payload) <= 2 {
		if c.unsent++; c.unsent%20 != 0 {
			quiet = true
		}
	} else {
		c.unsent = 0
	}
	if quiet {
		c.packet.SequenceNumber-- // what is not sent has no number
		return
	}
	p := c.packet
	p.Payload = append([]byte(nil), p.Payload...)
	if p.HasAudioLevel = c.levels; c.levels {
		p.AudioLevel = levelOf(c.pcm[:])
	}
	l := letter{at: now, packet: p}
	if c.delay != nil {
		l.at += c.delay()
	}
	c.flight = append(c.flight, l)
}

// arrive hands over what has come.
func (c *caller) arrive(now time.Duration) {
	kept := c.flight[:0]
	for _, l := range c.flight {
		if l.at > now {
			kept = append(kept, l)
			continue
		}
		c.source.Push(&l.packet, l.at)
	}
	c.flight = kept
}

// onsetCase is a call in which one begins to speak.
type onsetCase struct {
	name     string
	levels   bool
	sparse   bool
	silent   bool          // sends nothing at all before it speaks
	jitter   time.Duration // mean of an exponential delay
	others   int           // who speak all the time, at -40 dB
	speakers int
}

// play runs a call of some seconds and returns what a listener hears.
func (c onsetCase) play(t *testing.T, speakers int, sound func(int) float32, begins int, length time.Duration) []float32 {
	st := newStepped(t)
	r := newRoom(t, st.m, mixer.RoomConfig{Speakers: speakers})
	rng := rand.New(rand.NewPCG(7, 7))
	subject := newCaller(t, r, "A", sound, c.levels, c.sparse)
	if c.silent {
		subject.nothing = func(n int) bool { return n > 24000 && n+frame <= begins }
	}
	callers := []*caller{subject}
	for i := range c.others {
		callers = append(callers, newCaller(t, r, fmt.Sprint(i), tone(140+float64(i)*20, 0.014), true, false))
	}
	// And some who are not chosen.
	for i := range 3 {
		callers = append(callers, newCaller(t, r, fmt.Sprint("quiet ", i), tone(100, 0.0001), true, false))
	}
	if c.jitter > 0 {
		for _, x := range callers {
			x.delay = func() time.Duration { return time.Duration(rng.ExpFloat64() * float64(c.jitter)) }
		}
	}
	e, _ := newEar(t, st.m, r, "X")
	for n := 0; st.now < length; n++ {
		if n%2 == 0 {
			for _, x := range callers {
				x.send(st.now)
			}
		}
		for _, x := range callers {
			x.arrive(st.now)
		}
		st.now += 10 * time.Millisecond
		st.m.Step()
	}
	if n := st.m.Stats().Liars; n > 0 {
		t.Errorf("%d honest senders are thought to lie about their levels", n)
	}
	return e.pcm
}

// firstLoud is the first sample from which on 2.5 ms are louder than level, -1 if none is.
func firstLoud(pcm []float32, level float64) int {
	const window = 120
	for i := 0; i+window <= len(pcm); i += 12 {
		if energyDB(pcm[i:i+window]) > level {
			return i
		}
	}
	return -1
}

func energyDB(x []float32) float64 {
	sum := 1e-12
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(x)))
}

// TestFirstSyllable: somebody begins to speak in a room that hears only the loudest. Compared with a room that decodes
// everybody always, the sound begins at the same time, within 10 ms, and with the same energy.
func TestFirstSyllable(t *testing.T) {
	const begins = 3 * 48000
	// A vowel that is there at once.
	vowel := speech(3)
	burst := func(n int) float32 {
		if n < begins+333 {
			return 0
		}
		x := 0.0
		for h := 1; h <= 10; h++ {
			x += math.Sin(2*math.Pi*float64(h)*170*float64(n)/48000) / float64(h)
		}
		return float32(0.2*x) + 0.1*vowel(n)
	}
	for _, c := range []onsetCase{
		{name: "levels", levels: true, speakers: 2},
		{name: "no levels", speakers: 2},
		{name: "DTX", levels: true, sparse: true, speakers: 2},
		{name: "DTX, no levels", sparse: true, speakers: 2},
		{name: "nothing sent before", levels: true, silent: true, speakers: 2},
		{name: "nothing sent before, no levels", silent: true, speakers: 2},
		{name: "jitter", levels: true, jitter: 10 * time.Millisecond, speakers: 2},
		{name: "jitter, DTX", levels: true, sparse: true, jitter: 10 * time.Millisecond, speakers: 2},
		{name: "full room", levels: true, others: 2, speakers: 2},
		{name: "full room, jitter", levels: true, jitter: 10 * time.Millisecond, others: 2, speakers: 2},
		{name: "full room, DTX", levels: true, sparse: true, others: 2, speakers: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, burst, begins, 4*time.Second)
		})
	}
}

// check compares a room with a limit with one without.
func (c onsetCase) check(t *testing.T, sound func(int) float32, begins int, length time.Duration) {
	t.Helper()
	want, got := c.play(t, 0, sound, begins, length), c.play(t, c.speakers, sound, begins, length)
	const level = -30
	a, b := firstLoud(want[begins:], level), firstLoud(got[begins:], level)
	if a < 0 || b < 0 {
		t.Fatalf("no onset: %d, %d", a, b)
	}
	const first = 2400
	if begins+max(a, b)+first > min(len(want), len(got)) {
		t.Fatal("too short")
	}
	lost := energyDB(want[begins+a:begins+a+first]) - energyDB(got[begins+b:begins+b+first])
	t.Logf("onset %.1f ms after it was spoken, without limit %.1f; first 50 ms %.1f dB quieter", float64(b)/48, float64(a)/48, lost)
	// Earlier is no loss: with jitter the delay of one who has not been heard may be the shorter one.
	if d := float64(b-a) / 48; d > 10 || d < -30 {
		t.Errorf("the onset is %.1f ms late", d)
	}
	if lost > 1.5 {
		t.Errorf("the first 50 ms are %.1f dB quieter", lost)
	}
}

// speechFiles is where recordings lie that are not part of the source.
const speechFiles = "../../../shared/testdata/speech"

// TestFirstSyllableOfRealSpeech is TestFirstSyllable with recordings.
func TestFirstSyllableOfRealSpeech(t *testing.T) {
	dir := os.Getenv("PARLEY_SPEECH")
	if dir == "" {
		dir = speechFiles
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.wav"))
	if len(files) == 0 {
		t.Skipf("no recordings in %s; PARLEY_SPEECH names another directory", dir)
	}
	if underRace {
		files = files[:1]
	}
	for _, name := range files {
		voice := readWAV(t, name)
		// Two seconds of silence, then the recording from a little before its first loud sound.
		at := max(0, firstLoud(voice, -35)-4800)
		const begins = 2 * 48000
		sound := func(n int) float32 {
			if k := n - begins + at; n >= begins && k < len(voice) {
				return voice[k]
			}
			return 0
		}
		for _, c := range []onsetCase{
			{name: "levels", levels: true, speakers: 2},
			{name: "DTX", levels: true, sparse: true, speakers: 2},
			{name: "no levels", speakers: 2},
			{name: "full room", levels: true, others: 2, speakers: 2},
		} {
			t.Run(filepath.Base(name)+"/"+c.name, func(t *testing.T) { c.check(t, sound, begins, 3500*time.Millisecond) })
		}
	}
}

// readWAV reads 16-bit PCM of one channel and brings it to 48 kHz, by straight lines, and to a peak of 0.5.
func readWAV(t *testing.T, name string) []float32 {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 44 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		t.Fatalf("%s is not a WAVE file", name)
	}
	rate, channels, data := 0, 0, []byte(nil)
	for i := 12; i+8 <= len(b); {
		size := int(binary.LittleEndian.Uint32(b[i+4:]))
		body := b[i+8 : min(len(b), i+8+size)]
		switch string(b[i : i+4]) {
		case "fmt ":
			channels, rate = int(binary.LittleEndian.Uint16(body[2:])), int(binary.LittleEndian.Uint32(body[4:]))
		case "data":
			data = body
		}
		i += 8 + size + size&1
	}
	if channels != 1 || rate <= 0 || len(data) == 0 {
		t.Fatalf("%s: %d channels at %d Hz", name, channels, rate)
	}
	in := make([]float32, len(data)/2)
	top := float32(0)
	for i := range in {
		in[i] = float32(int16(binary.LittleEndian.Uint16(data[2*i:])))
		top = max(top, in[i], -in[i])
	}
	out := make([]float32, (len(in)-1)*48000/rate)
	for i := range out {
		x := float64(i) * float64(rate) / 48000
		k := int(x)
		f := float32(x - float64(k))
		out[i] = (in[k]*(1-f) + in[k+1]*f) / top / 2
	}
	return out
}
