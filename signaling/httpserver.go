package signaling

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// NewHTTPServer returns a server for h with limits on everything a client can make it wait for or keep: headers 5 s and
// 16 KiB, whole request 15 s, answer 10 s, idle 60 s, 64 streams on an HTTP/2 connection, TLS 1.2 or newer. WebSockets are
// not subject to the time limits once they are upgraded. Serve it on a LimitListener.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16<<10 - 4096, // net/http adds 4096 (initialReadLimitSize)
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 64},
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
		ConnContext:       connContext,
	}
}

// connContext lets a handler say that the one at the other end of a connection has been let in.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if l, ok := c.(*limitedConn); ok {
		return context.WithValue(ctx, loginKey{}, l.login)
	}
	return ctx
}

// Limits of LimitListener.
const (
	// MaxConnsPerAddress is how many connections one address may have open whose client has not joined. Browsers open
	// up to six, so this lets some forty load the page in the same minute from behind one NAT; those that have joined are
	// not counted. An IPv6 client counts as its /64. Loopback addresses are not limited: they are this machine's own
	// programs, a reverse proxy among them.
	MaxConnsPerAddress = 256
	// MaxConns is how many connections a listener has open in all.
	MaxConns = 4096
)

// LimitListener refuses connections, by closing them at once, beyond perAddress from one address (before they have
// joined) and beyond total. Zero takes MaxConnsPerAddress and MaxConns.
func LimitListener(l net.Listener, perAddress, total int) net.Listener {
	if perAddress <= 0 {
		perAddress = MaxConnsPerAddress
	}
	if total <= 0 {
		total = MaxConns
	}
	return &limitListener{Listener: l, perAddress: perAddress, total: total, open: make(map[netip.Prefix]int)}
}

type limitListener struct {
	net.Listener
	perAddress, total int

	mu    sync.Mutex
	count int
	open  map[netip.Prefix]int
}

// Accept implements net.Listener. It returns the errors of the listener below, on which net/http waits and tries again.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := addressKey(c.RemoteAddr())
		if l.enter(who) {
			return &limitedConn{Conn: c, listener: l, who: who, counted: who.IsValid()}, nil
		}
		_ = c.Close()
	}
}

func (l *limitListener) enter(who netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= l.total || who.IsValid() && l.open[who] >= l.perAddress {
		return false
	}
	l.count++
	if who.IsValid() {
		l.open[who]++
	}
	return true
}

// addressKey is what connections are counted by; the zero Prefix is not limited.
func addressKey(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // the zero Prefix for an address that is none
	return p
}

// limitedConn gives its place back when it is closed, and its address's place as soon as its client has joined.
type limitedConn struct {
	net.Conn
	listener *limitListener
	who      netip.Prefix

	mu      sync.Mutex
	counted bool // among its address's
	closed  bool
}

func (c *limitedConn) login() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
}

// release gives the address's place back; c.mu is held.
func (c *limitedConn) release() {
	if !c.counted {
		return
	}
	c.counted = false
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[c.who]--; l.open[c.who] == 0 {
		delete(l.open, c.who)
	}
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.release()
		c.listener.mu.Lock()
		c.listener.count--
		c.listener.mu.Unlock()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
