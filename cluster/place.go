package cluster

// Place decides where a client of a room goes, by what this node knows now; it waits for nothing and works without any
// bus. Redirects are remembered until their target reports its load again, so that a crowd is spread.
func (c *Cluster) Place(room string, hint Hint) Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, orphan := c.view(room)
	if orphan {
		hint.Failed = append(hint.Failed[:len(hint.Failed):len(hint.Failed)], orphanMark)
	}
	d := Place(v, room, hint, c.cfg.Policy)
	if d.Action == Redirect {
		c.guessed[d.Node.Node] += 1 / float64(max(d.Node.Load.Capacity, 100))
		c.stats.Redirects++
	}
	return d
}

// orphanMark stands for the dead node whose room it was: no node can have that name.
const orphanMark = "(dead)"

// Fallbacks are where a client of a room at this node should go when this node fails; tell it when it joins, and when
// the answer changes. At most n.
func (c *Cluster) Fallbacks(room string, region string, n int) []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, _ := c.view(room)
	return Fallbacks(v, room, Hint{Region: region}, c.cfg.Policy, n)
}

func (c *Cluster) view(room string) (_ View, orphan bool) {
	v := View{Self: c.self.Node, Members: make([]Member, 0, 1+len(c.peers))}
	v.Members = append(v.Members, c.self)
	for _, p := range c.peers {
		m := p.Member
		m.Load.Used += c.guessed[m.Node]
		v.Members = append(v.Members, m)
	}
	if c.own[room] != nil {
		v.Present = append(v.Present, c.self.Node)
	}
	e := c.rooms[room]
	if e == nil {
		return v, false
	}
	for _, cl := range e.claims {
		v.Present = append(v.Present, cl.node)
	}
	return v, e.orphaned != 0 && len(v.Present) == 0
}
