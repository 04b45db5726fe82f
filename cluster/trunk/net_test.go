package trunk

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley/internal/testkit/netsim"
	"parley/neteq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is UDP in memory, for a synctest bubble: datagrams take the time, and have the losses, that a link says.
type network struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*conn
	links map[[2]netip.AddrPort]*netsim.Link
	tap   func(from, to netip.AddrPort, b []byte) bool // false: lost
	start time.Time
	flown int
}

func newNetwork() *network {
	return &network{conns: map[netip.AddrPort]*conn{}, links: map[[2]netip.AddrPort]*netsim.Link{}, start: time.Now()}
}

// conn is one socket.
type conn struct {
	net    *network
	mu     sync.Mutex
	addr   netip.AddrPort
	in     chan datagram
	dead   chan struct{}
	closed sync.Once
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

func (n *network) listen(addr string) *conn {
	c := &conn{net: n, addr: netip.MustParseAddrPort(addr), in: make(chan datagram, 4096), dead: make(chan struct{})}
	n.mu.Lock()
	n.conns[c.addr] = c
	n.mu.Unlock()
	return c
}

// path impairs one direction.
func (n *network) path(from, to *conn, c netsim.Conditions, seed uint64) {
	n.mu.Lock()
	n.links[[2]netip.AddrPort{from.addr, to.addr}] = netsim.NewLink(c, seed)
	n.mu.Unlock()
}

// move gives a socket another address.
func (n *network) move(c *conn, addr string) {
	n.mu.Lock()
	c.mu.Lock()
	delete(n.conns, c.addr)
	c.addr = netip.MustParseAddrPort(addr)
	n.conns[c.addr] = c
	c.mu.Unlock()
	n.mu.Unlock()
}

func (n *network) send(from, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tap != nil && !n.tap(from, to, b) {
		return
	}
	n.flown++
	first, second := time.Duration(0), time.Duration(-1)
	now := time.Since(n.start)
	if l := n.links[[2]netip.AddrPort{from, to}]; l != nil {
		first, second = l.Send(now, len(b))
		first, second = first-now, second-now
	}
	for _, after := range []time.Duration{first, second} {
		if after < 0 {
			continue
		}
		d := datagram{bytes.Clone(b), from}
		if after == 0 {
			n.deliver(to, d)
			continue
		}
		time.AfterFunc(after, func() {
			n.mu.Lock()
			n.deliver(to, d)
			n.mu.Unlock()
		})
	}
}

func (n *network) deliver(to netip.AddrPort, d datagram) {
	if c := n.conns[to]; c != nil {
		select {
		case c.in <- d:
		default:
		}
	}
}

func (c *conn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.dead:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (c *conn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.net.send(c.LocalAddrPort(), to.(*net.UDPAddr).AddrPort(), b)
	return len(b), nil
}

func (c *conn) LocalAddrPort() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

func (c *conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.LocalAddrPort()) }
func (c *conn) Close() error        { c.closed.Do(func() { close(c.dead) }); return nil }

func (c *conn) SetReadDeadline(time.Time) error  { return c.Close() }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// node is one end in a test, with what it got.
type node struct {
	t      *testing.T
	name   string
	epoch  uint64
	conn   *conn
	trunks *Trunks
	stop   context.CancelFunc
	done   chan error

	mu      sync.Mutex
	packets []got
	opened  []StreamEvent
	ended   []StreamEvent
}

type got struct {
	Packet
	at time.Duration
}

var testSecret = bytes.Repeat([]byte{7}, 32)

// node starts one, which stops with the bubble's test.
func (n *network) node(t *testing.T, name, addr string, epoch uint64, change ...func(*Config)) *node {
	t.Helper()
	e := &node{t: t, name: name, epoch: epoch, conn: n.listen(addr), done: make(chan error, 1)}
	cfg := Config{Conn: e.conn, Node: name, Secret: testSecret, Epoch: epoch, OnPacket: e.packet, OnStream: e.stream,
		Clock: func() time.Duration { return time.Since(n.start) + time.Hour }}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if e.trunks, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	go func() { e.done <- e.trunks.Run(ctx) }() // kill waits for it
	return e
}

// kill ends a node without a word.
func (e *node) kill() {
	e.stop()
	if err := <-e.done; err != nil {
		e.t.Errorf("%s: %v", e.name, err)
	}
}

func (e *node) packet(p Packet) {
	p.Payload = bytes.Clone(p.Payload)
	e.mu.Lock()
	e.packets = append(e.packets, got{p, time.Since(e.conn.net.start)})
	e.mu.Unlock()
}

func (e *node) stream(s StreamEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Ended {
		e.ended = append(e.ended, s)
	} else {
		e.opened = append(e.opened, s)
	}
}

func (e *node) got() []got {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]got(nil), e.packets...)
}

func (e *node) events() (opened, ended []StreamEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]StreamEvent(nil), e.opened...), append([]StreamEvent(nil), e.ended...)
}

func (e *node) connect(to *node) {
	e.trunks.Connect(to.name, to.conn.LocalAddrPort(), to.epoch)
}

func (e *node) link(to *node) Link {
	e.t.Helper()
	for _, l := range e.trunks.Stats() {
		if l.Node == to.name {
			return l
		}
	}
	return Link{}
}

var opusFormats = map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}, 63: {Name: "red", ClockRateHz: 48000, Channels: 2}}

func (e *node) newStream(room, participant string) *Stream {
	e.t.Helper()
	s, err := e.trunks.NewStream(StreamInfo{Room: room, Participant: participant, SourceEpoch: 3, Formats: opusFormats})
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// packet k of a talker.
func packet(k int) *neteq.Packet {
	return &neteq.Packet{
		SequenceNumber: uint16(65000 + k), Timestamp: uint32(4294900000 + 960*k), PayloadType: 111, Marker: k == 0,
		AudioLevel: uint8(k % 128), HasAudioLevel: true, Payload: fmt.Appendf(nil, "packet %d%70s", k, ""),
	}
}

// pair is two nodes that have been connected by the first.
func pair(t *testing.T, change ...func(*Config)) (*network, *node, *node) {
	t.Helper()
	n := newNetwork()
	a, b := n.node(t, "a", "10.0.0.1:7000", 100, change...), n.node(t, "b", "10.0.0.2:7000", 200, change...)
	a.connect(b)
	settle(time.Second)
	if !a.link(b).Up || !b.link(a).Up {
		t.Fatalf("no link: %+v %+v", a.link(b), b.link(a))
	}
	return n, a, b
}

// settle lets virtual time pass.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }
