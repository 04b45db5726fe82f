package mixer

import (
	"math"
	"time"

	"parley/neteq"
)

const (
	// forecasts is how many packets are looked ahead at: 640 ms of 20 ms packets, more than is looked at.
	forecasts = 32
	// horizon is how far ahead the loudest packet counts: enough for a challenger to prove itself before it is due.
	horizon = 60 * time.Millisecond
	// linger is how long the level of the packet played last holds when none follows: jitter of a frame or two.
	linger = 40 * time.Millisecond

	// What a sender says about its level is compared with what is decoded, in windows of decoded ticks. A window tells only
	// when at least checkLoudTicks of it are loud on one side; then the means may differ by trustDB, which leaves room for
	// peaks instead of means and for gain control behind the measurement. Twice in a row, or by twice as much: where the packet in
	// which a syllable begins is lost, a CELT decoder yields all of the syllable too quietly.
	checkTicks     = 30
	checkLoudTicks = 10
	trustDB        = 15
	// longestSentence is how many true windows in a row a notorious liar needs to be believed again: 20 s of speech.
	longestSentence = 64

	// usualDBov is how loud speech is taken to be of which nothing has been decoded yet.
	usualDBov = -35
	// guessActiveDBov is the guess from which a payload counts as speech.
	guessActiveDBov = -60
	noLevel         = 1
)

// forecast is what is known about one packet in the buffer.
type forecast struct {
	start, end time.Duration
	claim      int8 // dBov, by RFC 6464; noLevel
	guess      int8 // dBov, from the payload
}

// outlook is what a source is about to play, as far as its packets tell without being decoded, and how far its sender can be
// believed.
type outlook struct {
	ring   [forecasts]forecast
	first  int
	count  int
	latest time.Duration // end of the newest

	usual    float64 // level of decoded ticks that were guessed to be speech
	bias     float64 // by how many decibels the claims exceed what is decoded
	debt     int     // true windows until claims are believed again; 0: they are
	sentence int
	suspect  bool // the last window that told anything was untrue, but not by much

	// The window under way.
	ticks, loudClaims, loudTicks int
	claimed, decoded             float64 // sums of mean squares
}

func newOutlook() outlook { return outlook{usual: usualDBov} }

// add notes a packet.
func (o *outlook) add(f neteq.Forecast, p *neteq.Packet) {
	if o.count == forecasts {
		o.first = (o.first + 1) % forecasts
		o.count--
	}
	e := forecast{start: f.Start, end: f.End, claim: noLevel, guess: int8(max(silentDBov, min(0, f.LevelDBov)))}
	if p.HasAudioLevel {
		e.claim = int8(-int(p.AudioLevel & 0x7f))
	}
	o.ring[(o.first+o.count)%forecasts] = e
	o.count++
	o.latest = max(o.latest, f.End)
}

func (o *outlook) at(i int) *forecast { return &o.ring[(o.first+i)%forecasts] }

// pass forgets what has been played; the packet played last is kept for a while.
func (o *outlook) pass(now time.Duration) {
	for o.count > 1 && o.at(0).end <= now || o.count == 1 && o.at(0).end+linger <= now {
		o.first = (o.first + 1) % forecasts
		o.count--
	}
}

// level is how loud a packet is believed to be.
func (o *outlook) level(e *forecast) float64 {
	if e.claim != noLevel && o.debt == 0 {
		return max(silentDBov, min(0, float64(e.claim)-o.bias))
	}
	if e.guess >= guessActiveDBov {
		return o.usual
	}
	return float64(e.guess)
}

// now is the level of the packet that is being played.
func (o *outlook) now() float64 {
	if o.count == 0 {
		return silentDBov
	}
	return o.level(o.at(0))
}

// ahead returns the loudest level of what is played between now and the horizon.
func (o *outlook) ahead(now time.Duration) float64 {
	loudest := float64(silentDBov)
	for i := range o.count {
		if e := o.at(i); e.start < now+horizon {
			loudest = max(loudest, o.level(e))
		}
	}
	return loudest
}

// lead is by how much, and for how long, what is buffered is louder than level by least decibels or more: the sum of decibels
// times seconds.
func (o *outlook) lead(level, least float64, now time.Duration) float64 {
	sum := 0.0
	for i := range o.count {
		e := o.at(i)
		if d := o.level(e) - level; d >= least {
			sum += d * max(0, e.end-max(e.start, now)).Seconds()
		}
	}
	return sum
}

