package turn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// stunBytes builds a message from a type and attributes given as (kind, value) with any length field.
func stunBytes(kind uint16, attrs ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	b = append(b, "transaction!"...)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeaderSize))
	return b
}

func attr(kind uint16, value ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestInspect(t *testing.T) {
	four := attr(attrXORPeerAddress, 0, 1, 0, 9, 1, 2, 3, 4)
	integrity := attr(attrMessageIntegrity, make([]byte, 20)...)
	fingerprint := attr(attrFingerprint, 1, 2, 3, 4)
	long := func(b []byte, length int) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint16(b[2:], uint16(length))
		return b
	}
	var seventeen, many [][]byte
	for range 17 {
		seventeen = append(seventeen, four)
	}
	for range maxAttributes + 1 {
		many = append(many, attr(0x8022))
	}
	for _, c := range []struct {
		name   string
		b      []byte
		stream bool
		want   reason
	}{
		{"binding", stunBytes(0x0001), false, reasonNone},
		{"allocate", stunBytes(0x0003, integrity, fingerprint), false, reasonNone},
		{"send", stunBytes(0x0016, four, attr(attrData, 1)), false, reasonNone},
		{"binding indication", stunBytes(0x0011), false, reasonNone},
		{"16 peers", stunBytes(0x0008, seventeen[:16]...), false, reasonNone},
		{"IPv6 peer", stunBytes(0x0008, attr(attrXORPeerAddress, append([]byte{0, 2}, make([]byte, 18)...)...)), false, reasonNone},
		{"lifetime 0 in a refresh", stunBytes(0x0004, attr(attrLifetime, 0, 0, 0, 0)), false, reasonNone},
		{"channel data", []byte{0x40, 0, 0, 4, 1, 2, 3, 4}, false, reasonNone},
		{"channel data, 0x4FFF, unpadded", []byte{0x4F, 0xFF, 0, 1, 1}, false, reasonNone},
		{"channel data, padded", []byte{0x40, 0, 0, 1, 1, 0, 0, 0}, true, reasonNone},

		{"nothing", nil, false, reasonShort},
		{"three bytes", []byte{0, 1, 0}, false, reasonShort},
		{"1501 bytes", make([]byte, 1501), false, reasonOversize},
		{"DTLS", append([]byte{22}, make([]byte, 40)...), false, reasonNotSTUN},
		{"RTP", append([]byte{0x80}, make([]byte, 40)...), false, reasonNotSTUN},
		{"channel 0x5000", []byte{0x50, 0, 0, 0}, false, reasonNotSTUN},
		{"no cookie", append([]byte{0, 1, 0, 0}, make([]byte, 16)...), false, reasonNotSTUN},
		{"19 bytes", stunBytes(0x0001)[:19], false, reasonNotSTUN},
		{"channel data cut", []byte{0x40, 0, 0, 5, 1, 2, 3, 4}, false, reasonChannelMalformed},
		{"channel data with a tail", []byte{0x40, 0, 0, 0, 0, 0, 0, 0}, false, reasonChannelMalformed},
		{"channel data unpadded on a stream", []byte{0x40, 0, 0, 1, 1}, true, reasonChannelMalformed},
		{"length too long", long(stunBytes(0x0001), 4), false, reasonSTUNMalformed},
		{"length too short", long(stunBytes(0x0001, four), 8), false, reasonSTUNMalformed},
		{"odd length", append(long(stunBytes(0x0001), 2), 0, 0), false, reasonSTUNMalformed},
		{"attribute over the end", stunBytes(0x0001, []byte{0x80, 0x22, 0, 1}), false, reasonSTUNMalformed},
		{"attribute of 65535", stunBytes(0x0001, []byte{0x80, 0x22, 0xFF, 0xFF}), false, reasonSTUNMalformed},
		{"17 peers", stunBytes(0x0008, seventeen...), false, reasonSTUNMalformed},
		{"too many attributes", stunBytes(0x0001, many...), false, reasonSTUNMalformed},
		{"empty peer", stunBytes(0x0016, attr(attrXORPeerAddress)), false, reasonSTUNMalformed},
		{"peer of no family", stunBytes(0x0016, attr(attrXORPeerAddress, 0, 3, 0, 0, 1, 2, 3, 4)), false, reasonSTUNMalformed},
		{"IPv6 peer with 8 bytes", stunBytes(0x0016, attr(attrXORPeerAddress, 0, 2, 0, 0, 1, 2, 3, 4)), false, reasonSTUNMalformed},
		{"IPv4 peer with 20 bytes", stunBytes(0x0016, attr(attrXORPeerAddress, append([]byte{0, 1}, make([]byte, 18)...)...)), false,
			reasonSTUNMalformed},
		{"peer with a first byte", stunBytes(0x0016, attr(attrXORPeerAddress, 1, 1, 0, 0, 1, 2, 3, 4)), false, reasonSTUNMalformed},
		{"empty mapped address", stunBytes(0x0001, attr(attrMappedAddress)), false, reasonSTUNMalformed},
		{"empty relayed address", stunBytes(0x0001, attr(attrXORRelayedAddress)), false, reasonSTUNMalformed},
		{"empty XOR-mapped address", stunBytes(0x0001, attr(attrXORMappedAddress)), false, reasonSTUNMalformed},
		{"empty alternate server", stunBytes(0x0001, attr(attrAlternateServer)), false, reasonSTUNMalformed},
		{"integrity of 16", stunBytes(0x0003, attr(attrMessageIntegrity, make([]byte, 16)...)), false, reasonSTUNMalformed},
		{"peer behind integrity", stunBytes(0x0008, integrity, four), false, reasonSTUNMalformed},
		{"two integrities", stunBytes(0x0008, integrity, integrity), false, reasonSTUNMalformed},
		{"fingerprint of 8", stunBytes(0x0001, attr(attrFingerprint, make([]byte, 8)...)), false, reasonSTUNMalformed},
		{"integrity behind fingerprint", stunBytes(0x0003, fingerprint, integrity), false, reasonSTUNMalformed},
		{"two fingerprints", stunBytes(0x0003, fingerprint, fingerprint), false, reasonSTUNMalformed},
		{"lifetime of 8 bytes", stunBytes(0x0003, attr(attrLifetime, make([]byte, 8)...)), false, reasonSTUNMalformed},
		{"channel number of 2 bytes", stunBytes(0x0009, attr(attrChannelNumber, 0x40, 0)), false, reasonSTUNMalformed},
		{"transport of 1 byte", stunBytes(0x0003, attr(attrRequestedTransport, 17)), false, reasonSTUNMalformed},
		{"family of 1 byte", stunBytes(0x0003, attr(attrRequestedFamily, 1)), false, reasonSTUNMalformed},
		{"lifetime 0 in an allocate", stunBytes(0x0003, attr(attrLifetime, 0, 0, 0, 0)), false, reasonLifetime},
		{"lifetime 29", stunBytes(0x0004, attr(attrLifetime, 0, 0, 0, 29)), false, reasonLifetime},
		{"binding success", stunBytes(0x0101), false, reasonSTUNMethod},
		{"allocate error", stunBytes(0x0113), false, reasonSTUNMethod},
		{"data indication", stunBytes(0x0017), false, reasonSTUNMethod},
		{"send request", stunBytes(0x0006), false, reasonSTUNMethod},
		{"connect", stunBytes(0x000A), false, reasonSTUNMethod},
		{"connection bind", stunBytes(0x000B), false, reasonSTUNMethod},
		{"method 0xFFF", stunBytes(0x3EEF), false, reasonSTUNMethod},
	} {
		var p packet
		require.Equal(t, reasonNames[c.want], reasonNames[inspect(c.b, c.stream, &p)], c.name)
	}
}

