package sfu

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"parley/mixer"
	"parley/neteq"
)

// listenTestTCP is a guarded listener on loopback.
func listenTestTCP(t *testing.T) (*tcpListener, *socketCounters) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counters := &socketCounters{}
	g := newTCPListener(l, counters)
	t.Cleanup(func() { _ = g.Close() })
	return g, counters
}

func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

func rtpBytes(ssrc uint32) []byte {
	b := make([]byte, 20)
	b[0], b[1] = 0x80, 111
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// TestTCPFrames: whole admitted frames come through, byte by byte as they are asked for; the rest is dropped.
func TestTCPFrames(t *testing.T) {
	l, counters := listenTestTCP(t)
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stun := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
	go func() { // ends with the connection
		_, _ = c.Write(frame(stun))
		_, _ = c.Write(frame([]byte("garbage")))
		_, _ = c.Write(frame(nil))
		for i := range uint32(100) {
			_, _ = c.Write(frame(rtpBytes(i)))
		}
		_, _ = c.Write(frame(stun))
		_, _ = c.Write([]byte{0xff, 0xff, 1}) // beyond any size of ours
	}()
	got := 0
	for {
		var head [2]byte
		if _, err := io.ReadFull(s, head[:1]); err != nil {
			if !strings.Contains(err.Error(), "65535") {
				t.Errorf("the end: %v", err)
			}
			break
		}
		if _, err := io.ReadFull(s, head[1:]); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(s, b); err != nil {
			t.Fatal(err)
		}
		got++
	}
	if got != 2+maxSSRCs {
		t.Errorf("%d frames", got)
	}
	if counters.droppedOther.Load() != 2 || counters.droppedSSRC.Load() != 100-maxSSRCs {
		t.Errorf("dropped %d and %d", counters.droppedOther.Load(), counters.droppedSSRC.Load())
	}
}

// TestTCPLimit: one address cannot take all connections, and gives them back.
func TestTCPLimit(t *testing.T) {
	l, counters := listenTestTCP(t)
	accepted := make(chan net.Conn, maxTCPConnsPerIP+10)
	done := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			accepted <- c
		}
	}()
	var conns []net.Conn
	for range maxTCPConnsPerIP + 5 {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	eventually(t, "the rest is refused", func() bool { return counters.tcpRefused.Load() == 5 })
	for range maxTCPConnsPerIP {
		c := <-accepted
		_ = c.Close()
		_ = c.Close()
	}
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conns = append(conns, c)
	_ = (<-accepted).Close()
	for _, c := range conns {
		_ = c.Close()
	}
	_ = l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept ended with %v", err)
	}
	if l.total != 0 || len(l.perIP) != 0 {
		t.Errorf("%d connections are still counted", l.total)
	}
}

