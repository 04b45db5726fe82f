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
	Log                    *zap.Logger   // nil: none
}

// defaultBitrateBps is speech beyond reproach: mono, 20 ms, with in-band FEC.
const defaultBitrateBps = 32000

// timing is what tests make shorter.
type timing struct {
	iceDisconnected, iceFailed time.Duration
	keepAttached               time.Duration // ICE has failed, the signaling socket is there: time for a restart
	neverConnected             time.Duration // joined, no media, no socket
	answer                     time.Duration // for the client to answer an offer of ours
	levels                     time.Duration // the ticker
}

var defaultTiming = timing{
	iceDisconnected: iceDisconnected, iceFailed: iceFailed, keepAttached: 60 * time.Second,
	neverConnected: 15 * time.Second, answer: 10 * time.Second, levels: 100 * time.Millisecond,
}

// Node is the media side of one running process. All methods may be called from any goroutine.
type Node struct {
	cfg    Config
	log    *zap.Logger
	timing timing
	now    func() time.Time
	apis   apis

	ports        []*mediaPort
	tcpListeners map[netip.Addr]*tcpListener
	tcp          tcpMux // nil without
	counters     counters
	trackSerial  atomic.Uint64

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
	}
	net, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	n.apis = apis{node: n, net: net, loggers: &pionLoggers{log: n.log.Named("pion")}}
	if n.ports, err = openPorts(addrs, cfg.UDPPorts, &n.counters.sockets, n.log); err != nil {
		return nil, err
	}
	if cfg.TCPPort != 0 {
		if n.tcpListeners, err = listenTCP(addrs, cfg.TCPPort, &n.counters.sockets); err != nil {
			for _, p := range n.ports {
				_ = p.stop()
			}
			return nil, err
		}
	}
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
	logger := n.apis.loggers.NewLogger("mux")
	for _, p := range n.ports {
		p.start(logger)
	}
	if len(n.tcpListeners) > 0 {
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

// Join gives a participant a seat. Whoever has the same identity on this node loses theirs (ReasonReplaced).
// It fails with ErrDraining, ErrServerFull, ErrRoomFull or ErrForbidden.
func (n *Node) Join(ctx context.Context, req JoinRequest) (Joined, error) {
	if err := n.ready(ctx); err != nil {
		return Joined{}, err
	}
	id := req.Participant
	switch id {
	case "":
		id = randomID()
	case bySelf, byServer:
		return Joined{}, fmt.Errorf("join as %q: %w", id, ErrForbidden)
	}
	p := &participant{
		node: n, id: id, kind: req.Kind, publish: req.Publish, subscribe: req.Subscribe, admin: req.Admin,
		done: make(chan struct{}), negotiation: make(chan struct{}, 1),
		info: ParticipantInfo{ID: id, Name: req.Name, Kind: req.Kind},
	}
	p.joined = n.now()
	p.presence.since = p.joined
	p.attached = req.Kind == KindWebSocket
	if req.Observer != nil {
		p.events = newEventQueue(req.Observer)
	}
	all, err := n.seat(p, req.Room)
	if err != nil {
		n.counters.refused.Add(1)
		return Joined{}, fmt.Errorf("join room %q: %w", req.Room, err)
	}
	n.counters.joined.Add(1)
	p.log.Info("participant joined", zap.Int("kind", int(p.kind)))
	return Joined{Participant: id, Participants: all}, nil
}

// seat finds or makes the room and puts p into it.
func (n *Node) seat(p *participant, roomID string) ([]ParticipantInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draining {
		return nil, ErrDraining
	}
	old := n.participants[p.id]
	if limit := n.cfg.MaxParticipants; limit > 0 && len(n.participants) >= limit && old == nil {
		return nil, ErrServerFull
	}
	r := n.rooms[roomID]
	made := r == nil
	if made {
		mix, err := n.cfg.Mixer.NewRoom(roomID, mixer.RoomConfig{})
		if err != nil {
			return nil, err
		}
		r = &room{id: roomID, mix: mix}
	}
	p.room = r
	p.log = n.log.With(zap.String("room", r.id), zap.String("participant", p.id))
	if limit := n.cfg.MaxRoomParticipants; limit > 0 && r.size() >= limit && (old == nil || old.room != r) {
		return nil, ErrRoomFull
	}
	if old != nil {
		n.remove(old, ReasonReplaced)
	}
	all := r.enter(p)
	if made {
		n.rooms[roomID] = r
		n.counters.roomsMade.Add(1)
	}
	r.emptySince = time.Time{}
	n.participants[p.id] = p
	if p.events != nil {
		n.wg.Go(p.events.run) // ends with the participant; Run waits
	}
	return all, nil
}

// Leave takes a participant out and waits until what it had is freed or ctx ends. One that is not there is no error.
func (n *Node) Leave(ctx context.Context, participant, reason string) error {
	n.mu.Lock()
	p := n.participants[participant]
	if p != nil {
		n.remove(p, reason)
	}
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove takes p out of the maps and has its things freed. Under mu; idempotent.
func (n *Node) remove(p *participant, reason string) {
	if n.participants[p.id] != p {
		return
	}
	delete(n.participants, p.id)
	n.counters.left.Add(1)
	if p.room.exit(p, reason) == 0 {
		p.room.emptySince = n.now()
	}
	n.wg.Go(func() { p.shutdown(reason) }) // Run waits, and Leave by p.done
}

// dismiss removes p from a goroutine of its own, for callers that hold a lock.
func (n *Node) dismiss(p *participant, reason string) {
	n.wg.Go(func() { // Run waits
		n.mu.Lock()
		defer n.mu.Unlock()
		n.remove(p, reason)
	})
}

func (n *Node) dismissAll(reason string) []*participant {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*participant, 0, len(n.participants))
	for _, p := range n.participants {
		all = append(all, p)
	}
	for _, p := range all {
		n.remove(p, reason)
	}
	return all
}

// Drain refuses joins from now on, closes everybody with ReasonDraining and waits for that until ctx ends.
func (n *Node) Drain(ctx context.Context) {
	n.mu.Lock()
	n.draining = true
	n.mu.Unlock()
	for _, p := range n.dismissAll(ReasonDraining) {
		select {
		case <-p.done:
		case <-ctx.Done():
			return
		}
	}
}

// find returns a participant of this node.
func (n *Node) find(id string) (*participant, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.participants[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%q: %w", id, ErrNoParticipant)
}

// Roster lists everybody in the participant's room.
func (n *Node) Roster(participant string) ([]ParticipantInfo, error) {
	p, err := n.find(participant)
	if err != nil {
		return nil, err
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.roster(), nil
}

// SetAttached notes that the participant's signaling socket has come or gone.
func (n *Node) SetAttached(participant string, attached bool) {
	p, err := n.find(participant)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached = attached
	if !attached {
		p.presence.since = n.now()
	}
}

// Who else than a participant may have muted somebody; no participant may have such an id.
const (
	bySelf   = "self"
	byServer = "server"
)

// SetMuted silences a participant or lets it be heard again. by is a participant or "server". Somebody else's mute
// needs admin, and somebody else may only take back a mute that was not the participant's own (ErrForbidden):
// nobody's microphone is opened for them.
func (n *Node) SetMuted(_ context.Context, by, participant string, muted bool) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	shown := bySelf
	if by != participant {
		shown = by
		if by != byServer {
			other, err := n.find(by)
			if err != nil {
				return err
			}
			if !other.admin || other.room != p.room {
				return fmt.Errorf("mute %q: %w", participant, ErrForbidden)
			}
		}
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !muted && shown != bySelf && p.info.Muted && p.mutedBy == bySelf {
		return fmt.Errorf("unmute %q: %w", participant, ErrForbidden)
	}
	p.uplink.setMuted(muted)
	if p.info.Muted == muted {
		return nil
	}
	p.info.Muted, p.mutedBy = muted, shown
	r.tell(p, ParticipantEvent{Change: ChangeUpdated, Participant: p.info})
	if !p.events.push(MuteEvent{Muted: muted, By: shown}) {
		n.dismiss(p, ReasonTimeout)
	}
	return nil
}

// Chat sends a line of text to everybody in the participant's room, itself included.
func (n *Node) Chat(_ context.Context, participant, text string) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	p.room.chat(ChatEvent{From: participant, Text: text, At: n.now()})
	return nil
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