func TestInspectDoesNotAllocate(t *testing.T) {
	messages := [][]byte{
		stunBytes(0x0001), stunBytes(0x0016, attr(attrXORPeerAddress, 0, 1, 0, 9, 1, 2, 3, 4), attr(attrData, make([]byte, 160)...)),
		append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...),
	}
	var p packet
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		for _, m := range messages {
			inspect(m, false, &p)
		}
	}))
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "::192.0.2.1": "192.0.2.1", "64:ff9b::c000:201": "192.0.2.1",
		"2002:c000:201::": "192.0.2.1", "2002:c000:201:1:2:3:4:5": "192.0.2.1", "::": "::", "::1": "::1", "::2": "0.0.0.2",
		"2001:db8::1": "2001:db8::1", "64:ff9b:1::1": "64:ff9b:1::1", "fe80::1%eth0": "fe80::1",
	} {
		require.Equal(t, want, Canonical(netip.MustParseAddr(in)).String(), in)
	}
}

func TestAllowList(t *testing.T) {
	allow := AllowList(func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:10000"), netip.MustParseAddrPort("[::ffff:192.0.2.2]:10001")}
	})
	for in, want := range map[string]bool{
		"192.0.2.1:10000": true, "192.0.2.1:0": true, "192.0.2.1:10001": false, "192.0.2.2:10001": true, "192.0.2.3:10000": false,
		"192.0.2.3:0": false, "[2001:db8::1]:10000": false,
	} {
		require.Equal(t, want, allow(netip.MustParseAddrPort(in)), in)
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, 1e6)
	a, b := sourcePrefix(netip.MustParseAddr("192.0.2.1")), sourcePrefix(netip.MustParseAddr("192.0.2.2"))
	count := func(src sourceKey, now time.Duration) (n int) {
		for range 100 {
			if l.allow(src, now) {
				n++
			}
		}
		return n
	}
	require.Equal(t, 10, count(a, 0))
	require.Equal(t, 10, count(b, 0))
	require.Equal(t, 0, count(a, 0))
	require.Equal(t, 5, count(a, 500*time.Millisecond))
	require.Equal(t, 10, count(a, time.Hour))
	require.Equal(t, 0, count(a, time.Minute), "a clock that goes back gives nothing")

	// Forged sources cannot be answered more often than the limit on all together, and take no memory.
	l = newLimiter(10, 500)
	n := 0
	for i := range 100_000 {
		if l.allow(sourceKey(i), 0) {
			n++
		}
	}
	require.Equal(t, 500, n)
	require.Zero(t, testing.AllocsPerRun(100, func() { l.allow(a, time.Hour) }))

	six := func(s string) sourceKey { return sourcePrefix(netip.MustParseAddr(s)) }
	require.Equal(t, six("2001:db8::1"), six("2001:db8::ffff:1"))
	require.NotEqual(t, six("2001:db8::1"), six("2001:db8:0:1::1"))
	require.Equal(t, six("::ffff:192.0.2.1"), a)
}

