package trunk

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// loopback is two nodes on real sockets.
func loopback(t testing.TB, onPacket func(Packet)) (a, b *Trunks) {
	t.Helper()
	ends := make([]*Trunks, 2)
	addrs := make([]netip.AddrPort, 2)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for i, name := range []string{"a", "b"} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		addrs[i] = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		if ends[i], err = New(Config{Conn: conn, Node: name, Secret: testSecret, Epoch: 1, OnPacket: onPacket}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- ends[i].Run(ctx) }() // the cleanup waits for it
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			_ = conn.Close()
		})
	}
	ends[0].Connect("b", addrs[1], 1)
	ends[1].Connect("a", addrs[0], 1)
	deadline := time.Now().Add(10 * time.Second)
	for !up(ends[0]) || !up(ends[1]) {
		if time.Now().After(deadline) {
			t.Fatal("no link on loopback")
		}
		time.Sleep(time.Millisecond)
	}
	return ends[0], ends[1]
}

func up(t *Trunks) bool {
	s := t.Stats()
	return len(s) == 1 && s[0].Up
}

func testStream(t testing.TB, tr *Trunks) *Stream {
	t.Helper()
	s, err := tr.NewStream(StreamInfo{Room: "room", Participant: "alice", SourceEpoch: 3, Formats: opusFormats})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Real sockets, both directions at once.
func TestLoopback(t *testing.T) {
	came := make(chan Packet, 1000)
	a, b := loopback(t, func(p Packet) {
		p.Payload = nil
		came <- p
	})
	sa, sb := testStream(t, a), testStream(t, b)
	const packets = 200
	for k := range packets {
		a.Send("b", sa, packet(k))
		b.Send("a", sb, packet(k))
		for range 2 { // one at a time: a socket of a busy machine may lose what is sent in a burst
			select {
			case <-came:
			case <-time.After(10 * time.Second):
				t.Fatalf("packet %d has not come", k)
			}
		}
	}
	if l := a.Stats()[0]; l.PacketsOut != packets || l.PacketsIn != packets || l.Node != "b" {
		t.Errorf("%+v", l)
	}
}

// Nothing is allocated per packet, neither for those that send nor for those that receive.
func TestNoAllocation(t *testing.T) {
	came := make(chan struct{}, 1)
	a, _ := loopback(t, func(Packet) { came <- struct{}{} })
	s, p := testStream(t, a), packet(1)
	send := func() {
		a.Send("b", s, p)
		<-came
	}
	for range 2 * cacheSlots {
		send()
	}
	if n := testing.AllocsPerRun(2000, send); n != 0 {
		t.Errorf("%v allocations per packet, there and back", n)
	}
}

// BenchmarkSend is what the caller of Send waits for.
func BenchmarkSend(b *testing.B) {
	a, _ := loopback(b, nil)
	s, p := testStream(b, a), packet(1)
	p.Payload = make([]byte, 80)
	b.ReportAllocs()
	for b.Loop() {
		a.Send("b", s, p)
	}
}

// BenchmarkSeal is the writer's part of a datagram with so many packets of 80 bytes, without the system call.
func BenchmarkSeal(b *testing.B) {
	for _, packets := range []int{1, 8} {
		b.Run(map[int]string{1: "1", 8: "8"}[packets], func(b *testing.B) {
			tr, s := sealed(b)
			p := packet(1)
			p.Payload = make([]byte, 80)
			var plain []byte
			for range packets {
				plain = appendMedia(plain, 1, p, 0)
			}
			_ = tr
			var c cache
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				size = len(c.seal(s, plain, 0))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet")
			b.ReportMetric(float64(size-80*packets)/float64(packets), "overhead-B/packet")
		})
	}
}

// BenchmarkReceive is the reader's part, from the socket's bytes to OnPacket.
func BenchmarkReceive(b *testing.B) {
	for _, packets := range []int{1, 8} {
		b.Run(map[int]string{1: "1", 8: "8"}[packets], func(b *testing.B) {
			tr, s := sealed(b)
			s.local = tr.indexes.add(indexed{session: s})
			s.remote = s.local // sent to itself
			s.link.in[1] = &StreamInfo{Room: "r", Participant: "p"}
			p := packet(1)
			p.Payload = make([]byte, 80)
			var plain, datagram []byte
			for range packets {
				plain = appendMedia(plain, 1, p, 0)
			}
			n := 0
			tr.cfg.OnPacket = func(Packet) { n++ }
			b.ReportAllocs()
			for b.Loop() {
				datagram = s.encrypt(datagram, plain)
				tr.datagram(datagram, thirdHost, 0)
			}
			if n != packets*b.N {
				b.Fatalf("%d packets of %d", n, packets*b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet-sealed-and-received")
		})
	}
}

// sealed is a session with itself.
func sealed(b *testing.B) (*Trunks, *session) {
	b.Helper()
	conn := newNetwork().listen("10.0.0.1:1")
	tr, err := New(Config{Conn: conn, Node: "a", Secret: testSecret, Epoch: 1})
	if err != nil {
		b.Fatal(err)
	}
	aead, err := newAEAD(testSecret, nil, "test")
	if err != nil {
		b.Fatal(err)
	}
	l := newLink(tr, "b")
	s := &session{link: l, seal: aead, open: aead, addr: thirdHost, missing: make([]missing, 0, maxMissing)}
	l.sessions, l.current = []*session{s}, s
	return tr, s
}

// BenchmarkLoopback is the whole way over real sockets of this machine, both nodes in it, 100 streams of a tick at once.
func BenchmarkLoopback(b *testing.B) {
	var came atomic.Int64
	a, _ := loopback(b, func(Packet) { came.Add(1) })
	const streams = 100
	var all []*Stream
	for range streams {
		all = append(all, testStream(b, a))
	}
	p := packet(1)
	p.Payload = make([]byte, 80)
	b.ReportAllocs()
	for b.Loop() {
		before := came.Load()
		for _, s := range all {
			a.Send("b", s, p)
		}
		for deadline := time.Now().Add(100 * time.Millisecond); came.Load()-before < streams && time.Now().Before(deadline); {
			time.Sleep(50 * time.Microsecond)
		}
	}
	l := a.Stats()[0]
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams), "ns/packet")
	b.ReportMetric(float64(l.PacketsOut)/float64(l.DatagramsSent), "packets/datagram")
	b.ReportMetric(float64(l.BytesSent)/float64(l.PacketsOut)-80, "overhead-B/packet")
}
