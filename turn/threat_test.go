package turn

// The checks T-01 to T-16 of the threat table: attacks over real sockets against a running server, and in bulk against the guard.

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// behind does with a message what pion does before it knows who sent it; it panics where pion would.
func behind(b []byte) {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return
	}
	var a stun.XORMappedAddress
	for _, kind := range []stun.AttrType{stun.AttrXORPeerAddress, stun.AttrXORRelayedAddress, stun.AttrXORMappedAddress} {
		m.ForEach(kind, func(m *stun.Message) error { return a.GetFromAs(m, kind) }) //nolint:errcheck // looking for panics
	}
	var mapped stun.MappedAddress
	mapped.GetFrom(m) //nolint:errcheck // as above
	var e stun.ErrorCodeAttribute
	e.GetFrom(m)                                                    //nolint:errcheck // as above
	stun.MessageIntegrity("key").Check(m)                           //nolint:errcheck // as above
	stun.Fingerprint.Check(m)                                       //nolint:errcheck // as above
	eachPeer(b, func(p netip.AddrPort) { _ = Canonical(p.Addr()) }) // ours
	signed(b, []byte("key"))
	grantedLifetime(b)
}

// emptyPeer builds the message that ends pion/turn v3: DATA, then XOR-PEER-ADDRESS of no length at the very end, of total bytes.
func emptyPeer(total int) []byte {
	data := total - stunHeaderSize - 4 - 4
	return stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		raw{stun.AttrData, make([]byte, data)}, raw{stun.AttrXORPeerAddress, nil}).Raw
}

func TestT01ZeroLengthPeerAddress(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		sent := 0
		join := func() *user {
			for {
				u := r.join(r.dial(transport), fresh("p"))
				switch c := u.do(stun.MethodAllocate, overUDP); c {
				case 0:
					return u
				case codeCapacity: // the kernel gave a port whose allocation has only just ended
					defer u.Close()
				default:
					require.Zero(t, c)
				}
			}
		}
		attack := func(u *user, b []byte) *user {
			before := r.Stats().Dropped["stun_malformed"]
			u.send(b)
			sent++
			if u.stream {
				u.gone("malformed")
				u = join()
			}
			eventually(t, "counted", func() bool { return r.Stats().Dropped["stun_malformed"] == before+1 })
			return u
		}
		u := join()
		for _, total := range []int{32, 48, 64, 80, 96, 112, 128} {
			b := emptyPeer(total)
			require.Len(t, b, total)
			u = attack(u, b)
			u.Close()
			u = join()
			for _, method := range []stun.Method{stun.MethodCreatePermission, stun.MethodChannelBind} {
				m := u.request(method, channelNumber(0x4000))
				m.Add(stun.AttrXORPeerAddress, nil) // behind MESSAGE-INTEGRITY, where nothing vouches for it
				u = attack(u, m.Raw)
			}
			for _, size := range []int{1, 2, 3, 4, 5, 7, 9, 16, 19, 21} {
				m := u.request(stun.MethodCreatePermission, raw{stun.AttrXORPeerAddress, append([]byte{0, 1}, make([]byte, 30)...)[:size]})
				u = attack(u, m.Raw)
			}
			u.Close()
			u = join()
		}
		u.Close()
		r.alive()
		require.Equal(t, 7*13, sent)
	}

	// A million variants in process: what the guard passes must not hurt what stands behind it.
	rng := rand.New(rand.NewPCG(1, 1))
	variants, passed := 1_000_000, 0
	if testing.Short() || raceEnabled { // ten times slower
		variants = 100_000
	}
	var p packet
	b := make([]byte, 0, maxFrame)
	kinds := []uint16{attrXORPeerAddress, attrData, attrMessageIntegrity, attrFingerprint, attrXORMappedAddress, attrMappedAddress,
		attrAlternateServer, attrXORRelayedAddress, attrUsername, attrNonce, attrRealm, attrLifetime, attrChannelNumber, 0x8022}
	methods := []uint16{0x0016, 0x0001, 0x0003, 0x0004, 0x0008, 0x0009}
	for range variants {
		b = b[:stunHeaderSize]
		binary.BigEndian.PutUint16(b, methods[rng.IntN(len(methods))])
		binary.BigEndian.PutUint32(b[4:], stunCookie)
		for range rng.IntN(6) {
			size := []int{0, 0, 1, 4, 4, 8, 8, 12, 20, 20, 24, 64}[rng.IntN(12)]
			if rng.IntN(8) == 0 {
				size = rng.IntN(70)
			}
			b = binary.BigEndian.AppendUint16(b, kinds[rng.IntN(len(kinds))])
			b = binary.BigEndian.AppendUint16(b, uint16(size))
			b = append(b, 0, byte(rng.IntN(4)))
			b = b[:len(b)+(size+3)&^3]
			b = b[:len(b)-2]
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeaderSize))
		if rng.IntN(16) == 0 {
			b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
		}
		if inspect(b, false, &p) == reasonNone {
			passed++
			if !p.channelData {
				behind(b)
			}
		}
	}
	require.Greater(t, passed, variants/50, "the variants must reach what is behind the guard")
}