func TestCredentialNames(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newCredentials([]byte("secret"), "parley", 5*time.Minute)
	for _, participant := range []string{"anna", "a:b:c", "with space", "ünï:çødé", strings.Repeat("long", 200), "%3A", "a@b"} {
		name, password := c.mint(participant, now)
		require.Less(t, len(name), 508, "RFC 8489, section 14.3")
		id, ok := c.check(name, "parley", now)
		require.True(t, ok && id.live, participant)
		got := id.participant
		require.Equal(t, escapeParticipant(participant), got)
		require.Equal(t, []byte(stun.NewLongTermIntegrity(name, "parley", password)), id.key)
		require.Equal(t, got, c.revoke(participant, now))
		_, ok = c.check(name, "parley", now)
		require.False(t, ok)
		name, _ = c.mint(participant, now)
		_, ok = c.check(name, "parley", now)
		require.True(t, ok, "joined again")
		user, src, ok := splitUserID(got + " [2001:db8::1]:9")
		require.True(t, ok)
		require.Equal(t, got, user)
		require.Equal(t, "[2001:db8::1]:9", src.String())
	}
	require.NotEqual(t, escapeParticipant("a:b"), escapeParticipant("a%3Ab"))
	one, _ := c.mint("", now)
	two, _ := c.mint("", now)
	a, ok := c.check(one, "parley", now)
	require.True(t, ok)
	b, ok := c.check(two, "parley", now)
	require.True(t, ok)
	require.NotEqual(t, a.participant, b.participant, "guests do not share a quota")
}

