package load

import (
	"math/bits"
	"time"

	"parley/internal/opus"
)

const (
	blockWindows = 5                       // windows of 100 ms that are judged together
	blockQuiet   = 5 * blockWindows        // pieces of 20 ms in them
	settle       = 1 * time.Second         // after a voice began or ended nothing is expected of it
	quietDBFS    = -52.0                   // 20 ms below are silent
	maxConceal   = 10                      // lost packets that are made up for; more is a hole
	packetsKept  = 128                     // whose arrival is remembered
	longestDelay = 1500 * time.Millisecond // of a chirp that is matched
)

// expectation is what a listener should hear.
type expectation struct {
	must     uint64 // voices on for a while
	mustNot  uint64 // voices off for a while
	atLeast  int    // of must that are heard at least
	own      uint64 // the listener's own voice
	complete bool   // something is expected at all
}

// roomView tells ears what to expect. Its methods may be called from any goroutine.
type roomView interface {
	// expected is what somebody with voice own (-1: none) should hear between from and to.
	expected(own int, from, to time.Duration) expectation
	// chirpSent returns the time when the chirp was sent that arrives at the given time: of its sound, and of its packet.
	chirpSent(arrived time.Duration) (sound, packet time.Duration, ok bool)
}

// earCounts are what ears found, summed over all of a loop.
type earCounts struct {
	Blocks       uint64 // half seconds judged
	Expected     uint64 // voices that should have been heard in them, summed
	Missing      uint64 // and were not
	Wrong        uint64 // voices heard that were not there
	Own          uint64 // times a listener heard its own voice
	Silent       uint64 // 20 ms of silence where there should be sound
	Sound        uint64 // 20 ms in which there should be sound
	DecodeErrors uint64
	Examples     []string
	Chirps       uint64 // found and matched
	delay        *hist  // of chirps, sample for sample
	packetDelay  *hist  // from the packet with a chirp's first sample to the packet with it in the mix
}

// ear decodes one stream and judges what is in it. Not safe for concurrent use; its loop owns it.
type ear struct {
	name    string
	view    roomView
	voice   func() int // the listener's own, -1 without
	voices  int        // that are told apart by their tones; 0: it is only judged whether there is sound
	latency bool

	dec    *opus.Decoder
	tones  *tones // shared with the loop's other ears
	chirps *chirpFinder
	pcm    []float32
	low    []float32
	decim  decimator

	window  []float32
	faint   [blockWindows]uint64 // voices in each window of the block
	loud    [blockWindows]uint64
	filled  int
	from    time.Duration // arrival of the block's first sample
	quiet   int           // 20 ms of the block that were silent
	samples int64         // at 8 kHz since the stream began
	frame   int           // samples of the last packet at 48 kHz

	arrivals [packetsKept]arrival // ring of the last packets
	next     int
}

type arrival struct {
	start int64 // first sample, at 8 kHz
	at    time.Duration
}

func newEar(name string, view roomView, voice func() int, voices int, latency bool) (*ear, error) {
	dec, err := opus.NewDecoder(1)
	if err != nil {
		return nil, err
	}
	e := &ear{name: name, view: view, voice: voice, voices: voices, latency: latency, dec: dec,
		pcm: make([]float32, opus.MaxFrameSamples), frame: 960}
	if latency {
		e.chirps = newChirpFinder()
	}
	return e, nil
}

// packet takes one packet's payload, decrypted.
func (e *ear) packet(s step, payload []byte, at time.Duration, c *earCounts) {
	if s.restart {
		if e.dec.Reset() != nil {
			c.DecodeErrors++
		}
		e.filled, e.window = 0, e.window[:0]
	}
	if s.lost > maxConceal || s.pause > sampleRate {
		e.filled, e.window = 0, e.window[:0] // begin anew
	} else {
		for range s.lost {
			e.conceal(e.frame, at, c)
		}
		for left := int(s.pause); left >= 480; left -= 480 { // nothing was sent, nothing is heard
			clear(e.pcm[:480])
			e.take(e.pcm[:480], at, c)
		}
	}
	n, err := e.dec.Decode(payload, e.pcm)
	if err != nil {
		c.DecodeErrors++
		return
	}
	e.frame = n
	e.arrivals[e.next] = arrival{e.samples, at}
	e.next = (e.next + 1) % packetsKept
	e.take(e.pcm[:n], at, c)
}