func TestNewRefuses(t *testing.T) {
	m, err := mixer.New(mixer.Config{
		NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) { return &pcmDecoder{}, nil },
		NewEncoder: func(mixer.EncoderConfig) (mixer.Encoder, error) { return pcmEncoder{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for name, c := range map[string]Config{
		"no mixer":    {Addresses: loopback},
		"no address":  {Mixer: m},
		"any address": {Mixer: m, Addresses: []netip.Addr{netip.IPv4Unspecified()}},
		"empty range": {Mixer: m, Addresses: loopback, UDPPorts: PortRange{2000, 1999}},
		"not ours":    {Mixer: m, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
	} {
		if n, err := New(c); err == nil {
			t.Errorf("%s: made %v", name, n)
		}
	}
}

// TestPortTaken: a port in use is left out, the rest serves; all in use is an error.
func TestPortTaken(t *testing.T) {
	r := freePorts(t, 2)
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(r.First)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := newTestNode(t, func(c *Config, _ *timing) { c.UDPPorts = r })
	if a := n.MediaAddrs(); len(a) != 1 || a[0].Port() != r.Last {
		t.Errorf("%v", a)
	}
	cfg := n.cfg
	cfg.UDPPorts = PortRange{r.First, r.First}
	if _, err := New(cfg); err == nil {
		t.Error("made a node without a port")
	}
}

// TestAddresses: what the answer offers is what we listen on, and the 1:1 NAT address; once each, component 1 only.
func TestAddresses(t *testing.T) {
	tcp := freeTCPPort(t)
	n := newTestNode(t, func(c *Config, _ *timing) {
		c.Addresses = append(c.Addresses, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"))
		c.NAT1To1 = []netip.Addr{netip.MustParseAddr("203.0.113.9")}
		c.TCPPort = tcp
	})
	if got := len(n.MediaAddrs()); got != 2 {
		t.Fatalf("%d sockets", got)
	}
	j, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true, Subscribe: true})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.Offer(t.Context(), j.Participant, browserOffer())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.SplitSeq(answer, "\r\n") {
		if !strings.HasPrefix(line, "a=candidate:") {
			continue
		}
		f := strings.Fields(line)
		if f[1] != "1" || f[7] != "host" {
			t.Errorf("%s", line)
		}
		count[f[2]+" "+f[4]]++
	}
	want := map[string]int{"udp 127.0.0.1": 1, "udp 127.0.0.2": 1, "udp 203.0.113.9": 2, "tcp 127.0.0.1": 1, "tcp 203.0.113.9": 1}
	for k, v := range want {
		if count[k] != v {
			t.Errorf("%s: %d candidates, want %d\n%s", k, count[k], v, answer)
		}
	}
}

// TestIPv6 calls over ::1.
func TestIPv6(t *testing.T) {
	var sockets [2]net.PacketConn // pion gathers no ::1 by itself
	for i := range sockets {
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Skip("no IPv6 here")
		}
		defer c.Close()
		sockets[i] = c
	}
	n := newTestNode(t, func(c *Config, _ *timing) { c.Addresses = []netip.Addr{netip.IPv6Loopback()} })
	a := n.newClient(clientOptions{hz: 700, v6: true, socket: sockets[0]})
	b := n.newClient(clientOptions{hz: 1100, v6: true, socket: sockets[1]})
	b.awaitTone(700)
	a.awaitTone(1100)
}

// discardWriter is pion's end for tests of the way to it.
type discardWriter struct{ last rtp.Header }

func (d *discardWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	d.last = *h
	return len(payload), nil
}
func (d *discardWriter) Write(b []byte) (int, error) { return len(b), nil }

func TestDownTrack(t *testing.T) {
	d := newDownTrack(111)
	w := &discardWriter{}
	var writer webrtc.TrackLocalWriter = w
	f := mixer.Frame{Payload: make([]byte, 80), Timestamp: 1000, Samples: 960}
	d.WriteFrame(f) // nobody there yet
	d.live.Store(true)
	d.writer.Store(&writer)
	first := d.header.SequenceNumber
	d.WriteFrame(f)
	if !w.last.Marker || w.last.SequenceNumber != first || w.last.PayloadType != 111 || w.last.Timestamp != 1000+d.offset {
		t.Errorf("first: %+v", w.last)
	}
	f.Timestamp += 960
	d.WriteFrame(f)
	if w.last.Marker || w.last.SequenceNumber != first+1 || w.last.Timestamp != 1960+d.offset {
		t.Errorf("second: %+v", w.last)
	}
	d.live.Store(false) // the path is away for a while
	f.Timestamp += 960
	d.WriteFrame(f)
	d.live.Store(true)
	f.Timestamp += 960
	d.WriteFrame(f)
	if !w.last.Marker || w.last.SequenceNumber != first+2 || w.last.Timestamp != 3880+d.offset {
		t.Errorf("after a gap: %+v", w.last)
	}
	if d.packets.Load() != 3 || d.bytes.Load() != 240 {
		t.Errorf("%d packets, %d bytes", d.packets.Load(), d.bytes.Load())
	}
	if got := testing.AllocsPerRun(1000, func() { d.WriteFrame(f) }); got != 0 {
		t.Errorf("%v allocations per frame", got)
	}
}

// TestUpTrackAllocates nothing per packet, levels and padding included.
func TestUpTrackAllocates(t *testing.T) {
	n := newTestNode(t)
	j, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.find(j.Participant)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRemote(browserOffer(), -1)
	if err != nil {
		t.Fatal(err)
	}
	peer := &peer{node: n.Node, participant: p, first: r}
	peer.understood.Store(r)
	peer.mayPublish.Store(true)
	p.mu.Lock()
	p.peer = peer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.peer = nil
		p.mu.Unlock()
	}()
	out := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 5, Padding: true, PaddingSize: 20}, Payload: make([]byte, 80)}
	out.Payload[0] = 31 << 3
	if err := out.SetExtension(1, []byte{0x80 | 33}); err != nil {
		t.Fatal(err)
	}
	raw, err := out.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	track := &upTrack{p: peer, serial: 1}
	arrival := time.Duration(0)
	packet := func() {
		copy(track.buf[:], raw)
		binary.BigEndian.PutUint16(track.buf[2:], out.SequenceNumber)
		binary.BigEndian.PutUint32(track.buf[4:], out.Timestamp)
		if err := track.rtp.Unmarshal(track.buf[:len(raw)]); err != nil {
			t.Fatal(err)
		}
		track.receive(arrival)
		out.SequenceNumber++
		out.Timestamp += 960
		arrival += 20 * time.Millisecond
	}
	packet()
	if !track.packet.HasAudioLevel || track.packet.AudioLevel != 33 || len(track.packet.Payload) != 80 {
		t.Errorf("%+v", track.packet)
	}
	if got := testing.AllocsPerRun(200, packet); got != 0 {
		t.Errorf("%v allocations per packet", got)
	}
}

