package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Cluster is this node's view of all nodes and its voice among them. Make it with New, then Run it. All methods may be
// called from any goroutine, before Run too; none but those of Store waits for anything.
type Cluster struct {
	cfg     Config
	log     *zap.Logger
	bus     Bus
	store   *Store // nil: none
	nats    *natsBus
	start   time.Time
	mailbox *mailbox
	wake    chan struct{} // capacity 1: there is something to send or to call

	mu             sync.Mutex
	self           Member
	lastEpoch      uint64 // the incarnation before this one
	peers          map[string]*peer
	gone           map[string]tombstone
	ring           ring
	membersChanged bool
	quorum         bool
	quorumSince    time.Duration

	own       map[string]*Room
	rooms     map[string]*roomEntry
	unsettled []*Room
	flush     []*Room // with pending ops
	roomSeq   uint64  // where the numbers of a new room begin

	dirty        map[string]struct{} // rooms whose claims are to be announced
	urgent       bool                // and soon
	dirSeq       uint64
	announced    time.Duration
	announceSoon bool
	beaten       time.Duration
	ticked       time.Duration
	slow         time.Duration
	flushed      time.Duration

	guessed map[string]float64 // load put on nodes by redirects since they last reported
	calls   []func()
	stats   Stats
}

// New checks cfg and makes the node's part; it starts nothing. Errors wrap ErrConfig.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.wall == nil {
		cfg.wall = time.Now
	}
	if cfg.decode == nil {
		cfg.decode = decode
	}
	c := &Cluster{
		cfg: cfg, log: cfg.Log.Named("cluster"), start: time.Now(), mailbox: newMailbox(), wake: make(chan struct{}, 1),
		peers: map[string]*peer{}, gone: map[string]tombstone{}, own: map[string]*Room{}, rooms: map[string]*roomEntry{},
		dirty: map[string]struct{}{}, guessed: map[string]float64{}, membersChanged: true,
	}
	c.self = Member{
		Node: cfg.Node, Epoch: max(1, uint64(cfg.wall().UnixMilli())), Region: cfg.Region, URL: cfg.URL, Trunk: cfg.Trunk,
		Version: cfg.Version, Self: true,
	}
	c.ring = newRing([]string{cfg.Node})
	c.bus = cfg.Bus
	if c.bus == nil {
		var err error
		if c.nats, err = newNATSBus(&c.cfg, c.log); err != nil {
			return nil, err
		}
		c.bus = c.nats
		if cfg.NATS.Dir != "" || cfg.NATS.URL != "" {
			c.store = newStore(c.nats, replicas(cfg.Size), c.log)
		}
	}
	c.quorum = c.majority(Suspect)
	c.bus.Subscribe(subjectAll)
	c.bus.Subscribe(subjectNode(cfg.Node))
	return c, nil
}

// Run takes part in the cluster until ctx ends, says goodbye, and returns when all that it started has ended. An error
// means that the bus could not start (an address in use); being alone or cut off is none.
func (c *Cluster) Run(ctx context.Context) error {
	busCtx, closeBus := context.WithCancel(context.WithoutCancel(ctx))
	defer closeBus()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.bus.Run(busCtx, c.mailbox.put, c.mailbox.lost) })
	if c.store != nil {
		group.Go(func() error { return c.store.run(ctx) })
	}
	group.Go(func() error {
		defer closeBus() // the goodbye is out
		c.loop(ctx)
		return nil
	})
	return group.Wait()
}

func (c *Cluster) loop(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	c.mu.Lock()
	c.ticked = c.now()
	c.announceSoon = true
	c.mu.Unlock()
	var letters []letter
	for tick := true; ; {
		letters = c.step(tick, letters)
		tick = false
		select {
		case <-ctx.Done():
			c.mu.Lock()
			c.send(subjectAll, &message{Kind: kindBye})
			c.mu.Unlock()
			return
		case <-ticker.C:
			tick = true
		case <-c.mailbox.wake:
		case <-c.wake:
		}
	}
}

// step does whatever is due, then calls back without the lock.
func (c *Cluster) step(tick bool, letters []letter) []letter {
	c.mu.Lock()
	now := c.now()
	c.checkStall(tick, now)
	letters, gap := c.mailbox.take(letters)
	if gap {
		c.resyncAll()
	}
	for i := range letters {
		c.receive(letters[i], now)
		letters[i] = letter{}
	}
	if tick {
		c.tick(now)
	}
	c.settleAll(now)
	if c.announceSoon || (tick || now-c.flushed >= tickEvery) && (c.urgent || now-c.announced >= c.announceInterval()) {
		c.urgent, c.flushed = false, now
		c.announce(now)
	}
	for _, r := range c.flush {
		r.queued = false
		r.send()
	}
	c.flush = c.flush[:0]
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, call := range calls {
		call()
	}
	return letters[:0]
}

// checkStall notices that this process stood still. After a short while its clock says nothing about others; after a
// longer one the others have found it dead, and nothing of its old incarnation may go out.
func (c *Cluster) checkStall(tick bool, now time.Duration) {
	late := now - c.ticked - tickEvery
	switch {
	case late >= deadAfter:
		c.ticked = now
		c.rejoin(0, "stood still for "+late.Round(time.Millisecond).String(), now)
	case late >= beatEvery/2 && tick:
		for _, p := range c.peers {
			p.heard += late
		}
	}
}

