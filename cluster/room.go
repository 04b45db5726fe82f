package cluster

import (
	"fmt"
	"slices"
	"time"
)

// RoomHandler is told what the other nodes of a room do. Calls come one at a time, in order, from the cluster's loop;
// they must not block. Bytes are shared: read only.
type RoomHandler interface {
	// PeerJoined: node has participants here too. What it has set follows by PeerState.
	PeerJoined(node string)
	// PeerState: node has set key; nil: deleted it. After a loss of messages only differences are told.
	PeerState(node, key string, value []byte)
	// PeerEvent: node has sent an event. Events of one node come in order, and once.
	PeerEvent(node string, data []byte)
	// PeerLeft: node has nobody here any more, or is gone; all its keys are gone with it.
	PeerLeft(node string)
	// Owner: the room is now owned by node, by this epoch; node "" (epoch 0): by nobody, while this node sees too few
	// of the cluster or until a successor is found.
	Owner(node string, epoch uint64)
}

// Limits of what one node says in one room.
const (
	maxRoomKeys  = 4096
	maxRoomBytes = 4 << 20
	maxValue     = 16 << 10
	// Events kept for those who miss a message: enough for a second of busy chat.
	maxRecents     = 64
	maxRecentBytes = 32 << 10
	// trunkProof is how long a packet on its trunk keeps a lost node in its rooms.
	trunkProof = 2 * time.Second
)

// Room is this node's part in a room that other nodes may be in too. Its methods may be called from any goroutine and
// never wait for another node.
type Room struct {
	c       *Cluster
	name    string
	handler RoomHandler

	// All below under c.mu.
	left         bool
	unsettled    bool
	participants int
	epoch        uint64 // above 0: this node owns the room
	owner        string // as last told to the handler
	ownerEpoch   uint64

	seq          uint64 // of the last message sent
	pending      []op
	pendingBytes int
	queued       bool // in c.flush
	state        map[string][]byte
	stateBytes   int
	recents      []recent
	digest       time.Duration // when to repeat the last number; 0: no need
	audience     time.Duration // somebody has asked: messages go out until then, though the directory shows nobody
	remotes      map[string]*remote
}

// remote is another node's part.
type remote struct {
	node    string
	epoch   uint64
	applied uint64 // number of its last message taken in
	synced  bool
	asked   time.Duration
	state   map[string][]byte
	parts   int // of a whole that is coming in
	seq     uint64
	set     []op
}

// Enter says that this node has (or is about to have) participants in a room, and follows what others say there. The
// handler may be called before Enter returns. A node enters a room once; after Leave it may enter again.
func (c *Cluster) Enter(room string, h RoomHandler) (*Room, error) {
	if !validName(room) {
		return nil, fmt.Errorf("enter room of %d bytes: %w", len(room), ErrBadName)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own[room] != nil {
		return nil, fmt.Errorf("enter room %q: it was entered before and not left", room)
	}
	r := &Room{c: c, name: room, handler: h, seq: c.roomSeq, state: map[string][]byte{}, remotes: map[string]*remote{}}
	if r.seq > 0 {
		r.digest = c.now() + tickEvery // whoever did not notice that the room was left in between will ask
	}
	c.own[room] = r
	c.entry(room).orphaned = 0
	c.dirty[room] = struct{}{}
	c.urgent = true
	c.bus.Subscribe(subjectRoom(room))
	c.settle(r, c.now())
	c.wakeUp()
	return r, nil
}

// Leave says that this node has nobody in the room any more; what was set and sent before goes out. The handler is not
// called for what happens after. It is idempotent.
func (r *Room) Leave() {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.left {
		return
	}
	r.send()
	r.left = true
	c.roomSeq = max(c.roomSeq, r.seq) + 2 // the room's next life begins with a gap
	delete(c.own, r.name)
	if e := c.rooms[r.name]; e != nil && len(e.claims) == 0 {
		delete(c.rooms, r.name)
	}
	c.dirty[r.name] = struct{}{}
	c.urgent = true
	c.bus.Unsubscribe(subjectRoom(r.name))
	c.wakeUp()
}

// SetParticipants tells how many are in the room at this node, for the operator's lists; it travels with the next
// announcement.
func (r *Room) SetParticipants(n int) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if !r.left && r.participants != n {
		r.participants = max(n, 0)
		r.c.dirty[r.name] = struct{}{}
	}
}

