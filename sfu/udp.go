package sfu

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxDatagram   = 1600 // what is longer is nothing we speak: no packet of ours or a browser's exceeds an MTU
	intakePackets = 32   // read in one system call
)

// datagram is one that was received.
type datagram struct {
	from netip.AddrPort
	n    int
	data [maxDatagram]byte
}

func (d *datagram) bytes() []byte { return d.data[:d.n] }

// mediaConn is a UDP media socket. Its reads end only when the socket is closed: whatever the network reports (ICMP
// unreachable, no buffers) is counted and read past. Datagrams that are nothing we speak and RTP of too many SSRCs are
// dropped here, before SRTP. One goroutine reads.
type mediaConn struct {
	*net.UDPConn
	raw      syscall.RawConn
	is4      bool
	index    int                                  // among the node's sockets
	read     func(handle func([]*datagram)) error // of the socket; tests put errors here
	free     sync.Pool                            // of datagrams: how many wait depends on how many peers are behind
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
	batches, reads          atomic.Uint64 // system calls that sent and received several
	droppedSSRC             atomic.Uint64
	droppedOther            atomic.Uint64
	droppedQueue            atomic.Uint64 // because a peer did not fetch them
	readErrors, writeErrors atomic.Uint64
	tcpAccepted, tcpRefused atomic.Uint64
}

func newMediaConn(c *net.UDPConn, counters *socketCounters) (*mediaConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	m := &mediaConn{
		UDPConn: c, raw: raw, counters: counters, guard: new(ssrcGuard), start: time.Now(), closed: make(chan struct{}),
	}
	m.free.New = func() any { return new(datagram) }
	m.is4 = localAddrPort(m).Addr().Is4()
	m.read = func(handle func([]*datagram)) error { return newIntake(m, handle).read() }
	return m, nil
}

// serve hands over the datagrams that may concern a peer until the socket is closed. handle returns true to keep one.
func (c *mediaConn) serve(handle func(*datagram) bool) {
	failures := 0
	take := func(slots []*datagram) {
		failures = 0
		now := time.Since(c.start)
		c.counters.reads.Add(1)
		c.counters.packetsIn.Add(uint64(len(slots)))
		total := 0
		for i, d := range slots {
			total += d.n
			if c.admit(d, now) && handle(d) {
				slots[i] = nil
			}
		}
		c.counters.bytesIn.Add(uint64(total))
	}
	for {
		err := c.read(take)
		if c.closing.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		c.counters.readErrors.Add(1)
		failures++
		if !c.pause(failures) {
			return
		}
	}
}

// admit tells if a datagram may concern a peer.
func (c *mediaConn) admit(d *datagram, now time.Duration) bool {
	switch classify(d.bytes()) {
	case classRTP:
		if !c.guard.admit(d.from, rtpSSRC(d.bytes()), now) {
			c.counters.droppedSSRC.Add(1)
			return false
		}
	case classOther:
		c.counters.droppedOther.Add(1)
		return false
	}
	return true
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

// WriteToAddrPort sends one datagram at once.
func (c *mediaConn) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	n, err := c.UDPConn.WriteToUDPAddrPort(b, addr)
	if err != nil {
		c.counters.writeErrors.Add(1)
		return n, err
	}
	c.counters.packetsOut.Add(1)
	c.counters.bytesOut.Add(uint64(n))
	return n, nil
}

// Close ends the socket and the read that waits on it.
func (c *mediaConn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	close(c.closed)
	return c.UDPConn.Close()
}
