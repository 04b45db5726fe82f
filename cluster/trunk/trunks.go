package trunk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"parley/neteq"
)

const (
	// maxLinks is how many nodes a node talks to.
	maxLinks = 1024
	// maxRemembered is how many nodes' last epochs and hellos are known, links or not.
	maxRemembered = 4 * maxLinks
	// busyTick is how often a link with something to be repeated is looked at, quietTick any other.
	busyTick  = 10 * time.Millisecond
	quietTick = 100 * time.Millisecond
)

// Config holds what Trunks need.
type Config struct {
	// Conn is the UDP socket, shared by all links of the node. It stays the caller's to close, after Run has returned. With
	// the methods of *net.UDPConn for netip addresses nothing is allocated per datagram.
	Conn net.PacketConn
	// Node is this node's name in the cluster, at most 64 bytes.
	Node string
	// Secret is what all nodes of the cluster, and nobody else, know: 32 bytes.
	Secret []byte
	// Epoch tells this process from those that had the name before: it grows with every start, and is not 0.
	Epoch uint64
	// MaxHops is over how many trunks a stream may come: 1 (also for 0) is from the speaker's own node only, 2 lets hubs send
	// on what they get (Forward).
	MaxHops int
	// OnPacket gets every packet that comes in on an announced stream. Payload is borrowed. OnStream is told of a stream
	// before its first packet, and when it has ended: withdrawn, its node gone, or started anew. Both are called on the
	// goroutines of Run, one at a time for each node, and must not block, nor call Disconnect.
	OnPacket func(Packet)
	OnStream func(StreamEvent)
	// Clock is the monotonic time since any epoch; nil: since New.
	Clock func() time.Duration
	// Log may be nil.
	Log *zap.Logger

	once bool // nothing is sent twice unasked, for tests
}

// Packet is one packet of a speaker on another node.
type Packet struct {
	From        string // node that the packet came from
	Room        string
	Participant string
	Stream      uint32 // unique for From and its process
	SourceEpoch uint32
	// Held is how long the sending node had the packet before it sent it on: it was in the backlog of somebody who had not
	// been chosen. Take that off the arrival time. 0 to 255 ms.
	Held time.Duration
	// The RTP packet, with its RFC 6464 level. SSRC is SourceEpoch.
	neteq.Packet
}

// StreamEvent is the beginning or the end of a stream from another node.
type StreamEvent struct {
	From   string
	Stream uint32
	Info   StreamInfo
	Ended  bool
}

// Trunks are a node's ends of its trunks.
type Trunks struct {
	cfg      Config
	socket   socket
	clock    func() time.Duration
	log      *zap.Logger
	helloKey *notary // the reader's own
	askKey   *notary // the writer's own
	message  message // the reader's own
	wake     chan struct{}
	hurry    atomic.Bool // the writer is to look at the links at once
	running  atomic.Bool
	streams  atomic.Uint32 // ids given so far
	refused  refused

	// Copies are made on write: who sends must not wait.
	links atomic.Pointer[map[string]*link]

	indexes indexes

	hellos uint64 // number of the last hello; the writer's own

	mu    sync.Mutex
	known map[string]peer // what is remembered of nodes
}

// peer is what is remembered of a node, so that nothing old of it is taken.
type peer struct {
	epoch  uint64 // newest heard of
	hello  uint64 // number of the newest hello of that epoch
	barred bool   // disconnected: that epoch and older ones are refused
}

// New checks and allocates. Nothing is sent or received before Run.
func New(cfg Config) (*Trunks, error) {
	switch {
	case cfg.Conn == nil:
		return nil, fmt.Errorf("%w: no socket", ErrConfig)
	case cfg.Node == "" || len(cfg.Node) > maxNode:
		return nil, fmt.Errorf("%w: node name %q", ErrConfig, cfg.Node)
	case len(cfg.Secret) != secretBytes:
		return nil, fmt.Errorf("%w: secret of %d bytes, not %d", ErrConfig, len(cfg.Secret), secretBytes)
	case cfg.Epoch == 0:
		return nil, fmt.Errorf("%w: epoch 0", ErrConfig)
	case cfg.MaxHops < 0 || cfg.MaxHops > 255:
		return nil, fmt.Errorf("%w: %d hops", ErrConfig, cfg.MaxHops)
	}
	cfg.MaxHops = max(1, cfg.MaxHops)
	t := &Trunks{
		cfg: cfg, socket: newSocket(cfg.Conn), clock: cfg.Clock, log: cfg.Log, wake: make(chan struct{}, 1),
		known: map[string]peer{},
	}
	t.links.Store(&map[string]*link{})
	if t.clock == nil {
		start := time.Now()
		t.clock = func() time.Duration { return time.Since(start) }
	}
	if t.log == nil {
		t.log = zap.NewNop()
	}
	var err error
	if t.helloKey, err = newNotary(cfg.Secret); err != nil {
		return nil, err
	}
	if t.askKey, err = newNotary(cfg.Secret); err != nil {
		return nil, err
	}
	return t, nil
}

