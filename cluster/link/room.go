package link

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"parley/cluster"
	"parley/cluster/trunk/media"
	"parley/neteq"
	"parley/sfu"
)

// room is this node's part in a room: the sfu's FabricRoom and the cluster's RoomHandler.
type room struct {
	l      *Link
	name   string
	side   sfu.RoomSide
	outlet *media.Outlet
	log    *zap.Logger
	routes atomic.Pointer[routes]

	mu    sync.Mutex
	at    *cluster.Room // nil when it could not be entered
	shown map[string][]byte
	left  bool

	// Used by the cluster's loop only.
	nodes []string
	homes map[string]string // node of each participant elsewhere
}

// Enter implements sfu.Fabric.
func (l *Link) Enter(name string, side sfu.RoomSide) sfu.FabricRoom {
	r := &room{
		l: l, name: name, side: side, log: l.log.With(zap.String("room", name)),
		shown: map[string][]byte{}, homes: map[string]string{},
	}
	r.routes.Store(&routes{})
	r.outlet, _ = media.NewOutlet(l.trunks, name, l.cfg.Speakers) // only a wrong number of speakers is refused
	l.mu.Lock()
	l.rooms[name] = r
	l.mu.Unlock()
	at, err := l.cluster.Enter(name, handler{r})
	if err != nil {
		r.log.Error("the room is not shared with other nodes", zap.Error(err))
	}
	r.mu.Lock()
	r.at = at
	r.mu.Unlock()
	return r
}

// Leave implements sfu.FabricRoom.
func (r *room) Leave() {
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	r.set(nil)
	r.outlet.SetNodes(nil)
	if r.at != nil {
		r.at.Leave()
	}
	l := r.l
	l.mu.Lock()
	if l.rooms[r.name] == r {
		delete(l.rooms, r.name)
	}
	l.gone = append(l.gone, r.name)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Show implements sfu.FabricRoom.
func (r *room) Show(p sfu.Presence) {
	value := encode(personOf(p))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil || bytes.Equal(r.shown[p.ID], value) {
		return
	}
	if err := r.at.Set(p.ID, value); err != nil {
		r.log.Warn("other nodes are not told of a participant", zap.String("participant", p.ID), zap.Error(err))
		return
	}
	r.shown[p.ID] = value
	r.at.SetParticipants(len(r.shown))
}

// Hide implements sfu.FabricRoom.
func (r *room) Hide(participant, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil || r.shown[participant] == nil {
		return
	}
	delete(r.shown, participant)
	r.send(news{Kind: newsLeft, Who: participant, Reason: reason})
	if err := r.at.Delete(participant); err != nil {
		r.log.Warn("other nodes are not told that somebody left", zap.String("participant", participant), zap.Error(err))
	}
	r.at.SetParticipants(len(r.shown))
}

// Chat implements sfu.FabricRoom.
func (r *room) Chat(e sfu.ChatEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(news{Kind: newsChat, Who: e.From, Text: e.Text, At: e.At})
}

// Mute implements sfu.FabricRoom.
func (r *room) Mute(by, participant string, muted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(news{Kind: newsMute, Who: participant, By: by, Muted: muted})
}

// send tells the other nodes. Under mu.
func (r *room) send(n news) {
	if r.at == nil {
		return
	}
	if err := r.at.Send(encode(n)); err != nil {
		r.log.Warn("other nodes are not told", zap.String("what", n.Kind), zap.Error(err))
	}
}

// unknownDBov is what a packet counts for at least that does not state its level: a guess from its size takes a steady
// sound for none. It is sent while there is room, and gives way to all who are known to speak.
const unknownDBov = -60

// Talk implements sfu.FabricRoom.
func (r *room) Talk(cfg sfu.TalkerConfig) sfu.Talker {
	level := func(p *neteq.Packet) int {
		if p.HasAudioLevel {
			return cfg.Level(p)
		}
		return max(unknownDBov, cfg.Level(p))
	}
	return r.outlet.Add(media.TalkerConfig{
		Participant: cfg.Participant, SourceEpoch: cfg.SourceEpoch, Formats: cfg.Formats, Level: level,
	})
}

// handler is a room, to the cluster's loop.
type handler struct{ r *room }

// PeerJoined implements cluster.RoomHandler.
func (h handler) PeerJoined(node string) {
	h.r.nodes = append(h.r.nodes, node)
	h.r.reroute()
}

// reroute finds the ways of speech for the nodes of now.
func (r *room) reroute() {
	regions := map[string]string{}
	for _, m := range r.l.cluster.Members() {
		regions[m.Node] = m.Region
	}
	now := route(r.name, r.l.cfg.Cluster.Node, r.nodes, func(n string) string { return regions[n] }, r.l.cfg.Mesh)
	r.set(&now)
	r.outlet.SetNodes(now.direct)
}

// set changes the ways, and counts the rooms in which this node is a hub. A room that was left stays without.
func (r *room) set(now *routes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left {
		now = &routes{}
	}
	before := r.routes.Swap(now)
	r.l.hubs.Add(truth(now.onward != nil) - truth(before.onward != nil))
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PeerLeft implements cluster.RoomHandler. Who is still there has not left, unless the message was lost: the node has gone
// with them.
func (h handler) PeerLeft(node string) {
	r := h.r
	reason := sfu.ReasonNodeLost
	for _, m := range r.l.cluster.Members() {
		if m.Node == node && (m.State == cluster.Alive || m.State == cluster.Suspect) {
			reason = sfu.ReasonLeft
		}
	}
	r.nodes = slices.DeleteFunc(r.nodes, func(n string) bool { return n == node })
	r.reroute()
	r.side.Vanish(node, "", reason)
	for id, home := range r.homes {
		if home == node {
			r.forget(id)
		}
	}
}

// PeerState implements cluster.RoomHandler.
func (h handler) PeerState(node, key string, value []byte) {
	r := h.r
	if value == nil {
		r.side.Vanish(node, key, sfu.ReasonLeft)
		if r.homes[key] == node {
			r.forget(key)
		}
		return
	}
	var p person
	if err := json.Unmarshal(value, &p); err != nil {
		r.log.Warn("a participant of another node makes no sense", zap.String("node", node), zap.Error(err))
		return
	}
	r.homes[key] = node
	r.side.Appear(node, p.presence(key))
}

// forget closes the source of somebody who is nowhere any more.
func (r *room) forget(id string) {
	delete(r.homes, id)
	r.l.inlet.Forget(r.name, id)
}

// PeerEvent implements cluster.RoomHandler.
func (h handler) PeerEvent(node string, data []byte) {
	r := h.r
	var n news
	if err := json.Unmarshal(data, &n); err != nil {
		r.log.Warn("an event of another node makes no sense", zap.String("node", node), zap.Error(err))
		return
	}
	switch n.Kind {
	case newsChat:
		r.side.Said(sfu.ChatEvent{From: n.Who, Text: n.Text, At: n.At})
	case newsMute:
		r.side.MuteAsked(n.By, n.Who, n.Muted)
	case newsLeft:
		r.side.Vanish(node, n.Who, n.Reason)
	}
}

// Owner implements cluster.RoomHandler. Nothing that rooms do depends on it.
func (h handler) Owner(string, uint64) {}
