package sfu

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// muxQueue is how many datagrams may wait for one peer: 2.5 s of audio.
const muxQueue = 128

// udpMux shares one media socket among peers, as ice.UDPMux: a datagram goes to the peer that has sent to its address before, or
// whose ICE name it carries. pion's own mux knows no lanes, and takes five locks per packet.
type udpMux struct {
	conn *mediaConn
	wg   sync.WaitGroup // the reader

	mu     sync.Mutex
	names  map[string]*muxConn // by the ICE user name fragment that is ours
	addrs  map[netip.AddrPort]*muxConn
	closed bool
}

// newUDPMux makes a mux and starts the goroutine that reads the socket. Close ends it and waits.
func newUDPMux(c *mediaConn) *udpMux {
	m := &udpMux{conn: c, names: make(map[string]*muxConn), addrs: make(map[netip.AddrPort]*muxConn)}
	m.wg.Go(func() { c.serve(m.dispatch) }) // waited for in Close
	return m
}

// peerMux is the mux of one peer: ice.UDPMux for several sockets, with the peer's lane.
type peerMux struct {
	muxes []*udpMux
	lane  *lane
}

var (
	errNoMux = net.UnknownNetworkError("no media socket on this address")
	_        = ice.UDPMux(peerMux{})
	_        = ice.AddrPortReaderWriter((*muxHandle)(nil))
)

// GetConn returns the peer's end of a socket. It is the same for the same name, and to be closed as often as it was asked for.
func (p peerMux) GetConn(name string, addr net.Addr) (net.PacketConn, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, errNoMux
	}
	for _, m := range p.muxes {
		if l := localAddrPort(m.conn); l.Port() == uint16(u.Port) && l.Addr() == u.AddrPort().Addr().Unmap() {
			return m.get(name, p.lane)
		}
	}
	return nil, errNoMux
}

// RemoveConnByUfrag ends the peer's ends of that name.
func (p peerMux) RemoveConnByUfrag(name string) {
	for _, m := range p.muxes {
		m.mu.Lock()
		c := m.names[name]
		m.mu.Unlock()
		if c != nil {
			m.remove(c)
		}
	}
}

// GetListenAddresses lists the sockets.
func (p peerMux) GetListenAddresses() []net.Addr {
	var out []net.Addr
	for _, m := range p.muxes {
		out = append(out, m.conn.LocalAddr())
	}
	return out
}

// Close does nothing: the sockets are the node's.
func (p peerMux) Close() error { return nil }

func (m *udpMux) get(name string, l *lane) (net.PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, io.ErrClosedPipe
	}
	c := m.names[name]
	if c == nil {
		c = &muxConn{mux: m, name: name, lane: l}
		c.arrived.L = &c.mu
		m.names[name] = c
	}
	c.handles++
	return &muxHandle{muxConn: c}, nil
}

// remove forgets a connection and ends what reads from it.
func (m *udpMux) remove(c *muxConn) {
	m.mu.Lock()
	if m.names[c.name] == c {
		delete(m.names, c.name)
	}
	for _, a := range *c.addresses() {
		if m.addrs[a] == c {
			delete(m.addrs, a)
		}
	}
	m.mu.Unlock()
	c.end()
}

// dispatch gives a datagram to its peer, and returns false if that does not keep it.
func (m *udpMux) dispatch(d *datagram) bool {
	d.from = netip.AddrPortFrom(d.from.Addr().Unmap(), d.from.Port())
	m.mu.Lock()
	c := m.addrs[d.from]
	m.mu.Unlock()
	if c == nil {
		name, ok := stunName(d.bytes())
		if !ok {
			return false
		}
		m.mu.Lock()
		c = m.names[name]
		m.mu.Unlock()
	}
	return c != nil && c.put(d)
}

// stunName is the part of a binding request's user name that names us (RFC 8445, section 7.2.2).
func stunName(b []byte) (string, bool) {
	if classify(b) != classSTUN || !stun.IsMessage(b) {
		return "", false
	}
	msg := stun.Message{Raw: slices.Clone(b)}
	if msg.Decode() != nil {
		return "", false
	}
	user, err := msg.Get(stun.AttrUsername)
	if err != nil {
		return "", false
	}
	name, _, _ := strings.Cut(string(user), ":")
	return name, true
}

// Close closes the socket and waits for its reader.
func (m *udpMux) Close() error {
	err := m.conn.Close()
	m.wg.Wait()
	m.mu.Lock()
	m.closed = true
	var open []*muxConn
	for _, c := range m.names {
		open = append(open, c)
	}
	m.mu.Unlock()
	for _, c := range open {
		m.remove(c)
	}
	return err
}

// muxConn is a peer's share of a socket, for one ICE generation.
type muxConn struct {
	mux     *udpMux
	name    string
	lane    *lane
	known   atomic.Pointer[[]netip.AddrPort] // addresses that were sent to
	closed  atomic.Bool
	handles int // guarded by mux.mu

	mu      sync.Mutex
	arrived sync.Cond
	queue   []*datagram // a ring
	first   int
	waiting int
}