func TestT02LengthWrap(t *testing.T) {
	// All lengths of both kinds: what the head announces is refused, or is a frame that fits.
	for length := range 1 << 16 {
		for _, first := range []byte{0x00, 0x40, 0x4F} {
			size, r := frameSize([4]byte{first, 1, byte(length >> 8), byte(length)})
			header := stunHeaderSize
			if first >= 0x40 {
				header = channelHeaderSize
			}
			if r == reasonNone {
				require.Equal(t, header+(length+3)&^3, size)
				require.LessOrEqual(t, size, maxFrame)
			} else {
				require.True(t, length+header+3 > maxFrame || length%4 != 0, "%d", length)
			}
		}
	}

	core, logs := observer.New(zap.InfoLevel)
	r := newRig(t, func(c *Config) { c.Log = zap.New(core) })
	stunHead := func(length uint16) []byte {
		b := binding().Raw
		binary.BigEndian.PutUint16(b[2:], length)
		return b
	}
	channelHead := func(length uint16) []byte {
		return append([]byte{0x40, 0, byte(length >> 8), byte(length)}, make([]byte, 8)...)
	}
	attacks := 0
	for _, transport := range []string{"tcp", "tls"} {
		for _, length := range []uint16{65516, 65517, 65519, 65520, 65532, 65535, 1484, 1481, 2000, 32768} {
			for _, b := range [][]byte{stunHead(length), channelHead(length)} {
				if length < 1500 && b[0] >= 0x40 {
					continue // a whole frame
				}
				w := r.dial(transport)
				w.send(b)
				w.gone(fmt.Sprint(transport, length))
				attacks++
			}
		}
		for _, b := range []string{"GET / HTTP/1.1\r\n\r\n", "\x50\x00\x00\x04....", "\x16\x03\x01\x02\x00\x01"} {
			w := r.dial(transport)
			w.send([]byte(b))
			w.gone(b)
			attacks++
		}
	}
	eventually(t, "connections end", func() bool { return r.Stats().Connections == 0 })
	d := r.Stats().Dropped
	require.Equal(t, uint64(attacks), d["oversize"]+d["stun_malformed"]+d["not_stun"])
	require.NotZero(t, logs.FilterField(zap.String("reason", "oversize")).Len(), "closed with a reason in the log")
	r.alive()
}

// Each kind of slowness meets its own limit; the other limits are far away, so that a slow machine changes nothing.
func TestT03SlowStreams(t *testing.T) {
	const short = 100 * time.Millisecond
	half := binding().Raw[:10]
	for _, c := range []struct {
		name   string
		limit  func(*Limits) *time.Duration
		reason string
		client func(*rig, string) *wire
	}{
		{"silent", func(l *Limits) *time.Duration { return &l.FirstFrame }, "first_frame_timeout", func(r *rig, transport string) *wire {
			at := r.Addrs().TCP[0]
			if transport == "tls" {
				at = r.Addrs().TLS[0] // not even a handshake
			}
			conn, err := net.Dial("tcp", at.String())
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
			return &wire{Conn: conn, t: t, stream: true}
		}},
		{"half a first frame", func(l *Limits) *time.Duration { return &l.Frame }, "frame_timeout", func(r *rig, transport string) *wire {
			w := r.dial(transport)
			w.send(half)
			return w
		}},
		{"half a second frame", func(l *Limits) *time.Duration { return &l.Frame }, "frame_timeout", func(r *rig, transport string) *wire {
			w := r.dial(transport)
			w.ask(binding().Raw)
			w.send(half)
			return w
		}},
		{"never logs in", func(l *Limits) *time.Duration { return &l.NoAllocation }, "idle_timeout", func(r *rig, transport string) *wire {
			w := r.dial(transport)
			w.ask(binding().Raw)
			return w
		}},
		{"half a frame with an allocation", func(l *Limits) *time.Duration { return &l.Frame }, "frame_timeout",
			func(r *rig, transport string) *wire {
				u := r.join(r.dial(transport), fresh("p"))
				u.allocate()
				require.Zero(t, u.bind(0x4000, r.media))
				u.send([]byte{0x40, 0, 0, 100, 'x'})
				return u.wire
			}},
	} {
		for _, transport := range []string{"tcp", "tls"} {
			r := newRig(t, func(cfg *Config) {
				cfg.Limits.FirstFrame, cfg.Limits.Frame, cfg.Limits.NoAllocation = time.Hour, time.Hour, time.Hour
				*c.limit(&cfg.Limits) = short
			})
			c.client(r, transport).gone(c.name)
			require.Equal(t, uint64(1), r.Stats().Dropped[c.reason], c.name)
			eventually(t, "ended", func() bool { return r.Stats().Connections+r.Stats().Allocations == 0 })
			r.stop()
		}
	}
}

