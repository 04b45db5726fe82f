package sfu

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

// hostile are forms of addresses that must never get a check (reliability table, section 4.4).
var hostile = []string{
	"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.2.1",
	"192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.251", "239.1.2.3", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
	"64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "100::1", "2001::1", "2001:db8::1", "3fff::1", "5f00::1",
	"fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::fb",
}

func TestMayCheck(t *testing.T) {
	for _, s := range hostile {
		if a := netip.MustParseAddr(s); mayCheck(a, true) {
			t.Errorf("%s would be checked", s)
		}
	}
	for _, s := range []string{"10.1.2.3", "100.64.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1",
		"::ffff:10.1.2.3", "::10.1.2.3", "64:ff9b::a00:1", "2002:c0a8:101::"} {
		a := netip.MustParseAddr(s)
		if mayCheck(a, false) {
			t.Errorf("private %s would be checked", s)
		}
		if !mayCheck(a, true) {
			t.Errorf("private %s would not be checked on a LAN", s)
		}
	}
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if !mayCheck(netip.MustParseAddr(s), false) {
			t.Errorf("public %s would not be checked", s)
		}
	}
	if mayCheck(netip.Addr{}, true) {
		t.Error("no address would be checked")
	}
}

func allowPrivate(c *Config, _ *timing) { c.AllowPrivateCandidates = true }

func withCandidates(lines ...string) func(string) string {
	return func(s string) string {
		return strings.Replace(s, "a=end-of-candidates", strings.Join(lines, "\r\n")+"\r\na=end-of-candidates", 1)
	}
}

// TestCandidateSSRF is I-01 and I-04: somebody names a service of this host as their candidate, in every spelling, in
// the offer and by trickle, over UDP and TCP.
func TestCandidateSSRF(t *testing.T) {
	victim, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	victimTCP, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer victimTCP.Close()
	port := victim.LocalAddr().(*net.UDPAddr).Port
	tcpPort := victimTCP.Addr().(*net.TCPAddr).Port

	var lines []string
	for i, a := range []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "localhost"} {
		lines = append(lines, fmt.Sprintf("a=candidate:%d 1 udp 2130706431 %s %d typ host", i, a, port))
		lines = append(lines, fmt.Sprintf("a=candidate:%d 1 tcp 2130706431 %s %d typ host tcptype passive", i, a, tcpPort))
	}
	lines = append(lines, fmt.Sprintf("a=candidate:99 1 tcp 2130706431 127.0.0.1 %d typ host tcptype so", tcpPort))
	tcp := freeTCPPort(t)
	n := newTestNode(t, allowPrivate, func(c *Config, _ *timing) { c.TCPPort = tcp })
	a := n.newClient(clientOptions{hz: 700, munge: withCandidates(lines...)})
	b := n.newClient(clientOptions{hz: 1100})
	for _, l := range lines[:12] {
		if err := n.AddCandidate(t.Context(), b.id, Candidate{Candidate: strings.TrimPrefix(l, "a=")}); err != nil {
			t.Fatal(err)
		}
	}
	b.awaitTone(700)
	a.awaitTone(1100)
	// A second of life: pion sends checks every 200 ms while it has pairs.
	await(t, a.seen, "a second", func(StatsEvent) bool { return true })
	await(t, b.seen, "a second", func(StatsEvent) bool { return true })
	if got := waiting(t, victim); got {
		t.Error("a check was sent to a denied address")
	}
	if got := waitingTCP(t, victimTCP.(*net.TCPListener)); got {
		t.Error("a TCP candidate was dialled")
	}
}