// fakeStream is a connection that hands out given pieces.
type fakeStream struct {
	net.Conn // nil: only what is below is called
	pieces   [][]byte
	closed   bool
}

func (f *fakeStream) Read(p []byte) (int, error) {
	if f.closed {
		return 0, net.ErrClosed
	}
	if len(f.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.pieces[0])
	if f.pieces[0] = f.pieces[0][n:]; len(f.pieces[0]) == 0 {
		f.pieces = f.pieces[1:]
	}
	return n, nil
}

func (f *fakeStream) Write(p []byte) (int, error)      { return len(p), nil }
func (f *fakeStream) Close() error                     { f.closed = true; return nil }
func (f *fakeStream) SetDeadline(time.Time) error      { return nil }
func (f *fakeStream) SetReadDeadline(time.Time) error  { return nil }
func (f *fakeStream) SetWriteDeadline(time.Time) error { return nil }

// bench is a server without sockets, for what needs none.
func bench() *Server {
	s := &Server{start: time.Now(), poke: make(chan struct{}, 1)}
	s.cfg.Limits = Limits{BindingPerSecond: 1e9, UnauthorizedPerSecond: 1e9}.withDefaults()
	s.creds = newCredentials([]byte("secret"), "parley", 5*time.Minute)
	s.table, s.conns = newTable(s.cfg.Limits), newConnTable(s.cfg.Limits)
	s.binding, s.unauthorized = newLimiter(1e9, 1e12), newLimiter(1e9, 1e12)
	s.count.log, s.count.clock = zap.NewNop(), s.clock
	return s
}

// FuzzInspect: what the guard passes must be harmless to the parsers behind it, and it must not panic itself.
func FuzzInspect(f *testing.F) {
	for _, b := range [][]byte{
		stunBytes(0x0001), emptyPeer(32), {0x40, 0, 0, 4, 1, 2, 3, 4},
		stunBytes(0x0008, attr(attrXORPeerAddress, 0, 1, 0, 9, 1, 2, 3, 4), attr(attrMessageIntegrity, make([]byte, 20)...)),
		stunBytes(0x0003, attr(attrRequestedTransport, 17, 0, 0, 0), attr(attrLifetime, 0, 0, 2, 88), attr(attrFingerprint, 0, 0, 0, 0)),
	} {
		f.Add(b)
	}
	var p packet
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, stream := range []bool{false, true} {
			if inspect(b, stream, &p) != reasonNone {
				continue
			}
			if p.channelData {
				if int(binary.BigEndian.Uint16(b[2:])) > len(b)-4 || p.channel < minChannel || p.channel > maxChannel {
					t.Fatalf("passed %x", b)
				}
				continue
			}
			behind(b)
			m := &stun.Message{Raw: bytes.Clone(b)}
			if err := m.Decode(); err != nil {
				t.Fatalf("passed what cannot be decoded: %v", err)
			}
			var out [64]byte
			answer := &stun.Message{Raw: bindingAnswer(out[:0], b, netip.MustParseAddrPort("[2001:db8::1]:9"), p.fingerprint)}
			if err := answer.Decode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzStream: whatever comes in whatever pieces, Read returns whole checked frames that make up the stream, then an error.
func FuzzStream(f *testing.F) {
	f.Add(append(stunBytes(0x0003), 0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0), uint8(3))
	f.Add([]byte{0, 1, 0xFF, 0xEC}, uint8(1))
	f.Add([]byte{0x40, 0, 0xFF, 0xFC, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(12))
	f.Add(append(stunBytes(0x0003), stunBytes(0x0004)...), uint8(255))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		s := bench()
		src := netip.AddrPortFrom(loopback, 9)
		g := newTCPGuard(s, 1, nil, nil)
		fake := &fakeStream{}
		for rest := b; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			fake.pieces, rest = append(fake.pieces, rest[:n]), rest[n:]
		}
		c := newFramedConn(g, fake, src)
		// As if it had an allocation, so that data passes.
		s.table.byKey[c.session.key] = &allocation{}
		buf := make([]byte, 1600)
		var p packet
		at := 0
		for {
			n, err := c.Read(buf)
			if err != nil {
				if !fake.closed {
					t.Fatal("left open after an error")
				}
				return
			}
			if n <= tinyFrame || n > maxFrame || inspect(buf[:n], true, &p) != reasonNone {
				t.Fatalf("passed %x", buf[:n])
			}
			i := bytes.Index(b[at:], buf[:n])
			if i < 0 {
				t.Fatalf("%x is not in the stream", buf[:n])
			}
			at += i + n
		}
	})
}

