package sfu

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/stdnet"
	"go.uber.org/zap"

	"parley/mixer"
)

// Config is what a node needs.
type Config struct {
	Mixer     *mixer.Mixer
	Addresses []netip.Addr // local addresses to listen on for media; one UDP socket per address and port
	UDPPorts  PortRange
	TCPPort   uint16       // of ICE over TCP, on every address; 0: none
	NAT1To1   []netip.Addr // public addresses that lead here port by port; advertised beside the local ones
	// AllowPrivateCandidates allows connectivity checks towards private addresses (RFC 1918, RFC 4193, RFC 6598) that
	// a client names. Clients on a LAN connect without it too: their checks reach us.
	AllowPrivateCandidates bool
	MaxParticipants        int           // on the node; 0: no limit
	MaxRoomParticipants    int           // in one room; 0: no limit
	EmptyRoomTimeout       time.Duration // a room without anybody is kept for so long
	BitrateBps             int           // of Opus that clients are asked to send; 0: 32000
	// Room says how the room with an id is mixed; nil: as the mixer does by itself. Called under a lock: it must be quick. Clients of
	// a room with two channels are told that they get stereo; those of one for music are asked to send as much as they get, stereo
	// if they offer it.
	Room func(id string) mixer.RoomConfig
	Log  *zap.Logger // nil: none
}

// defaultBitrateBps is speech beyond reproach: mono, 20 ms, with in-band FEC.
const defaultBitrateBps = 32000

// timing is what tests make shorter.
type timing struct {
	iceDisconnected, iceFailed time.Duration
	iceKeepalive               time.Duration // between the checks of a path in use
	consent                    time.Duration // without an answer to a check, nothing more is sent (RFC 7675, section 5.1)
	keepAttached               time.Duration // ICE has failed, the signaling socket is there: time for a restart
	neverConnected             time.Duration // joined, no media, no socket
	answer                     time.Duration // for the client to answer an offer of ours
	levels                     time.Duration // the ticker
}

var defaultTiming = timing{
	iceDisconnected: iceDisconnected, iceFailed: iceFailed, iceKeepalive: iceKeepalive, consent: 30 * time.Second,
	keepAttached:   60 * time.Second,
	neverConnected: 15 * time.Second, answer: 10 * time.Second, levels: 100 * time.Millisecond,
}

// Node is the media side of one running process. All methods may be called from any goroutine.
type Node struct {
	cfg    Config
	log    *zap.Logger
	timing timing
	now    func() time.Time
	apis   apis
	// overloaded tells that the mixer has no time for one more in a room; nil is a room that is to be made.
	overloaded func(*room) bool

	ports        []*mediaPort
	outboxes     []*outbox // by the mixer's worker
	tcpListeners map[netip.Addr]*tcpListener
	tcp          tcpMux // nil without
	counters     counters
	trackSerial  atomic.Uint64
	fabric       Fabric       // nil: alone
	lastEpoch    atomic.Int64 // see sourceEpoch
	leaving      atomic.Bool  // see LeaveSoon

	started chan struct{}  // closed when the media sockets are served
	ending  chan struct{}  // closed when Run is about to return
	wg      sync.WaitGroup // event queues, shutdowns

	mu           sync.Mutex
	rooms        map[string]*room
	participants map[string]*participant
	draining     bool
	stopped      bool
}

// New opens the media sockets. It starts nothing; Run serves them, and closes them when it returns.
func New(cfg Config) (*Node, error) {
	if cfg.Mixer == nil {
		return nil, errors.New("sfu: no mixer")
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.BitrateBps == 0 {
		cfg.BitrateBps = defaultBitrateBps
	}
	var addrs []netip.Addr
	for _, a := range cfg.Addresses {
		if a = a.Unmap(); !a.IsValid() || a.IsUnspecified() {
			return nil, fmt.Errorf("sfu: media address %v is not one that can be advertised", a)
		}
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, errors.New("sfu: no media address")
	}
	cfg.Addresses = addrs
	n := &Node{
		cfg: cfg, log: cfg.Log.Named("sfu"), timing: defaultTiming, now: time.Now,
		started: make(chan struct{}), ending: make(chan struct{}),
		rooms: make(map[string]*room), participants: make(map[string]*participant),
		overloaded: func(r *room) bool { return cfg.Mixer.Overloaded() || r != nil && r.mix.Overloaded() },
	}
	net, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	n.apis = apis{node: n, net: net, loggers: &pionLoggers{log: n.log.Named("pion")}}
	if n.ports, err = openPorts(addrs, cfg.UDPPorts, &n.counters.sockets, n.log); err != nil {
		return nil, err
	}
	sockets := 0
	for _, p := range n.ports {
		for _, c := range p.conns {
			c.index = sockets
			sockets++
		}
	}
	for range cfg.Mixer.Workers() {
		n.outboxes = append(n.outboxes, newOutbox(sockets))
	}
	if cfg.TCPPort != 0 {
		if n.tcpListeners, err = listenTCP(addrs, cfg.TCPPort, &n.counters.sockets); err != nil {
			for _, p := range n.ports {
				_ = p.stop()
			}
			return nil, err
		}
	}
	cfg.Mixer.OnEndTick(n.flush)
	return n, nil
}

// MediaAddrs lists every UDP address and port that the node listens on.
func (n *Node) MediaAddrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, p := range n.ports {
		for _, c := range p.conns {
			out = append(out, localAddrPort(c))
		}
	}
	return out
}

// Run serves until ctx ends, then closes every participant, room and socket, and waits for them.
func (n *Node) Run(ctx context.Context) error {
	for _, p := range n.ports {
		p.start()
	}
	if len(n.tcpListeners) > 0 {
		logger := n.apis.loggers.NewLogger("mux")
		n.tcp = make(tcpMux, len(n.tcpListeners))
		for a, l := range n.tcpListeners {
			n.tcp[a] = ice.NewTCPMuxDefault(ice.TCPMuxParams{
				Listener: l, Logger: logger, ReadBufferSize: tcpReadBuffer, WriteBufferSize: tcpWriteBuffer,
				FirstStunBindTimeout: tcpFirstSTUN, AliveDurationForConnFromStun: tcpUnknownSession,
			})
		}
	}
	close(n.started)
	n.tick(ctx)

	n.mu.Lock()
	n.draining, n.stopped = true, true
	n.mu.Unlock()
	close(n.ending)
	n.dismissAll(ReasonDraining)
	n.wg.Wait()
	n.mu.Lock()
	for id, r := range n.rooms {
		r.mix.Close()
		delete(n.rooms, id)
	}
	n.mu.Unlock()
	var errs []error
	for _, p := range n.ports {
		errs = append(errs, p.stop())
	}
	if n.tcp != nil {
		errs = append(errs, n.tcp.Close())
	}
	return errors.Join(errs...)
}

// ready waits until Run serves the sockets.
func (n *Node) ready(ctx context.Context) error {
	select {
	case <-n.started:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-n.ending:
		return ErrDraining
	default:
		return nil
	}
}

// randomID is 128 random bits.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func randomUint32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}