// waiting tells if a datagram has arrived, without waiting for one.
func waiting(t *testing.T, c *net.UDPConn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := false
	var b [1500]byte
	if err := raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_DONTWAIT)
		got = err == nil
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func waitingTCP(t *testing.T, l *net.TCPListener) bool {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := false
	if err := raw.Control(func(fd uintptr) {
		c, _, err := syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK)
		if got = err == nil; got {
			_ = syscall.Close(c)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCandidateBomb is I-02.
func TestCandidateBomb(t *testing.T) {
	n := newTestNode(t, allowPrivate)
	var bomb []string
	for i := range 900 {
		bomb = append(bomb, fmt.Sprintf("a=candidate:%d 1 udp 1 10.%d.%d.1 5000 typ host", i, i/250, i%250))
	}
	joined, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true, Subscribe: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Offer(t.Context(), joined.Participant, browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+strings.Join(bomb, "\r\n")+"\r\n"))
	if !errors.Is(err, ErrTooManyCandidates) {
		t.Errorf("900 candidates: %v", err)
	}
	c := n.newClient(clientOptions{hz: 700})
	refused := 0
	for i := range 5000 {
		err := n.AddCandidate(t.Context(), c.id, Candidate{Candidate: fmt.Sprintf("candidate:%d 1 udp 1 10.%d.%d.1 5000 typ host", i, i/250, i%250)})
		switch {
		case errors.Is(err, ErrTooManyCandidates):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused < 5000-maxCandidates {
		t.Errorf("%d of 5000 refused", refused)
	}
	p, err := n.find(c.id)
	if err != nil {
		t.Fatal(err)
	}
	peer, _ := p.current()
	if g := peer.gate; len(g.kept) > maxCandidates || g.pairs > maxPairs {
		t.Errorf("%d candidates, %d pairs", len(g.kept), g.pairs)
	}
	// With several addresses of ours the pairs are what is bounded.
	g := candidateGate{allowPrivate: true, local4: 3}
	for i := range 32 {
		g.admit(candidate{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 9)})
	}
	if g.pairs != 39 || len(g.kept) != 13 {
		t.Errorf("%d pairs of %d candidates", g.pairs, len(g.kept))
	}
	c.awaitUp()
}

// TestMDNS is I-03: names cost nothing and ask nobody.
func TestMDNS(t *testing.T) {
	n := newTestNode(t, allowPrivate)
	before5353 := countPort5353(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("a=candidate:%d 1 udp 1 %08x-5d0e-4f6a-8f6d-2a3f0d3a1b7c.local 5000 typ host", i, i))
	}
	a := n.newClient(clientOptions{hz: 700, munge: withCandidates(names...)})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	a.awaitTone(1100)
	goroutines := runtime.NumGoroutine()
	for i := range 1000 {
		err := n.AddCandidate(t.Context(), b.id, Candidate{Candidate: fmt.Sprintf("candidate:%d 1 udp 1 x%d.local 5000 typ host", i, i)})
		if err != nil && !errors.Is(err, ErrTooManyCandidates) {
			t.Fatal(err)
		}
	}
	if got := runtime.NumGoroutine(); got > goroutines+5 {
		t.Errorf("%d goroutines more", got-goroutines)
	}
	if got := countPort5353(t); got > before5353 {
		t.Errorf("%d mDNS sockets", got-before5353)
	}
}

// countPort5353 counts this process's own mDNS sockets: a browser on the same machine has some too.
func countPort5353(t *testing.T) int {
	t.Helper()
	own := map[string]bool{} // inodes
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, f := range files {
		link, _ := os.Readlink("/proc/self/fd/" + f.Name()) // closed meanwhile: none of ours
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	n := 0
	for _, f := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		b, err := os.ReadFile(f)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			// sl local_address rem_address st queues timer retransmits uid timeout inode
			if fields := strings.Fields(line); len(fields) > 9 && strings.HasSuffix(fields[1], ":14E9") && own[fields[9]] {
				n++
			}
		}
	}
	return n
}

// TestSSRCFlood is I-12: a participant with credentials sends 50,000 streams, 1,000 with each packet of its own.
func TestSSRCFlood(t *testing.T) {
	n := newTestNode(t)
	const flood, burst = 50000, 1000
	began := time.Now()
	done := make(chan struct{})
	next := uint32(0)
	a := n.newClient(clientOptions{hz: 700, send: func(c *client, h *rtp.Header, payload []byte) {
		_, _ = c.track.writer.WriteRTP(h, payload)
		if next >= flood {
			return
		}
		p := *h
		for range burst {
			p.SSRC = 0x10000000 + next
			next++
			_, _ = c.track.writer.WriteRTP(&p, payload[:40])
		}
		if next == flood {
			close(done)
		}
	}})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the flood does not end")
	}
	eventually(t, "the flood is dropped", func() bool { return n.Stats().Dropped["ssrc"] > flood/10 })
	p, err := n.find(a.id)
	if err != nil {
		t.Fatal(err)
	}
	peer, _ := p.current()
	// One more is let in for each ssrcRefill that the flood lasts: on a slow machine it lasts longer.
	if got, most := len(peer.pc.GetTransceivers()), maxSSRCs+1+int(time.Since(began)/ssrcRefill); got > most {
		t.Errorf("%d transceivers, at most %d expected", got, most)
	}
	// The call goes on.
	b.forget()
	b.awaitTone(700)
	a.awaitTone(1100)
}

