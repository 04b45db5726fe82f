package turn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pionturn "github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test; nothing is measured against it.
const patience = 20 * time.Second

// retransmit is how long a UDP client waits before it asks again.
const retransmit = time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// rig is a running server with its media: an echo on an allowed address.
type rig struct {
	*Server
	t     testing.TB
	media netip.AddrPort
	tls   *tls.Config // for clients
	stop  func()      // stops the server and checks that it ends well
}

// newRig starts a server on loopback with one listener of each kind. Limits per second are off unless change sets them.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, media: echo(t, netip.AddrPortFrom(loopback, 0))}
	server, client := certificates(t)
	r.tls = client
	cfg := Config{
		UDP: []netip.AddrPort{netip.AddrPortFrom(loopback, 0)}, TCP: []netip.AddrPort{netip.AddrPortFrom(loopback, 0)},
		TLS: []netip.AddrPort{netip.AddrPortFrom(loopback, 0)}, TLSConfig: server,
		AllowPeer: AllowList(func() []netip.AddrPort { return []netip.AddrPort{r.media} }),
		Limits:    Limits{UnauthorizedPerSecond: 1e6, BindingPerSecond: 1e6},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	s.unauthorized.all = bucket{rate: 1e9, burst: 1e9, tokens: 1e9}
	s.binding.all = bucket{rate: 1e9, burst: 1e9, tokens: 1e9}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	r.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Fatal("Run does not return")
		}
		require.Zero(t, s.Stats().Allocations)
		require.Zero(t, s.Stats().Connections)
	}
	t.Cleanup(r.stop)
	return r
}

// certificates makes a self-signed server certificate for 127.0.0.1 and a client that trusts it.
func certificates(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert := selfSigned(t)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// echo answers every datagram with itself until the test ends.
func echo(t testing.TB, at netip.AddrPort) netip.AddrPort {
	t.Helper()
	conn, err := listenUDP(at)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			conn.WriteToUDPAddrPort(b[:n], from) //nolint:errcheck // the client is gone
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return addrPort(conn.LocalAddr())
}

// victim is a UDP socket that nothing may reach.
type victim struct {
	*net.UDPConn
	t testing.TB
}

func newVictim(t testing.TB, a netip.Addr) *victim {
	t.Helper()
	conn, err := listenUDP(netip.AddrPortFrom(a, 0))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &victim{conn, t}
}

func (v *victim) addr() netip.AddrPort { return addrPort(v.LocalAddr()) }

// untouched sends itself a marker and requires that it is the first thing to arrive.
func (v *victim) untouched() {
	v.t.Helper()
	_, err := v.WriteToUDPAddrPort([]byte("marker"), v.addr())
	require.NoError(v.t, err)
	require.NoError(v.t, v.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 2048)
	n, from, err := v.ReadFromUDPAddrPort(b)
	require.NoError(v.t, err)
	require.Equal(v.t, "marker", string(b[:n]), "from %v", from)
}

// wire is one client's connection to the server, of any transport, seen as whole messages.
type wire struct {
	net.Conn
	t      testing.TB
	stream bool
}

func (r *rig) dial(transport string) *wire { return r.dialFrom(transport, loopback) }

// dialFrom connects from a loopback address.
func (r *rig) dialFrom(transport string, from netip.Addr) *wire {
	r.t.Helper()
	w, err := r.tryDial(transport, from)
	require.NoError(r.t, err)
	return w
}

func (r *rig) tryDial(transport string, from netip.Addr) (*wire, error) {
	d := net.Dialer{Timeout: patience}
	w := &wire{t: r.t, stream: transport != "udp"}
	var err error
	switch transport {
	case "udp":
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		w.Conn, err = d.Dial("udp", r.Addrs().UDP[0].String())
	case "tcp":
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		w.Conn, err = d.Dial("tcp", r.Addrs().TCP[0].String())
	case "tls":
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		w.Conn, err = tls.DialWithDialer(&d, "tcp", r.Addrs().TLS[0].String(), r.tls)
	}
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { w.Close() })
	return w, nil
}

var transports = []string{"udp", "tcp", "tls"}

func (w *wire) send(b []byte) {
	w.t.Helper()
	_, err := w.Write(b)
	require.NoError(w.t, err)
}

