package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pionturn "github.com/pion/turn/v5"
)

// Server is a STUN and TURN server. Its methods may be called from any goroutine.
type Server struct {
	cfg   Config
	creds *credentials
	table *table
	conns *connTable
	count counters

	binding      *limiter
	unauthorized *limiter

	start time.Time
	udp   []*udpGuard
	tcp   []*tcpGuard
	plain int // how many of tcp are without TLS; they come first

	poke chan struct{}
	quit chan struct{}
	once sync.Once
	ran  atomic.Bool
}

// Limits over all sources together, against floods with forged sources; far above what 2,000 clients that join at once need.
const (
	totalBindingPerSecond      = 20_000
	totalUnauthorizedPerSecond = 4_000
)

// udpReadBuffer holds what arrives while pion handles a burst: half a second of 500 clients.
const udpReadBuffer = 1 << 20

// janitorPeriod is how often lifetimes are looked at; Revoke wakes the janitor at once.
const janitorPeriod = time.Second

// stopTimeout bounds how long Run waits for pion to let go of what it holds.
const stopTimeout = 5 * time.Second

// New opens the sockets; nothing is read before Run. A configuration that cannot work gives an error that wraps ErrConfig.
// A server that is not run must be closed.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, creds: newCredentials(cfg.Secret, cfg.Realm, cfg.CredentialTTL),
		table: newTable(cfg.Limits), conns: newConnTable(cfg.Limits),
		binding:      newLimiter(float64(cfg.Limits.BindingPerSecond), totalBindingPerSecond),
		unauthorized: newLimiter(float64(cfg.Limits.UnauthorizedPerSecond), totalUnauthorizedPerSecond),
		start:        time.Now(), poke: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	s.count.log, s.count.clock = cfg.Log, s.clock
	if err := s.listen(); err != nil {
		s.Close() //nolint:errcheck // always nil
		return nil, err
	}
	return s, nil
}

// clock is the monotonic time since New.
func (s *Server) clock() time.Duration { return time.Since(s.start) }

func (s *Server) listen() error {
	for _, a := range s.cfg.RelayAddresses {
		conn, err := listenUDP(netip.AddrPortFrom(a, 0))
		if err != nil {
			return fmt.Errorf("%w: relay address %v: %w", ErrConfig, a, err)
		}
		conn.Close() //nolint:errcheck // it was a question
	}
	id := 0
	for _, ap := range s.cfg.UDP {
		conn, err := listenUDP(ap)
		if err != nil {
			return fmt.Errorf("listen on %v/udp: %w", ap, err)
		}
		conn.SetReadBuffer(udpReadBuffer) //nolint:errcheck // the kernel may give less
		s.udp = append(s.udp, newUDPGuard(s, id, conn))
		id++
	}
	for i, ap := range append(append([]netip.AddrPort(nil), s.cfg.TCP...), s.cfg.TLS...) {
		ln, err := net.ListenTCP(network4or6("tcp", ap.Addr()), net.TCPAddrFromAddrPort(ap))
		if err != nil {
			return fmt.Errorf("listen on %v/tcp: %w", ap, err)
		}
		config := s.cfg.TLSConfig
		if i < len(s.cfg.TCP) {
			config = nil
			s.plain++
		}
		s.tcp = append(s.tcp, newTCPGuard(s, id, ln, config))
		id++
	}
	return nil
}

// Addresses are the addresses a server listens on, as bound.
type Addresses struct{ UDP, TCP, TLS []netip.AddrPort }

// Addrs returns the addresses the server listens on, with the ports that port 0 became.
func (s *Server) Addrs() Addresses {
	var a Addresses
	for _, g := range s.udp {
		a.UDP = append(a.UDP, addrPort(g.LocalAddr()))
	}
	for i, g := range s.tcp {
		if ap := addrPort(g.Addr()); i < s.plain {
			a.TCP = append(a.TCP, ap)
		} else {
			a.TLS = append(a.TLS, ap)
		}
	}
	return a
}

// Run serves until ctx ends or Close is called, and returns nil when everything it started has ended. It can run once.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return ErrRunning
	}
	defer s.Close() //nolint:errcheck // always nil
	started := 0
	for _, g := range s.udp {
		if err := s.serveUDP(g); err != nil {
			return errors.Join(fmt.Errorf("serve %v: %w", g.LocalAddr(), err), s.stop(started))
		}
		started++
	}
	for _, g := range s.tcp {
		if err := s.serveTCP(g); err != nil {
			return errors.Join(fmt.Errorf("serve %v: %w", g.Addr(), err), s.stop(started))
		}
		started++
	}
	s.janitor(ctx)
	return s.stop(started)
}

