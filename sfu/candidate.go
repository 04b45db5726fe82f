package sfu

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// maxCandidates is how many candidate lines a client may send per ICE generation, in the SDP and trickled.
	maxCandidates = 32
	// maxPairs bounds the connectivity checks one client can make us send (MS-ICE2 section 3.1.4.8.1 allows 40).
	maxPairs = 40
)

// candidate is a remote UDP candidate that we would check.
type candidate struct {
	foundation string
	priority   uint32
	addr       netip.AddrPort
	kind       string // host, srflx, prflx, relay
}

// String writes the candidate attribute, without "a=", from checked fields only.
func (c candidate) String() string {
	s := "candidate:" + c.foundation + " 1 udp " + strconv.FormatUint(uint64(c.priority), 10) + " " +
		c.addr.Addr().String() + " " + strconv.Itoa(int(c.addr.Port())) + " typ " + c.kind
	if c.kind != "host" {
		s += " raddr 0.0.0.0 rport 0"
	}
	return s
}

// parseCandidate reads a candidate attribute (RFC 8839, section 5.1), with or without "a=" and "candidate:".
// keep is false for one that is well-formed but none of ours to check: TCP, RTCP, a host name (mDNS or other: names
// are never resolved). The error wraps ErrBadCandidate.
func parseCandidate(s string) (c candidate, keep bool, err error) {
	s = strings.TrimPrefix(s, "a=")
	s = strings.TrimPrefix(s, "candidate:")
	f := strings.Fields(s)
	if len(f) < 8 || f[6] != "typ" {
		return c, false, fmt.Errorf("%w: eight fields wanted", ErrBadCandidate)
	}
	component, err := strconv.ParseUint(f[1], 10, 16)
	if err != nil {
		return c, false, fmt.Errorf("%w: component", ErrBadCandidate)
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return c, false, fmt.Errorf("%w: priority", ErrBadCandidate)
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil {
		return c, false, fmt.Errorf("%w: port", ErrBadCandidate)
	}
	switch f[7] {
	case "host", "srflx", "prflx", "relay":
	default:
		return c, false, fmt.Errorf("%w: type", ErrBadCandidate)
	}
	if !strings.EqualFold(f[2], "udp") || component != 1 || port == 0 {
		return c, false, nil
	}
	addr, err := netip.ParseAddr(f[4])
	if err != nil {
		return c, false, nil // a host name
	}
	return candidate{
		foundation: cleanFoundation(f[0]),
		priority:   uint32(priority),
		addr:       netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port)),
		kind:       f[7],
	}, true, nil
}

// cleanFoundation returns s when it is 1 to 32 ice-chars (RFC 8839, section 5.1), else a neutral one.
func cleanFoundation(s string) string {
	if len(s) == 0 || len(s) > 32 {
		return "0"
	}
	for i := range len(s) {
		if !iceChar(s[i]) {
			return "0"
		}
	}
	return s
}

func iceChar(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '+' || b == '/'
}

// candidateGate decides which of a client's candidates reach pion: each line counts, few are kept.
type candidateGate struct {
	allowPrivate bool
	local4       int // local candidates that would be paired with each IPv4 one
	local6       int
	seen         int // lines in this ICE generation
	pairs        int // pairs the kept ones make
	kept         []netip.AddrPort
}

// count takes note of one candidate line. It fails with ErrTooManyCandidates beyond the limit.
func (g *candidateGate) count() error {
	if g.seen >= maxCandidates {
		return ErrTooManyCandidates
	}
	g.seen++
	return nil
}

// admit tells if c is to be checked: an address that may be, a new one, and room for the pairs it makes.
func (g *candidateGate) admit(c candidate) bool {
	locals := g.local4
	if c.addr.Addr().Is6() {
		locals = g.local6
	}
	if locals == 0 || g.pairs+locals > maxPairs || !mayCheck(c.addr.Addr(), g.allowPrivate) {
		return false
	}
	for _, k := range g.kept {
		if k == c.addr {
			return false
		}
	}
	g.pairs += locals
	g.kept = append(g.kept, c.addr)
	return true
}
