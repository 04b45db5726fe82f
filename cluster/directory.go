package cluster

import (
	"slices"
	"time"
)

// The directory says which nodes have participants in which room. Every node keeps all of it (some 100 bytes a room and
// node), so that placing a client asks nobody. Each node publishes what changes at its side, numbered; whoever misses a
// number asks for the whole of that node.

// roomEntry is a room as the directory knows it, this node's own part not included.
type roomEntry struct {
	claims   []nodeClaim
	maxEpoch uint64        // the highest epoch by which anybody has owned it
	orphaned time.Duration // when its last node died; 0: it did not
}

type nodeClaim struct {
	node         string
	participants int
	epoch        uint64
}

// remoteDirectory is how far this node has followed another's part.
type remoteDirectory struct {
	applied uint64 // number of the last change taken in
	told    uint64 // highest number heard of
	asked   time.Duration
	parts   int // of a whole that is coming in
	seq     uint64
	set     []claim
}

// orphanFor is how long the rooms of a dead node are placed by hash, so that their people, who come back through any
// node, meet again on one.
const orphanFor = 30 * time.Second

// dirAsksPerTick spreads the questions of a newcomer in a large cluster.
const dirAsksPerTick = 20

func (c *Cluster) entry(room string) *roomEntry {
	e := c.rooms[room]
	if e == nil {
		e = &roomEntry{}
		c.rooms[room] = e
	}
	return e
}

// claimed takes in that a node has a room; n and epoch as in claim.
func (c *Cluster) claimed(p *peer, cl claim) {
	e := c.entry(cl.Room)
	e.maxEpoch, e.orphaned = max(e.maxEpoch, cl.Epoch), 0
	nc := nodeClaim{p.Node, cl.Participants, cl.Epoch}
	i := slices.IndexFunc(e.claims, func(o nodeClaim) bool { return o.node == p.Node })
	if i < 0 {
		e.claims = append(e.claims, nc)
	} else {
		e.claims[i] = nc
	}
	c.touch(cl.Room)
}

// unclaimed takes in that a node no longer has a room.
func (c *Cluster) unclaimed(p *peer, room string, died bool, now time.Duration) {
	e := c.rooms[room]
	if e == nil {
		return
	}
	i := slices.IndexFunc(e.claims, func(o nodeClaim) bool { return o.node == p.Node })
	if i < 0 {
		return
	}
	e.claims = slices.Delete(e.claims, i, i+1)
	if len(e.claims) == 0 && c.own[room] == nil {
		if died {
			e.orphaned = now
		} else {
			delete(c.rooms, room)
		}
	}
	c.touch(room)
}

// forgetRooms drops all that a node claimed.
func (c *Cluster) forgetRooms(p *peer) {
	for room, e := range c.rooms {
		if slices.ContainsFunc(e.claims, func(o nodeClaim) bool { return o.node == p.Node }) {
			c.unclaimed(p, room, p.State == Dead, c.now())
		}
	}
}

// roomsOf is called when a node's state has changed: a dead one has no rooms any more.
func (c *Cluster) roomsOf(p *peer) {
	if p.State == Dead {
		c.forgetRooms(p)
		p.directory = remoteDirectory{}
	}
	for name, r := range c.own {
		if r.remotes[p.Node] != nil || c.present(name, p.Node) {
			c.touch(name)
		}
	}
}

func (c *Cluster) present(room, node string) bool {
	e := c.rooms[room]
	return e != nil && slices.ContainsFunc(e.claims, func(o nodeClaim) bool { return o.node == node })
}

// changesOf takes in an announcement's changes, or notices that some were missed.
func (c *Cluster) changesOf(p *peer, m *message, now time.Duration) {
	d := &p.directory
	d.told = max(d.told, m.Seq)
	if len(m.Set)+len(m.Del) == 0 || m.Seq != d.applied+1 {
		return
	}
	d.applied = m.Seq
	for _, cl := range m.Set {
		c.claimed(p, cl)
	}
	for _, room := range m.Del {
		c.unclaimed(p, room, false, now)
	}
}

// wholeOf takes in a part of a node's whole directory, and with the last part replaces what was known.
func (c *Cluster) wholeOf(p *peer, m *message, now time.Duration) {
	d := &p.directory
	if m.Part == 0 {
		d.parts, d.seq, d.set = 0, m.Seq, nil
	}
	if m.Part != d.parts || m.Seq != d.seq {
		return // a part is missing: asked again later
	}
	d.parts++
	d.set = append(d.set, m.Set...)
	if m.Part+1 < m.Parts || d.seq < d.applied {
		return
	}
	has := make(map[string]bool, len(d.set))
	for _, cl := range d.set {
		has[cl.Room] = true
		c.claimed(p, cl)
	}
	for room := range c.rooms {
		if !has[room] && c.present(room, p.Node) {
			c.unclaimed(p, room, false, now)
		}
	}
	d.applied, d.set = d.seq, nil
}

// askDirectories asks those whose changes were missed.
func (c *Cluster) askDirectories(now time.Duration) {
	if c.cfg.forgetful {
		return
	}
	asked := 0
	for _, p := range c.peers {
		d := &p.directory
		if d.told <= d.applied || !p.reachable() || d.asked != 0 && now-d.asked < 500*time.Millisecond {
			continue
		}
		d.asked = now
		c.stats.Resyncs++
		c.send(subjectNode(p.Node), &message{Kind: kindDirAsk})
		if asked++; asked == dirAsksPerTick {
			return
		}
	}
}

