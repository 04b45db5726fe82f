package media

import (
	"sync"

	"parley/cluster/trunk"
)

// RelayTrunks is what a relay needs of *trunk.Trunks.
type RelayTrunks interface {
	Trunks
	Forward(trunk.StreamInfo) (*trunk.Stream, error)
}

// Relay sends on, from a hub, what came from the speakers' own node. Its methods may be called from any goroutine.
type Relay struct {
	trunks  RelayTrunks
	targets func(room, from string) []string

	mu      sync.Mutex
	streams map[relayKey]*trunk.Stream
}

type relayKey struct {
	from   string
	stream uint32
}

// NewRelay makes one. targets says to which nodes what comes from a node for a room is sent on; it is asked for every packet,
// so it should know the answer. The trunks' MaxHops must be 2.
func NewRelay(trunks RelayTrunks, targets func(room, from string) []string) *Relay {
	return &Relay{trunks: trunks, targets: targets, streams: map[relayKey]*trunk.Stream{}}
}

// Stream takes in that a stream begins or has ended.
func (r *Relay) Stream(e trunk.StreamEvent) {
	key := relayKey{e.From, e.Stream}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[key]; s != nil {
		s.Close()
		delete(r.streams, key)
	}
	if e.Ended || len(r.targets(e.Info.Room, e.From)) == 0 {
		return
	}
	if s, err := r.trunks.Forward(e.Info); err == nil { // or it has come far enough, which is as it should be
		r.streams[key] = s
	}
}

// Packet sends a packet on.
func (r *Relay) Packet(p trunk.Packet) {
	r.mu.Lock()
	s := r.streams[relayKey{p.From, p.Stream}]
	r.mu.Unlock()
	if s == nil {
		return
	}
	for _, node := range r.targets(p.Room, p.From) {
		if node != p.From {
			r.trunks.SendHeld(node, s, &p.Packet, p.Held)
		}
	}
}