// TestReceiver has RFC 3550's figures for loss, reordering, duplicates, wrap-around and jitter.
// Chromium sends packets of padding only once a second; they have sequence numbers of their own.
func TestReceiverPaddingIsNotLost(t *testing.T) {
	var r receiver
	var s receiveStats
	r.padding(&s, &rtp.Header{SequenceNumber: 4})
	if s.packets.Load() != 0 {
		t.Error("padding before the first packet is counted")
	}
	ms := time.Millisecond
	r.packet(&s, &rtp.Header{SequenceNumber: 5, Timestamp: 0}, 48000, 10, 0)
	r.padding(&s, &rtp.Header{SequenceNumber: 6, Timestamp: 0})
	r.padding(&s, &rtp.Header{SequenceNumber: 7, Timestamp: 0})
	r.packet(&s, &rtp.Header{SequenceNumber: 8, Timestamp: 960}, 48000, 10, 20*ms)
	if got, want := s.packets.Load(), uint64(s.expected.Load()); got != 4 || want != 4 {
		t.Errorf("%d packets of %d", got, want)
	}
	if j := s.jitter.Load(); j != 0 {
		t.Errorf("jitter %#x", j)
	}
}

func TestReceiver(t *testing.T) {
	type in struct {
		seq     uint16
		ts      uint32
		arrival time.Duration
	}
	ms := time.Millisecond
	cases := []struct {
		name     string
		in       []in
		expected int64
		jitter   float64
	}{
		{"one", []in{{5, 0, 0}}, 1, 0},
		{"in step", []in{{5, 0, 0}, {6, 960, 20 * ms}, {7, 1920, 40 * ms}}, 3, 0},
		{"one lost", []in{{5, 0, 0}, {7, 1920, 40 * ms}}, 3, 0},
		{"over the edge", []in{{65534, 0, 0}, {65535, 960, 20 * ms}, {0, 1920, 40 * ms}, {1, 2880, 60 * ms}}, 4, 0},
		{"timestamps over the edge", []in{{1, 0xfffffe20, 0}, {2, 480, 20 * ms}}, 2, 0},
		{"reordered", []in{{5, 0, 0}, {7, 1920, 40 * ms}, {6, 960, 40 * ms}}, 3, 960.0 / 16},
		{"duplicate", []in{{5, 0, 0}, {5, 0, 0}}, 1, 0},
		{"16 ms late", []in{{5, 0, 0}, {6, 960, 36 * ms}}, 2, 768.0 / 16},
		{"a jump", []in{{5, 0, 0}, {20005, 0, 0}}, 2, 0},
		{"a new clock", []in{{5, 0, 0}, {6, 1 << 30, 20 * ms}}, 2, 0},
	}
	for _, c := range cases {
		var r receiver
		var s receiveStats
		for _, p := range c.in {
			r.packet(&s, &rtp.Header{SequenceNumber: p.seq, Timestamp: p.ts}, 48000, 10, p.arrival)
		}
		if got := s.expected.Load(); got != c.expected {
			t.Errorf("%s: %d expected, want %d", c.name, got, c.expected)
		}
		if r.jitter != c.jitter {
			t.Errorf("%s: jitter %v, want %v", c.name, r.jitter, c.jitter)
		}
		if got := s.packets.Load(); got != uint64(len(c.in)) {
			t.Errorf("%s: %d packets", c.name, got)
		}
	}
}

