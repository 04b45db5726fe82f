package sfu

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"parley/mixer"
	"parley/neteq"
)

// Fabric is the way to other nodes: it makes one room of those of the same name, wherever their people are. A node alone
// has none.
type Fabric interface {
	// Enter says that somebody is in a room here, until Leave of what it returns. What other nodes do there is told to side.
	// It does not wait; it is called with locks held, so it must not call side before it returns.
	Enter(room string, side RoomSide) FabricRoom
}

// FabricRoom is what this node tells the other nodes of a room. Nothing waits, and nothing calls back before it returns.
type FabricRoom interface {
	// Show tells how a participant of this node is now; the first time, that it is here.
	Show(Presence)
	// Hide tells that a participant of this node has left.
	Hide(participant, reason string)
	// Chat sends a line of text to the others.
	Chat(ChatEvent)
	// Mute asks the node of a participant to mute it or to let it be heard, in the name of an admin of this node.
	Mute(by, participant string, muted bool)
	// Talk makes a participant's packets heard on other nodes. The level of a packet is told by cfg.Level.
	Talk(cfg TalkerConfig) Talker
	// Leave says that nobody is here any more.
	Leave()
}

// Talker takes the packets of a participant of this node.
type Talker interface {
	Push(p *neteq.Packet, arrival time.Duration)
	Close()
}

// TalkerConfig describes a stream of a participant of this node.
type TalkerConfig struct {
	Participant string
	SourceEpoch uint32 // grows when RTP sequence numbers start over, on whichever node that is
	Formats     map[uint8]neteq.Format
	Level       func(*neteq.Packet) int // of a packet just pushed, dBov
}

// Presence is a participant as nodes show it to one another.
type Presence struct {
	ParticipantInfo        // without Speaking, which every node hears for itself
	MutedBy         string // "self", "server" or who did it; means nothing while it is not muted
	Score           int    // of its connection, see Quality; 0: not known
	Since           int64  // Unix time in ms of its joining; the newer one of an identity is the one
}

// RoomSide is a room of this node, to a Fabric. Methods may be called from any goroutine, and do nothing after Leave.
type RoomSide interface {
	// Appear says that a participant of another node is there, or how it is now.
	Appear(node string, p Presence)
	// Vanish says that it has left; participant "" is everybody of that node.
	Vanish(node, participant, reason string)
	// Said is a line of chat from another node.
	Said(ChatEvent)
	// MuteAsked is what an admin of another node wants; participants of others yet are passed over.
	MuteAsked(by, participant string, muted bool)
	// AddSource lets a participant of another node be heard here.
	AddSource(participant string, formats map[uint8]neteq.Format) (*mixer.Source, error)
}

// LeaveSoon says that participants are about to move to other nodes: who joins elsewhere keeps the seat here until it is
// heard there.
func (n *Node) LeaveSoon() { n.leaving.Store(true) }

// SetFabric connects the node to others. It is to be called before Run.
func (n *Node) SetFabric(f Fabric) { n.fabric = f }

// remoteMember is a participant of another node.
type remoteMember struct {
	Presence
	node string
}

// side is what a Fabric knows of a room, from one Enter to the next Leave. A nil *side is that of a node alone.
type side struct {
	r      *room
	shared FabricRoom
	left   bool // guarded by room.mu
}

// join enters the fabric. Under room.mu.
func (r *room) join(f Fabric) {
	if f == nil || r.side.Load() != nil {
		return
	}
	s := &side{r: r}
	s.shared = f.Enter(r.id, s)
	r.side.Store(s)
}

// part leaves it. Under room.mu.
func (r *room) part() {
	if s := r.side.Swap(nil); s != nil {
		s.left = true
		s.shared.Leave()
	}
	clear(r.remotes)
}

// share returns what tells the other nodes, nil when there are none. Any goroutine may call it.
func (r *room) share() FabricRoom {
	if s := r.side.Load(); s != nil {
		return s.shared
	}
	return nil
}

// show tells the other nodes how p is. Under room.mu.
func (r *room) show(p *participant) {
	if f := r.share(); f != nil {
		info := p.info
		info.Speaking = false
		f.Show(Presence{ParticipantInfo: info, MutedBy: p.mutedBy, Score: p.score, Since: p.since})
	}
}

