package turn

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	pionturn "github.com/pion/turn/v5"
)

// generator makes the relay sockets of one listener (pion's RelayAddressGenerator).
type generator struct {
	srv      *Server
	listener int
	local    netip.Addr // what the listener is bound to
	session  func(src netip.AddrPort) *session
	end      func(*allocation) // ends an allocation of this listener
}

func (g *generator) Validate() error { return nil }

// AllocatePacketConn opens a relay socket for the user and client named by conf.UserID. Pion also asks with no user when it looks
// for an even port; that is refused.
func (g *generator) AllocatePacketConn(conf pionturn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	srv := g.srv
	participant, src, ok := splitUserID(conf.UserID)
	if !ok || conf.RequestedPort != 0 {
		return nil, nil, errUnsupported
	}
	conn, err := g.open(conf.Network)
	if err != nil {
		srv.count.drop(reasonQuotaTotal, src.Addr())
		return nil, nil, err
	}
	local := addrPort(conn.LocalAddr())
	a := &allocation{
		key: clientKey{g.listener, src}, participant: participant, relayed: local,
		closed: make(chan struct{}),
	}
	a.end = func() { g.end(a) }
	rate := float64(srv.cfg.Limits.BandwidthBps) / 8
	now := srv.clock()
	a.relay = &relayConn{srv: srv, conn: conn, allocation: a}
	for _, b := range []*bucket{&a.relay.up, &a.relay.down} {
		*b = bucket{rate: rate, burst: rate / 8, tokens: rate / 8, last: now}
	}
	if r := srv.table.add(a, now); r != reasonNone {
		conn.Close() //nolint:errcheck // nothing was sent
		if s := g.session(src); s != nil {
			s.refuseQuota(r)
		}
		return nil, nil, errQuota
	}
	if s := g.session(src); s == nil || srv.creds.gone(participant, s.serial) {
		// The participant has left while pion was busy with this request; Revoke has not seen the allocation.
		srv.table.revoke(participant)
		srv.wake()
	}
	srv.count.allocations.Add(1)
	return a.relay, net.UDPAddrFromAddrPort(local), nil
}

// open binds a socket of the family to the best relay address, on a free port of the range.
func (g *generator) open(family string) (*net.UDPConn, error) {
	addr, ok := g.srv.relayAddress(g.local, family == "udp6")
	if !ok {
		return nil, errNoFamily
	}
	ports := g.srv.cfg.RelayPorts
	if ports == (PortRange{}) {
		return listenUDP(netip.AddrPortFrom(addr, 0))
	}
	n := int(ports.Last) - int(ports.First) + 1
	for i, at := 0, rand.IntN(n); i < n; i, at = i+1, (at+1)%n {
		ap := netip.AddrPortFrom(addr, ports.First+uint16(at))
		if g.srv.table.isRelayed(ap) {
			continue
		}
		if conn, err := listenUDP(ap); err == nil {
			return conn, nil
		}
	}
	return nil, errNoPort
}

// relayAddress prefers the address that the client has reached.
func (s *Server) relayAddress(local netip.Addr, six bool) (netip.Addr, bool) {
	var first netip.Addr
	for _, a := range s.cfg.RelayAddresses {
		if a.Is6() != six {
			continue
		}
		if a == local {
			return a, true
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first, first.IsValid()
}

func listenUDP(ap netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP(network4or6("udp", ap.Addr()), net.UDPAddrFromAddrPort(ap))
}

// network4or6 keeps wildcards of IPv4 from being opened for both families.
func network4or6(kind string, a netip.Addr) string {
	switch {
	case a.Is4():
		return kind + "4"
	case a.IsUnspecified():
		return kind // :: takes both
	default:
		return kind + "6"
	}
}

// AllocateListener and AllocateConn would relay over TCP (RFC 6062).
func (g *generator) AllocateListener(conf pionturn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	if _, src, ok := splitUserID(conf.UserID); ok {
		if s := g.session(src); s != nil {
			s.code = codeTransport
		}
	}
	return nil, nil, errUnsupported
}

func (g *generator) AllocateConn(pionturn.AllocateConnConfig) (net.Conn, error) {
	return nil, errUnsupported
}

// relayConn is a relay socket that talks to allowed peers only, each way no faster than the limit. Pion writes from its request
// handler and reads from a goroutine of the allocation.
type relayConn struct {
	srv        *Server
	conn       *net.UDPConn
	allocation *allocation

	up   bucket // request handler only
	down bucket // reader only
	from netip.AddrPort
	addr *net.UDPAddr // of from, kept so that a packet costs no allocation
	once sync.Once
}

// WriteTo sends to a peer. What must not go there is counted and reported as sent, so that pion goes on.
func (r *relayConn) WriteTo(p []byte, to net.Addr) (int, error) {
	peer := addrPort(to)
	c := &r.srv.count
	switch {
	case !r.srv.allowed(peer) || peer.Port() == 0:
		c.drop(reasonRelayPeer, r.allocation.key.src.Addr())
	case r.srv.table.isRelayed(peer):
		c.drop(reasonRelayLoop, r.allocation.key.src.Addr())
	case !r.up.take(float64(len(p)), r.srv.clock()):
		c.drop(reasonRelayRate, r.allocation.key.src.Addr())
	default:
		if _, err := r.conn.WriteToUDPAddrPort(p, peer); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.drop(reasonSocket, r.allocation.key.src.Addr())
			}
			break
		}
		c.upPackets.Add(1)
		c.upBytes.Add(uint64(len(p)))
	}
	return len(p), nil
}

// ReadFrom returns the next packet of an allowed peer; an error means that the socket is closed.
func (r *relayConn) ReadFrom(p []byte) (int, net.Addr, error) {
	c := &r.srv.count
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(p)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return 0, nil, err
			}
			c.drop(reasonSocket, r.allocation.key.src.Addr())
			time.Sleep(socketPause)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		switch {
		case n > maxFrame:
			c.drop(reasonOversize, from.Addr())
			continue
		case !r.srv.allowed(from) || r.srv.table.isRelayed(from):
			c.drop(reasonRelaySource, from.Addr())
			continue
		case !r.down.take(float64(n), r.srv.clock()):
			c.drop(reasonRelayRate, r.allocation.key.src.Addr())
			continue
		}
		if r.from != from {
			r.from, r.addr = from, net.UDPAddrFromAddrPort(from)
		}
		c.downPackets.Add(1)
		c.downBytes.Add(uint64(n))
		return n, r.addr, nil
	}
}

// Close is pion's last word on an allocation: its timers are stopped by now.
func (r *relayConn) Close() error {
	r.once.Do(func() {
		r.conn.Close() //nolint:errcheck // a UDP socket: nothing is lost
		r.srv.table.remove(r.allocation, r.srv.clock())
		close(r.allocation.closed)
	})
	return nil
}

// kill makes the reader end, upon which pion deletes the allocation and closes the socket.
func (r *relayConn) kill() { r.conn.Close() } //nolint:errcheck // Close again is harmless

func (r *relayConn) LocalAddr() net.Addr                { return r.conn.LocalAddr() }
func (r *relayConn) SetDeadline(t time.Time) error      { return r.conn.SetDeadline(t) }
func (r *relayConn) SetReadDeadline(t time.Time) error  { return r.conn.SetReadDeadline(t) }
func (r *relayConn) SetWriteDeadline(t time.Time) error { return r.conn.SetWriteDeadline(t) }