// Set makes a key of this node's known to all nodes of the room, those that come later included, until it is deleted
// or this node leaves. A nil value deletes. Other nodes may use the same key: keys belong to the node. It keeps value.
func (r *Room) Set(key string, value []byte) error {
	if !validName(key) {
		return fmt.Errorf("set in room %q: key of %d bytes: %w", r.name, len(key), ErrBadName)
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	old, had := r.state[key]
	total := r.stateBytes - len(old) + len(value)
	switch {
	case r.left:
		return ErrLeft
	case len(value) > maxValue || total > maxRoomBytes || value != nil && !had && len(r.state) >= maxRoomKeys:
		return fmt.Errorf("set %q in room %q, %d bytes: %w", key, r.name, len(value), ErrTooLarge)
	case value == nil && !had:
		return nil
	case value == nil:
		delete(r.state, key)
	default:
		r.state[key] = value
	}
	r.stateBytes = total
	r.push(op{Key: key, Value: value})
	return nil
}

// Delete is Set with nil.
func (r *Room) Delete(key string) error { return r.Set(key, nil) }

// Send tells all nodes that are in the room now. Each gets it once, after all that was set and sent before it; a node
// that has lost messages gets the newest 64 events when it has asked.
func (r *Room) Send(data []byte) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	switch {
	case r.left:
		return ErrLeft
	case len(data) > maxValue:
		return fmt.Errorf("send %d bytes to room %q: %w", len(data), r.name, ErrTooLarge)
	}
	if data == nil {
		data = []byte{}
	}
	r.push(op{Value: data})
	return nil
}

// Peers are the other nodes in the room.
func (r *Room) Peers() []string {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	out := make([]string, 0, len(r.remotes))
	for node := range r.remotes {
		out = append(out, node)
	}
	slices.Sort(out)
	return out
}

// Owner is who owns the room, as last told to the handler.
func (r *Room) Owner() (node string, epoch uint64) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.owner, r.ownerEpoch
}

func (r *Room) claim() claim {
	return claim{Room: r.name, Participants: r.participants, Epoch: r.epoch}
}

// push queues an op; the loop sends what has gathered, at most every tick.
func (r *Room) push(o op) {
	r.pending = append(r.pending, o)
	r.pendingBytes += len(o.Key) + len(o.Value) + 16
	if !r.queued {
		r.queued = true
		r.c.flush = append(r.c.flush, r)
		r.c.wakeUp()
	}
	if r.pendingBytes > chunk/2 { // with what comes on top in base64, and one more value, still a message
		r.send()
	}
}

// send sends what is pending as one message.
func (r *Room) send() {
	if len(r.pending) == 0 || r.left {
		return
	}
	now := r.c.now()
	r.seq++
	for _, o := range r.pending {
		if o.Key == "" {
			r.recents = append(r.recents, recent{r.seq, o.Value})
		}
	}
	r.trimRecents()
	if len(r.remotes) > 0 || now < r.audience {
		r.c.send(subjectRoom(r.name), &message{Kind: kindRoom, Room: r.name, Seq: r.seq, Ops: r.pending})
		r.digest = now + time.Second
	}
	r.pending, r.pendingBytes = nil, 0
}

func (r *Room) trimRecents() {
	bytes := 0
	for i := len(r.recents) - 1; i >= 0; i-- {
		if bytes += len(r.recents[i].Value) + 16; bytes > maxRecentBytes || len(r.recents)-i > maxRecents {
			r.recents = slices.Clone(r.recents[i+1:])
			return
		}
	}
}

// restate makes the whole state pending, for a new incarnation.
func (r *Room) restate() {
	r.pending, r.pendingBytes = nil, 0
	for key, value := range r.state {
		r.push(op{Key: key, Value: value})
	}
}

// repeat sends the last number again a second after the last message, so that its loss is noticed.
func (r *Room) repeat(now time.Duration) {
	if r.digest == 0 || now < r.digest {
		return
	}
	r.digest = 0
	if len(r.remotes) > 0 {
		r.c.send(subjectRoom(r.name), &message{Kind: kindRoom, Room: r.name, Seq: r.seq})
	}
}

