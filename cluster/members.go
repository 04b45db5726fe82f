package cluster

import (
	"slices"
	"time"

	"go.uber.org/zap"
)

// peer is another node. Times are since the start of this process, by the monotonic clock.
type peer struct {
	Member
	heard     time.Duration            // last message of any kind
	watching  bool                     // this node is one of its watchers
	watchFrom time.Duration            // since when
	accused   time.Duration            // when this node last accused it; 0: not since it was heard
	accusers  map[string]time.Duration // who says it is gone, and when that was said
	died      time.Duration
	fencedAt  time.Duration // when it was last told so
	trunk     time.Duration // last sign of life on its trunk, from Heard
	directory remoteDirectory
}

func (p *peer) reachable() bool { return p.State == Alive || p.State == Suspect }

// accept says whether a message may be listened to, and notes the sign of life. Only messages that describe their
// sender bring in a node or an incarnation that was not known.
func (c *Cluster) accept(m *message, now time.Duration) *peer {
	if m.From == c.self.Node {
		c.stats.DeadLetters++ // another process of the same name, or our own past
		if m.Epoch != c.self.Epoch && m.Epoch != c.lastEpoch {
			c.log.Warn("another node uses this node's name", zap.Uint64("epoch", m.Epoch))
		}
		return nil
	}
	p := c.peers[m.From]
	if p == nil {
		if last, left := c.gone[m.From]; left && m.Epoch <= last.epoch {
			c.tellFenced(m.From, last.epoch, &last.told, now)
			c.gone[m.From] = last
			return nil
		}
		if m.Kind != kindAnnounce {
			return nil // it will announce itself within a second
		}
		p = c.addPeer(*m.Member, now)
		c.greet(p)
		return p
	}
	switch {
	case m.Epoch < p.Epoch:
		c.tellFenced(m.From, p.Epoch, &p.fencedAt, now)
		return nil
	case m.Epoch > p.Epoch && m.Kind != kindAnnounce:
		return nil
	case m.Epoch > p.Epoch:
		c.removePeer(p, now)
		p = c.addPeer(*m.Member, now)
		return p
	case p.State == Dead:
		c.tellFenced(m.From, p.Epoch, &p.fencedAt, now)
		return nil
	}
	p.heard, p.accused = now, 0
	delete(p.accusers, c.self.Node)
	if p.State != Alive {
		c.setState(p, Alive, now)
	}
	return p
}

// tellFenced tells a node that its incarnation is over; one of its watchers does, once a second.
func (c *Cluster) tellFenced(node string, epoch uint64, last *time.Duration, now time.Duration) {
	c.stats.Refused++
	if *last != 0 && now-*last < time.Second || !slices.Contains(c.ring.watchersOf(node, fewWatchers), c.self.Node) {
		return
	}
	*last = now
	c.send(subjectNode(node), &message{Kind: kindFenced, Target: node, TargetEpoch: epoch})
}

func (c *Cluster) addPeer(m Member, now time.Duration) *peer {
	m.State, m.Self = Alive, false
	p := &peer{Member: m, heard: now, accusers: map[string]time.Duration{}}
	c.peers[m.Node] = p
	delete(c.gone, m.Node)
	c.membersChanged = true
	c.event(NodeJoined, p.Member)
	return p
}

// removePeer forgets a node and all that it claimed.
func (c *Cluster) removePeer(p *peer, _ time.Duration) {
	c.forgetRooms(p)
	if p.watching {
		c.bus.Unsubscribe(subjectBeat(p.Node))
	}
	delete(c.peers, p.Node)
	c.membersChanged = true
}

// greet tells a newcomer about everybody. Its watchers do, so that it is not told a thousand times.
func (c *Cluster) greet(p *peer) {
	if !slices.Contains(c.ring.watchersOf(p.Node, fewWatchers), c.self.Node) {
		return
	}
	known := []Member{c.self}
	for _, o := range c.peers {
		if o != p && o.reachable() {
			known = append(known, o.Member)
		}
	}
	for part := range slices.Chunk(known, chunk/maxMemberBytes) {
		c.send(subjectNode(p.Node), &message{Kind: kindMembers, Members: part})
	}
}

// maxMemberBytes is what a member usually takes as JSON, with room to spare.
const maxMemberBytes = 512

// learn takes in the members that a watcher told us of; what this node knows itself is better.
func (c *Cluster) learn(members []Member, now time.Duration) {
	for _, m := range members {
		if m.Node == c.self.Node || c.peers[m.Node] != nil || c.gone[m.Node].epoch >= m.Epoch {
			continue
		}
		c.addPeer(m, now)
	}
}

func (c *Cluster) setState(p *peer, s State, now time.Duration) {
	if p.State == s {
		return
	}
	was := p.State
	p.State = s
	c.membersChanged = c.membersChanged || s == Dead || was == Dead
	switch s {
	case Alive:
		c.event(NodeAlive, p.Member)
	case Suspect:
		c.event(NodeSuspect, p.Member)
	case Lost:
		c.event(NodeLost, p.Member)
	case Dead:
		p.died = now
		c.stats.Deaths++
		c.event(NodeDead, p.Member)
	}
	c.roomsOf(p)
}

