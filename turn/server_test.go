package turn

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pionturn "github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"
)

// A legitimate client gets its packets through and back over every transport, in Send indications and in channels.
func TestRelay(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.BandwidthBps = 1e9 })
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			name, password, ttl := r.Credentials("anna", time.Now())
			require.Equal(t, 300*time.Second, ttl)
			client, conn := r.pionClient(transport, name, password)
			defer conn.Close()
			defer client.Close()
			relay, err := client.Allocate()
			require.NoError(t, err)
			defer relay.Close()
			peer := net.UDPAddrFromAddrPort(r.media)
			b := make([]byte, 2048)
			// The client sends indications until its ChannelBind is answered, then ChannelData.
			for i := range 100 {
				want := strings.Repeat("x", 5+i*11)
				_, err = relay.WriteTo([]byte(want), peer)
				require.NoError(t, err)
				require.NoError(t, relay.SetReadDeadline(time.Now().Add(patience)))
				n, from, err := relay.ReadFrom(b)
				require.NoError(t, err)
				require.Equal(t, want, string(b[:n]))
				require.Equal(t, r.media.String(), from.String())
			}
		})
	}
	st := r.Stats()
	require.Equal(t, uint64(3), st.AllocationsTotal)
	require.Equal(t, uint64(300), st.DownPackets)
	eventually(t, "all are counted", func() bool { return r.Stats().UpPackets == 300 && r.Stats().UpBytes == st.DownBytes })
	eventually(t, "allocations end with their clients", func() bool { return r.Stats().Allocations == 0 })
}

// Whole frames come out however the stream is cut.
func TestStreamIsCutAnywhere(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range []string{"tcp", "tls"} {
		u := r.join(r.dial(transport), fresh("p"))
		u.allocate()
		require.Zero(t, u.bind(0x4000, r.media))
		frames := []byte{0x40, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0}
		frames = append(frames, 0x40, 0, 0, 2, 'n', 'o', 0, 0) // too short for pion: dropped
		frames = append(frames, 0x40, 0, 0, 8, 'e', 'i', 'g', 'h', 't', '8', '8', '8')
		for _, size := range []int{1, 2, 3, 5, len(frames)} {
			for at := 0; at < len(frames); at += size {
				u.send(frames[at:min(at+size, len(frames))])
			}
			for _, want := range []string{"hello", "eight888"} {
				b, err := u.receive()
				require.NoError(t, err)
				require.Equal(t, byte(0x40), b[0])
				require.Equal(t, want, string(b[4:4+len(want)]))
			}
		}
	}
	require.Equal(t, uint64(10), r.Stats().Dropped["channel_tiny"])
}

func TestBinding(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		w := r.dial(transport)
		for _, attrs := range [][]stun.Setter{nil, {stun.Fingerprint}, {stun.NewSoftware("x"), stun.Fingerprint}} {
			m := w.ask(binding(attrs...).Raw)
			require.Equal(t, stun.BindingSuccess, m.Type)
			var mapped stun.XORMappedAddress
			require.NoError(t, mapped.GetFrom(m))
			require.Equal(t, w.LocalAddr().String(), mapped.String())
			require.False(t, m.Contains(stun.AttrSoftware))
			require.Equal(t, len(attrs) > 0, m.Contains(stun.AttrFingerprint))
			if len(attrs) > 0 {
				require.NoError(t, stun.Fingerprint.Check(m))
			}
		}
		require.Equal(t, errorCode(420), code(t, w.ask(binding(raw{0x7001, nil}).Raw)))
		w.send(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw)
		w.ask(binding().Raw)
	}
	require.Equal(t, uint64(12), r.Stats().BindingAnswers)
	require.Equal(t, uint64(3), r.Stats().Dropped["keepalive"])
}

func TestBindingIPv6(t *testing.T) {
	src := netip.MustParseAddrPort("[2001:db8::7]:5000")
	req := binding()
	m := &stun.Message{Raw: bindingAnswer(make([]byte, 0, 64), req.Raw, src, true)}
	require.NoError(t, m.Decode())
	require.NoError(t, stun.Fingerprint.Check(m))
	var mapped stun.XORMappedAddress
	require.NoError(t, mapped.GetFrom(m))
	require.Equal(t, src.String(), mapped.String())
}