// receive returns the next whole message or ChannelData.
func (w *wire) receive() ([]byte, error) { return w.receiveBy(time.Now().Add(patience)) }

func (w *wire) receiveBy(until time.Time) ([]byte, error) {
	if err := w.SetReadDeadline(until); err != nil {
		return nil, err
	}
	b := make([]byte, 2048)
	if !w.stream {
		n, err := w.Read(b)
		return b[:n], err
	}
	if _, err := io.ReadFull(w, b[:4]); err != nil {
		return nil, err
	}
	size := channelHeaderSize + int(binary.BigEndian.Uint16(b[2:])+3)&^3
	if b[0] < 0x40 {
		size = stunHeaderSize + int(binary.BigEndian.Uint16(b[2:]))
	}
	_, err := io.ReadFull(w, b[4:size])
	return b[:size], err
}

// ask sends a request and returns the response to it. Over UDP it asks again when nothing comes, as every client does.
func (w *wire) ask(b []byte) *stun.Message {
	w.t.Helper()
	end := time.Now().Add(patience)
	for {
		w.send(b)
		again := time.Now().Add(retransmit)
		if w.stream {
			again = end
		}
		for {
			got, err := w.receiveBy(again)
			if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) {
				break
			}
			require.NoError(w.t, err)
			m := &stun.Message{Raw: got}
			if got[0] < 0x40 && m.Decode() == nil && m.TransactionID == [12]byte(b[8:20]) {
				return m
			}
		}
	}
}

// alive requires that the server still answers on a fresh socket.
func (r *rig) alive() {
	r.t.Helper()
	w := r.dial("udp")
	m := w.ask(binding().Raw)
	require.Equal(r.t, stun.BindingSuccess, m.Type)
	var mapped stun.XORMappedAddress
	require.NoError(r.t, mapped.GetFrom(m))
	require.Equal(r.t, w.LocalAddr().String(), mapped.String())
	w.Close()
}

func binding(attrs ...stun.Setter) *stun.Message {
	return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, attrs...)...)
}

// raw is an attribute with any content.
type raw struct {
	kind  stun.AttrType
	value []byte
}

func (a raw) AddTo(m *stun.Message) error { m.Add(a.kind, a.value); return nil }

// peerAttr is XOR-PEER-ADDRESS, in exactly the form that a is written in.
type peerAttr netip.AddrPort

func (p peerAttr) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	ip := a.Addr().AsSlice()
	v := []byte{0, 1, 0, 0}
	if len(ip) == 16 {
		v[1] = 2
	}
	binary.BigEndian.PutUint16(v[2:], a.Port()^stunCookie>>16)
	for i := range ip {
		v = append(v, ip[i]^m.Raw[4+i])
	}
	m.Add(stun.AttrXORPeerAddress, v)
	return nil
}

var (
	overUDP    = raw{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	overTCP    = raw{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}
	familyIPv6 = raw{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}
)

func lifetime(s uint32) raw {
	return raw{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, s)}
}

func channelNumber(n uint16) raw {
	return raw{stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0}}
}

// user is a logged-in client that speaks raw STUN.
type user struct {
	*wire
	name, password string
	realm, nonce   string
}

// login fetches a nonce for the credentials.
func (w *wire) login(name, password string) *user {
	w.t.Helper()
	m := w.ask(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), overUDP).Raw)
	require.Equal(w.t, codeUnauthorized, code(w.t, m))
	var nonce stun.Nonce
	var realm stun.Realm
	require.NoError(w.t, nonce.GetFrom(m))
	require.NoError(w.t, realm.GetFrom(m))
	return &user{w, name, password, realm.String(), nonce.String()}
}

// join mints credentials for a participant and logs in with them.
func (r *rig) join(w *wire, participant string) *user {
	r.t.Helper()
	name, password, _ := r.Credentials(participant, time.Now())
	return w.login(name, password)
}

// request builds a signed request; what stands in unsigned goes behind MESSAGE-INTEGRITY.
func (u *user) request(method stun.Method, attrs ...stun.Setter) *stun.Message {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
	setters = append(setters, stun.NewUsername(u.name), stun.NewRealm(u.realm), stun.NewNonce(u.nonce),
		stun.NewLongTermIntegrity(u.name, u.realm, u.password))
	return stun.MustBuild(setters...)
}

