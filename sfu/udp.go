package sfu

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// mediaConn is a UDP media socket as the ICE mux uses it. Its reads fail only when the socket is closed: whatever the
// network reports (ICMP unreachable, no buffers) is counted and read past, since the mux ends for good on an error.
// Datagrams that are nothing we speak and RTP of too many SSRCs are dropped here, before SRTP. One goroutine reads.
type mediaConn struct {
	*net.UDPConn
	read     func([]byte) (int, netip.AddrPort, error) // of the socket; tests put errors here
	counters *socketCounters
	guard    *ssrcGuard
	start    time.Time
	closed   chan struct{}
	closing  atomic.Bool
}

// socketCounters are shared by all sockets of a node.
type socketCounters struct {
	packetsIn, packetsOut   atomic.Uint64
	bytesIn, bytesOut       atomic.Uint64
	droppedSSRC             atomic.Uint64
	droppedOther            atomic.Uint64
	readErrors, writeErrors atomic.Uint64
	tcpAccepted, tcpRefused atomic.Uint64
}

func newMediaConn(c *net.UDPConn, counters *socketCounters) *mediaConn {
	return &mediaConn{
		UDPConn: c, read: c.ReadFromUDPAddrPort, counters: counters, guard: new(ssrcGuard), start: time.Now(),
		closed: make(chan struct{}),
	}
}

// ReadFromAddrPort reads the next datagram that may concern a peer.
func (c *mediaConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	var failures int
	for {
		n, addr, err := c.read(b)
		if err != nil {
			if c.closing.Load() || errors.Is(err, net.ErrClosed) {
				return 0, netip.AddrPort{}, net.ErrClosed
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return 0, netip.AddrPort{}, err // a deadline: the mux reads on
			}
			c.counters.readErrors.Add(1)
			failures++
			if !c.pause(failures) {
				return 0, netip.AddrPort{}, net.ErrClosed
			}
			continue
		}
		failures = 0
		c.counters.packetsIn.Add(1)
		c.counters.bytesIn.Add(uint64(n))
		switch classify(b[:n]) {
		case classRTP:
			if !c.guard.admit(addr, rtpSSRC(b), time.Since(c.start)) {
				c.counters.droppedSSRC.Add(1)
				continue
			}
		case classOther:
			c.counters.droppedOther.Add(1)
			continue
		}
		return n, addr, nil
	}
}

// pause waits after repeated read errors, so that a broken socket does not burn a core: not at all for the first
// three in a row, then 1 ms doubling to 128 ms. It returns false when the socket was closed meanwhile.
func (c *mediaConn) pause(failures int) bool {
	if failures <= 3 {
		return !c.closing.Load()
	}
	t := time.NewTimer(time.Millisecond << min(failures-4, 7))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.closed:
		return false
	}
}

// ReadFrom is ReadFromAddrPort for callers that know only net.Addr.
func (c *mediaConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

// WriteToAddrPort sends one datagram.
func (c *mediaConn) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	n, err := c.UDPConn.WriteToUDPAddrPort(b, addr)
	c.wrote(n, err)
	return n, err
}

// WriteTo is WriteToAddrPort for callers that know only net.Addr.
func (c *mediaConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	n, err := c.UDPConn.WriteTo(b, addr)
	c.wrote(n, err)
	return n, err
}

func (c *mediaConn) wrote(n int, err error) {
	if err != nil {
		c.counters.writeErrors.Add(1)
		return
	}
	c.counters.packetsOut.Add(1)
	c.counters.bytesOut.Add(uint64(n))
}

// Close ends the socket and the read that waits on it.
func (c *mediaConn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	close(c.closed)
	return c.UDPConn.Close()
}
