package sfu

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// testConn is a media socket on loopback that nobody reads.
func testConn(t testing.TB) *mediaConn {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newMediaConn(u, &socketCounters{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// far is the other end of a test: a plain socket.
func far(t testing.TB) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	_ = u.SetReadBuffer(socketBuffer)
	return u, localAddrPort(u)
}

// numbered is an RTP packet of a size that says which one it is.
func numbered(i, size int) []byte {
	b := append(rtpBytes(7), make([]byte, max(0, size-20))...)
	binary.BigEndian.PutUint32(b[12:], uint32(i))
	return b
}

// readNumbers reads so many packets and returns their numbers, in order.
func readNumbers(t testing.TB, u *net.UDPConn, count int) (numbers []int) {
	t.Helper()
	_ = u.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	for range count {
		n, err := u.Read(b)
		if err != nil {
			t.Fatalf("after %d of %d packets: %v", len(numbers), count, err)
		}
		if n < 16 {
			t.Fatalf("packet of %d bytes", n)
		}
		numbers = append(numbers, int(binary.BigEndian.Uint32(b[12:])))
	}
	return numbers
}

// TestBatchKeepsOrder over several system calls, whichever limit ends a batch, for two listeners that share it.
func TestBatchKeepsOrder(t *testing.T) {
	for _, size := range []int{20, 1200} {
		c := testConn(t)
		o := newOutbox(1)
		var ends [2]*net.UDPConn
		var to [2]netip.AddrPort
		for i := range ends {
			ends[i], to[i] = far(t)
		}
		const count = 200
		for i := range count {
			o.add(c, numbered(i, size), to[i%2])
		}
		o.flush()
		for k, u := range ends {
			for i, n := range readNumbers(t, u, count/2) {
				if n != 2*i+k {
					t.Fatalf("size %d, listener %d: packet %d is number %d", size, k, i, n)
				}
			}
		}
		s := c.counters
		if s.packetsOut.Load() != count || s.bytesOut.Load() != uint64(count*size) || s.writeErrors.Load() != 0 {
			t.Errorf("size %d: %d packets, %d bytes, %d errors", size, s.packetsOut.Load(), s.bytesOut.Load(), s.writeErrors.Load())
		}
		if calls := s.batches.Load(); calls < 4 || calls > 16 {
			t.Errorf("size %d: %d system calls", size, calls)
		}
	}
}

// TestBatchRefused: what the system refuses, wherever it stands, is counted; the others arrive, and nothing waits.
func TestBatchRefused(t *testing.T) {
	c := testConn(t)
	o := newOutbox(1)
	u, to := far(t)
	nowhere := netip.MustParseAddrPort("127.0.0.1:0")   // EINVAL
	other := netip.MustParseAddrPort("[2001:db8::1]:9") // of the other family
	closed, dead := far(t)                              // ECONNREFUSED, by ICMP
	_ = closed.Close()
	var want []int
	for i := range batchPackets {
		switch i {
		case 0, 5, 6, batchPackets - 1:
			o.add(c, numbered(i, 20), nowhere)
		case 20:
			o.add(c, numbered(i, 20), other)
		case 30:
			o.add(c, numbered(i, 20), dead)
		default:
			o.add(c, numbered(i, 20), to)
			want = append(want, i)
		}
	}
	o.flush()
	if got := readNumbers(t, u, len(want)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := c.counters.writeErrors.Load(); got != 5 {
		t.Errorf("%d errors", got)
	}
	if got := c.counters.packetsOut.Load(); got != batchPackets-5 {
		t.Errorf("%d packets", got)
	}
	// The socket is as good as before, and a closed one loses what it was given without a word but a count.
	o.add(c, numbered(99, 20), to)
	o.add(c, make([]byte, batchBytes+1), to)
	o.flush()
	if got := readNumbers(t, u, 1); got[0] != 99 {
		t.Errorf("then %v", got)
	}
	_ = c.Close()
	o.add(c, numbered(100, 20), to)
	o.flush()
	if got := c.counters.writeErrors.Load(); got != 7 {
		t.Errorf("%d errors in the end", got)
	}
}

// TestBatchAllocates nothing, full or not.
func TestBatchAllocates(t *testing.T) {
	c := testConn(t)
	o := newOutbox(1)
	_, to := far(t)
	p := numbered(1, 100)
	step := func() {
		for range batchPackets + 5 {
			o.add(c, p, to)
		}
		o.flush()
	}
	step()
	if got := testing.AllocsPerRun(200, step); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestIntake: what was sent is read, several at a time, truncated ones not at all.
func TestIntake(t *testing.T) {
	c := testConn(t)
	u, from := far(t)
	const count = 100
	for i := range count {
		if _, err := u.WriteToUDPAddrPort(numbered(i, 20), localAddrPort(c)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.WriteToUDPAddrPort(numbered(0, maxDatagram+1), localAddrPort(c)); err != nil {
		t.Fatal(err)
	}
	if _, err := u.WriteToUDPAddrPort(numbered(count, 20), localAddrPort(c)); err != nil {
		t.Fatal(err)
	}
	var got []int
	var kept []*datagram
	all := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		c.serve(func(d *datagram) bool {
			if d.from != from {
				t.Errorf("from %v, want %v", d.from, from)
			}
			got = append(got, int(binary.BigEndian.Uint32(d.bytes()[12:])))
			kept = append(kept, d)
			if len(got) == count+1 {
				close(all)
			}
			return len(got)%2 == 0
		})
	})
	select {
	case <-all:
	case <-time.After(patience):
		t.Fatal("not everything was read")
	}
	_ = c.Close()
	wg.Wait()
	for i, n := range got {
		if n != i {
			t.Fatalf("packet %d is number %d", i, n)
		}
	}
	for i, d := range kept {
		if n := int(binary.BigEndian.Uint32(d.data[12:])); i%2 == 1 && n != i {
			t.Errorf("datagram %d was kept and now holds number %d", i, n)
		}
	}
	if calls := c.counters.reads.Load(); calls > count/2 {
		t.Errorf("%d system calls for %d packets", calls, count)
	}
	if c.counters.droppedOther.Load() != 1 || c.counters.packetsIn.Load() != count+2 {
		t.Errorf("%d dropped of %d", c.counters.droppedOther.Load(), c.counters.packetsIn.Load())
	}
}

// binding is a binding request for a user name.
func binding(t *testing.T, user string) []byte {
	t.Helper()
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(user))
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestMux: datagrams go by name, then by the addresses that were written to; whose handle is closed gets none.
func TestMux(t *testing.T) {
	c := testConn(t)
	m := newUDPMux(c)
	defer m.Close()
	var l lane
	p := peerMux{[]*udpMux{m}, &l}
	open := func(name string) *muxHandle {
		t.Helper()
		h, err := p.GetConn(name, c.LocalAddr())
		if err != nil {
			t.Fatal(err)
		}
		return h.(*muxHandle)
	}
	if _, err := p.GetConn("a", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 9}); err == nil {
		t.Error("a socket on an address that has none")
	}
	a, a2, b := open("a"), open("a"), open("b")
	u, from := far(t)
	send := func(x []byte) {
		t.Helper()
		if _, err := u.WriteToUDPAddrPort(x, localAddrPort(c)); err != nil {
			t.Fatal(err)
		}
	}
	var buf [2000]byte
	expect := func(h *muxHandle, class packetClass) {
		t.Helper()
		n, addr, err := h.ReadFromAddrPort(buf[:])
		if err != nil || addr != from || classify(buf[:n]) != class {
			t.Fatalf("%d bytes of class %d from %v: %v", n, classify(buf[:n]), addr, err)
		}
	}
	send(numbered(0, 20)) // from nobody we know
	send(binding(t, "c:x"))
	send(binding(t, "b:x"))
	expect(b, classSTUN)
	if _, err := b.WriteToAddrPort([]byte{22, 1}, from); err != nil {
		t.Fatal(err)
	}
	if n, err := u.Read(buf[:]); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	send(numbered(1, 20))
	expect(b, classRTP)
	// The address moves to another peer: it has proved to be there, by its password, which is ICE's business.
	send(binding(t, "a:x"))
	expect(b, classSTUN) // known by its address until the other writes to it
	if _, err := a.WriteToAddrPort([]byte{22, 1}, netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port())); err != nil {
		t.Fatal(err)
	}
	send(numbered(2, 20))
	expect(a, classRTP)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.ReadFromAddrPort(buf[:]); err == nil {
		t.Error("a closed handle reads")
	}
	if _, err := a.WriteToAddrPort([]byte{22, 1}, from); err == nil {
		t.Error("a closed handle writes")
	}
	send(numbered(3, 20))
	expect(a2, classRTP) // the name has a second candidate
	// A read that waits ends with the handle, the name and the socket.
	done := make(chan error, 3)
	wait := func(h *muxHandle) {
		_, _, err := h.ReadFromAddrPort(make([]byte, 2000))
		done <- err
	}
	e := open("e")
	go wait(a2)
	go wait(b)
	go wait(e)
	_ = a2.Close()
	p.RemoveConnByUfrag("b")
	_ = m.Close()
	for range 3 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("read something")
			}
		case <-time.After(patience):
			t.Fatal("a read does not end")
		}
	}
	if len(m.names) != 0 || len(m.addrs) != 0 {
		t.Errorf("left: %d names, %d addresses", len(m.names), len(m.addrs))
	}
	if _, err := p.GetConn("f", c.LocalAddr()); err == nil {
		t.Error("a closed mux takes peers")
	}
}