// do sends a signed request and returns the error code of the answer, 0 for success.
func (u *user) do(method stun.Method, attrs ...stun.Setter) errorCode {
	u.t.Helper()
	return code(u.t, u.ask(u.request(method, attrs...).Raw))
}

// allocate makes an allocation and returns its relayed address.
func (u *user) allocate(attrs ...stun.Setter) netip.AddrPort {
	u.t.Helper()
	m := u.ask(u.request(stun.MethodAllocate, append([]stun.Setter{overUDP}, attrs...)...).Raw)
	require.Zero(u.t, code(u.t, m))
	var relayed stun.XORMappedAddress
	require.NoError(u.t, relayed.GetFromAs(m, stun.AttrXORRelayedAddress))
	ip, _ := netip.AddrFromSlice(relayed.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
}

func (u *user) permit(peers ...netip.AddrPort) errorCode {
	u.t.Helper()
	var attrs []stun.Setter
	for _, p := range peers {
		attrs = append(attrs, peerAttr(p))
	}
	return u.do(stun.MethodCreatePermission, attrs...)
}

func (u *user) bind(n uint16, peer netip.AddrPort) errorCode {
	u.t.Helper()
	return u.do(stun.MethodChannelBind, channelNumber(n), peerAttr(peer))
}

// indicate sends data to a peer in a Send indication.
func (u *user) indicate(peer netip.AddrPort, data []byte) {
	u.t.Helper()
	u.send(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		raw{stun.AttrData, data}, peerAttr(peer)).Raw)
}

// echoed sends data through a Send indication and requires that it comes back.
func (u *user) echoed(peer netip.AddrPort, data string) {
	u.t.Helper()
	u.indicate(peer, []byte(data))
	for {
		b, err := u.receive()
		require.NoError(u.t, err)
		m := &stun.Message{Raw: b}
		if b[0] >= 0x40 || m.Decode() != nil || m.Type.Method != stun.MethodData {
			continue
		}
		got, err := m.Get(stun.AttrData)
		require.NoError(u.t, err)
		if string(got) == data {
			return
		}
	}
}

// code is the error code of a response, 0 for success.
func code(t testing.TB, m *stun.Message) errorCode {
	t.Helper()
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var e stun.ErrorCodeAttribute
	require.NoError(t, e.GetFrom(m))
	return errorCode(e.Code)
}

// gone requires that the server has closed the connection.
func (w *wire) gone(what string) {
	w.t.Helper()
	require.NoError(w.t, w.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, w)
	require.False(w.t, errors.Is(err, os.ErrDeadlineExceeded), "%s: still open", what)
}

// eventually waits for a condition that another goroutine brings about, by yielding to it.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 2*time.Millisecond, what)
}

// pionClient is a legitimate client, the one that pion's own peer connections use.
func (r *rig) pionClient(transport, name, password string) (*pionturn.Client, net.PacketConn) {
	r.t.Helper()
	server := r.Addrs().UDP[0]
	var conn net.PacketConn
	switch transport {
	case "udp":
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		require.NoError(r.t, err)
		conn = c
	case "tcp":
		server = r.Addrs().TCP[0]
		c, err := net.Dial("tcp", server.String())
		require.NoError(r.t, err)
		conn = pionturn.NewSTUNConn(c)
	case "tls":
		server = r.Addrs().TLS[0]
		c, err := tls.Dial("tcp", server.String(), r.tls)
		require.NoError(r.t, err)
		conn = pionturn.NewSTUNConn(c)
	}
	client, err := pionturn.NewClient(&pionturn.ClientConfig{
		STUNServerAddr: server.String(), TURNServerAddr: server.String(), Conn: conn,
		Username: name, Password: password, Realm: "parley", LoggerFactory: silent{},
	})
	require.NoError(r.t, err)
	require.NoError(r.t, client.Listen())
	return client, conn
}

// serial makes names that differ.
var serial atomic.Uint64

func fresh(prefix string) string { return fmt.Sprint(prefix, serial.Add(1)) }