func (e *ear) conceal(samples int, at time.Duration, c *earCounts) {
	if _, err := e.dec.Conceal(e.pcm[:samples]); err != nil {
		c.DecodeErrors++
		return
	}
	e.take(e.pcm[:samples], at, c)
}

// take judges decoded sound that arrived at a time.
func (e *ear) take(pcm []float32, at time.Duration, c *earCounts) {
	if e.filled == 0 && len(e.window) == 0 {
		e.from, e.quiet = at, 0
	}
	e.low = e.decim.append(e.low[:0], pcm)
	e.samples += int64(len(e.low))
	if e.latency {
		e.chirps.search(e.low, func(first int64) { e.chirped(first, c) })
	}
	const tick = earRate / 50
	for low := e.low; len(low) > 0; {
		n := min(len(low), windowSamples-len(e.window))
		e.window = append(e.window, low[:n]...)
		low = low[n:]
		if len(e.window) < windowSamples {
			return
		}
		e.faint[e.filled], e.loud[e.filled] = e.tones.present(e.window, e.voices)
		for i := 0; i < windowSamples; i += tick {
			if rms(e.window[i:i+tick]) < quietDBFS {
				e.quiet++
			}
		}
		e.window = e.window[:0]
		if e.filled++; e.filled == blockWindows {
			e.judge(at, c)
			e.filled, e.from, e.quiet = 0, at, 0
		}
	}
}

// judge compares half a second with what should be in it. A voice that should be there is when two of the windows have its
// tone, since concealment and time stretching spoil some; one that should not be there is only when all have it, since what
// conceals a loss repeats a short piece, and so hums for a moment at frequencies of its own.
func (e *ear) judge(to time.Duration, c *earCounts) {
	own := e.voice()
	want := e.view.expected(own, e.from, to)
	if !want.complete {
		return
	}
	c.Blocks++
	heard, hint := uint64(0), uint64(0)
	for v := range e.voices {
		faint, loud := 0, 0
		for i := range blockWindows {
			faint += int(e.faint[i] >> v & 1)
			loud += int(e.loud[i] >> v & 1)
		}
		if loud == blockWindows {
			heard |= 1 << v
		}
		if faint >= 2 {
			hint |= 1 << v
		}
	}
	if e.voices == 0 {
		e.judgeSpeech(want.atLeast > 0, to, c)
		return
	}
	c.Expected += uint64(want.atLeast)
	if missing := want.atLeast - bits.OnesCount64(hint&want.must); missing > 0 {
		c.Missing += uint64(missing)
		e.note(c, "misses", want.must&^hint, to)
	}
	if wrong := heard & want.mustNot &^ want.own; wrong != 0 {
		c.Wrong += uint64(bits.OnesCount64(wrong))
		e.note(c, "hears, though it should not,", wrong, to)
	}
	if heard&want.own != 0 {
		c.Own++
		e.note(c, "hears its own", want.own, to)
	}
	if want.atLeast > 0 {
		c.Sound += blockQuiet
		c.Silent += uint64(e.quiet)
	}
}

// judgeSpeech is judge where voices are speech, which has pauses: only a whole half second of silence is wrong.
func (e *ear) judgeSpeech(due bool, to time.Duration, c *earCounts) {
	if !due {
		return
	}
	c.Sound += blockQuiet
	if e.quiet == blockQuiet {
		c.Silent += blockQuiet
		e.note(c, "hears nothing", 0, to)
	}
}

// chirped matches a chirp that begins at sample first with one that was sent.
func (e *ear) chirped(first int64, c *earCounts) {
	for i := 1; i <= packetsKept; i++ {
		a := e.arrivals[(e.next-i+packetsKept)%packetsKept]
		if a.at == 0 {
			return
		}
		if a.start > first {
			continue
		}
		offset := time.Duration(first-a.start) * time.Second / earRate
		if offset > 120*time.Millisecond {
			return // within sound that was made up
		}
		if sound, packet, ok := e.view.chirpSent(a.at + offset); ok {
			c.Chirps++
			c.delay.add(a.at + offset - sound)
			c.packetDelay.add(a.at - packet)
		}
		return
	}
}

const maxExamples = 10

// note keeps the first few failures in words.
func (e *ear) note(c *earCounts, what string, voices uint64, at time.Duration) {
	if len(c.Examples) < maxExamples {
		c.Examples = append(c.Examples, e.name+" "+what+" "+voiceList(voices)+" at "+at.Round(time.Millisecond).String())
	}
}