func (c *Cluster) tick(now time.Duration) {
	c.ticked = now
	c.watch(now)
	if now-c.beaten >= beatEvery-tickEvery/2 {
		c.beaten = now
		// To nobody known, too: a newcomer is known before it knows.
		c.send(subjectBeat(c.self.Node), &message{Kind: kindBeat, Seq: c.dirSeq})
	}
	c.judge(now)
	c.checkQuorum(now)
	c.askDirectories(now)
	if now-c.slow < 10*tickEvery {
		return
	}
	c.slow = now
	c.buryOrphans(now)
	for node, t := range c.gone {
		if now-t.at > forgetAfter {
			delete(c.gone, node)
		}
	}
	lost := slices.ContainsFunc(slices.Collect(maps.Values(c.peers)), func(p *peer) bool { return p.State == Lost })
	for name, r := range c.own {
		r.repeat(now)
		if lost {
			c.touch(name)
		}
		for _, rem := range r.remotes {
			if !rem.synced {
				r.ask(rem, now)
			}
		}
	}
}

// receive acts on one message.
func (c *Cluster) receive(l letter, now time.Duration) {
	c.stats.Received++
	m, err := c.cfg.decode(l.subject, l.data)
	if err != nil {
		c.stats.DeadLetters++
		c.log.Debug("dead letter", zap.String("subject", l.subject), zap.Int("bytes", len(l.data)), zap.Error(err))
		return
	}
	if m.Kind == kindFenced {
		// From whomever: being told wrongly costs an epoch, not listening would cost the room.
		if m.Target == c.self.Node && m.TargetEpoch >= c.self.Epoch {
			c.rejoin(m.TargetEpoch, "found dead by "+m.From, now)
		}
		return
	}
	if m.Kind == kindMembers {
		c.learn(m.Members, now) // a newcomer knows nobody, not even who tells it
	}
	p := c.accept(m, now)
	if p == nil {
		return
	}
	switch m.Kind {
	case kindBeat:
		p.directory.told = max(p.directory.told, m.Seq)
	case kindAnnounce:
		c.announcedBy(p, m, now)
	case kindBye:
		c.gone[p.Node] = tombstone{epoch: p.Epoch, at: now}
		c.event(NodeLeft, p.Member)
		c.removePeer(p, now)
	case kindAccuse:
		c.accusedBy(m, now)
	case kindDirAsk:
		c.answerDirectory(p.Node)
	case kindDir:
		c.wholeOf(p, m, now)
	case kindRoom, kindRoomAll, kindRoomAsk:
		c.receiveRoom(m, now)
	case kindDrain:
		if m.Target == c.self.Node {
			c.drainSelf()
		}
	}
}

func (c *Cluster) receiveRoom(m *message, now time.Duration) {
	r := c.own[m.Room]
	if r == nil {
		return
	}
	switch m.Kind {
	case kindRoom:
		r.receive(m, now)
	case kindRoomAll:
		r.receiveAll(m)
	case kindRoomAsk:
		r.answer(m.From, now)
	}
}

// announcedBy takes in what a node says of itself.
func (c *Cluster) announcedBy(p *peer, m *message, now time.Duration) {
	was := p.Member
	p.Region, p.URL, p.Trunk, p.Version = m.Member.Region, m.Member.URL, m.Member.Trunk, m.Member.Version
	p.Load, p.Draining = m.Member.Load, m.Member.Draining
	delete(c.guessed, p.Node)
	if was.Region != p.Region || was.URL != p.URL || was.Trunk != p.Trunk || was.Draining != p.Draining {
		c.event(NodeChanged, p.Member)
	}
	if !c.cfg.forgetful {
		c.changesOf(p, m, now)
	}
}

// resyncAll asks for everything again: messages were lost, and nobody knows which.
func (c *Cluster) resyncAll() {
	c.stats.Gaps++
	for _, p := range c.peers {
		if p.directory.told > 0 || p.directory.applied > 0 {
			p.directory.told = max(p.directory.told, p.directory.applied+1)
			p.directory.asked = 0
		}
	}
	for _, r := range c.own {
		for _, rem := range r.remotes {
			rem.synced, rem.asked = false, 0
		}
	}
}

// send publishes m in this node's name.
func (c *Cluster) send(subject string, m *message) {
	m.From, m.Epoch = c.self.Node, c.self.Epoch
	data, err := m.encode()
	if err != nil {
		c.stats.Unsent++
		c.log.Error("message not sent", zap.String("kind", string(m.Kind)), zap.Error(err))
		return
	}
	c.stats.Sent++
	c.bus.Publish(subject, data)
}

// now is the time since New, by the monotonic clock.
func (c *Cluster) now() time.Duration { return time.Since(c.start) }

// call queues a callback for the loop, which calls it without the lock.
func (c *Cluster) call(f func()) {
	c.calls = append(c.calls, f)
	c.wakeUp()
}

func (c *Cluster) event(k EventKind, m Member) {
	c.log.Info("node "+k.String(), zap.String("node", m.Node), zap.Uint64("epoch", m.Epoch))
	if c.cfg.OnEvent != nil {
		c.call(func() { c.cfg.OnEvent(Event{k, m}) })
	}
}

func (c *Cluster) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