// When a participant leaves, what it holds ends at once, and its credentials with it; when it comes back, new ones work.
func TestRevoke(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			participant := fresh("p")
			u := r.join(r.dial(transport), participant)
			relayed := u.allocate()
			other := r.join(r.dial(transport), fresh("p"))
			other.allocate()
			require.True(t, r.table.isRelayed(relayed))
			before := r.Stats().Revoked
			r.Revoke(participant)
			eventually(t, "allocation ends", func() bool { return !r.table.isRelayed(relayed) })
			require.Equal(t, before+1, r.Stats().Revoked)
			if transport == "udp" {
				require.Equal(t, codeUnauthorized, u.do(stun.MethodRefresh))
			} else {
				u.gone("revoked")
			}
			again := r.dial(transport).login(u.name, u.password)
			require.Equal(t, codeUnauthorized, again.do(stun.MethodAllocate, overUDP))
			require.Zero(t, other.do(stun.MethodRefresh), "somebody else's")
			r.join(r.dial(transport), participant).allocate()
		})
	}
}

// An allocation that nobody refreshes ends by our timer, not by pion's.
func TestExpiry(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		u := r.join(r.dial(transport), fresh("p"))
		relayed := u.allocate(lifetime(60))
		var a *allocation
		r.table.mu.RLock()
		for _, x := range r.table.byKey {
			if x.relayed == relayed {
				a = x
			}
		}
		until := a.deadline - r.clock()
		r.table.mu.RUnlock()
		require.Less(t, until, 60*time.Second-lifetimeMargin+time.Second)
		require.Greater(t, until, 30*time.Second)
		require.Zero(t, u.do(stun.MethodRefresh, lifetime(600)))
		r.table.mu.Lock()
		require.Greater(t, a.deadline-r.clock(), 500*time.Second)
		a.deadline = r.clock()
		r.table.mu.Unlock()
		r.wake()
		eventually(t, "allocation ends", func() bool { return !r.table.isRelayed(relayed) })
		if transport == "udp" {
			require.Equal(t, codeMismatch, u.do(stun.MethodRefresh))
		}
	}
	require.Equal(t, uint64(3), r.Stats().Expired)
}

// A repeated Allocate is answered from memory and must not make us believe in a longer life than pion does.
func TestRepeatedAllocateDoesNotExtend(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	req := u.request(stun.MethodAllocate, overUDP, lifetime(60)).Raw
	require.Zero(t, code(t, u.ask(req)))
	a := r.table.get(clientKey{0, addrPort(u.LocalAddr())})
	r.table.mu.Lock()
	a.deadline = r.clock() + 10*time.Second
	before := a.deadline
	r.table.mu.Unlock()
	require.Zero(t, code(t, u.ask(req)))
	r.table.mu.Lock()
	require.Equal(t, before, a.deadline)
	r.table.mu.Unlock()
	require.Zero(t, u.do(stun.MethodRefresh, lifetime(60)))
	r.table.mu.Lock()
	require.Greater(t, a.deadline, before)
	r.table.mu.Unlock()
}

// A participant that leaves while its Allocate is being handled does not keep the allocation.
func TestRevokeDuringAllocate(t *testing.T) {
	r := newRig(t, nil)
	g := r.udp[0]
	participant := fresh("p")
	r.creds.revoke(participant, time.Now()) // the credentials are gone, and then the table is told of the allocation
	g.handling.Lock()
	gen := &generator{srv: r.Server, listener: 0, local: loopback, end: func(a *allocation) { a.relay.Close() },
		session: func(netip.AddrPort) *session { return &session{srv: r.Server, serial: 1} }}
	conn, _, err := gen.AllocatePacketConn(pionturn.AllocateListenerConfig{Network: "udp4", UserID: participant + " 127.0.0.9:9"})
	g.handling.Unlock()
	require.NoError(t, err)
	defer conn.Close()
	eventually(t, "allocation ends", func() bool { return r.Stats().Allocations == 0 })
}

// A client that does not read loses packets, not the connection, and later gets what is new then.
func TestStalledStream(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the backlog of a socket is known on Linux only")
	}
	r := newRig(t, func(c *Config) { c.Limits.BandwidthBps = 1e10 })
	for _, transport := range []string{"tcp", "tls"} {
		before := r.Stats().Dropped["stream_congested"]
		u := r.join(r.dial(transport), fresh("p"))
		u.allocate()
		require.Zero(t, u.bind(0x4000, r.media))
		data := append([]byte{0x40, 0, 0x04, 0}, make([]byte, 1024)...)
		for n := 0; r.Stats().Dropped["stream_congested"] < before+50; n++ {
			require.Less(t, n, 200_000, "never stalls")
			u.send(data)
		}
		fresh := append([]byte{0x40, 0, 0, 8}, "newest!!"...)
		done := make(chan error, 1)
		go func() {
			for {
				b, err := u.receive()
				if err != nil || bytes.HasPrefix(b, fresh) {
					done <- err
					return
				}
			}
		}()
		for ended := false; !ended; { // again and again, as the first ones may still be dropped
			u.send(fresh)
			select {
			case err := <-done:
				require.NoError(t, err)
				ended = true
			default:
				r.alive()
			}
		}
		u.Close()
	}
}