// Silence is fine for who has an allocation; after it has gone, the clock of the idle starts.
func TestT03SilentWithAnAllocation(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.NoAllocation = 100 * time.Millisecond })
	c, err := net.Dial("tcp", r.Addrs().TCP[0].String())
	require.NoError(t, err)
	defer c.Close()
	key := clientKey{r.tcp[0].id, addrPort(c.LocalAddr())}
	eventually(t, "accepted", func() bool { return r.tcp[0].find(key.src) != nil })
	framed := newFramedConn(r.tcp[0], &fakeStream{}, key.src)
	framed.first = true
	r.table.mu.Lock()
	r.table.byKey[key] = &allocation{}
	r.table.mu.Unlock()
	until, _ := framed.patience()
	require.True(t, until.IsZero())
	r.table.mu.Lock()
	delete(r.table.byKey, key)
	r.table.mu.Unlock()
	until, why := framed.patience()
	require.WithinDuration(t, framed.since.Add(100*time.Millisecond), until, 0)
	require.True(t, framed.since.After(framed.accepted))
	require.Equal(t, reasonIdleTimeout, why)
}

func TestT03ConnectionLimits(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.ConnectionsPerAddress, c.Limits.Connections = 8, 20 })
	open := 0
	for host := byte(1); host <= 3; host++ {
		for i := range 9 {
			w, err := r.tryDial("tcp", netip.AddrFrom4([4]byte{127, 0, 0, host}))
			if i == 8 || open == 20 {
				if err == nil { // a reset may come before the connection is seen to be there
					w.gone("over the limit")
				}
				continue
			}
			require.NoError(t, err)
			require.Equal(t, stun.BindingSuccess, w.ask(binding().Raw).Type)
			open++
		}
	}
	st := r.Stats()
	require.Equal(t, 20, st.Connections)
	require.Equal(t, uint64(2), st.Dropped["connections_address"])
	require.Equal(t, uint64(5), st.Dropped["connections_total"])
}