// answerDirectory sends the whole of this node's part.
func (c *Cluster) answerDirectory(to string) {
	all := make([]claim, 0, len(c.own))
	for _, r := range c.own {
		all = append(all, r.claim())
	}
	parts := split(all, func(cl claim) int { return claimBytes(cl.Room) })
	if len(parts) == 0 {
		parts = [][]claim{nil}
	}
	for i, part := range parts {
		c.send(subjectNode(to), &message{Kind: kindDir, Seq: c.dirSeq, Set: part, Part: i, Parts: len(parts)})
	}
}

// announce tells everybody about this node and what has changed in its rooms.
func (c *Cluster) announce(now time.Duration) {
	c.announced, c.announceSoon = now, false
	type change struct {
		claim
		gone bool
	}
	changes := make([]change, 0, len(c.dirty))
	for room := range c.dirty {
		if r := c.own[room]; r != nil {
			changes = append(changes, change{claim: r.claim()})
		} else {
			changes = append(changes, change{claim: claim{Room: room}, gone: true})
		}
	}
	clear(c.dirty)
	self := c.self
	parts := split(changes, func(ch change) int { return claimBytes(ch.Room) })
	if len(parts) == 0 {
		c.send(subjectAll, &message{Kind: kindAnnounce, Member: &self, Seq: c.dirSeq})
	}
	for _, part := range parts {
		c.dirSeq++
		m := &message{Kind: kindAnnounce, Member: &self, Seq: c.dirSeq}
		for _, ch := range part {
			if ch.gone {
				m.Del = append(m.Del, ch.Room)
			} else {
				m.Set = append(m.Set, ch.claim)
			}
		}
		c.send(subjectAll, m)
	}
}

// claimBytes is what a claim takes as JSON: a quote may take six bytes for one.
func claimBytes(room string) int { return 6*len(room) + 64 }

// split cuts a list so that no part is larger than a chunk.
func split[T any](list []T, size func(T) int) [][]T {
	var parts [][]T
	begin, bytes := 0, 0
	for i, item := range list {
		n := size(item)
		if bytes+n > chunk && i > begin {
			parts = append(parts, list[begin:i])
			begin, bytes = i, 0
		}
		bytes += n
	}
	if begin < len(list) {
		parts = append(parts, list[begin:])
	}
	return parts
}

// bestClaim is who owns a room by what is known: the highest epoch, among equals the lowest hash. Empty: nobody.
func (c *Cluster) bestClaim(room string) (owner string, epoch uint64) {
	consider := func(node string, e uint64) {
		if e > epoch || e == epoch && e > 0 && score(room, node) < score(room, owner) {
			owner, epoch = node, e
		}
	}
	if r := c.own[room]; r != nil {
		consider(c.self.Node, r.epoch)
	}
	if e := c.rooms[room]; e != nil {
		for _, cl := range e.claims {
			consider(cl.node, cl.epoch)
		}
	}
	return owner, epoch
}

// settle brings a room of this node in line with the directory: who else is in it, and who owns it.
func (c *Cluster) settle(r *Room, now time.Duration) {
	present := []string{c.self.Node}
	if e := c.rooms[r.name]; e != nil {
		for _, cl := range e.claims {
			p := c.peers[cl.node]
			if p == nil {
				continue
			}
			if p.reachable() {
				present = append(present, p.Node)
			} else if p.State == Lost && p.trunk != 0 && now-p.trunk < trunkProof && r.remotes[p.Node] != nil {
				present = append(present, p.Node) // its media still comes
			}
		}
	}
	r.meet(present[1:], now)

	owner, _ := c.bestClaim(r.name)
	switch {
	case !c.quorum && r.epoch > 0:
		c.own1(r, 0)
	case owner != c.self.Node && r.epoch > 0:
		c.stats.SteppedDown++
		c.own1(r, 0)
	case c.quorum && owner == "" && chosen(r.name, present) == c.self.Node:
		e := c.entry(r.name)
		e.maxEpoch++
		if e.maxEpoch > 1 {
			c.stats.Takeovers++
		}
		c.own1(r, e.maxEpoch)
	}
	owner, epoch := c.bestClaim(r.name)
	if !c.quorum {
		owner, epoch = "", 0
	}
	if owner != r.owner || epoch != r.ownerEpoch {
		r.owner, r.ownerEpoch = owner, epoch
		h := r.handler
		c.call(func() { h.Owner(owner, epoch) })
	}
}

// own1 sets or gives up the ownership of one room.
func (c *Cluster) own1(r *Room, epoch uint64) {
	r.epoch = epoch
	c.dirty[r.name] = struct{}{}
	c.urgent = true
}

// touch marks a room of this node to be settled.
func (c *Cluster) touch(room string) {
	if r := c.own[room]; r != nil && !r.unsettled {
		r.unsettled = true
		c.unsettled = append(c.unsettled, r)
	}
}

func (c *Cluster) allRoomsDirty() {
	for room := range c.own {
		c.touch(room)
	}
}

func (c *Cluster) settleAll(now time.Duration) {
	for len(c.unsettled) > 0 {
		list := c.unsettled
		c.unsettled = nil
		for _, r := range list {
			r.unsettled = false
			if c.own[r.name] == r {
				c.settle(r, now)
			}
		}
	}
}

// buryOrphans forgets rooms of dead nodes to which nobody came back.
func (c *Cluster) buryOrphans(now time.Duration) {
	for room, e := range c.rooms {
		if e.orphaned != 0 && now-e.orphaned > orphanFor && len(e.claims) == 0 && c.own[room] == nil {
			delete(c.rooms, room)
		}
	}
}

// restartRooms begins a new incarnation: nothing is owned, everything is told anew.
func (c *Cluster) restartRooms() {
	c.dirSeq = 0
	for name, r := range c.own {
		r.epoch, r.seq, r.recents = 0, 0, nil
		r.restate()
		c.dirty[name] = struct{}{}
		c.touch(name)
	}
	c.urgent = true
}