// meet compares who is here with who was.
func (r *Room) meet(present []string, now time.Duration) {
	h := r.handler
	for node, rem := range r.remotes {
		p := r.c.peers[node]
		if p != nil && p.Epoch == rem.epoch && slices.Contains(present, node) {
			continue
		}
		delete(r.remotes, node)
		r.c.call(func() { h.PeerLeft(node) })
	}
	for _, node := range present {
		if r.remotes[node] != nil {
			continue
		}
		rem := &remote{node: node, epoch: r.c.peers[node].Epoch, state: map[string][]byte{}}
		r.remotes[node] = rem
		r.c.call(func() { h.PeerJoined(node) })
		r.ask(rem, now)
	}
}

// ask asks a node for its whole part.
func (r *Room) ask(rem *remote, now time.Duration) {
	if rem.asked != 0 && now-rem.asked < 200*time.Millisecond {
		return
	}
	rem.asked = now
	r.c.stats.Resyncs++
	r.c.send(subjectNode(rem.node), &message{Kind: kindRoomAsk, Room: r.name})
}

// answer sends this node's whole part.
func (r *Room) answer(to string, now time.Duration) {
	r.send()
	r.audience = now + 5*time.Second
	ops := make([]op, 0, len(r.state))
	for key, value := range r.state {
		ops = append(ops, op{Key: key, Value: value})
	}
	// Base64 takes a third more.
	parts := split(ops, func(o op) int { return (len(o.Key)+len(o.Value))*4/3 + 32 })
	parts = append(parts, nil) // the events
	for i, part := range parts {
		m := &message{Kind: kindRoomAll, Room: r.name, Seq: r.seq, Ops: part, Part: i, Parts: len(parts)}
		if i == len(parts)-1 {
			m.Recent = r.recents
		}
		r.c.send(subjectNode(to), m)
	}
}

// receive takes in a message of a room.
func (r *Room) receive(m *message, now time.Duration) {
	rem := r.remotes[m.From]
	if rem == nil || rem.epoch != m.Epoch {
		return // the directory does not show it here yet; it will be asked when it does
	}
	switch {
	case m.Seq <= rem.applied && rem.synced:
	case len(m.Ops) > 0 && m.Seq == rem.applied+1 && (rem.synced || m.Seq == 1):
		rem.synced = true
		rem.applied = m.Seq
		for _, o := range m.Ops {
			r.apply(rem, o)
		}
	case m.Seq > 0:
		rem.synced = false
		r.ask(rem, now)
	}
}

func (r *Room) apply(rem *remote, o op) {
	h, node := r.handler, rem.node
	switch {
	case o.Key == "":
		r.c.call(func() { h.PeerEvent(node, o.Value) })
		return
	case o.Value == nil:
		if _, had := rem.state[o.Key]; !had {
			return
		}
		delete(rem.state, o.Key)
	default:
		if _, had := rem.state[o.Key]; !had && len(rem.state) >= maxRoomKeys {
			r.c.stats.DeadLetters++
			return
		}
		rem.state[o.Key] = o.Value
	}
	r.c.call(func() { h.PeerState(node, o.Key, o.Value) })
}

// receiveAll takes in a part of a node's whole; with the last part the differences are told.
func (r *Room) receiveAll(m *message) {
	rem := r.remotes[m.From]
	if rem == nil || rem.epoch != m.Epoch {
		return
	}
	if m.Part == 0 {
		rem.parts, rem.seq, rem.set = 0, m.Seq, nil
	}
	if m.Part != rem.parts || m.Seq != rem.seq {
		return
	}
	rem.parts++
	rem.set = append(rem.set, m.Ops...)
	if m.Part+1 < m.Parts || rem.synced && rem.seq <= rem.applied {
		return
	}
	fresh := make(map[string][]byte, len(rem.set))
	for _, o := range rem.set {
		if o.Key != "" && o.Value != nil {
			fresh[o.Key] = o.Value
		}
	}
	for key := range rem.state {
		if _, still := fresh[key]; !still {
			r.apply(rem, op{Key: key})
		}
	}
	for _, o := range rem.set {
		if old, had := rem.state[o.Key]; o.Key != "" && o.Value != nil && !(had && string(old) == string(o.Value)) {
			r.apply(rem, o)
		}
	}
	for _, e := range m.Recent {
		if rem.applied > 0 && e.Seq > rem.applied {
			r.apply(rem, op{Value: e.Value})
		}
	}
	rem.applied, rem.synced, rem.set = rem.seq, true, nil
}