// Memory of a connection that holds half a frame, everything included.
func TestT03Memory(t *testing.T) {
	const connections = 400
	r := newRig(t, func(c *Config) {
		c.Limits.ConnectionsPerAddress = connections
		c.Limits.FirstFrame = time.Hour
	})
	half := binding().Raw[:10]
	before := inUse()
	conns := make([]net.Conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", r.Addrs().TCP[0].String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write(half)
		require.NoError(t, err)
		conns[i] = c
	}
	eventually(t, "accepted", func() bool { return r.Stats().Connections == connections })
	per := (inUse() - before) / connections
	t.Logf("%d bytes per connection, the test's own end included", per)
	if !raceEnabled {
		require.Less(t, per, int64(16<<10))
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// hostileForms are addresses that must never be relayed to, in every notation.
var hostileForms = []string{
	"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
	"172.16.0.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
	"64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "fd00:ec2::254", "fe80::1", "fec0::1",
	"ff02::1", "2001:db8::1",
}

func TestT04ForbiddenPeers(t *testing.T) {
	require.Len(t, hostileForms, 30)
	media4 := echo(t, netip.MustParseAddrPort("127.0.0.5:0"))
	families := []string{"udp4"}
	listen := []netip.AddrPort{netip.AddrPortFrom(loopback, 0)}
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		c.Close()
		families = append(families, "udp6")
		listen = append(listen, netip.MustParseAddrPort("[::1]:0"))
	} else {
		t.Log("no IPv6 here: the IPv6 forms are tried on an IPv4 allocation only")
	}
	r := newRig(t, func(c *Config) {
		c.UDP = listen
		c.RelayAddresses = nil
		c.AllowPeer = AllowList(func() []netip.AddrPort { return []netip.AddrPort{media4} })
	})
	victims := []*victim{newVictim(t, loopback)}
	port := victims[0].addr().Port()
	if len(families) > 1 {
		c, err := listenUDP(netip.AddrPortFrom(netip.IPv6Loopback(), port))
		require.NoError(t, err)
		defer c.Close()
		victims = append(victims, &victim{c, t})
	}
	for i, family := range families {
		d, err := net.Dial("udp", r.Addrs().UDP[i].String())
		require.NoError(t, err)
		defer d.Close()
		u := r.join(&wire{Conn: d, t: t}, fresh("p"))
		if family == "udp6" {
			require.True(t, u.allocate(familyIPv6).Addr().Is6())
		} else {
			u.allocate()
		}
		for n, form := range hostileForms {
			peer := netip.AddrPortFrom(netip.MustParseAddr(form), port)
			// 443 is what RFC 8656 wants for a peer of the other family; it is checked first.
			refused := []errorCode{codeForbidden}
			if peer.Addr().Unmap().Is4() == (family == "udp6") {
				refused = []errorCode{443}
			}
			require.Contains(t, refused, u.permit(peer), "permission for %s over %s", form, family)
			require.Contains(t, refused, u.bind(0x4000+uint16(n), peer), "channel to %s over %s", form, family)
			u.indicate(peer, []byte("attack"))
			u.send([]byte{0x40, byte(n), 0, 6, 'a', 't', 't', 'a', 'c', 'k', 0, 0})
		}
		if family == "udp4" {
			require.Equal(t, codeForbidden, u.permit(media4, netip.AddrPortFrom(loopback, port)), "a good peer does not carry a bad one in")
			require.Zero(t, u.permit(media4))
			u.echoed(media4, "after it all")
		} else {
			u.ask(binding().Raw)
		}
	}
	for _, v := range victims {
		v.untouched()
	}
	require.LessOrEqual(t, r.Stats().UpPackets, uint64(1))
}

// An embedded form of an allowed address is refused as well: the packet would go to whoever translates it.
func TestT04EmbeddedFormsOfAnAllowedPeer(t *testing.T) {
	s := &Server{cfg: Config{AllowPeer: AllowList(func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:10000"), netip.MustParseAddrPort("[2001:db8::7]:10000")}
	})}}
	for form, want := range map[string]bool{
		"192.0.2.7": true, "::ffff:192.0.2.7": true, "2001:db8::7": true,
		"::192.0.2.7": false, "64:ff9b::c000:207": false, "2002:c000:207::": false, "2002:c000:207::1": false,
	} {
		require.Equal(t, want, s.allowed(netip.AddrPortFrom(netip.MustParseAddr(form), 10000)), form)
		require.False(t, s.allowed(netip.AddrPortFrom(netip.MustParseAddr(form), 10001)), form)
	}
	require.False(t, s.allowed(netip.AddrPort{}))
}

func TestT05ForeignPorts(t *testing.T) {
	var targets []*victim
	for range 4 {
		targets = append(targets, newVictim(t, loopback))
	}
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	require.Zero(t, u.permit(r.media))
	ports := []uint16{53, 123, 4222, 8080, r.Addrs().UDP[0].Port(), r.media.Port() + 1, 0}
	for _, v := range targets {
		ports = append(ports, v.addr().Port())
	}
	for i, port := range ports {
		peer := netip.AddrPortFrom(loopback, port)
		require.Contains(t, []errorCode{codeForbidden, codeBadRequest}, u.bind(0x4000+uint16(i), peer), port)
		u.indicate(peer, []byte("attack"))
	}
	u.echoed(r.media, "allowed")
	for _, v := range targets {
		v.untouched()
	}
	st := r.Stats()
	require.Equal(t, uint64(len(ports)), st.Dropped["relay_peer"])
	eventually(t, "one packet", func() bool { return r.Stats().UpPackets == 1 })
}

func TestT06RelayLoop(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.AllowPeer = func(ap netip.AddrPort) bool { return ap.Addr() == loopback } // far too kind, on purpose
	})
	a, b := r.join(r.dial("udp"), fresh("p")), r.join(r.dial("udp"), fresh("p"))
	relayA, relayB := a.allocate(), b.allocate()
	require.Equal(t, codeForbidden, a.bind(0x4000, relayB))
	require.Equal(t, codeForbidden, b.bind(0x4000, relayA))
	require.Equal(t, codeForbidden, a.bind(0x4001, relayA), "itself")
	require.Zero(t, a.permit(relayB), "the address is our media's too")
	require.Zero(t, b.permit(relayA))
	a.indicate(relayB, []byte("loop"))
	b.indicate(relayA, []byte("loop"))
	a.indicate(relayA, []byte("loop"))
	a.echoed(r.media, "a")
	b.echoed(r.media, "b")
	st := r.Stats()
	require.Equal(t, uint64(3), st.Dropped["relay_loop"])
	eventually(t, "two packets", func() bool { return r.Stats().UpPackets == 2 })
	require.Equal(t, uint64(2), st.DownPackets)
}