func TestSSRCGuard(t *testing.T) {
	g := new(ssrcGuard)
	addr := netip.MustParseAddrPort("192.0.2.1:5000")
	for i := range uint32(maxSSRCs) {
		if !g.admit(addr, i, 0) {
			t.Fatalf("SSRC %d refused", i)
		}
	}
	if g.admit(addr, 99, time.Second) {
		t.Error("one too many")
	}
	if !g.admit(addr, 3, time.Second) {
		t.Error("a known SSRC is refused")
	}
	if !g.admit(netip.MustParseAddrPort("192.0.2.1:5001"), 99, time.Second) {
		t.Error("another address pays for it")
	}
	now := 2 * time.Second
	for i := range uint32(maxSSRCsEver - maxSSRCs) {
		now += ssrcRefill
		if !g.admit(addr, 3, now) {
			t.Fatal("the one in use was thrown out")
		}
		if !g.admit(addr, 1000+i, now) {
			t.Fatalf("no further SSRC after %v", now)
		}
		if g.admit(addr, 5000+i, now+ssrcRefill-1) {
			t.Fatal("two at once")
		}
	}
	now += ssrcRefill
	if g.admit(addr, 99, now) {
		t.Error("there is no end to it")
	}
	if !g.admit(addr, 99, now+ssrcForgets+1) {
		t.Error("an address is never forgiven")
	}
	// More addresses than places: nobody is refused, memory does not grow.
	for i := range 10 * ssrcSets * ssrcWays {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))
		if !g.admit(a, 1, time.Hour) {
			t.Fatal("a new address is refused")
		}
	}
	if got := testing.AllocsPerRun(100, func() { g.admit(addr, 1, 0) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestClassify(t *testing.T) {
	rtpPacket := []byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}
	cases := []struct {
		in   []byte
		want packetClass
	}{
		{nil, classOther}, {[]byte{0, 1}, classSTUN}, {[]byte{22, 254, 253}, classDTLS}, {[]byte{19}, classOther},
		{[]byte{64}, classOther}, {rtpPacket, classRTP}, {rtpPacket[:11], classOther},
		{[]byte{0x80, 200, 0, 1, 0, 0, 0, 0}, classRTCP}, {[]byte{0x80, 200, 0}, classOther}, {[]byte{255}, classOther},
	}
	for _, c := range cases {
		if got := classify(c.in); got != c.want {
			t.Errorf("%v: %d, want %d", c.in, got, c.want)
		}
	}
	if rtpSSRC(rtpPacket) != 9 {
		t.Error("SSRC")
	}
}

// TestSocketErrors is I-16: what the network reports does not end the read loop, a closed socket does.
func TestSocketErrors(t *testing.T) {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var counters socketCounters
	c, err := newMediaConn(u, &counters)
	if err != nil {
		t.Fatal(err)
	}
	script := []error{syscall.ECONNREFUSED, syscall.ENOBUFS, syscall.EHOSTUNREACH, syscall.EMSGSIZE, syscall.EIO, nil}
	c.read = func(handle func([]*datagram)) error {
		if len(script) == 0 {
			return net.ErrClosed
		}
		err := script[0]
		script = script[1:]
		if err != nil {
			return &net.OpError{Op: "read", Err: err}
		}
		d := &datagram{from: netip.MustParseAddrPort("127.0.0.1:9"), n: 1}
		d.data[0] = 22
		handle([]*datagram{d})
		return net.ErrClosed
	}
	var got []netip.AddrPort
	c.serve(func(d *datagram) bool { // returns when the socket is closed
		got = append(got, d.from)
		return false
	})
	if len(got) != 1 || got[0].Port() != 9 {
		t.Fatalf("datagrams from %v", got)
	}
	if got := counters.readErrors.Load(); got != 5 {
		t.Errorf("%d errors counted", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// TestForeignPackets is I-11: what a third address sends, without having passed ICE, is neither heard nor answered.
func TestForeignPackets(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	third, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(n.MediaAddrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	before := n.Stats().RTPIn
	h := rtp.Header{Version: 2, PayloadType: 111, SSRC: a.track.ssrc, SequenceNumber: 7}
	packet := rtp.Packet{Header: h, Payload: (&tone{hz: 1500}).frame()}
	raw, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		_, _ = third.Write(raw)
		_, _ = third.Write([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
		_, _ = third.Write([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
		_, _ = third.Write([]byte("garbage"))
	}
	eventually(t, "garbage is dropped", func() bool { return n.Stats().Dropped["protocol"] > 0 })
	b.forget()
	b.awaitTone(700, 1500)
	if waiting(t, third) {
		t.Error("the third address got an answer")
	}
	if got := n.Stats().RTPIn; got == before {
		t.Error("the call did not go on")
	}
}

// TestForbidden: what a participant may not do is not done, whatever it offers.
func TestForbidden(t *testing.T) {
	n := newTestNode(t)
	mute := n.newClient(clientOptions{hz: 700, deny: func(r *JoinRequest) { r.Publish = false }})
	deaf := n.newClient(clientOptions{hz: 1100, deny: func(r *JoinRequest) { r.Subscribe = false }})
	mute.awaitTone(1100)
	if d := mute.pc.GetTransceivers()[0].Direction(); d != webrtc.RTPTransceiverDirectionSendrecv {
		t.Fatal(d)
	}
	if !strings.Contains(mute.pc.RemoteDescription().SDP, "a=sendonly") {
		t.Error("a participant that may not speak was not told")
	}
	if !strings.Contains(deaf.pc.RemoteDescription().SDP, "a=recvonly") {
		t.Error("a participant that may not listen was not told")
	}
	select {
	case <-deaf.heard:
		t.Error("a participant that may not listen hears")
	default:
	}
	all, _ := n.Roster(mute.id)
	for _, p := range all {
		if p.ID == mute.id && p.Publish {
			t.Error("a participant that may not speak is in the mix")
		}
	}
}

// TestWrongFingerprint is I-08: the certificate is not the one in the offer.
func TestWrongFingerprint(t *testing.T) {
	n := newTestNode(t, short, func(_ *Config, tm *timing) { tm.neverConnected = 3 * time.Second })
	c := n.newClient(clientOptions{hz: 700, kind: KindWHIP, munge: func(s string) string {
		i := strings.Index(s, "a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
		other := "00"
		if s[i:i+2] == other {
			other = "01"
		}
		return s[:i] + other + s[i+2:]
	}})
	await(t, c.seen, "closed", func(ClosedEvent) bool { return true })
	if s := n.Stats(); s.RTPIn != 0 || s.Participants != 0 {
		t.Errorf("%d packets delivered, %d participants", s.RTPIn, s.Participants)
	}
}

// tap is a client's socket that remembers the RTP it has sent.
type tap struct {
	net.PacketConn
	mu     sync.Mutex
	sent   [][]byte
	to     net.Addr
	silent atomic.Bool // answers no check
}

func (c *tap) WriteTo(b []byte, to net.Addr) (int, error) {
	if classify(b) == classRTP {
		c.mu.Lock()
		c.sent, c.to = append(c.sent, slices.Clone(b)), to
		c.mu.Unlock()
	}
	if c.silent.Load() && classify(b) == classSTUN && b[0] == 1 && b[1] == 1 { // a success response, RFC 8489, section 5
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (c *tap) packets() ([][]byte, net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent), c.to
}

// TestBrokenAndReplayed is I-09 and I-10: packets with broken tags and packets sent before, from the client's own
// address, also after an ICE restart. Each is dropped and the call goes on.
func TestBrokenAndReplayed(t *testing.T) {
	n := newTestNode(t)
	socket := &tap{PacketConn: crashable(t)}
	a := n.newClient(clientOptions{hz: 700, socket: socket})
	b := n.newClient(clientOptions{})
	b.awaitTone(700)
	attack := func() {
		packets, to := socket.packets()
		for i := range 1000 {
			p := slices.Clone(packets[i%len(packets)])
			_, _ = socket.PacketConn.WriteTo(p, to) // as it was
			p[3] += 100                             // a number it has not had
			_, _ = socket.PacketConn.WriteTo(p, to)
			p[len(p)-1] ^= 1
			_, _ = socket.PacketConn.WriteTo(p, to)
			if i%100 == 99 { // what the kernel can hold
				b.forget()
				b.awaitTone(700)
			}
		}
	}
	attack()
	b.forget()
	b.awaitTone(700)
	if err := a.negotiate(nil, &webrtc.OfferOptions{ICERestart: true}); err != nil {
		t.Fatal(err)
	}
	b.forget()
	b.awaitTone(700)
	attack()
	b.forget()
	b.awaitTone(700)
	a.stop()
	sent, _ := socket.packets()
	eventually(t, "the sockets are read", func() bool { return n.Stats().SocketPacketsIn > 2000 })
	if got := n.Stats().RTPIn; got > uint64(len(sent)) || got == 0 {
		t.Errorf("%d packets taken of %d sent", got, len(sent))
	}
}

// TestConsent is I-17: a client that goes on sending but answers no more checks gets nothing more.
func TestConsent(t *testing.T) {
	n := newTestNode(t, func(_ *Config, tm *timing) {
		tm.iceKeepalive, tm.consent = 100*time.Millisecond, 1500*time.Millisecond
	})
	socket := &tap{PacketConn: crashable(t)}
	a := n.newClient(clientOptions{hz: 700, kind: KindWHIP, socket: socket})
	b := n.newClient(clientOptions{hz: 1100})
	a.awaitTone(1100)
	b.awaitTone(700)
	for range 3 { // it is not consent that a quiet second takes away
		await(t, a.seen, "a second", func(StatsEvent) bool { return true })
	}
	socket.silent.Store(true)
	if e := await(t, a.seen, "closed", func(ClosedEvent) bool { return true }); e.Reason != ReasonTimeout {
		t.Errorf("reason %q", e.Reason)
	}
	if got := n.counters.consentLost.Load(); got != 1 {
		t.Errorf("%d lost their consent", got)
	}
	b.forget()
	await(t, b.seen, "b goes on", func(StatsEvent) bool { return true })
}

// FuzzPacket is I-13: header extensions, padding and lengths of any kind are parsed or dropped.
func FuzzPacket(f *testing.F) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 5, Padding: true, PaddingSize: 20}, Payload: make([]byte, 80)}
	if err := p.SetExtension(1, []byte{33}); err != nil {
		f.Fatal(err)
	}
	raw, err := p.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0xb0, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0, 1, 1, 0xff, 0, 255})
	r, err := parseRemote(browserOffer(), -1)
	if err != nil {
		f.Fatal(err)
	}
	n := &Node{}
	n.log = zap.NewNop()
	part := &participant{node: n, closed: true}
	peer := &peer{node: n, participant: part}
	peer.understood.Store(r)
	peer.mayPublish.Store(true)
	f.Fuzz(func(t *testing.T, b []byte) {
		if classify(b) != classRTP {
			return
		}
		u := &upTrack{p: peer, serial: 1}
		size := copy(u.buf[:], b)
		if u.rtp.Unmarshal(u.buf[:size]) != nil {
			return
		}
		u.receive(time.Second)
		if len(u.rtp.Payload) > size {
			t.Fatal("a payload longer than its packet")
		}
	})
}