// judge looks at every node that is late or accused.
func (c *Cluster) judge(now time.Duration) {
	unheard := c.announceInterval() * 5 / 2 // for those that nobody on this side of a partition watches
	for _, p := range c.peers {
		if p.State == Dead {
			if c.quorum && now-p.died > forgetAfter {
				c.gone[p.Node] = tombstone{epoch: p.Epoch, at: now}
				c.removePeer(p, now)
			}
			continue
		}
		late := now-p.heard >= unheard
		if p.watching {
			age := now - max(p.heard, p.watchFrom)
			late = late || age >= deadAfter
			if age >= suspectAfter && p.State == Alive {
				c.setState(p, Suspect, now)
			}
		}
		if late {
			p.accusers[c.self.Node] = now
			if p.accused == 0 || now-p.accused >= accuseEvery {
				p.accused = now
				c.send(subjectAll, &message{Kind: kindAccuse, Target: p.Node, TargetEpoch: p.Epoch})
			}
		}
	}
	for _, p := range c.peers {
		if p.State != Dead && len(p.accusers) > 0 {
			c.sentence(p, now)
		}
	}
}

// sentence finds an accused node dead, lost, or not guilty.
func (c *Cluster) sentence(p *peer, now time.Duration) {
	for who, at := range p.accusers {
		if now-at > accuseFor {
			delete(p.accusers, who)
		}
	}
	_, mine := p.accusers[c.self.Node]
	trusted, accusing := 0, 0
	count := func(who string) {
		trusted++
		if _, accuses := p.accusers[who]; accuses {
			accusing++
		}
	}
	jury := c.ring.watchersOf(p.Node, c.watchers())
	for _, who := range jury {
		if w := c.peers[who]; who == c.self.Node || w != nil && w.State == Alive && len(w.accusers) == 0 {
			count(who)
		}
	}
	if mine && !slices.Contains(jury, c.self.Node) {
		count(c.self.Node)
	}
	switch guilty := 2*accusing > trusted; {
	// Not by one who has only just come back from the lesser part: what it does not hear yet may be on its way.
	case guilty && c.majority(Alive) && c.quorum && now-c.quorumSince >= deadAfter+beatEvery:
		c.setState(p, Dead, now)
	case (guilty || mine) && p.reachable():
		c.setState(p, Lost, now)
	}
}

// accusedBy notes an accusation; one of ourselves is answered by showing that we live.
func (c *Cluster) accusedBy(m *message, now time.Duration) {
	if m.Target == c.self.Node {
		c.announceSoon = true
		return
	}
	if p := c.peers[m.Target]; p != nil && p.Epoch == m.TargetEpoch && p.State != Dead {
		p.accusers[m.From] = now
	}
}

// majority reports whether more than half of the cluster is at least this well; of two halves, the one with the lowest
// name. Cluster means everybody known who has not said goodbye, and not less than the configured size.
func (c *Cluster) majority(atWorst State) bool {
	seen, lowest, lowestSeen := 1, c.self.Node, true
	for _, p := range c.peers {
		ok := p.State <= atWorst
		if ok {
			seen++
		}
		if p.Node < lowest {
			lowest, lowestSeen = p.Node, ok
		}
	}
	total := max(1+len(c.peers), c.cfg.Size)
	return 2*seen > total || 2*seen == total && total == 1+len(c.peers) && lowestSeen
}

// checkQuorum notices that this node is among the few, or no longer is.
func (c *Cluster) checkQuorum(now time.Duration) {
	quorum := c.majority(Suspect)
	if quorum == c.quorum {
		return
	}
	c.quorum, c.quorumSince = quorum, now
	if quorum {
		c.event(SelfRecovered, c.self)
	} else {
		// Whoever it found dead just now was found so by the lesser part.
		for _, p := range c.peers {
			if p.State == Dead && now-p.died < 5*time.Second {
				c.setState(p, Lost, now)
			}
		}
		c.event(SelfDegraded, c.self)
	}
	c.allRoomsDirty()
}

// rejoin starts a new incarnation: what this node owned, others own by now.
func (c *Cluster) rejoin(atLeast uint64, why string, now time.Duration) {
	c.lastEpoch = c.self.Epoch
	c.self.Epoch = max(c.self.Epoch, atLeast) + 1
	c.stats.Rejoins++
	c.log.Warn("rejoining with a new epoch", zap.String("reason", why), zap.Uint64("epoch", c.self.Epoch))
	for _, p := range c.peers {
		p.heard, p.accused = now, 0
		clear(p.accusers)
	}
	c.restartRooms()
	c.announceSoon = true
	c.event(SelfRejoined, c.self)
}

// watch subscribes to the beats of those whom this node has to watch by the ring.
func (c *Cluster) watch(now time.Duration) {
	if !c.membersChanged {
		return
	}
	c.membersChanged = false
	names := []string{c.self.Node}
	for _, p := range c.peers {
		if p.State != Dead {
			names = append(names, p.Node)
		}
	}
	c.ring = newRing(names)
	mine := c.ring.watchedBy(c.self.Node, c.watchers())
	for _, p := range c.peers {
		watching := slices.Contains(mine, p.Node)
		switch {
		case watching && !p.watching:
			p.watchFrom = now
			c.bus.Subscribe(subjectBeat(p.Node))
		case !watching && p.watching:
			c.bus.Unsubscribe(subjectBeat(p.Node))
		}
		p.watching = watching
	}
}

// watchers is how many watch each node.
func (c *Cluster) watchers() int {
	if len(c.ring) <= watchAll {
		return watchAll
	}
	return fewWatchers
}

func (c *Cluster) announceInterval() time.Duration {
	return max(announceEvery, time.Duration(len(c.peers))*announcePerNode)
}

// tombstone remembers who has left, so that a late message does not bring them back.
type tombstone struct {
	epoch uint64
	at    time.Duration
	told  time.Duration
}
