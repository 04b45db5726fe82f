package link

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/cluster"
	"parley/cluster/trunk"
	"parley/cluster/trunk/media"
	"parley/neteq"
	"parley/sfu"
)

const (
	// maxSpeakers is media's bound, for rooms in which all are heard.
	maxSpeakers = 1000
	tendEvery   = time.Second
)

// Config is what a Link needs.
type Config struct {
	// Cluster is for cluster.New, without OnEvent and Trunk, which are the link's.
	Cluster cluster.Config
	// Conn is the UDP socket of the trunks; Run closes it.
	Conn net.PacketConn
	// Advertise is where other nodes reach Conn.
	Advertise netip.AddrPort
	// Now is the mixer's clock.
	Now func() time.Duration
	// Speakers is how many of a room's participants here are heard elsewhere at a time; 0: all.
	Speakers int
	// Mesh is up to how many nodes of a room send to each other directly; 0: 8. It must be the same on all nodes.
	Mesh int
	// Load is asked once a second how busy this node is. nil: nobody.
	Load func() cluster.Load
	// OnEvent is told what happens to nodes, after the link has acted on it; see cluster.Config. nil: nobody.
	OnEvent func(cluster.Event)
	Log     *zap.Logger // nil: nothing is logged
}

// Link joins this node's rooms with those of the others. It is an sfu.Fabric.
type Link struct {
	cfg     Config
	log     *zap.Logger
	epoch   uint64
	cluster *cluster.Cluster
	trunks  *trunk.Trunks
	inlet   *media.Inlet
	relay   *media.Relay
	hubs    atomic.Int64  // rooms in which this node passes on what comes
	wake    chan struct{} // capacity 1: there are rooms to forget

	mu    sync.Mutex
	rooms map[string]*room
	gone  []string          // rooms that were left, for the inlet to forget
	heard map[string]uint64 // datagrams that had come from a node when it was last looked
}

// New makes a link, and the node's part in the cluster. It starts nothing. Errors wrap cluster.ErrConfig where it is that
// package's to complain.
func New(cfg Config) (*Link, error) {
	if cfg.Conn == nil || !cfg.Advertise.IsValid() || cfg.Now == nil {
		return nil, errors.New("link: no socket, no address or no clock")
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Speakers <= 0 || cfg.Speakers > maxSpeakers {
		cfg.Speakers = maxSpeakers
	}
	if cfg.Mesh == 0 {
		cfg.Mesh = meshNodes
	}
	l := &Link{
		cfg: cfg, log: cfg.Log.Named("link"), epoch: uint64(time.Now().UnixNano()), wake: make(chan struct{}, 1),
		rooms: map[string]*room{}, heard: map[string]uint64{},
	}
	cc := cfg.Cluster
	cc.OnEvent = l.event
	var err error
	if l.cluster, err = cluster.New(cc); err != nil {
		return nil, err
	}
	if l.inlet, err = media.NewInlet(media.InletConfig{AddSource: l.addSource, Now: cfg.Now}); err != nil {
		return nil, err
	}
	secret := l.cluster.TrunkSecret()
	if secret == nil {
		if !cfg.Advertise.Addr().IsLoopback() {
			return nil, fmt.Errorf("%w: cluster.key: media to other machines is not sent without it", cluster.ErrConfig)
		}
		// Who can send from loopback could take part in the cluster anyway.
		open := sha256.Sum256([]byte("parley trunks on loopback"))
		secret = open[:]
	}
	l.trunks, err = trunk.New(trunk.Config{
		Conn: cfg.Conn, Node: cc.Node, Secret: secret, Epoch: l.epoch,
		MaxHops: 2, OnPacket: l.packet, OnStream: l.stream, Log: cfg.Log.Named("trunk"),
	})
	if err != nil {
		return nil, err
	}
	l.relay = media.NewRelay(l.trunks, l.onward)
	l.cluster.SetTrunk(trunkAddress(cfg.Advertise, l.epoch))
	return l, nil
}

// Cluster is the node's part in the cluster.
func (l *Link) Cluster() *cluster.Cluster { return l.cluster }

// Run takes part in the cluster until ctx ends. It closes the socket.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.cluster.Run(ctx) })
	group.Go(func() error { return l.trunks.Run(ctx) })
	group.Go(func() error { l.tend(ctx); return nil })
	return errors.Join(group.Wait(), l.cfg.Conn.Close())
}