func TestT07QuotaOfAUser(t *testing.T) {
	r := newRig(t, nil)
	var held []*user
	counts := map[errorCode]int{}
	for i := range 200 {
		u := r.join(r.dial(transports[i%2]), "greedy") // new credentials each time: it is the participant that counts
		c := u.do(stun.MethodAllocate, overUDP)
		counts[c]++
		if c == 0 {
			held = append(held, u)
		} else {
			u.Close()
		}
	}
	require.Equal(t, map[errorCode]int{0: 4, codeQuota: 196}, counts)
	r.join(r.dial("udp"), "modest").allocate()
	require.Zero(t, held[0].do(stun.MethodRefresh, lifetime(0)))
	r.join(r.dial("udp"), "greedy").allocate()
}

// A client that has changed its network takes the place of its own allocations that have fallen silent.
func TestT07IdleAllocationsGiveWay(t *testing.T) {
	r := newRig(t, nil)
	participant := fresh("roaming")
	var old []*user
	for i := range 4 {
		u := r.join(r.dial(transports[i%3]), participant)
		u.allocate()
		require.Zero(t, u.permit(r.media))
		old = append(old, u)
	}
	r.table.mu.Lock()
	for _, a := range r.table.byKey {
		a.active.Store(int64(r.clock() - idleEnough))
	}
	r.table.mu.Unlock()
	old[0].echoed(r.media, "still here")
	for range 3 {
		r.join(r.dial("udp"), participant).allocate()
	}
	require.Equal(t, codeQuota, r.join(r.dial("udp"), participant).do(stun.MethodAllocate, overUDP))
	eventually(t, "the idle ones end", func() bool { return r.Stats().Allocations == 4 })
	old[0].echoed(r.media, "and still")
	r.Revoke(participant)
	eventually(t, "all end", func() bool { return r.Stats().Allocations == 0 })
	require.Empty(t, r.table.byUser)
	require.Empty(t, r.table.bySource)
}

func TestT07QuotaOfAnAddress(t *testing.T) {
	r := newRig(t, nil)
	counts := map[errorCode]int{}
	for range 1000 {
		u := r.join(r.dial("udp"), fresh("many"))
		c := u.do(stun.MethodAllocate, overUDP)
		counts[c]++
		if c != 0 {
			u.Close()
		}
	}
	require.Equal(t, map[errorCode]int{0: 32, codeQuota: 968}, counts)
	r.join(r.dialFrom("udp", netip.MustParseAddr("127.0.0.2")), fresh("p")).allocate()

	six := func(s string) clientKey { return clientKey{0, netip.AddrPortFrom(netip.MustParseAddr(s), 1)} }
	tb := newTable(Limits{AllocationsPerAddress: 1}.withDefaults())
	require.Equal(t, reasonNone, tb.add(&allocation{key: six("2001:db8::1"), participant: "a"}, 0))
	require.Equal(t, reasonQuotaAddress, tb.add(&allocation{key: six("2001:db8::2"), participant: "b"}, 0), "the same /64")
	require.Equal(t, reasonNone, tb.add(&allocation{key: six("2001:db8:0:1::2"), participant: "b"}, 0))
}

func TestT07QuotaOfAll(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Allocations = 6 })
	for i := range 9 {
		u := r.join(r.dial("udp"), fresh("p"))
		want := errorCode(0)
		if i >= 6 {
			want = codeCapacity
		}
		require.Equal(t, want, u.do(stun.MethodAllocate, overUDP))
	}
	require.Equal(t, uint64(3), r.Stats().Dropped["quota_total"])
}

func TestT08PermissionsAndChannels(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.AllowPeer = func(ap netip.AddrPort) bool { return ap.Addr().IsLoopback() }
	})
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	peer := func(n int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)}), 9)
	}
	refused := 0
	for n := 0; n < 30_000; n += maxPeerAddresses {
		var peers []netip.AddrPort
		for i := range maxPeerAddresses {
			peers = append(peers, peer(n+i))
		}
		switch c := u.permit(peers...); {
		case n < 64:
			require.Zero(t, c, n)
		default:
			require.Equal(t, codeCapacity, c, n)
			refused++
		}
	}
	require.Equal(t, 30_000/maxPeerAddresses-4, refused)
	require.Zero(t, u.permit(peer(3)), "one it has")
	a := r.table.get(clientKey{0, addrPort(u.LocalAddr())})
	require.Len(t, a.permissions, 64)
	counts := map[errorCode]int{}
	for n := range 60 {
		counts[u.bind(0x4000+uint16(n), peer(n))]++
	}
	require.Equal(t, map[errorCode]int{0: 32, codeCapacity: 28}, counts)
	require.Zero(t, u.bind(0x4000, peer(0)), "one it has")
	require.Len(t, a.channels, 32)
	st := r.Stats() // requests that were repeated count again
	require.GreaterOrEqual(t, st.Dropped["quota_permissions"], uint64(refused))
	require.GreaterOrEqual(t, st.Dropped["quota_channels"], uint64(28))

	// What permissions and channels can make of an allocation, over several so that the rest of the process does not count.
	const full = 16
	users := make([]*user, full)
	for i := range users {
		users[i] = r.join(r.dial("udp"), fresh("p"))
		users[i].allocate()
	}
	before := inUse()
	for _, u := range users {
		for n := range 32 {
			require.Zero(t, u.bind(0x4000+uint16(n), peer(n)))
		}
		for n := 32; n < 64; n += maxPeerAddresses {
			var peers []netip.AddrPort
			for i := range maxPeerAddresses {
				peers = append(peers, peer(n+i))
			}
			require.Zero(t, u.permit(peers...))
		}
	}
	grown := (inUse() - before) / full
	t.Logf("%d bytes for 64 permissions and 32 channels", grown)
	if !raceEnabled {
		require.Less(t, grown, int64(32<<10))
	}
}

