package sfu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
)

const (
	maxTCPFrame       = 8192             // of RFC 4571 framing; larger than any UDP datagram we would take
	maxTCPConns       = 1024             // open ICE-TCP connections on one listener
	maxTCPConnsPerIP  = 64               // of them, from one address: a NAT with an office behind it
	tcpFirstSTUN      = 5 * time.Second  // a connection that has not sent a binding request by then is closed
	tcpWriteBuffer    = 64 << 10         // 12 s of one listener at 40 kb/s; what does not fit is dropped, audio does not wait
	tcpReadBuffer     = 32               // packets between a connection and its ICE agent
	tcpUnknownSession = 5 * time.Second  // how long a connection for a session we do not know is kept
	tcpIdle           = 60 * time.Second // ICE sends every 2 s: a connection silent for so long is dead
)

// tcpListener guards the ICE-TCP listener: it bounds connections in all and per address, and wraps each so that it
// reads whole RFC 4571 frames and caps SSRCs as a mediaConn does. Accept fails only when it is closed.
type tcpListener struct {
	net.Listener
	counters *socketCounters

	mu     sync.Mutex
	perIP  map[netip.Addr]int
	total  int
	closed chan struct{}
	once   sync.Once
}

func newTCPListener(l net.Listener, counters *socketCounters) *tcpListener {
	return &tcpListener{Listener: l, counters: counters, perIP: make(map[netip.Addr]int), closed: make(chan struct{})}
}

// Accept returns the next connection that is within the limits.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			l.counters.readErrors.Add(1) // out of descriptors, a connection reset before accept: passes
			t := time.NewTimer(10 * time.Millisecond)
			select {
			case <-l.closed:
				t.Stop()
				return nil, net.ErrClosed
			case <-t.C:
			}
			continue
		}
		ip := remoteIP(c)
		if !l.reserve(ip) {
			l.counters.tcpRefused.Add(1)
			_ = c.Close()
			continue
		}
		l.counters.tcpAccepted.Add(1)
		return &tcpConn{Conn: c, l: l, ip: ip, start: time.Now()}, nil
	}
}

// Close ends Accept. Connections already accepted go on.
func (l *tcpListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *tcpListener) reserve(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxTCPConns || l.perIP[ip] >= maxTCPConnsPerIP {
		return false
	}
	l.total++
	l.perIP[ip]++
	return true
}

func (l *tcpListener) release(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.perIP[ip]--; l.perIP[ip] <= 0 {
		delete(l.perIP, ip)
	}
}

func remoteIP(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// tcpConn serves the bytes of whole, admitted frames, length first, as the ICE mux expects them. One goroutine reads.
type tcpConn struct {
	net.Conn
	l     *tcpListener
	ip    netip.Addr
	start time.Time
	ssrcs ssrcEntry
	once  sync.Once

	frame     []byte // pending bytes of the current frame
	buf       [2 + maxTCPFrame]byte
	deadlined atomic.Bool // the mux has set a deadline of its own
}

// Read returns bytes of admitted frames.
func (c *tcpConn) Read(b []byte) (int, error) {
	for len(c.frame) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.frame)
	c.frame = c.frame[n:]
	return n, nil
}

// next reads one frame and leaves it in frame unless it is not to be passed on.
func (c *tcpConn) next() error {
	if !c.deadlined.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(tcpIdle)); err != nil {
			return err
		}
	}
	if _, err := io.ReadFull(c.Conn, c.buf[:2]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(c.buf[:2]))
	if n > maxTCPFrame {
		return fmt.Errorf("frame of %d bytes", n)
	}
	if _, err := io.ReadFull(c.Conn, c.buf[2:2+n]); err != nil {
		return err
	}
	c.l.counters.packetsIn.Add(1)
	c.l.counters.bytesIn.Add(uint64(n))
	switch payload := c.buf[2 : 2+n]; classify(payload) {
	case classOther:
		c.l.counters.droppedOther.Add(1)
		return nil
	case classRTP:
		if !c.ssrcs.admit(rtpSSRC(payload), time.Since(c.start)) {
			c.l.counters.droppedSSRC.Add(1)
			return nil
		}
	}
	c.frame = c.buf[:2+n]
	return nil
}

// Write sends framed bytes. A connection that does not take them in tcpIdle is broken.
func (c *tcpConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(tcpIdle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		c.l.counters.writeErrors.Add(1)
		_ = c.Close() // half a frame may be out: nothing can follow it
		return n, err
	}
	c.l.counters.packetsOut.Add(1)
	c.l.counters.bytesOut.Add(uint64(n))
	return n, nil
}

// SetReadDeadline keeps the mux's own deadline from being pushed on while it waits for the first frame.
func (c *tcpConn) SetReadDeadline(t time.Time) error {
	c.deadlined.Store(!t.IsZero())
	return c.Conn.SetReadDeadline(t)
}

// Close is idempotent.
func (c *tcpConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.l.release(c.ip)
		err = c.Conn.Close()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// tcpMux is one ICE-TCP mux per local address, found by that address.
type tcpMux map[netip.Addr]*ice.TCPMuxDefault

var errNoTCPMux = errors.New("no ICE-TCP listener on this address")

func (m tcpMux) GetConnByUfrag(ufrag string, isIPv6 bool, local net.IP) (net.PacketConn, error) {
	a, _ := netip.AddrFromSlice(local)
	mux, ok := m[a.Unmap()]
	if !ok {
		return nil, errNoTCPMux
	}
	return mux.GetConnByUfrag(ufrag, isIPv6, local)
}

func (m tcpMux) RemoveConnByUfrag(ufrag string) {
	for _, mux := range m {
		mux.RemoveConnByUfrag(ufrag)
	}
}

func (m tcpMux) Close() error {
	var errs []error
	for _, mux := range m {
		errs = append(errs, mux.Close())
	}
	return errors.Join(errs...)
}

// listenTCP opens one listener per address.
func listenTCP(addrs []netip.Addr, port uint16, counters *socketCounters) (map[netip.Addr]*tcpListener, error) {
	out := make(map[netip.Addr]*tcpListener, len(addrs))
	var lc net.ListenConfig
	for _, a := range addrs {
		l, err := lc.Listen(context.Background(), tcpNetwork(a), netip.AddrPortFrom(a, port).String())
		if err != nil {
			for _, o := range out {
				_ = o.Close()
			}
			return nil, fmt.Errorf("listen for ICE-TCP: %w", err)
		}
		out[a] = newTCPListener(l, counters)
	}
	return out, nil
}

func tcpNetwork(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}