// Appear implements RoomSide.
func (s *side) Appear(node string, p Presence) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.left || p.ID == "" || p.ID == bySelf || p.ID == byServer {
		return
	}
	local := r.member(p.ID)
	if local != nil && p.Since <= local.since {
		return // its node will see that ours is newer
	}
	old := r.remotes[p.ID]
	if old != nil && old.node != node && p.Since < old.Since {
		return
	}
	if old != nil {
		p.Speaking = old.Speaking
	}
	if r.remotes == nil {
		r.remotes = map[string]*remoteMember{}
	}
	r.remotes[p.ID] = &remoteMember{Presence: p, node: node}
	switch {
	case local != nil:
		// Who moves away from here is heard here until it is heard there.
		if p.Publish || !local.node.leaving.Load() {
			local.node.dismiss(local, ReasonReplaced)
		}
	case old == nil:
		r.tell(nil, ParticipantEvent{Change: ChangeJoined, Participant: p.ParticipantInfo})
	case old.ParticipantInfo != p.ParticipantInfo:
		r.tell(nil, ParticipantEvent{Change: ChangeUpdated, Participant: p.ParticipantInfo})
	}
}

// Vanish implements RoomSide.
func (s *side) Vanish(node, participant, reason string) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.left {
		return
	}
	for id, p := range r.remotes {
		if p.node != node || participant != "" && id != participant {
			continue
		}
		delete(r.remotes, id)
		p.Speaking, p.Publish = false, false
		if r.member(id) == nil {
			r.tell(nil, ParticipantEvent{Change: ChangeLeft, Participant: p.ParticipantInfo, Reason: reason})
		}
	}
}

// Said implements RoomSide.
func (s *side) Said(e ChatEvent) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !s.left {
		s.r.tell(nil, e)
	}
}

// MuteAsked implements RoomSide. Whether by may do that was for its own node to say.
func (s *side) MuteAsked(by, participant string, muted bool) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if p := s.r.member(participant); p != nil && !s.left && by != participant {
		if err := s.r.mute(p, by, muted); err != nil {
			p.log.Debug("a mute of another node", zap.Error(err))
		}
	}
}

// AddSource implements RoomSide.
func (s *side) AddSource(participant string, formats map[uint8]neteq.Format) (*mixer.Source, error) {
	s.r.mu.Lock()
	left := s.left
	s.r.mu.Unlock()
	if left {
		return nil, fmt.Errorf("hear %q: %w", participant, ErrClosed)
	}
	channels := 1
	if s.r.cfg.Music { // what it sends is known to its own node only, and mono decoded as stereo is the same on both sides
		channels = s.r.cfg.Channels
	}
	return s.r.mix.AddSource(mixer.SourceConfig{Owner: participant, Formats: formats, Channels: channels})
}

// others lists the participants of other nodes, in the order they came. Under room.mu.
func (r *room) others() []*remoteMember {
	out := make([]*remoteMember, 0, len(r.remotes))
	for id, p := range r.remotes {
		if r.member(id) == nil {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *remoteMember) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// hosts tells if id is somebody in the room, on whichever node.
func (r *room) hosts(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.member(id) != nil || r.remotes[id] != nil
}

// muteElsewhere asks another node to mute a participant of its own. Under room.mu.
func (r *room) muteElsewhere(p *remoteMember, by string, muted bool) error {
	if !muted && p.Muted && p.MutedBy == bySelf {
		return fmt.Errorf("unmute %q: %w", p.ID, ErrForbidden)
	}
	if f := r.share(); f != nil {
		f.Mute(by, p.ID, muted)
	}
	return nil
}

// talker makes what source is given heard on other nodes; nil on a node alone.
func (p *participant) talker(source *mixer.Source, formats map[uint8]neteq.Format) Talker {
	f := p.room.share()
	if f == nil {
		return nil
	}
	return f.Talk(TalkerConfig{
		Participant: p.id, SourceEpoch: p.node.sourceEpoch(), Formats: formats, Level: source.Expect,
	})
}

// epochUnit is what source epochs count: they come from the clock, so that they grow from node to node, and go round in
// more than a year.
const epochUnit = 16 * time.Millisecond

func (n *Node) sourceEpoch() uint32 {
	for {
		last := n.lastEpoch.Load()
		next := max(last+1, n.now().UnixNano()/int64(epochUnit))
		if n.lastEpoch.CompareAndSwap(last, next) {
			return uint32(next)
		}
	}
}