// Run receives and sends until ctx ends. It may be called once.
func (t *Trunks) Run(ctx context.Context) error {
	if !t.running.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: Run called twice", ErrConfig)
	}
	stop := context.AfterFunc(ctx, func() { _ = t.cfg.Conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var writer sync.WaitGroup
	writer.Go(func() { t.write(ctx) }) // Run waits for it
	err := t.read(ctx)
	cancel()
	writer.Wait()
	return err
}

// read takes datagrams in until ctx ends or the socket is closed.
func (t *Trunks) read(ctx context.Context) error {
	var buf [2048]byte
	for failures := 0; ; {
		n, from, err := t.socket.read(buf[:])
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read from trunks: %w", err)
		case err != nil: // the network being the network: ICMP, no buffers
			t.refused.readErrors.Add(1)
			if failures++; failures > 3 && !pause(ctx, time.Millisecond<<min(failures-4, 7)) {
				return nil
			}
			continue
		}
		failures = 0
		t.datagram(buf[:n], from, t.clock())
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// write sends what gathers, and looks after the links, until ctx ends.
func (t *Trunks) write(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Duration(0) // of the look
	for {
		now := t.clock()
		if t.hurry.Swap(false) || now >= next {
			busy := false
			for _, l := range *t.links.Load() {
				busy = l.look(now) || busy
			}
			next = now + quietTick
			if busy {
				next = now + busyTick
			}
			timer.Reset(next - now)
		}
		for _, l := range *t.links.Load() {
			if l.flush(now) {
				next = min(next, now+busyTick)
				timer.Reset(max(0, next-now))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.wake:
		}
	}
}

// signal makes the writer look what there is to be sent.
func (t *Trunks) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Connect makes, or keeps, a link to a node whose process is known by its epoch. An older epoch than one already heard of is
// left alone, a newer one ends what there was. A changed address counts for hellos; an open link follows its peer's
// datagrams. Any goroutine may call it.
func (t *Trunks) Connect(node string, addr netip.AddrPort, epoch uint64) {
	if node == t.cfg.Node || node == "" || len(node) > maxNode || epoch == 0 || !addr.IsValid() {
		t.log.Warn("no trunk to such a node", zap.String("node", node), zap.Stringer("addr", addr), zap.Uint64("epoch", epoch))
		return
	}
	t.mu.Lock()
	p := t.known[node]
	if epoch < p.epoch {
		t.mu.Unlock()
		return
	}
	if epoch > p.epoch {
		p = peer{epoch: epoch}
	}
	p.barred = false
	t.remember(node, p)
	l := t.linkTo(node, true)
	t.mu.Unlock()
	if l == nil {
		t.log.Warn("too many trunks", zap.String("node", node))
		return
	}
	l.expect(unmapped(addr), epoch, t.clock())
	t.hurry.Store(true)
	t.signal()
}

// Disconnect ends the link to a node, and its streams, and refuses what comes of the process it had until Connect. Any
// goroutine may call it, but for callbacks.
func (t *Trunks) Disconnect(node string) {
	t.mu.Lock()
	if p, ok := t.known[node]; ok {
		p.barred = true
		t.known[node] = p
	}
	t.mu.Unlock()
	t.remove(node)
}

// remove ends a link.
func (t *Trunks) remove(node string) {
	t.mu.Lock()
	old := *t.links.Load()
	l := old[node]
	if l != nil {
		links := make(map[string]*link, len(old))
		for name, other := range old {
			if other != l {
				links[name] = other
			}
		}
		t.links.Store(&links)
	}
	t.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// linkTo returns the link to a node, made if need be; nil when there are too many. Trunks.mu is held.
func (t *Trunks) linkTo(node string, wanted bool) *link {
	old := *t.links.Load()
	if l := old[node]; l != nil || !wanted || len(old) >= maxLinks {
		return l
	}
	links := make(map[string]*link, len(old)+1)
	for name, other := range old {
		links[name] = other
	}
	l := newLink(t, node)
	links[node] = l
	t.links.Store(&links)
	return l
}

// remember notes what is known of a node, and forgets another if that is one too many. Trunks.mu is held.
func (t *Trunks) remember(node string, p peer) {
	if _, ok := t.known[node]; !ok && len(t.known) >= maxRemembered {
		links := *t.links.Load()
		for name := range t.known {
			if links[name] == nil {
				delete(t.known, name)
				break
			}
		}
	}
	t.known[node] = p
}

// socket is a net.PacketConn by netip addresses.
type socket struct {
	conn net.PacketConn
	fast interface {
		ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
		WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	}
}

func newSocket(conn net.PacketConn) socket {
	s := socket{conn: conn}
	if c, ok := conn.(*net.UDPConn); ok {
		s.fast = c
	}
	return s
}

func (s *socket) read(b []byte) (int, netip.AddrPort, error) {
	if s.fast != nil {
		n, from, err := s.fast.ReadFromUDPAddrPort(b)
		return n, unmapped(from), err
	}
	n, from, err := s.conn.ReadFrom(b)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	if a, ok := from.(*net.UDPAddr); ok {
		return n, unmapped(a.AddrPort()), nil
	}
	a, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return 0, netip.AddrPort{}, fmt.Errorf("address of a datagram: %w", err)
	}
	return n, unmapped(a), nil
}

func (s *socket) write(b []byte, to netip.AddrPort) error {
	var err error
	if s.fast != nil {
		_, err = s.fast.WriteToUDPAddrPort(b, to)
	} else {
		_, err = s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
