package sfu

import "net/netip"

// Addresses that are never sent a connectivity check, whatever a client claims: this host, link-local (with the
// cloud metadata services), documentation, benchmarking, multicast, reserved. IANA special-purpose registries, RFC 6890.
var neverPrefixes = mustPrefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
	"64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
	"fd00:ec2::/32", "fe80::/10", "fec0::/10", "ff00::/8",
)

// Addresses of somebody's own network: checked only where the operator says that clients live there.
var privatePrefixes = mustPrefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

func mustPrefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

var (
	compatiblePrefix = netip.MustParsePrefix("::/96")
	nat64Prefix      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFourPrefix  = netip.MustParsePrefix("2002::/16")
)

// canonical reduces the IPv6 forms that carry an IPv4 address to that address, so that one list of prefixes holds
// for all of them: IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052), 6to4 (RFC 3056). The zone is dropped.
func canonical(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	b := a.As16()
	switch {
	case compatiblePrefix.Contains(a), nat64Prefix.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFourPrefix.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// mayCheck tells if a connectivity check may be sent to an address that a client has named.
func mayCheck(a netip.Addr, allowPrivate bool) bool {
	if !a.IsValid() {
		return false
	}
	a = canonical(a)
	if containsAddr(neverPrefixes, a) {
		return false
	}
	return allowPrivate || !containsAddr(privatePrefixes, a)
}

func containsAddr(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