// A client that reaches the server over IPv6 gets an IPv4 relay unless it asks otherwise (RFC 8656, section 7.2).
func TestRelayFamily(t *testing.T) {
	six := netip.MustParseAddrPort("[::1]:0")
	probe, err := listenUDP(six)
	if err != nil {
		t.Skip("no IPv6 here")
	}
	probe.Close()
	for _, only := range []bool{false, true} {
		r := newRig(t, func(c *Config) {
			c.UDP, c.TCP, c.TLS = []netip.AddrPort{six}, nil, nil
			c.RelayAddresses = []netip.Addr{six.Addr(), loopback}
			if only {
				c.RelayAddresses = c.RelayAddresses[:1]
			}
		})
		join := func() *user {
			d, err := net.Dial("udp", r.Addrs().UDP[0].String())
			require.NoError(t, err)
			t.Cleanup(func() { d.Close() })
			return r.join(&wire{Conn: d, t: t}, fresh("p"))
		}
		require.Equal(t, only, join().allocate().Addr().Is6())
		require.True(t, join().allocate(familyIPv6).Addr().Is6())
		if !only {
			u := join()
			require.True(t, u.allocate().Addr().Is4())
			require.Zero(t, u.permit(r.media))
			u.echoed(r.media, "six to four")
		}
	}
}

// A client that lets go and asks again from the same port is not given an allocation while pion may still delete it.
func TestReleaseAndAllocateAgain(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	require.Zero(t, u.do(stun.MethodRefresh, lifetime(0)))
	require.Zero(t, r.Stats().Allocations)
	require.Equal(t, codeCapacity, u.do(stun.MethodAllocate, overUDP))
	r.table.mu.Lock()
	for k := range r.table.tombstones {
		r.table.tombstones[k] = r.clock()
	}
	r.table.mu.Unlock()
	u.allocate()
	require.Equal(t, codeMismatch, u.do(stun.MethodAllocate, overUDP), "a second one on the same 5-tuple")
}

// Data without an allocation ends in the guard.
func TestDataWithoutAllocation(t *testing.T) {
	r := newRig(t, nil)
	for i, transport := range transports {
		u := r.join(r.dial(transport), fresh("p"))
		u.indicate(r.media, []byte("data"))
		u.send([]byte{0x40, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8})
		u.ask(binding().Raw)
		require.Equal(t, uint64(2*i+2), r.Stats().Dropped["no_allocation"])
	}
}

func TestRefusedRequests(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	require.Equal(t, codeMismatch, u.permit(r.media), "no allocation yet")
	require.Equal(t, codeTransport, u.do(stun.MethodAllocate, overTCP))
	require.Equal(t, codeCapacity, u.do(stun.MethodAllocate, overUDP, raw{stun.AttrEvenPort, []byte{0x80}}))
	require.Equal(t, codeCapacity, u.do(stun.MethodAllocate, overUDP, raw{stun.AttrReservationToken, []byte("12345678")}))
	require.Equal(t, codeCapacity, u.do(stun.MethodAllocate, overUDP, familyIPv6), "there is no IPv6 relay address")
	require.Equal(t, codeBadRequest, u.do(stun.MethodAllocate))
	u.allocate()
	require.Equal(t, codeBadRequest, u.bind(0x5000, r.media), "RFC 8656 ends channels at 0x4FFF")
	require.Zero(t, u.bind(0x4FFF, r.media))
}

// The answers to signed requests are signed, also the ones we make in pion's stead.
func TestErrorAnswersAreSigned(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	for _, req := range []*stun.Message{
		u.request(stun.MethodChannelBind, channelNumber(0x4000), peerAttr(netip.MustParseAddrPort("10.0.0.1:1"))),
		u.request(stun.MethodCreatePermission, peerAttr(netip.MustParseAddrPort("10.0.0.1:1"))),
	} {
		m := u.ask(req.Raw)
		require.Equal(t, codeForbidden, code(t, m))
		require.NoError(t, stun.NewLongTermIntegrity(u.name, u.realm, u.password).Check(m))
	}
}

