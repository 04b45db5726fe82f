package mixer

import (
	"math"
	"sync/atomic"
)

const (
	// silentDBov is the lowest level, digital silence (RFC 6464, section 3).
	silentDBov = -127
	// levelFallDB is how far a shown level falls per tick: 50 dB/s, so that a reader at 10 Hz misses no syllable.
	levelFallDB = 0.5

	// A source speaks once it has been louder than speakAboveDBov for speakAfterTicks, and until it has been quieter
	// than hushBelowDBov for hushAfterTicks, the length of a pause between words.
	speakAboveDBov  = -45
	hushBelowDBov   = -50
	speakAfterTicks = 3
	hushAfterTicks  = 40
)

// Level is what a room shows of one source.
type Level struct {
	Owner string
	// LevelDBov is the level of the decoded sound, before gain, in dB relative to overload: -127 (silence) to 0. Of what is
	// not decoded, because nobody listens or others are louder, it is what the sender says in its packets (RFC 6464), as far
	// as it can be believed, or else a guess.
	LevelDBov int
	Speaking  bool
}

// meter follows the level of one source. The worker updates it, anybody reads it.
type meter struct {
	db      float64
	now     float64 // of the last tick, without the fall
	louder  int     // ticks above the one threshold
	quieter int     // ticks below the other
	talking bool

	published atomic.Int32 // level, and speaking in bit 8
}

func (m *meter) init() {
	m.db, m.now = silentDBov, silentDBov
	m.publish()
}

// observe takes the mean square of one tick.
func (m *meter) observe(meanSquare float64) {
	m.observeDB(decibels(meanSquare), 1)
}

// observeDB takes a level that held for some ticks.
func (m *meter) observeDB(now float64, ticks int) {
	m.now = now
	m.db = max(now, m.db-levelFallDB*float64(ticks), silentDBov)
	if now > speakAboveDBov {
		m.louder += ticks
	} else {
		m.louder = 0
	}
	if now < hushBelowDBov {
		m.quieter += ticks
	} else {
		m.quieter = 0
	}
	switch {
	case !m.talking && m.louder >= speakAfterTicks:
		m.talking = true
	case m.talking && m.quieter >= hushAfterTicks:
		m.talking = false
	}
	m.publish()
}

// mute makes the source silent at once.
func (m *meter) mute() {
	m.now = silentDBov
	if m.db == silentDBov && !m.talking {
		return
	}
	m.db, m.louder, m.quieter, m.talking = silentDBov, 0, 0, false
	m.publish()
}

func (m *meter) publish() {
	v := int32(math.Round(-m.db))
	if m.talking {
		v |= 1 << 8
	}
	if m.published.Load() != v {
		m.published.Store(v)
	}
}

// read may be called from any goroutine.
func (m *meter) read() (dBov int, speaking bool) {
	v := m.published.Load()
	return -int(v & 0xFF), v&(1<<8) != 0
}