// waiting tells whether anything is still to be played.
func (o *outlook) waiting(now time.Duration) bool { return o.latest > now }

// believed tells whether the levels the sender states are taken at their word.
func (o *outlook) believed() bool {
	return o.debt == 0 && o.count > 0 && o.at(o.count-1).claim != noLevel
}

// doubtful tells whether the level of what comes can only be known by decoding it: no levels or none that can be believed,
// or levels that deny what the payload shows.
func (o *outlook) doubtful() bool {
	if o.count == 0 {
		return false
	}
	e := o.at(o.count - 1)
	return e.claim == noLevel || o.debt > 0 || e.guess >= guessActiveDBov && float64(e.claim) < hushBelowDBov-trustDB
}

// belief packs, for readers on other goroutines, what the level of the packets to come is told by: the level of the newest in
// bits 0 to 7, the bias of the claims, rounded, in bits 8 to 15, both as int8, and in bit 16 whether claims are of no use.
func (o *outlook) belief() uint32 {
	newest := float64(silentDBov)
	if o.count > 0 {
		newest = o.level(o.at(o.count - 1))
	}
	b := uint32(uint8(int8(math.Round(newest)))) | uint32(uint8(int8(math.Round(o.bias))))<<8
	if o.debt > 0 {
		b |= 1 << 16
	}
	return b
}

// expect is the level of p by a belief.
func expect(belief uint32, p *neteq.Packet) int {
	if !p.HasAudioLevel || belief&(1<<16) != 0 {
		return int(int8(belief))
	}
	return max(silentDBov, min(0, -int(p.AudioLevel&0x7f)-int(int8(belief>>8))))
}

// active tells whether what came last looks like speech.
func (o *outlook) active() bool { return o.count > 0 && o.at(o.count-1).guess >= guessActiveDBov }

// verify compares what was decoded in this tick, at now, with what was said about it. It returns true when the sender was found to
// tell untruths just now.
func (o *outlook) verify(meanSquare float64, now time.Duration) (caught bool) {
	if o.count == 0 {
		return false
	}
	e := o.at(0)
	db := decibels(meanSquare)
	if e.guess >= guessActiveDBov {
		if db > o.usual {
			o.usual += (db - o.usual) / 4
		} else {
			o.usual += (db - o.usual) / 40
		}
	}
	if e.claim == noLevel || e.end <= now { // what follows the last packet is made up, or DTX's
		return false
	}
	o.ticks++
	o.claimed += math.Pow(10, float64(e.claim)/10)
	o.decoded += meanSquare
	if e.claim > hushBelowDBov {
		o.loudClaims++
	}
	if db > hushBelowDBov {
		o.loudTicks++
	}
	if o.ticks < checkTicks {
		return false
	}
	difference := decibels(o.claimed/checkTicks) - decibels(o.decoded/checkTicks)
	mean := decibels(o.decoded / checkTicks)
	over := o.loudClaims >= checkLoudTicks && difference > trustDB
	under := o.loudTicks >= checkLoudTicks && difference < -trustDB
	telling := o.loudClaims >= checkLoudTicks && o.loudTicks >= checkLoudTicks
	o.ticks, o.loudClaims, o.loudTicks, o.claimed, o.decoded = 0, 0, 0, 0, 0
	switch {
	case (over || under) && o.debt == 0 && !o.suspect && math.Abs(difference) < 2*trustDB:
		o.suspect = true
	case over || under:
		o.suspect = false
		if caught = o.debt == 0; caught {
			o.sentence = max(2, min(longestSentence, 2*o.sentence))
		}
		o.debt, o.bias = o.sentence, 0
		if over {
			o.usual = min(o.usual, mean)
		}
	case telling && o.debt > 0:
		o.debt--
	case telling:
		o.suspect = false
		o.bias += (difference - o.bias) / 4
	}
	return caught
}

// decibels is a mean square as a level in dBov.
func decibels(meanSquare float64) float64 {
	if !(meanSquare > 1e-13) {
		return silentDBov
	}
	return max(silentDBov, min(0, 10*math.Log10(meanSquare)))
}