func TestT09Bandwidth(t *testing.T) {
	// The cap itself, in virtual time: 200 Mbit/s for ten seconds.
	b := bucket{rate: 250_000, burst: 250_000 / 8, tokens: 250_000 / 8}
	sent := 0.0
	for now := time.Duration(0); now < 10*time.Second; now += 40 * time.Microsecond {
		if b.take(1000, now) {
			sent += 1000
		}
	}
	require.InEpsilon(t, 2e6, sent*8/10, 0.05)

	// And where it is applied.
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	require.Zero(t, u.permit(r.media))
	start := r.clock()
	for range 2000 {
		u.indicate(r.media, make([]byte, 1000))
	}
	r.alive() // on a socket of its own: the attacker's is full of echoes
	st := r.Stats()
	seconds := (r.clock() - start).Seconds()
	require.LessOrEqual(t, float64(st.UpBytes), 250_000/8+250_000*seconds)
	require.NotZero(t, st.Dropped["relay_rate"])
}

// The other way: what allowed media sends to a client is capped too.
func TestT09BandwidthDown(t *testing.T) {
	media := newVictim(t, loopback)
	r := newRig(t, func(c *Config) {
		c.AllowPeer = AllowList(func() []netip.AddrPort { return []netip.AddrPort{media.addr()} })
	})
	u := r.join(r.dial("udp"), fresh("p"))
	relayed := u.allocate()
	require.Zero(t, u.permit(media.addr()))
	start := r.clock()
	for n := 0; r.Stats().Dropped["relay_rate"] == 0; n++ {
		require.Less(t, n, 100_000, "never capped")
		_, err := media.WriteToUDPAddrPort(make([]byte, 1000), relayed)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, float64(r.Stats().DownBytes), 250_000/8+250_000*(r.clock()-start).Seconds())
}

// flood sends n copies and returns the bytes that came back before a marker from another address was answered.
func flood(t *testing.T, r *rig, b []byte, n int) (answers, bytes int, took time.Duration) {
	t.Helper()
	w := r.dial("udp")
	start := r.clock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, err := w.Read(buf)
			if err != nil {
				return
			}
			answers, bytes = answers+1, bytes+n
			m := &stun.Message{Raw: buf[:n]}
			if m.Decode() != nil || m.Contains(stun.AttrSoftware) {
				t.Error("a bad answer")
			}
		}
	}()
	for i := range n {
		w.send(b)
		if i%64 == 63 { // let the server keep up, so that the limit is what drops
			m := r.dialFrom("udp", netip.MustParseAddr("127.0.0.77"))
			m.ask(binding().Raw)
			m.Close()
		}
	}
	took = r.clock() - start
	r.alive2("127.0.0.78")
	require.NoError(t, w.SetReadDeadline(time.Now()))
	<-done
	return answers, bytes, took
}

// alive2 is alive from an address of its own.
func (r *rig) alive2(from string) {
	r.t.Helper()
	w := r.dialFrom("udp", netip.MustParseAddr(from))
	require.Equal(r.t, stun.BindingSuccess, w.ask(binding().Raw).Type)
	w.Close()
}

