package signaling

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// fakeListener hands out connections that claim to come from anywhere.
type fakeListener struct{ conns chan net.Conn }

func (l *fakeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *fakeListener) Close() error   { return nil }
func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", c.from)
	return a
}
func (c *fakeConn) Close() error { c.closed = true; return nil }

func TestLimitListener(t *testing.T) {
	inner := &fakeListener{conns: make(chan net.Conn, 100)}
	l := LimitListener(inner, 2, 6)
	// dial returns nil when the connection was refused: then the one after it, from elsewhere, is what Accept gives.
	dial := func(from string) net.Conn {
		t.Helper()
		c := &fakeConn{from: from}
		probe := &fakeConn{from: "127.0.0.1:1"}
		inner.conns <- c
		inner.conns <- probe
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if c.closed {
			_ = got.Close() // the probe
			return nil
		}
		<-inner.conns
		return got
	}
	a1, a2 := dial("192.0.2.1:1"), dial("192.0.2.1:2")
	if a1 == nil || a2 == nil || dial("192.0.2.1:3") != nil {
		t.Error("want two from one address and no third")
	}
	if dial("[::ffff:192.0.2.1]:4") != nil {
		t.Error("the same address written as IPv6 is another")
	}
	b1, b2 := dial("[2001:db8::1]:1"), dial("[2001:db8::ffff]:1")
	if b1 == nil || b2 == nil || dial("[2001:db8::2]:1") != nil {
		t.Error("an IPv6 client counts as its /64")
	}
	// Who has joined does not count for its address, but in all.
	login := loginOf(connContext(context.Background(), tls.Server(a1, nil)))
	login()
	login()
	a3 := dial("192.0.2.1:5")
	if a3 == nil || dial("192.0.2.1:6") != nil {
		t.Error("a login frees one place")
	}
	_ = a1.Close()
	_ = a1.Close()
	if dial("192.0.2.1:6") != nil {
		t.Error("closing a connection that has joined freed a place of its address")
	}
	_ = a2.Close()
	a4 := dial("192.0.2.1:7")
	if a4 == nil {
		t.Error("closing a connection frees a place")
	}
	var loop []net.Conn
	for range 2 {
		if c := dial("127.0.0.1:9"); c != nil {
			loop = append(loop, c)
		}
	}
	if len(loop) != 2 {
		t.Errorf("%d connections of ours, want 2", len(loop))
	}
	lim := l.(*limitListener)
	if lim.count != 6 {
		t.Fatalf("%d open", lim.count)
	}
	inner.conns <- &fakeConn{from: "198.51.100.1:1"}
	close(inner.conns)
	if c, err := l.Accept(); err == nil {
		t.Errorf("a seventh: %v", c.RemoteAddr())
	}
	for _, c := range append(loop, b1, b2, a3, a4) {
		_ = c.Close()
	}
	if lim.count != 0 || len(lim.open) != 0 {
		t.Errorf("left: %d, %v", lim.count, lim.open)
	}
}

func TestHTTPServerLimits(t *testing.T) {
	s := NewHTTPServer(nil)
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 15*time.Second || s.WriteTimeout != 10*time.Second ||
		s.IdleTimeout != 60*time.Second || s.HTTP2.MaxConcurrentStreams != 64 || s.TLSConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", s)
	}
	if loginOf(context.Background()) == nil || loginOf(connContext(context.Background(), &net.TCPConn{})) == nil {
		t.Error("a connection without a limit has no login function")
	}
}
