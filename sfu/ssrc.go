package sfu

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// How many RTP streams one remote address may open on a socket. A browser has one per microphone, and a new one when it
// takes the track out and in again; every stream costs some 12 KiB in SRTP and in the peer connection, until that is
// closed. So there are a few at once, a further one now and then, in place of the one unused for longest, and an end.
const (
	maxSSRCs     = 6
	ssrcRefill   = 5 * time.Second
	maxSSRCsEver = 256
)

const (
	ssrcSets    = 128 // sets of ssrcWays addresses: 512 live addresses on one socket, in 56 KiB
	ssrcWays    = 4
	ssrcForgets = time.Minute // an address idle for so long has failed ICE long ago; its next stream starts afresh
)

// ssrcGuard counts the SSRCs that each remote address has used on one socket. Memory is fixed; when more addresses
// are live than it holds, the one idle for longest is forgotten, which only resets its count. One goroutine uses it.
type ssrcGuard struct {
	sets [ssrcSets][ssrcWays]ssrcEntry
}

// ssrcEntry is one address. SSRCs in use move to the front.
type ssrcEntry struct {
	addr   netip.AddrPort
	seen   time.Duration
	opened time.Duration // when the last SSRC was let in
	n      int
	ever   int
	ssrcs  [maxSSRCs]uint32
}

// admit tells if a packet of this SSRC from this address may pass. now is monotonic, any epoch.
func (g *ssrcGuard) admit(addr netip.AddrPort, ssrc uint32, now time.Duration) bool {
	set := &g.sets[hashAddr(addr)%ssrcSets]
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.n > 0 && e.addr == addr {
			if now-e.seen > ssrcForgets {
				e.n, e.ever = 0, 0
			}
			return e.admit(ssrc, now)
		}
		if e.n == 0 && oldest.n > 0 || (e.n == 0) == (oldest.n == 0) && e.seen < oldest.seen {
			oldest = e
		}
	}
	*oldest = ssrcEntry{addr: addr}
	return oldest.admit(ssrc, now)
}

// admit is ssrcGuard.admit for one address.
func (e *ssrcEntry) admit(ssrc uint32, now time.Duration) bool {
	e.seen = now
	for i, s := range e.ssrcs[:e.n] {
		if s == ssrc {
			if i > 0 {
				e.ssrcs[i], e.ssrcs[i-1] = e.ssrcs[i-1], e.ssrcs[i]
			}
			return true
		}
	}
	switch {
	case e.ever >= maxSSRCsEver:
		return false
	case e.n < maxSSRCs:
		e.n++
	case now-e.opened < ssrcRefill:
		return false
	}
	e.ssrcs[e.n-1] = ssrc
	e.opened = now
	e.ever++
	return true
}

// hashAddr is FNV-1a over address and port.
func hashAddr(a netip.AddrPort) uint32 {
	h := uint32(2166136261)
	b := a.Addr().As16()
	for _, x := range b {
		h = (h ^ uint32(x)) * 16777619
	}
	p := a.Port()
	h = (h ^ uint32(p>>8)) * 16777619
	return (h ^ uint32(p&0xff)) * 16777619
}

// packetClass is what the first bytes of a datagram say it is (RFC 7983, section 7; RFC 5761, section 4).
type packetClass uint8

const (
	classOther packetClass = iota
	classSTUN
	classDTLS
	classRTP
	classRTCP
)

func classify(b []byte) packetClass {
	if len(b) == 0 {
		return classOther
	}
	switch c := b[0]; {
	case c <= 3:
		return classSTUN
	case c >= 20 && c <= 63:
		return classDTLS
	case c >= 128 && c <= 191:
		if len(b) < 8 {
			return classOther
		}
		if b[1] >= 192 && b[1] <= 223 {
			return classRTCP
		}
		if len(b) < 12 {
			return classOther
		}
		return classRTP
	}
	return classOther
}

func rtpSSRC(b []byte) uint32 { return binary.BigEndian.Uint32(b[8:12]) }
