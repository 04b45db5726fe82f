package trunk

import (
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	// A session is made anew by its asker after rekeyAfter or rekeyPackets, by the other a little later, and sends nothing any
	// more at lastPackets. AES-GCM keeps its promises for far longer (NIST SP 800-38D, section 8.3: 2^32).
	rekeyAfter   = 10 * time.Minute
	rekeyGrace   = 30 * time.Second
	rekeyPackets = 1 << 30
	lastPackets  = 1 << 32
	// keepRetired is how long a session that we do not send on is kept after something came on it. When both ends ask at once,
	// each may send on another one, for as long as that lasts.
	keepRetired = 10 * time.Second
	// maxSessions of one link at a time: two askers at once, each with one to follow.
	maxSessions = 4

	// Of what is missing, maxMissing datagrams are asked for, until giveUp after they were missed, and maxAsks times.
	maxMissing = 128
	giveUp     = 200 * time.Millisecond
	maxAsks    = 4
	// overtaken is how long a datagram may be missing and count as overtaken instead of lost.
	overtaken = 10 * time.Millisecond
)

// session is one agreement on keys. What is sent on it is the writer's, what is received the reader's; the rest is guarded by
// its link's lock.
type session struct {
	link   *link
	local  uint32 // our index: in what we receive
	remote uint32 // the peer's: in what we send
	epoch  uint64 // the peer's
	asked  bool   // by us
	born   time.Duration

	seal      cipher.AEAD
	sealNonce [12]byte
	sent      uint64 // counter of the last

	open      cipher.AEAD
	openNonce [12]byte

	addr    netip.AddrPort
	closed  bool
	heard   time.Duration // when something came on it last, or it began
	window  window
	missing []missing // by counter
	counted uint64    // highest at the last measurement
}

// missing is a datagram that has not come, though a later one has.
type missing struct {
	counter uint64
	since   time.Duration
	asked   time.Duration
	times   int
}

// encrypt appends the datagram with a plain text to b[:0]. Writer only.
func (s *session) encrypt(b, plain []byte) []byte {
	s.sent++
	b = binary.BigEndian.AppendUint32(append(b[:0], typeData), s.remote)
	b = binary.BigEndian.AppendUint64(b, s.sent)
	binary.BigEndian.PutUint64(s.sealNonce[4:], s.sent)
	return s.seal.Seal(b, s.sealNonce[:], plain, b[:headerBytes])
}

// decrypt returns the plain text of a datagram, in place. Reader only.
func (s *session) decrypt(b []byte) ([]byte, error) {
	copy(s.openNonce[4:], b[headerBytes-8:headerBytes])
	return s.open.Open(b[headerBytes:headerBytes], s.openNonce[:], b[headerBytes:], b[:headerBytes])
}

// spent tells whether a new session is due. Writer, with the link's lock.
func (s *session) spent(now time.Duration) bool {
	age, packets := rekeyAfter, uint64(rekeyPackets)
	if !s.asked {
		age, packets = age+rekeyGrace, packets+packets/4
	}
	return now-s.born >= age || s.sent >= packets
}

// take notes a counter that authenticated and is fresh, and returns how many were left out, and whether it had been missing
// and then how.
func (s *session) take(counter uint64, now time.Duration) (gap int, filled, late bool) {
	highest := s.window.highest
	s.window.take(counter)
	if counter > highest {
		if highest == 0 {
			return 0, false, false // the start of a session: what came before it may never have been for us
		}
		gap = int(min(counter-highest-1, windowSize))
		for c := max(highest+1, counter-min(counter, maxMissing)); c < counter; c++ {
			if len(s.missing) == maxMissing {
				copy(s.missing, s.missing[1:])
				s.missing = s.missing[:maxMissing-1]
			}
			s.missing = append(s.missing, missing{counter: c, since: now})
		}
		return gap, false, false
	}
	for i := range s.missing {
		if m := &s.missing[i]; m.counter == counter {
			late = now-m.since > overtaken
			s.missing = append(s.missing[:i], s.missing[i+1:]...)
			return 0, true, late
		}
	}
	return 0, false, false
}

// ask appends to b what is to be asked for now, as messages, as far as there is room in it. Link's lock.
func (s *session) ask(b []byte, now, rtt time.Duration) []byte {
	const nackBytes = 1 + 4 + 8 + 8
	again := max(2*busyTick, rtt+rtt/4+busyTick)
	kept := s.missing[:0]
	var base, mask uint64
	for _, m := range s.missing {
		if now-m.since >= giveUp {
			continue
		}
		if m.times < maxAsks && (m.times == 0 || now-m.asked >= again) {
			if mask != 0 && m.counter-base >= 64 {
				b, mask = appendNack(b, s.local, base, mask), 0
			}
			if mask != 0 || len(b)+nackBytes <= maxPlain {
				if mask == 0 {
					base = m.counter
				}
				mask |= 1 << (m.counter - base)
				m.asked, m.times = now, m.times+1
			}
		}
		kept = append(kept, m)
	}
	if mask != 0 {
		b = appendNack(b, s.local, base, mask)
	}
	s.missing = kept
	return b
}
