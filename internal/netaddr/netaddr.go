package netaddr

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Interface is a network interface that is up, with its usable addresses.
type Interface struct {
	Name  string
	Addrs []netip.Addr // no zones, no link-local or multicast addresses; 4-in-6 unmapped
}

// System lists the interfaces that are up, in the kernel's order.
func System() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var out []Interface
	for _, i := range list {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // gone between the two calls
		}
		usable := make([]netip.Addr, 0, len(addrs))
		for _, a := range addrs {
			prefix, isNet := a.(*net.IPNet)
			if !isNet {
				continue
			}
			if addr, ok := netip.AddrFromSlice(prefix.IP); ok && Usable(addr.Unmap()) {
				usable = append(usable, addr.Unmap())
			}
		}
		if len(usable) > 0 {
			out = append(out, Interface{Name: i.Name, Addrs: usable})
		}
	}
	return out, nil
}

// Usable reports whether a listener or a candidate can be put on the address. Link-local addresses are not usable: an
// IPv6 one needs a zone, which browsers neither show nor accept, and an IPv4 one (169.254/16) means that DHCP failed.
func Usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// Private reports whether an address cannot be reached from the internet by routing: loopback, RFC 1918 and IPv6
// unique local (RFC 4193) addresses. Shared address space (100.64/10) is not counted: its neighbours are strangers.
func Private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate()
}

// Filter chooses addresses by interface name and by prefix. The zero Filter takes all.
type Filter struct {
	IncludeInterfaces, ExcludeInterfaces []string // globs as in path.Match
	IncludePrefixes, ExcludePrefixes     []netip.Prefix
}

// Check reports the first malformed glob.
func (f Filter) Check() error {
	for _, glob := range slices.Concat(f.IncludeInterfaces, f.ExcludeInterfaces) {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Errorf("%q is not a glob: %w", glob, err)
		}
	}
	return nil
}

// Interface reports whether the interface passes. A name given in the include list without wildcards beats the exclude
// list, so that one bridge can be taken in without spelling out all others.
func (f Filter) Interface(name string) bool {
	if len(f.IncludeInterfaces) > 0 {
		if slices.Contains(f.IncludeInterfaces, name) {
			return true
		}
		if !matchAny(f.IncludeInterfaces, name) {
			return false
		}
	}
	return !matchAny(f.ExcludeInterfaces, name)
}

// Addr reports whether the address passes the prefixes.
func (f Filter) Addr(a netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if len(f.IncludePrefixes) > 0 && !slices.ContainsFunc(f.IncludePrefixes, contains) {
		return false
	}
	return !slices.ContainsFunc(f.ExcludePrefixes, contains)
}

func matchAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		matched, err := path.Match(glob, name)
		return err == nil && matched
	})
}

// Addrs lists the addresses that pass, IPv4 before IPv6, loopback last, otherwise in the system's order.
func (f Filter) Addrs(interfaces []Interface) []netip.Addr {
	var out []netip.Addr
	for _, i := range interfaces {
		if !f.Interface(i.Name) {
			continue
		}
		for _, a := range i.Addrs {
			if f.Addr(a) && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	return out
}

func rank(a netip.Addr) int {
	r := 0
	if !a.Is4() {
		r = 1
	}
	if a.IsLoopback() {
		r += 2
	}
	return r
}

// Media lists the addresses for media sockets: the filtered ones, private ones only for a server that must stay off
// the internet. Loopback is of no use to other machines, so it stands in only for a family that has nothing else: a
// laptop without a network still has calls between its own tabs. IPv6 loopback stands in only when IPv4 has none.
func (f Filter) Media(interfaces []Interface, privateOnly bool) []netip.Addr {
	var out, loopback []netip.Addr
	for _, a := range f.Addrs(interfaces) {
		switch {
		case a.IsLoopback():
			loopback = append(loopback, a)
		case !privateOnly || Private(a):
			out = append(out, a)
		}
	}
	if slices.ContainsFunc(out, netip.Addr.Is4) {
		return out
	}
	for _, a := range loopback { // IPv4 first
		if a.Is4() || len(out) == 0 {
			return append(out, a)
		}
	}
	return out
}

// Expand turns a listener's address into those to bind. A concrete address stays itself. Every address (the zero Addr,
// 0.0.0.0 or ::) stays one wildcard listener, unless privateOnly: then it becomes one per private address of this
// machine. A public address with privateOnly is an error that says what to do.
func Expand(addr netip.Addr, port uint16, interfaces []Interface, privateOnly bool) ([]netip.AddrPort, error) {
	all := !addr.IsValid() || addr.IsUnspecified()
	if !all {
		if privateOnly && !Private(addr) {
			return nil, PublicError(addr)
		}
		return []netip.AddrPort{netip.AddrPortFrom(addr, port)}, nil
	}
	if !privateOnly {
		if !addr.IsValid() {
			addr = netip.IPv6Unspecified()
		}
		return []netip.AddrPort{netip.AddrPortFrom(addr, port)}, nil
	}
	var out []netip.AddrPort
	for _, a := range (Filter{}).Addrs(interfaces) {
		if Private(a) && sameFamily(addr, a) {
			out = append(out, netip.AddrPortFrom(a, port))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no loopback or private address to listen on (this machine has %s)", names(interfaces))
	}
	return out, nil
}

// Concrete is Expand with one listener per address in every case, for sockets that must answer from the address they
// were asked at (UDP: a wildcard socket lets the kernel choose).
func Concrete(addr netip.Addr, port uint16, interfaces []Interface, privateOnly bool) ([]netip.AddrPort, error) {
	if addr.IsValid() && !addr.IsUnspecified() || privateOnly {
		return Expand(addr, port, interfaces, privateOnly)
	}
	var out []netip.AddrPort
	for _, a := range (Filter{}).Addrs(interfaces) {
		if sameFamily(addr, a) {
			out = append(out, netip.AddrPortFrom(a, port))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no address to listen on (this machine has %s)", names(interfaces))
	}
	return out, nil
}

// sameFamily reports whether a wildcard covers a: the zero Addr covers both families.
func sameFamily(wildcard, a netip.Addr) bool {
	return !wildcard.IsValid() || wildcard.Is4() == a.Is4()
}

// PublicError is the refusal to put an open server on a public address.
func PublicError(a netip.Addr) error {
	return fmt.Errorf("%s is a public address and no key is configured: anybody on the internet could use this server; "+
		"set auth.key and auth.secret, or pass --insecure-open if that is what you want", a)
}

func names(interfaces []Interface) string {
	if len(interfaces) == 0 {
		return "no interface with an address"
	}
	var parts []string
	for _, i := range interfaces {
		for _, a := range i.Addrs {
			parts = append(parts, i.Name+" "+a.String())
		}
	}
	return strings.Join(parts, ", ")
}