// TestMuxQueue: a peer that does not read loses what is too much, and nobody else does.
func TestMuxQueue(t *testing.T) {
	c := testConn(t)
	m := &udpMux{conn: c, names: map[string]*muxConn{}, addrs: map[netip.AddrPort]*muxConn{}}
	p, err := m.get("a", new(lane))
	if err != nil {
		t.Fatal(err)
	}
	h := p.(*muxHandle)
	from := netip.MustParseAddrPort("127.0.0.1:9")
	h.register(from)
	for i := range muxQueue + 10 {
		d := &datagram{from: from}
		d.n = copy(d.data[:], numbered(i, 20))
		if kept := m.dispatch(d); kept != (i < muxQueue) {
			t.Fatalf("datagram %d kept: %v", i, kept)
		}
	}
	if got := c.counters.droppedQueue.Load(); got != 10 {
		t.Errorf("%d dropped", got)
	}
	var buf [100]byte
	for i := range muxQueue {
		if n, _, err := h.ReadFromAddrPort(buf[:]); err != nil || int(binary.BigEndian.Uint32(buf[12:])) != i {
			t.Fatalf("%d bytes, number %d, want %d: %v", n, binary.BigEndian.Uint32(buf[12:]), i, err)
		}
	}
	if err := h.SetDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	if _, _, err := h.ReadFromAddrPort(buf[:]); err == nil {
		t.Error("read after the deadline")
	}
}