func (c *muxConn) addresses() *[]netip.AddrPort {
	if p := c.known.Load(); p != nil {
		return p
	}
	return new([]netip.AddrPort)
}

// put queues a datagram.
func (c *muxConn) put(d *datagram) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	if c.waiting == len(c.queue) && !c.grow() {
		c.mux.conn.counters.droppedQueue.Add(1)
		return false
	}
	c.queue[(c.first+c.waiting)%len(c.queue)] = d
	c.waiting++
	c.arrived.Signal()
	return true
}

// grow makes the ring larger: it holds a few, but for peers that are behind.
func (c *muxConn) grow() bool {
	if len(c.queue) == muxQueue {
		return false
	}
	larger := make([]*datagram, max(4, 2*len(c.queue)))
	for i := range c.waiting {
		larger[i] = c.queue[(c.first+i)%len(c.queue)]
	}
	c.queue, c.first = larger, 0
	return true
}

// take waits for a datagram; nil when h or c is closed.
func (c *muxConn) take(h *muxHandle) *datagram {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting == 0 && !c.closed.Load() && !h.done {
		c.arrived.Wait()
	}
	if c.closed.Load() || h.done {
		return nil
	}
	d := c.queue[c.first]
	c.queue[c.first] = nil
	c.first = (c.first + 1) % len(c.queue)
	c.waiting--
	return d
}

// end wakes everybody who reads.
func (c *muxConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed.Store(true)
	clear(c.queue)
	c.queue, c.waiting = nil, 0
	c.arrived.Broadcast()
}

// register notes that what comes from an address is this peer's.
func (c *muxConn) register(addr netip.AddrPort) {
	m := c.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.closed.Load() || m.closed {
		return
	}
	known := append(slices.Clone(*c.addresses()), addr)
	c.known.Store(&known)
	if other := m.addrs[addr]; other != nil && other != c {
		rest := slices.DeleteFunc(slices.Clone(*other.addresses()), func(a netip.AddrPort) bool { return a == addr })
		other.known.Store(&rest)
	}
	m.addrs[addr] = c
}

// muxHandle is what one ICE candidate holds of a muxConn. One goroutine reads, any may write.
type muxHandle struct {
	*muxConn
	done bool // guarded by muxConn.mu
	gone atomic.Bool
}

// ReadFromAddrPort waits for the next datagram.
func (h *muxHandle) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	d := h.take(h)
	if d == nil {
		return 0, netip.AddrPort{}, io.EOF
	}
	defer h.mux.conn.free.Put(d)
	if len(b) < d.n {
		return 0, netip.AddrPort{}, io.ErrShortBuffer
	}
	return copy(b, d.bytes()), d.from, nil
}

// ReadFrom is ReadFromAddrPort for callers that know only net.Addr.
func (h *muxHandle) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := h.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

// WriteToAddrPort sends a datagram, or collects it if a worker is just writing to the peer.
func (h *muxHandle) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if h.gone.Load() || h.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !slices.Contains(*h.addresses(), addr) {
		h.register(addr)
	}
	if o := h.lane.outbox.Load(); o != nil && classify(b) == classRTP {
		o.add(h.mux.conn, b, addr)
		return len(b), nil
	}
	return h.mux.conn.WriteToAddrPort(b, addr)
}

// WriteTo is WriteToAddrPort for callers that know only net.Addr.
func (h *muxHandle) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, &net.AddrError{Err: "not a UDP address", Addr: addr.String()}
	}
	return h.WriteToAddrPort(b, u.AddrPort())
}

// Close ends the read of this handle, and the connection with the last handle. It may be called again.
func (h *muxHandle) Close() error {
	if h.gone.Swap(true) {
		return nil
	}
	c := h.muxConn
	c.mu.Lock()
	h.done = true
	c.arrived.Broadcast()
	c.mu.Unlock()
	c.mux.mu.Lock()
	c.handles--
	last := c.handles == 0
	c.mux.mu.Unlock()
	if last {
		c.mux.remove(c)
	}
	return nil
}

// LocalAddr is the socket's.
func (h *muxHandle) LocalAddr() net.Addr { return h.mux.conn.LocalAddr() }

// SetDeadline does nothing but for a time that has come, which ends the read for good: the only one that pion sets.
func (h *muxHandle) SetDeadline(t time.Time) error { return h.SetReadDeadline(t) }

// SetReadDeadline is SetDeadline.
func (h *muxHandle) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if time.Until(t) > 0 {
		return os.ErrNoDeadline
	}
	h.mu.Lock()
	h.done = true
	h.arrived.Broadcast()
	h.mu.Unlock()
	return nil
}

// SetWriteDeadline does nothing: writes do not wait.
func (h *muxHandle) SetWriteDeadline(time.Time) error { return nil }
