package cluster

import (
	"cmp"
	"slices"
)

// PlacementMode says what happens to a client that reaches a node where its room is not.
type PlacementMode uint8

const (
	// SendOn redirects it to where placement wants it.
	SendOn PlacementMode = iota
	// ServeHere serves it where it came, whenever that node has room: the room extends.
	ServeHere
)

// Policy is what an operator decides about placement.
type Policy struct {
	Mode PlacementMode
	// Full is the Load.Used from which a node gets no more participants while others have room; 0: 0.85.
	Full float64
}

const defaultFull = 0.85

// A node takes a new room itself unless it is this much above the mean of its region: a tenth, and a fiftieth of its
// capacity, so that nodes with next to nothing to do do not send clients around.
const (
	aboveMean = 1.1
	aboveBase = 0.02
)

// Hint is what a client says, or what is known of it.
type Hint struct {
	Region     string   // nearest to the client; empty or of no living node: that of the node it reached
	Failed     []string // nodes on which it has just lost its call, whatever the others know yet
	Redirected bool     // it was sent here: only a node that is draining or wholly full sends it on
}

// View is what placement goes by.
type View struct {
	Self    string
	Members []Member
	Present []string // nodes where the room is
}

// Action is the outcome of a placement.
type Action uint8

const (
	Serve    Action = iota // here; the room is here, or new
	Extend                 // here; the room is elsewhere too, or only
	Redirect               // at Decision.Node
	Refuse                 // nowhere
)

func (a Action) String() string { return [...]string{"serve", "extend", "redirect", "refuse"}[a] }

// Decision is where a client goes and why.
type Decision struct {
	Action Action
	Node   Member // where: this node, or the one to go to (its URL is set)
	Reason string // for logs: new room, affinity, region, spill, orphan, redirected, serve here, full
}

// Place decides where a client of a room goes. It is a pure function: equal arguments give equal decisions.
//
// A room stays on one node (affinity) until that node is full (spill) or the client's region has a node of its own
// (region). A new room stays where its first client came, unless that node is clearly busier than its neighbours. A room
// whose nodes have all failed or are draining goes to the node chosen by hash among those not too busy, so that its people, who come
// back in different places, meet on one.
func Place(v View, room string, hint Hint, policy Policy) Decision {
	p := newPlacement(v, room, hint, policy)
	self, hasSelf := p.find(v.Self)
	switch {
	case hasSelf && hint.Redirected && p.usable(self) && self.Load.Used < 1:
		return p.to(self, "redirected")
	case hasSelf && policy.Mode == ServeHere && p.fits(self):
		return p.to(self, "serve here")
	}
	if target, reason, found := p.choose(); found {
		return p.to(target, reason)
	}
	return Decision{Action: Refuse, Node: *self, Reason: "full"}
}

