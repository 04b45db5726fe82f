package turn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connTable counts the stream connections of all listeners.
type connTable struct {
	limits Limits

	mu       sync.Mutex
	total    int
	bySource map[sourceKey]int
}

func newConnTable(limits Limits) *connTable {
	return &connTable{limits: limits, bySource: make(map[sourceKey]int)}
}

func (t *connTable) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

func (t *connTable) add(src sourceKey) reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.total >= t.limits.Connections:
		return reasonConnections
	case t.bySource[src] >= t.limits.ConnectionsPerAddress:
		return reasonConnectionsAddress
	}
	t.total++
	t.bySource[src]++
	return reasonNone
}

func (t *connTable) remove(src sourceKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	decrement(t.bySource, src)
}

// tcpGuard is the net.Listener that pion accepts from: connections within the limits, which read whole checked frames.
type tcpGuard struct {
	srv   *Server
	id    int
	ln    *net.TCPListener
	tls   *tls.Config // nil: plain TCP
	done  chan struct{}
	ended sync.Once

	mu     sync.Mutex
	closed bool
	conns  map[netip.AddrPort]*framedConn
	open   sync.WaitGroup // one for each of conns
}

func newTCPGuard(srv *Server, id int, ln *net.TCPListener, config *tls.Config) *tcpGuard {
	return &tcpGuard{srv: srv, id: id, ln: ln, tls: config, done: make(chan struct{}), conns: make(map[netip.AddrPort]*framedConn)}
}

// Accept returns the next connection that is within the limits. An error means that the listener is closed and that every
// connection has ended, so that pion can delete what is left without meeting a handler.
func (g *tcpGuard) Accept() (net.Conn, error) {
	for {
		conn, err := g.ln.AcceptTCP()
		if err == nil {
			if c := g.admit(conn); c != nil {
				return c, nil
			}
			continue
		}
		if !errors.Is(err, net.ErrClosed) { // out of descriptors, or gone before we looked
			g.srv.count.drop(reasonSocket, netip.Addr{})
			time.Sleep(socketPause)
			continue
		}
		g.closeAll()
		g.open.Wait()
		g.ended.Do(func() { close(g.done) })
		return nil, err
	}
}

// admit wraps a connection, or resets it and returns nil.
func (g *tcpGuard) admit(conn *net.TCPConn) *framedConn {
	src := addrPort(conn.RemoteAddr())
	refuse := func(r reason) *framedConn {
		g.srv.count.drop(r, src.Addr())
		conn.SetLinger(0) //nolint:errcheck // only saves the TIME-WAIT
		conn.Close()      //nolint:errcheck // refused
		return nil
	}
	if r := g.srv.conns.add(sourcePrefix(src.Addr())); r != reasonNone {
		return refuse(r)
	}
	c := newFramedConn(g, conn, src)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.conns[src] != nil { // the same client port through two local addresses of a wildcard listener
		g.srv.conns.remove(sourcePrefix(src.Addr()))
		return refuse(reasonConnections)
	}
	g.conns[src] = c
	g.open.Add(1)
	g.srv.count.connections.Add(1)
	return c
}

// forget is called once by each connection's Close.
func (g *tcpGuard) forget(c *framedConn) {
	g.mu.Lock()
	delete(g.conns, c.session.key.src)
	g.mu.Unlock()
	g.srv.conns.remove(sourcePrefix(c.session.key.src.Addr()))
	g.open.Done()
}

// closeAll breaks every connection; pion's reader of each then ends it.
func (g *tcpGuard) closeAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, c := range g.conns {
		c.breakOff()
	}
}

// find returns the session of the connection from src.
func (g *tcpGuard) find(src netip.AddrPort) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.conns[src]; c != nil {
		return &c.session
	}
	return nil
}

// end ends an allocation with its connection: pion's own reader deletes it then.
func (g *tcpGuard) end(a *allocation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.conns[a.key.src]; c != nil {
		c.breakOff()
	}
}

func (g *tcpGuard) Close() error   { return g.ln.Close() }
func (g *tcpGuard) Addr() net.Addr { return g.ln.Addr() }
