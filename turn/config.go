package turn

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// Config says where the server listens and whom it relays to.
type Config struct {
	// UDP, TCP and TLS are the addresses to listen on, one socket each; port 0 takes any. Concrete addresses are better than
	// wildcards on a host with several: a UDP answer from a wildcard socket leaves with the source the kernel chooses.
	UDP, TCP, TLS []netip.AddrPort
	// TLSConfig is needed with TLS addresses. It is cloned; the minimum version is raised to TLS 1.2.
	TLSConfig *tls.Config

	Realm string // "parley" when empty
	// Secret keys the credentials' HMAC; when empty a random one is made, and credentials end with the process.
	Secret        []byte
	CredentialTTL time.Duration // 300 s when zero

	// RelayAddresses are the local addresses that relay sockets are bound to and that clients are told. An allocation takes the
	// one its client has reached if it is listed, else the first of the wanted family. When empty, the concrete addresses
	// that the server listens on.
	RelayAddresses []netip.Addr
	RelayPorts     PortRange // zero: any free port

	// AllowPeer says which addresses may be relayed to and from: the node's media addresses. It gets canonical addresses
	// (Canonical) and is called from many goroutines, once per packet. Port 0 asks whether any port of the address is allowed.
	// Needed; see AllowList.
	AllowPeer func(netip.AddrPort) bool

	Limits Limits
	Log    *zap.Logger // nil: none
}

// PortRange is an inclusive range of ports.
type PortRange struct{ First, Last uint16 }

// Limits bound what one user, one source and all together can take. A zero field takes its default.
type Limits struct {
	AllocationsPerUser    int // 4; more: error 486
	AllocationsPerAddress int // 32 per IPv4 address or IPv6 /64; more: error 486
	Allocations           int // 1,024, or the number of relay ports if that is less; more: error 508
	Permissions           int // 64 per allocation; more: error 508
	Channels              int // 32 per allocation; more: error 508
	BandwidthBps          int // 2,000,000 bit/s of payload per allocation and direction; more is dropped

	UnauthorizedPerSecond int // 10 answers per source to requests without valid credentials; more: silence
	BindingPerSecond      int // 50 answers per source to Binding requests; more: silence

	ConnectionsPerAddress int // 64 TCP and TLS connections per IPv4 address or IPv6 /64
	Connections           int // 2,000

	FirstFrame   time.Duration // 5 s from connecting to the first whole frame, TLS handshake included
	Frame        time.Duration // 10 s from a frame's first byte to its last
	NoAllocation time.Duration // 30 s of a connection without an allocation
	Write        time.Duration // 5 s for a write on a connection
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.AllocationsPerUser, 4}, {&l.AllocationsPerAddress, 32}, {&l.Allocations, 1024}, {&l.Permissions, 64}, {&l.Channels, 32},
		{&l.BandwidthBps, 2_000_000}, {&l.UnauthorizedPerSecond, 10}, {&l.BindingPerSecond, 50},
		{&l.ConnectionsPerAddress, 64}, {&l.Connections, 2000},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct{ field, value *time.Duration }{
		{&l.FirstFrame, ptr(5 * time.Second)}, {&l.Frame, ptr(10 * time.Second)},
		{&l.NoAllocation, ptr(30 * time.Second)}, {&l.Write, ptr(5 * time.Second)},
	} {
		if *d.field <= 0 {
			*d.field = *d.value
		}
	}
	return l
}

func ptr[T any](v T) *T { return &v }

// withDefaults fills in and checks; every error wraps ErrConfig.
func (c Config) withDefaults() (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	if len(c.UDP)+len(c.TCP)+len(c.TLS) == 0 {
		return fail("no address to listen on")
	}
	if len(c.TLS) > 0 {
		if c.TLSConfig == nil {
			return fail("TLS addresses without a TLS configuration")
		}
		c.TLSConfig = c.TLSConfig.Clone()
		c.TLSConfig.MinVersion = max(c.TLSConfig.MinVersion, tls.VersionTLS12)
		c.TLSConfig.NextProtos = nil // RFC 7443 names are optional, and what HTTPS offers does not fit
	}
	if c.AllowPeer == nil {
		return fail("AllowPeer is missing: it would relay to everyone or to no one")
	}
	if c.Realm == "" {
		c.Realm = "parley"
	}
	if len(c.Realm) > 127 {
		return fail("realm is longer than 127 bytes")
	}
	if c.CredentialTTL <= 0 {
		c.CredentialTTL = 300 * time.Second
	}
	if len(c.Secret) == 0 {
		c.Secret = make([]byte, 32)
		rand.Read(c.Secret) //nolint:errcheck // never fails (crypto/rand)
	}
	c.Limits = c.Limits.withDefaults()
	if p := c.RelayPorts; p != (PortRange{}) {
		if p.First == 0 || p.First > p.Last {
			return fail("relay ports %d-%d are not a range", p.First, p.Last)
		}
	}
	if len(c.RelayAddresses) == 0 {
		c.RelayAddresses = listenAddresses(c.UDP, c.TCP, c.TLS)
	}
	for _, a := range c.RelayAddresses {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fail("relay address %v is not an address of this host", a)
		}
	}
	if len(c.RelayAddresses) == 0 {
		return fail("listening on wildcard addresses only, so RelayAddresses must be given")
	}
	if p := c.RelayPorts; p != (PortRange{}) {
		c.Limits.Allocations = min(c.Limits.Allocations, (int(p.Last)-int(p.First)+1)*len(c.RelayAddresses))
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c, nil
}

// listenAddresses returns the concrete addresses of the lists, each once.
func listenAddresses(lists ...[]netip.AddrPort) []netip.Addr {
	var out []netip.Addr
	seen := make(map[netip.Addr]bool)
	for _, list := range lists {
		for _, ap := range list {
			if a := ap.Addr().Unmap(); a.IsValid() && !a.IsUnspecified() && !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}