func TestRelayPortRange(t *testing.T) {
	probe := newVictim(t, loopback).addr().Port() // a port that others are unlikely to want now
	first := max(probe, 20000) - 10
	r := newRig(t, func(c *Config) { c.RelayPorts = PortRange{first, first + 3} })
	seen := map[uint16]bool{}
	for range 4 {
		relayed := r.join(r.dial("udp"), fresh("p")).allocate()
		require.GreaterOrEqual(t, relayed.Port(), first)
		require.LessOrEqual(t, relayed.Port(), first+3)
		seen[relayed.Port()] = true
	}
	require.Len(t, seen, 4)
	require.Equal(t, codeCapacity, r.join(r.dial("udp"), fresh("p")).do(stun.MethodAllocate, overUDP))
}

// A network that refuses a datagram loses that datagram, nothing else.
func TestSocketErrorsAreSwallowed(t *testing.T) {
	unreachable := netip.MustParseAddrPort("240.0.0.1:9")
	r := newRig(t, func(c *Config) {
		media := c.AllowPeer
		c.AllowPeer = func(ap netip.AddrPort) bool { return ap.Addr() == unreachable.Addr() || media(ap) }
	})
	u := r.join(r.dial("udp"), fresh("p"))
	u.allocate()
	require.Zero(t, u.permit(unreachable, r.media))
	u.indicate(unreachable, []byte("lost"))
	u.echoed(r.media, "found")
	require.Equal(t, uint64(1), r.Stats().Dropped["socket_error"])
}

// The relay socket takes packets from allowed peers only, whatever pion's per-address permission says.
func TestRelaySource(t *testing.T) {
	r := newRig(t, nil)
	u := r.join(r.dial("udp"), fresh("p"))
	relayed := u.allocate()
	require.Zero(t, u.permit(r.media))
	stranger := newVictim(t, loopback)
	_, err := stranger.WriteToUDPAddrPort([]byte("injected"), relayed)
	require.NoError(t, err)
	u.echoed(r.media, "ours") // reads on; anything injected would have to be a Data indication before it
	require.Equal(t, uint64(1), r.Stats().Dropped["relay_source"])
	require.Equal(t, uint64(1), r.Stats().DownPackets)
}

func TestStopWithEverythingOpen(t *testing.T) {
	r := newRig(t, nil)
	for _, transport := range transports {
		r.join(r.dial(transport), fresh("p")).allocate()
		r.dial(transport)
	}
	eventually(t, "connections", func() bool { return r.Stats().Connections == 4 })
	require.Equal(t, 3, r.Stats().Allocations)
	r.stop()
	require.ErrorIs(t, r.Run(context.Background()), ErrRunning)
	require.NoError(t, r.Close())
	r.Revoke("nobody")
}

func TestCloseWithoutRun(t *testing.T) {
	s, err := New(Config{
		UDP:       []netip.AddrPort{netip.AddrPortFrom(loopback, 0)},
		AllowPeer: func(netip.AddrPort) bool { return false },
	})
	require.NoError(t, err)
	at := s.Addrs().UDP[0]
	require.NoError(t, s.Close())
	conn, err := listenUDP(at)
	require.NoError(t, err)
	conn.Close()
}

func TestConfig(t *testing.T) {
	any := func(netip.AddrPort) bool { return true }
	udp := []netip.AddrPort{netip.AddrPortFrom(loopback, 0)}
	for name, cfg := range map[string]Config{
		"nothing to listen on":  {AllowPeer: any},
		"everybody is allowed":  {UDP: udp},
		"no certificate":        {TLS: udp, AllowPeer: any},
		"wildcard only":         {UDP: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")}, AllowPeer: any},
		"ports the wrong way":   {UDP: udp, AllowPeer: any, RelayPorts: PortRange{10, 9}},
		"port zero":             {UDP: udp, AllowPeer: any, RelayPorts: PortRange{0, 9}},
		"relay on a wildcard":   {UDP: udp, AllowPeer: any, RelayAddresses: []netip.Addr{netip.IPv4Unspecified()}},
		"relay not on the host": {UDP: udp, AllowPeer: any, RelayAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		"endless realm":         {UDP: udp, AllowPeer: any, Realm: strings.Repeat("r", 128)},
	} {
		_, err := New(cfg)
		require.ErrorIs(t, err, ErrConfig, name)
	}
	taken := newVictim(t, loopback)
	_, err := New(Config{UDP: []netip.AddrPort{udp[0], taken.addr()}, AllowPeer: any})
	require.ErrorContains(t, err, taken.addr().String())
	require.NotErrorIs(t, err, ErrConfig)

	shared := &tls.Config{MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}} //nolint:gosec // the point
	c, err := Config{TLS: udp, TLSConfig: shared, AllowPeer: any}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS12), c.TLSConfig.MinVersion)
	require.Equal(t, uint16(tls.VersionTLS10), shared.MinVersion)
	require.Len(t, c.Secret, 32)
}