// TestLane: RTP is collected while a worker writes to the peer, everything else goes at once; a packet that is sent again in the
// same moment by somebody else does no harm.
func TestLane(t *testing.T) {
	c := testConn(t)
	var l lane
	m := &udpMux{conn: c, names: map[string]*muxConn{}, addrs: map[netip.AddrPort]*muxConn{}}
	p, err := m.get("a", &l)
	if err != nil {
		t.Fatal(err)
	}
	h := p.(*muxHandle)
	u, to := far(t)
	o := newOutbox(1)
	write := func(b []byte) {
		if _, err := h.WriteToAddrPort(b, to); err != nil {
			t.Error(err)
		}
	}
	l.outbox.Store(o)
	write(numbered(1, 20))
	rtcp := numbered(2, 20)
	rtcp[1] = 200
	write(rtcp)
	l.outbox.Store(nil)
	write(numbered(3, 20))
	o.flush()
	if got := readNumbers(t, u, 3); !slices.Equal(got, []int{2, 3, 1}) {
		t.Errorf("order %v", got)
	}
	var wg sync.WaitGroup
	const count = 500
	wg.Go(func() { // sends again
		for i := range count {
			write(numbered(1000+i, 20))
		}
	})
	for i := range count {
		l.outbox.Store(o)
		write(numbered(i, 20))
		l.outbox.Store(nil)
		if i%10 == 9 {
			o.flush()
		}
	}
	wg.Wait()
	o.flush()
	last := -1
	for _, n := range readNumbers(t, u, 2*count) {
		if n >= 1000 {
			continue
		}
		if n != last+1 {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
}