// serveUDP starts pion's reader of a socket; stop waits for it.
func (s *Server) serveUDP(g *udpGuard) error {
	id, session := g.session.key.listener, func(netip.AddrPort) *session { return &g.session }
	gen := &generator{srv: s, listener: id, local: addrPort(g.LocalAddr()).Addr(), session: session, end: g.end}
	config := s.pionConfig(id, session)
	config.PacketConnConfigs = []pionturn.PacketConnConfig{{
		PacketConn: g, RelayAddressGenerator: gen,
		PermissionHandler: func(_ net.Addr, peer net.IP) bool { return g.session.permit(peer) },
	}}
	_, err := pionturn.NewServer(config)
	return err
}

// serveTCP starts pion's acceptor of a listener; stop waits for it and its connections.
func (s *Server) serveTCP(g *tcpGuard) error {
	gen := &generator{srv: s, listener: g.id, local: addrPort(g.Addr()).Addr(), session: g.find, end: g.end}
	config := s.pionConfig(g.id, g.find)
	config.ListenerConfigs = []pionturn.ListenerConfig{{
		Listener: g, RelayAddressGenerator: gen,
		PermissionHandler: func(client net.Addr, peer net.IP) bool {
			session := g.find(addrPort(client))
			return session != nil && session.permit(peer)
		},
	}}
	_, err := pionturn.NewServer(config)
	return err
}

// pionConfig holds what all listeners share. Each listener has a pion server of its own, so that a handler knows its session.
func (s *Server) pionConfig(id int, find func(netip.AddrPort) *session) pionturn.ServerConfig {
	return pionturn.ServerConfig{
		Realm: s.cfg.Realm,
		// RFC 8656, section 7.2: IPv4 unless the client asks for more. Where there is no IPv4 to relay on, the client's family.
		StrictAddressFamily: slices.ContainsFunc(s.cfg.RelayAddresses, netip.Addr.Is4),
		LoggerFactory:       silent{},
		EventHandler:        s.events(id),
		AuthHandler: func(ra *pionturn.RequestAttributes) (string, []byte, bool) {
			session := find(addrPort(ra.SrcAddr))
			if session == nil {
				return "", nil, false
			}
			return session.authenticate(ra.Method, ra.Username, ra.Realm)
		},
		QuotaHandler: func(userID, _ string, src net.Addr) bool {
			session := find(addrPort(src))
			return session != nil && session.quota(userID)
		},
	}
}

// janitor ends allocations whose participant has left or whose lifetime is over, until ctx ends.
func (s *Server) janitor(ctx context.Context) {
	tick := time.NewTicker(janitorPeriod)
	defer tick.Stop()
	var revoked, expired []*allocation
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.quit:
			return
		case <-s.poke:
		case <-tick.C:
			s.creds.forget(time.Now())
		}
		revoked, expired = s.table.due(s.clock(), revoked[:0], expired[:0])
		for _, a := range revoked {
			s.count.revoked.Add(1)
			a.end()
		}
		for _, a := range expired {
			s.count.expired.Add(1)
			a.end()
		}
	}
}

// wake makes the janitor look now.
func (s *Server) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// stop closes every socket and waits for the readers of the first n listeners and for all allocations.
func (s *Server) stop(n int) error {
	s.Close() //nolint:errcheck // always nil
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	wait := func(done <-chan struct{}) bool {
		select {
		case <-done:
			return true
		case <-late.C:
			return false
		}
	}
	for i := range n {
		done := (<-chan struct{})(nil)
		if i < len(s.udp) {
			done = s.udp[i].done
		} else {
			done = s.tcp[i-len(s.udp)].done
		}
		if !wait(done) {
			return fmt.Errorf("turn listener %d did not end within %v", i, stopTimeout)
		}
	}
	if !wait(s.table.waitEmpty()) {
		return fmt.Errorf("%d allocations did not end within %v", s.table.size(), stopTimeout)
	}
	return nil
}

// Close closes all sockets, which makes Run return. It does not wait; Run does. It may be called more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.quit)
		for _, g := range s.udp {
			g.Close() //nolint:errcheck // nothing to lose
		}
		for _, g := range s.tcp {
			g.Close() //nolint:errcheck // nothing to lose
		}
	})
	return nil
}
