package turn

import (
	"encoding/binary"
	"net/netip"
)

var (
	prefixCompat = netip.MustParsePrefix("::/96")        // RFC 4291, section 2.5.5.1
	prefixNAT64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052, section 2.1
	prefix6to4   = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// Canonical returns the address that a packet to a may really reach: the IPv4 address inside ::ffff:0:0/96, ::/96,
// 64:ff9b::/96 and 2002::/16, without a zone. :: and ::1 stay what they are.
func Canonical(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() || a.IsUnspecified() || a.IsLoopback() {
		return a
	}
	b := a.As16()
	switch {
	case prefixCompat.Contains(a), prefixNAT64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case prefix6to4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// plain tells whether a is written as itself, so that checking Canonical(a) and sending to a concern the same host.
func plain(a netip.Addr) bool { return Canonical(a) == a.Unmap() }

// AllowList makes Config.AllowPeer from the addresses that list returns; it is asked again for every packet, so it should be
// quick and may change over time. Port 0 asks whether any port of the address is listed, as TURN permissions are per address.
func AllowList(list func() []netip.AddrPort) func(netip.AddrPort) bool {
	return func(peer netip.AddrPort) bool {
		for _, p := range list() {
			if p.Addr().Unmap() == peer.Addr() && (peer.Port() == 0 || peer.Port() == p.Port()) {
				return true
			}
		}
		return false
	}
}

// sourcePrefix is what counts as one source: an IPv4 address or an IPv6 /64.
func sourcePrefix(a netip.Addr) sourceKey {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return sourceKey(1<<63 | uint64(binary.BigEndian.Uint32(b[:]))) // 8000::/16 is not routed: no clash with an IPv6 /64
	}
	b := a.As16()
	return sourceKey(binary.BigEndian.Uint64(b[:8]))
}

// sourceKey names a source for counting.
type sourceKey uint64