func TestReadNeedsRoom(t *testing.T) {
	c := newFramedConn(newTCPGuard(bench(), 1, nil, nil), &fakeStream{}, netip.AddrPortFrom(loopback, 9))
	_, err := c.Read(make([]byte, maxFrame-1))
	require.ErrorIs(t, err, io.ErrShortBuffer)
}

// A write that fails leaves half a frame behind: the stream must end.
func TestFailedWriteEndsTheStream(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := bench()
	s.cfg.Limits.Write = time.Millisecond // nobody reads
	c := newFramedConn(newTCPGuard(s, 1, nil, nil), ours, netip.AddrPortFrom(loopback, 9))
	_, err := c.Write([]byte{0x40, 0, 0, 0})
	require.Error(t, err)
	_, err = ours.Read(make([]byte, 1))
	require.True(t, errors.Is(err, io.ErrClosedPipe))
	require.Equal(t, uint64(1), s.count.dropped[reasonWriteTimeout].Load())
}

func BenchmarkInspect(b *testing.B) {
	u := &user{wire: &wire{}, name: "1800000000:anna:1", password: "secret", realm: "parley", nonce: strings.Repeat("n", 24)}
	messages := valid(u, netip.AddrPortFrom(loopback, 9))
	var p packet
	i := 0
	for b.Loop() {
		if inspect(messages[i], false, &p) != reasonNone {
			b.Fatal(i)
		}
		if i++; i == len(messages) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// BenchmarkGuard is the whole guard for a datagram: inspection, table, limits, answer.
func BenchmarkGuard(b *testing.B) {
	s := bench()
	session := &session{srv: s, key: clientKey{0, netip.AddrPortFrom(loopback, 9)}}
	s.table.byKey[session.key] = &allocation{}
	for name, m := range map[string][]byte{
		"channel":   append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...),
		"send":      stunBytes(0x0016, attr(attrXORPeerAddress, 0, 1, 0, 9, 1, 2, 3, 4), attr(attrData, make([]byte, 160)...)),
		"binding":   stunBytes(0x0001),
		"allocate":  stunBytes(0x0003, attr(attrRequestedTransport, 17, 0, 0, 0)),
		"malformed": emptyPeer(32),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				session.receive(m, false, func([]byte) {})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

func BenchmarkFrames(b *testing.B) {
	s := bench()
	frame := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
	c := newFramedConn(newTCPGuard(s, 1, nil, nil), &fakeStream{}, netip.AddrPortFrom(loopback, 9))
	s.table.byKey[c.session.key] = &allocation{}
	many := bytes.Repeat(frame, 1000)
	source := bytes.NewReader(many)
	c.reader = bufio.NewReaderSize(source, 2048)
	buf := make([]byte, 1600)
	b.ReportAllocs()
	for b.Loop() {
		if source.Len() == 0 && c.reader.Buffered() == 0 {
			source.Reset(many)
			c.reader.Reset(source)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}
