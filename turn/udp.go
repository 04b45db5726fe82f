package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// socketPause keeps a socket that fails again and again from taking a core.
const socketPause = 5 * time.Millisecond

// udpGuard is the net.PacketConn that pion reads: a UDP socket from which only whole, checked, counted datagrams come.
type udpGuard struct {
	conn    *net.UDPConn
	session session

	// handling is held while pion handles a request: from the return of ReadFrom to its next call. Whoever wants to end an
	// allocation takes it, so that pion never deletes what it is just changing.
	handling sync.Mutex
	busy     bool // handling is held; touched by the reader only

	done chan struct{} // closed when the reader has seen the socket's end
	once sync.Once
}

func newUDPGuard(srv *Server, listener int, conn *net.UDPConn) *udpGuard {
	return &udpGuard{conn: conn, session: session{srv: srv, key: clientKey{listener: listener}}, done: make(chan struct{})}
}

// ReadFrom returns the next datagram for pion. An error means that the socket is closed.
func (g *udpGuard) ReadFrom(p []byte) (int, net.Addr, error) {
	if g.busy {
		g.busy = false
		g.handling.Unlock()
	}
	s := &g.session
	for {
		n, src, err := g.conn.ReadFromUDPAddrPort(p)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				g.once.Do(func() { close(g.done) })
				return 0, nil, err
			}
			s.srv.count.drop(reasonSocket, netip.Addr{})
			time.Sleep(socketPause)
			continue
		}
		g.handling.Lock()
		s.key.src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		if s.receive(p[:n], false, g.send) {
			g.busy = true
			return n, net.UDPAddrFromAddrPort(s.key.src), nil
		}
		g.handling.Unlock()
	}
}

// send writes an answer of the guard's own to the source of the request at hand.
func (g *udpGuard) send(b []byte) {
	if _, err := g.conn.WriteToUDPAddrPort(b, g.session.key.src); err != nil && !errors.Is(err, net.ErrClosed) {
		g.session.srv.count.drop(reasonSocket, g.session.key.src.Addr())
	}
}

// WriteTo sends an answer or relayed data to a client; a datagram that the network refuses is a lost datagram.
func (g *udpGuard) WriteTo(p []byte, to net.Addr) (int, error) {
	b := g.session.answer(p)
	if b == nil {
		return len(p), nil
	}
	dst := addrPort(to)
	if _, err := g.conn.WriteToUDPAddrPort(b, dst); err != nil {
		if errors.Is(err, net.ErrClosed) {
			return 0, err
		}
		g.session.srv.count.drop(reasonSocket, dst.Addr())
	}
	return len(p), nil
}

// end deletes an allocation while the handler rests, and waits until pion has let go of it. The wait is short: the relay
// reader has at most one datagram to write.
func (g *udpGuard) end(a *allocation) {
	g.handling.Lock()
	defer g.handling.Unlock()
	a.relay.kill()
	<-a.closed
}

func (g *udpGuard) Close() error                       { return g.conn.Close() }
func (g *udpGuard) LocalAddr() net.Addr                { return g.conn.LocalAddr() }
func (g *udpGuard) SetDeadline(t time.Time) error      { return g.conn.SetDeadline(t) }
func (g *udpGuard) SetReadDeadline(t time.Time) error  { return g.conn.SetReadDeadline(t) }
func (g *udpGuard) SetWriteDeadline(t time.Time) error { return g.conn.SetWriteDeadline(t) }