// Fallbacks are the nodes that a client of a room at this node should try, in this order, when this node fails: those
// where the room is, then the order by hash, in which all clients of the room agree. At most n, all with a URL.
func Fallbacks(v View, room string, hint Hint, policy Policy, n int) []Member {
	hint.Failed = append(slices.Clone(hint.Failed), v.Self)
	p := newPlacement(v, room, hint, policy)
	all := p.where(p.fits)
	slices.SortFunc(all, func(a, b *Member) int {
		return cmp.Or(
			-cmp.Compare(rank(p.present(a)), rank(p.present(b))),
			-cmp.Compare(rank(p.near(a)), rank(p.near(b))),
			cmp.Compare(score(room, a.Node), score(room, b.Node)), cmp.Compare(a.Node, b.Node))
	})
	out := make([]Member, 0, n)
	for _, m := range all[:min(n, len(all))] {
		out = append(out, *m)
	}
	return out
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// placement is one decision in the making.
type placement struct {
	v      View
	room   string
	hint   Hint
	full   float64
	region string
	lost   bool // the room was somewhere, and all of that has failed or takes nobody any more
}

func newPlacement(v View, room string, hint Hint, policy Policy) *placement {
	p := &placement{v: v, room: room, hint: hint, full: policy.Full}
	if p.full == 0 {
		p.full = defaultFull
	}
	self, _ := p.find(v.Self)
	p.region = self.Region
	if hint.Region != "" && len(p.where(func(m *Member) bool { return p.usable(m) && m.Region == hint.Region })) > 0 {
		p.region = hint.Region
	}
	p.lost = len(hint.Failed) > 0
	return p
}

// find is the member of that name, and an empty one if there is none.
func (p *placement) find(node string) (_ *Member, found bool) {
	for i := range p.v.Members {
		if p.v.Members[i].Node == node {
			return &p.v.Members[i], true
		}
	}
	return &Member{}, false
}

func (p *placement) self(m *Member) bool { return m.Node == p.v.Self }

// usable: it lives, wants clients, and can be reached.
func (p *placement) usable(m *Member) bool {
	return m.State == Alive && !m.Draining && (m.URL != "" || p.self(m)) && !slices.Contains(p.hint.Failed, m.Node)
}

func (p *placement) fits(m *Member) bool    { return p.usable(m) && m.Load.Used < p.full }
func (p *placement) near(m *Member) bool    { return m.Region == p.region }
func (p *placement) present(m *Member) bool { return slices.Contains(p.v.Present, m.Node) }

func (p *placement) where(ok func(*Member) bool) []*Member {
	var out []*Member
	for i := range p.v.Members {
		if m := &p.v.Members[i]; ok(m) {
			out = append(out, m)
		}
	}
	return out
}

// choose finds the node; false: none has room.
func (p *placement) choose() (_ *Member, reason string, found bool) {
	alive := p.where(func(m *Member) bool { return p.present(m) && p.usable(m) })
	if len(alive) == 0 {
		p.lost = p.lost || len(p.v.Present) > 0
		return p.chooseNew()
	}
	if here := p.where(func(m *Member) bool { return p.present(m) && p.near(m) && p.fits(m) }); len(here) > 0 {
		return p.leastBusy(here), "affinity", true
	}
	if local := p.where(func(m *Member) bool { return p.near(m) && p.fits(m) }); len(local) > 0 {
		reason := "region"
		if slices.ContainsFunc(alive, p.near) {
			reason = "spill"
		}
		return p.pick(local), reason, true
	}
	if far := p.where(func(m *Member) bool { return p.present(m) && p.fits(m) }); len(far) > 0 {
		return p.leastBusy(far), "affinity", true
	}
	if any := p.where(p.fits); len(any) > 0 {
		return p.pick(any), "spill", true
	}
	return nil, "", false
}

// chooseNew finds the node for a room that is nowhere.
func (p *placement) chooseNew() (_ *Member, reason string, found bool) {
	all := p.where(func(m *Member) bool { return p.near(m) && p.fits(m) })
	if len(all) == 0 {
		all = p.where(p.fits)
	}
	if len(all) == 0 {
		return nil, "", false
	}
	if p.lost {
		calm := notBusy(all)
		return calm[slices.Index(names(calm), chosen(p.room, names(calm)))], "orphan", true
	}
	return p.pick(all), "new room", true
}

// pick takes this node if it is among the candidates and not busier than most, else the less busy of the two that the
// room's hash names: two choices balance nearly as well as the best of all, and a thousand nodes that decide at the same
// moment do not all choose the same one.
func (p *placement) pick(all []*Member) *Member {
	calm := notBusy(all)
	if i := slices.IndexFunc(calm, p.self); i >= 0 {
		return calm[i]
	}
	slices.SortFunc(calm, func(a, b *Member) int { return cmp.Compare(score(p.room, a.Node), score(p.room, b.Node)) })
	if len(calm) > 1 && calm[1].Load.Used < calm[0].Load.Used {
		return calm[1]
	}
	return calm[0]
}

// leastBusy prefers this node among nodes where the room is already.
func (p *placement) leastBusy(all []*Member) *Member {
	if i := slices.IndexFunc(all, p.self); i >= 0 {
		return all[i]
	}
	return slices.MinFunc(all, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(a.Load.Used, b.Load.Used), cmp.Compare(a.Node, b.Node))
	})
}

// notBusy leaves out those clearly above the mean; it never leaves out all.
func notBusy(all []*Member) []*Member {
	mean := 0.0
	for _, m := range all {
		mean += m.Load.Used / float64(len(all))
	}
	var out []*Member
	for _, m := range all {
		if m.Load.Used <= mean*aboveMean+aboveBase {
			out = append(out, m)
		}
	}
	return out
}

func names(all []*Member) []string {
	out := make([]string, len(all))
	for i, m := range all {
		out[i] = m.Node
	}
	return out
}

// to makes the decision for a target.
func (p *placement) to(m *Member, reason string) Decision {
	d := Decision{Node: *m, Reason: reason}
	switch {
	case !p.self(m):
		d.Action = Redirect
	case slices.ContainsFunc(p.v.Present, func(node string) bool {
		return node != p.v.Self && !slices.Contains(p.hint.Failed, node)
	}):
		d.Action = Extend
	default:
		d.Action = Serve
	}
	return d
}