func TestT10UnauthorizedReflection(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.UnauthorizedPerSecond = 10 })
	bare := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw
	require.Len(t, bare, 20)
	const n = 6000
	answers, bytes, took := flood(t, r, bare, n)
	require.LessOrEqual(t, float64(answers), 10+10*took.Seconds()+1)
	require.GreaterOrEqual(t, answers, 10)
	require.LessOrEqual(t, bytes, 20*n, "bytes out against bytes in")
	require.Equal(t, uint64(n-answers), r.Stats().Dropped["unauthorized_rate"])

	// Signed with nonsense, or with an unknown attribute, is no way around it.
	nonsense := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewNonce("n"),
		stun.NewShortTermIntegrity("x")).Raw
	answers, _, took = flood(t, r, nonsense, 1000)
	require.LessOrEqual(t, float64(answers), 10+10*took.Seconds()+1)
	unknown := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), raw{0x7001, nil}).Raw
	answers, _, took = flood(t, r, unknown, 1000)
	require.LessOrEqual(t, float64(answers), 10+10*took.Seconds()+1)
}

func TestT11BindingReflection(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.BindingPerSecond = 50 })
	// The helper socket of flood asks more often than the limit allows; it has a limiter of its own here.
	r.binding.mu.Lock()
	r.binding.rate = 1e6
	r.binding.mu.Unlock()
	r.alive2("127.0.0.77")
	r.binding.mu.Lock()
	r.binding.rate = 50
	r.binding.mu.Unlock()
	const n = 6000
	answers, bytes, took := flood(t, r, binding().Raw, n)
	require.LessOrEqual(t, float64(answers), 50+50*took.Seconds()+1)
	require.GreaterOrEqual(t, answers, 50)
	require.LessOrEqual(t, bytes, 20*n)
	require.Equal(t, uint64(n-answers), r.Stats().Dropped["binding_rate"])
}

func TestT12StolenCredentials(t *testing.T) {
	r := newRig(t, nil)
	now := time.Now()
	name, password, ttl := r.Credentials("anna", now.Add(-301*time.Second))
	require.LessOrEqual(t, ttl, 300*time.Second)
	require.Equal(t, codeUnauthorized, r.dial("udp").login(name, password).do(stun.MethodAllocate, overUDP), "expired")
	longer, _, _ := r.Credentials("anna", now.Add(time.Hour))
	require.Equal(t, codeUnauthorized, r.dial("udp").login(longer, r.creds.password(longer)).do(stun.MethodAllocate, overUDP),
		"nobody may mint for longer, with the secret or without")

	name, password, _ = r.Credentials("anna", now)
	for _, forged := range []string{
		"", ":", "x", name[:len(name)-1], "9" + name, name + "0", name + ":", "-1:anna", "anna", "99999999999999999999:anna:1",
		fmt.Sprint(now.Unix()+100) + ":bert:1", fmt.Sprint(now.Unix()+100) + "::1",
	} {
		require.Equal(t, codeUnauthorized, r.dial("udp").login(forged, password).do(stun.MethodAllocate, overUDP), "%q", forged)
	}
	require.Equal(t, codeUnauthorized, r.dial("udp").login(name, password+"x").do(stun.MethodAllocate, overUDP))
	u := r.dial("udp").login(name, password)
	u.realm = "elsewhere"
	require.Equal(t, codeUnauthorized, u.do(stun.MethodAllocate, overUDP))

	// A minter that follows the convention without our serial is understood, and revoked like the others.
	plain := fmt.Sprint(now.Unix()+100) + ":anna"
	r.dial("udp").login(plain, r.creds.password(plain)).allocate()
	r.Revoke("anna")
	require.Equal(t, codeUnauthorized, r.dial("udp").login(plain, r.creds.password(plain)).do(stun.MethodAllocate, overUDP))
	require.Equal(t, codeUnauthorized, r.dial("udp").login(name, password).do(stun.MethodAllocate, overUDP))
	r.join(r.dial("udp"), "anna").allocate()

	r.creds.forget(now.Add(time.Hour))
	require.Empty(t, r.creds.revoked)
}

// A long call outlives its credential: what is allocated can be refreshed and used, nothing new can be had with it.
func TestT12CallLongerThanItsCredential(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), "anna")
	u.allocate()
	u.name, u.password, _ = r.Credentials("anna", time.Now().Add(-time.Hour))
	require.Zero(t, u.do(stun.MethodRefresh, lifetime(600)))
	require.Zero(t, u.permit(r.media))
	require.Zero(t, u.bind(0x4000, r.media))
	require.Equal(t, codeUnauthorized, r.dial("udp").login(u.name, u.password).do(stun.MethodAllocate, overUDP))
}

func TestT13NoUserOracle(t *testing.T) {
	r := newRig(t, nil)
	name, _, _ := r.Credentials("anna", time.Now())
	ask := func(name, password string) []byte {
		m := r.dial("udp").login(name, password)
		return m.ask(m.request(stun.MethodAllocate, overUDP).Raw).Raw[20:40] // ERROR-CODE and the head of the rest
	}
	require.Equal(t, ask(name, "wrong"), ask("1:nobody:1", "wrong"))
	require.Equal(t, uint64(2), r.Stats().AuthFailures)
}