func TestRate(t *testing.T) {
	stats := func(upLoss, downLoss, rtt float64) *Stats {
		var s Stats
		s.Up.LossFraction, s.Down.LossFraction, s.Transport.RTTMs = upLoss, downLoss, rtt
		return &s
	}
	var m statsMeter
	steps := []struct {
		s    *Stats
		want int
	}{
		{stats(0, 0, 20), 4}, {stats(0.03, 0, 20), 3}, {stats(0, 0.06, 20), 2}, {stats(0.2, 0, 20), 1},
		{stats(0, 0, 20), 1}, {stats(0, 0, 20), 1}, {stats(0, 0, 20), 2}, {stats(0, 0, 20), 2},
		{stats(0, 0, 500), 2}, {stats(0, 0, 900), 1},
	}
	for i, s := range steps {
		if got := m.rate(s.s, true, true); got != s.want {
			t.Errorf("step %d: %d, want %d", i, got, s.want)
		}
	}
	var silent statsMeter
	if got := silent.rate(stats(1, 1, 0), false, false); got != 4 {
		t.Errorf("nothing to rate: %d", got)
	}
}

// BenchmarkOffer is the CPU of one offer, peer connection made and closed (I-02 asks for 5 ms at most).
func BenchmarkOffer(b *testing.B) {
	n := benchNode(b)
	many := browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+strings.Repeat("a=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n", 31))
	bomb := browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+strings.Repeat("a=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n", 900))
	for _, c := range []struct{ name, sdp string }{{"browser", browserOffer()}, {"32 candidates", many}, {"900 candidates", bomb}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				j, err := n.Join(b.Context(), JoinRequest{Room: "r", Publish: true, Subscribe: true})
				if err != nil {
					b.Fatal(err)
				}
				_, _ = n.Offer(b.Context(), j.Participant, c.sdp)
				if err := n.Leave(b.Context(), j.Participant, ReasonLeft); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1e6/float64(b.N), "cpu-ms/op")
		})
	}
}

func TestRoundTrip(t *testing.T) {
	now := time.Date(2036, 2, 7, 6, 28, 16, 250e6, time.UTC) // 250 ms after NTP's seconds have wrapped around
	ms := func(d int) uint32 { return uint32(d * 65536 / 1000) }
	for _, c := range []struct {
		name        string
		sent, delay int // ms ago, ms
		want        time.Duration
		ok          bool
	}{
		{"50 ms", 150, 100, 50 * time.Millisecond, true},
		{"over the second", 1300, 900, 400 * time.Millisecond, true},
		{"a clock that jumped", 60000, 0, 0, false},
		{"more delay than time", 100, 200, 0, false},
	} {
		r := rtcp.ReceptionReport{LastSenderReport: ntpMiddle(now.Add(-time.Duration(c.sent) * time.Millisecond)), Delay: ms(c.delay)}
		got, ok := roundTrip(r, now)
		if ok != c.ok || (got-c.want).Abs() > time.Millisecond/10 {
			t.Errorf("%s: %v %v", c.name, got, ok)
		}
	}
	if _, ok := roundTrip(rtcp.ReceptionReport{Delay: 5}, now); ok {
		t.Error("a round trip without any report of ours")
	}
}