// Close closes the socket of a link that is not going to run.
func (l *Link) Close() error { return l.cfg.Conn.Close() }

// tend does what has to be done in time, and what callers could not do with their locks held.
func (l *Link) tend(ctx context.Context) {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-t.C:
			l.report()
		}
		l.mu.Lock()
		gone := l.gone
		l.gone = nil
		l.mu.Unlock()
		for _, name := range gone {
			l.inlet.Forget(name, "")
		}
	}
}

// report tells the cluster how busy this node is, and whose trunks live.
func (l *Link) report() {
	if l.cfg.Load != nil {
		l.cluster.SetLoad(l.cfg.Load())
	}
	for _, link := range l.trunks.Stats() {
		if link.DatagramsIn != l.heard[link.Node] {
			l.heard[link.Node] = link.DatagramsIn
			l.cluster.Heard(link.Node)
		}
	}
}

// event keeps trunks to those who live.
func (l *Link) event(e cluster.Event) {
	switch e.Kind {
	case cluster.NodeJoined, cluster.NodeChanged, cluster.NodeAlive:
		addr, epoch, err := parseTrunk(e.Member.Trunk)
		if err != nil {
			l.log.Warn("a node without media", zap.String("node", e.Member.Node), zap.Error(err))
			break
		}
		l.trunks.Connect(e.Member.Node, addr, epoch)
	case cluster.NodeDead, cluster.NodeLeft:
		l.trunks.Disconnect(e.Member.Node)
	case cluster.SelfRejoined:
		// The others have ended their trunks to this node; what they sent before is not going to be ended by them.
		for _, m := range l.cluster.Members() {
			if addr, epoch, err := parseTrunk(m.Trunk); err == nil && !m.Self {
				l.trunks.Disconnect(m.Node)
				l.trunks.Connect(m.Node, addr, epoch)
			}
		}
	}
	if l.cfg.OnEvent != nil {
		l.cfg.OnEvent(e)
	}
}

func (l *Link) packet(p trunk.Packet) {
	l.inlet.Packet(p)
	if l.hubs.Load() > 0 {
		l.relay.Packet(p)
	}
}

func (l *Link) stream(e trunk.StreamEvent) {
	l.inlet.Stream(e)
	l.relay.Stream(e)
}

// onward is where this node, as a hub, passes on what comes from a node.
func (l *Link) onward(name, from string) []string {
	l.mu.Lock()
	r := l.rooms[name]
	l.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.routes.Load().onward[from]
}

// addSource lets somebody of another node be heard in a room here.
func (l *Link) addSource(name, participant string, formats map[uint8]neteq.Format) (media.Source, error) {
	l.mu.Lock()
	r := l.rooms[name]
	l.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("room %q: nobody is here", name)
	}
	s, err := r.side.AddSource(participant, formats)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stats is a snapshot for metrics.
type Stats struct {
	Cluster cluster.Stats
	Links   []trunk.Link
	Refused trunk.Refused
	Inlet   media.InletStats
	Outlet  media.OutletStats // of all rooms of now together
}

// Stats takes one.
func (l *Link) Stats() Stats {
	s := Stats{Cluster: l.cluster.Stats(), Links: l.trunks.Stats(), Refused: l.trunks.Refused(), Inlet: l.inlet.Stats()}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rooms {
		o := r.outlet.Stats()
		s.Outlet.Talkers += o.Talkers
		s.Outlet.Chosen += o.Chosen
		s.Outlet.Sent += o.Sent
		s.Outlet.Held += o.Held
		s.Outlet.Unchosen += o.Unchosen
		s.Outlet.Choices += o.Choices
		s.Outlet.Crowded += o.Crowded
		s.Outlet.Refused += o.Refused
	}
	return s
}

var _ sfu.Fabric = (*Link)(nil)