func TestT14ForeignNonce(t *testing.T) {
	r, other := newRig(t, nil), newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.nonce = other.join(other.dial("udp"), fresh("p")).nonce
	require.Equal(t, errorCode(438), u.do(stun.MethodAllocate, overUDP))
}

func TestT15OtherUserOnTheSame5Tuple(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		w := r.dial(transport)
		u := r.join(w, fresh("p"))
		u.allocate()
		thief := r.join(w, fresh("p"))
		require.Equal(t, codeWrongCredentials, thief.do(stun.MethodRefresh, lifetime(0)))
		require.Equal(t, codeWrongCredentials, thief.permit(r.media))
		require.Equal(t, codeWrongCredentials, thief.bind(0x4000, r.media))
		require.Zero(t, u.do(stun.MethodRefresh))
	}
}

// valid are forty messages that a client may send.
func valid(u *user, media netip.AddrPort) [][]byte {
	var all [][]byte
	add := func(m *stun.Message) { all = append(all, m.Raw) }
	indication := func(attrs ...stun.Setter) *stun.Message {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)}, attrs...)...)
	}
	six := peerAttr(netip.MustParseAddrPort("[2001:db8::1]:9"))
	for _, extra := range [][]stun.Setter{nil, {stun.Fingerprint}, {stun.NewSoftware("test")}, {stun.NewSoftware("te"), stun.Fingerprint}} {
		add(binding(extra...))
		add(indication(append([]stun.Setter{peerAttr(media), raw{stun.AttrData, []byte("data")}}, extra...)...))
		add(indication(append([]stun.Setter{raw{stun.AttrData, []byte("d")}, six}, extra...)...))
		add(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), overUDP}, extra...)...))
		signedExtra := extra
		if len(extra) > 0 && extra[len(extra)-1] == stun.Fingerprint {
			signedExtra = extra[:len(extra)-1]
		}
		for _, m := range []*stun.Message{
			u.request(stun.MethodAllocate, append([]stun.Setter{overUDP, lifetime(600)}, signedExtra...)...),
			u.request(stun.MethodRefresh, append([]stun.Setter{lifetime(600)}, signedExtra...)...),
			u.request(stun.MethodCreatePermission, append([]stun.Setter{peerAttr(media), six}, signedExtra...)...),
			u.request(stun.MethodChannelBind, append([]stun.Setter{channelNumber(0x4000), peerAttr(media)}, signedExtra...)...),
		} {
			if len(signedExtra) != len(extra) {
				if err := stun.Fingerprint.AddTo(m); err != nil {
					panic(err)
				}
			}
			add(m)
		}
		all = append(all, append([]byte{0x40, 0, 0, byte(8 + len(extra))}, make([]byte, 8+len(extra)+(4-len(extra)%4)%4)...))
		add(binding(append([]stun.Setter{stun.NewUsername("ice:ice"), raw{0x0024, []byte{1, 2, 3, 4}}}, extra...)...))
	}
	return all
}

func TestT16Truncations(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	messages := valid(u, r.media)
	require.Len(t, messages, 40)
	var p packet
	for i, m := range messages {
		require.Equal(t, reasonNone, inspect(m, false, &p), "message %d", i)
		require.Equal(t, reasonNone, inspect(m, true, &p), "message %d", i)
	}
	sent := 0
	try := func(b []byte) {
		if inspect(b, false, &p) == reasonNone && !p.channelData {
			behind(b)
		}
		u.send(b)
		if sent++; sent%64 == 0 {
			drain := r.dial("udp") // keep in step, so that little is lost in the socket's queue
			drain.ask(binding().Raw)
			drain.Close()
		}
	}
	b := make([]byte, 0, maxFrame)
	for _, m := range messages {
		for n := range m {
			try(m[:n])
		}
		for bit := range len(m) * 8 {
			b = append(b[:0], m...)
			b[bit/8] ^= 1 << (bit % 8)
			try(b)
		}
	}
	t.Logf("%d messages", sent)
	r.alive()

	// The same on streams, a sample of it, each on a connection of its own.
	for i, m := range messages {
		for _, transport := range []string{"tcp", "tls"} {
			if transport == "tls" && i%8 != 0 {
				continue
			}
			for n := 1; n < len(m); n += 29 {
				w := r.dial(transport)
				w.send(m[:n])
				w.Close()
				w = r.dial(transport)
				b = append(b[:0], m...)
				b[n] ^= 1 << (i % 8)
				w.send(b)
				w.Close()
			}
		}
	}
	r.alive()
	eventually(t, "connections end", func() bool { return r.Stats().Connections == 0 })
}
