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
	streams map[relayKey]*passage
}

// passage is a stream that came in, and what it is sent on as once there is somebody to send it to.
type passage struct {
	info    trunk.StreamInfo
	onward  *trunk.Stream // nil: not yet
	refused bool          // it has come far enough, which is as it should be, or has ended
}

type relayKey struct {
	from   string
	stream uint32
}

// NewRelay makes one. targets says to which nodes what comes from a node for a room is sent on; it is asked for every packet,
// so it should know the answer. The trunks' MaxHops must be 2.
func NewRelay(trunks RelayTrunks, targets func(room, from string) []string) *Relay {
	return &Relay{trunks: trunks, targets: targets, streams: map[relayKey]*passage{}}
}

// Stream takes in that a stream begins or has ended.
func (r *Relay) Stream(e trunk.StreamEvent) {
	key := relayKey{e.From, e.Stream}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[key]; s != nil {
		s.refused = true
		if s.onward != nil {
			s.onward.Close()
			s.onward = nil
		}
		delete(r.streams, key)
	}
	if !e.Ended {
		r.streams[key] = &passage{info: e.Info}
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
	targets := r.targets(s.info.Room, p.From)
	if len(targets) == 0 {
		return
	}
	onward := r.onward(s)
	if onward == nil {
		return
	}
	for _, node := range targets {
		if node != p.From {
			r.trunks.SendHeld(node, onward, &p.Packet, p.Held)
		}
	}
}

// onward is what a stream is sent on as; nil: it is not, or has ended.
func (r *Relay) onward(s *passage) *trunk.Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.onward == nil && !s.refused {
		var err error
		if s.onward, err = r.trunks.Forward(s.info); err != nil {
			s.onward, s.refused = nil, true
		}
	}
	return s.onward
}
