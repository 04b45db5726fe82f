package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// Self is this node as the others know it.
func (c *Cluster) Self() Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// Members are all known nodes, this one included, ordered by name.
func (c *Cluster) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members()
}

func (c *Cluster) members() []Member {
	out := make([]Member, 0, 1+len(c.peers))
	out = append(out, c.self)
	for _, p := range c.peers {
		out = append(out, p.Member)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// Degraded reports that this node sees too few others to speak for the cluster: it serves its own clients, owns no
// room, and takes nothing over.
func (c *Cluster) Degraded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.quorum
}

// SetLoad tells how busy this node is. It travels with the next announcement, within a second in clusters of up to 100
// nodes; call it as often as it is measured.
func (c *Cluster) SetLoad(l Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.Used, l.Capacity, l.Participants, l.Rooms = max(l.Used, 0), max(l.Capacity, 0), max(l.Participants, 0), max(l.Rooms, 0)
	c.self.Load = l
}

// SetTrunk tells where other nodes send media to, once the socket is open.
func (c *Cluster) SetTrunk(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self.Trunk = addr
	c.announceSoon = true
}

// Heard tells that something came from a node over its trunk just now. A node that is lost to the bus stays in its rooms
// as long as this is told once a second or so: its people can still be heard.
func (c *Cluster) Heard(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[node]; p != nil {
		p.trunk = c.now()
	}
}

// Drain marks this node as leaving: placement sends nobody here any more, and the others know. Moving those who are here
// is for the caller. There is no way back but a restart.
func (c *Cluster) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self.Draining = true
	c.announceSoon = true
	c.wakeUp()
}

// RequestDrain asks a node, this one too, to empty itself: it gets the event DrainRequested. ErrNoNode: nobody of that
// name lives.
func (c *Cluster) RequestDrain(node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if node == c.self.Node {
		c.drainSelf()
		return nil
	}
	if p := c.peers[node]; p == nil || !p.reachable() {
		return fmt.Errorf("drain %q: %w", node, ErrNoNode)
	}
	c.send(subjectNode(node), &message{Kind: kindDrain, Target: node})
	return nil
}

func (c *Cluster) drainSelf() {
	c.self.Draining = true
	c.announceSoon = true
	c.event(DrainRequested, c.self)
}

// Forget strikes a dead or lost node from the list by an operator's word: it no longer counts when majorities are
// formed. ErrNoNode: there is none such, or it lives.
func (c *Cluster) Forget(node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[node]
	if p == nil || p.reachable() {
		return fmt.Errorf("forget %q: %w", node, ErrNoNode)
	}
	now := c.now()
	c.gone[node] = tombstone{epoch: p.Epoch, at: now}
	c.removePeer(p, now)
	return nil
}

// Store is where the cluster remembers; nil when there is none (a Bus of the caller's, or no directory).
func (c *Cluster) Store() *Store { return c.store }

// TrunkSecret is the secret of the media links, the same on all nodes, made from the cluster key: 32 bytes. A node
// without a cluster key, which has neighbours on loopback only or an outside NATS, has none: nil.
func (c *Cluster) TrunkSecret() []byte { return trunkSecret(c.cfg.NATS.Key) }

// RoomInfo is a room as the directory knows it.
type RoomInfo struct {
	Room         string         `json:"room"`
	Owner        string         `json:"owner,omitempty"`
	Epoch        uint64         `json:"epoch,omitempty"`
	Nodes        map[string]int `json:"nodes"` // participants by node
	Participants int            `json:"participants"`
}

// Rooms are all rooms of the cluster, ordered by name.
func (c *Cluster) Rooms() []RoomInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	infos := map[string]*RoomInfo{}
	add := func(room, node string, n int) {
		info := infos[room]
		if info == nil {
			info = &RoomInfo{Room: room, Nodes: map[string]int{}}
			info.Owner, info.Epoch = c.bestClaim(room)
			infos[room] = info
		}
		info.Nodes[node] = n
		info.Participants += n
	}
	for name, r := range c.own {
		add(name, c.self.Node, r.participants)
	}
	for name, e := range c.rooms {
		for _, cl := range e.claims {
			add(name, cl.node, cl.participants)
		}
	}
	out := make([]RoomInfo, 0, len(infos))
	for _, info := range infos {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b RoomInfo) int { return cmp.Compare(a.Room, b.Room) })
	return out
}
