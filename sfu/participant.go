package sfu

import (
	"context"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"parley/mixer"
)

// participant is one seat in a room. It lives from Join until it is closed, whatever becomes of its peer connection.
type participant struct {
	node   *Node
	room   *room
	id     string
	kind   Kind
	joined time.Time

	publish, subscribe, admin bool

	log    *zap.Logger
	events *eventQueue // nil without observer
	uplink uplink
	done   chan struct{} // closed when everything it had is gone

	// negotiation holds one token: who has it negotiates.
	negotiation chan struct{}

	mu       sync.Mutex
	peer     *peer
	listener *mixer.Listener
	volumes  map[string]float32 // at which it hears others, by id; those not at 1
	closed   bool
	attached bool
	presence presence

	// guarded by room.mu
	info    ParticipantInfo
	mutedBy string
	since   int64 // see Presence.Since
	score   int   // of its connection, as the other nodes were told

	// used by the node's ticker only
	meter statsMeter
}

// presence is what decides how long a participant without media is kept.
type presence struct {
	since     time.Time // of joining, or of the signaling socket's last going
	connected bool      // now
	ever      bool      // media has been up once
	failed    time.Time // since when ICE has failed; zero while it has not
	left      bool      // the client has closed its peer connection
	offered   time.Time // when the server last offered a restart
}

// lock takes the negotiation token, or gives up with ctx.
func (p *participant) lock(ctx context.Context) error {
	select {
	case p.negotiation <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *participant) unlock() { <-p.negotiation }

// current returns the peer, which may be nil, or ErrClosed.
func (p *participant) current() (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	return p.peer, nil
}

// install makes peer the participant's own and returns the one before it, to be closed.
func (p *participant) install(peer *peer) (old *peer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	old, p.peer = p.peer, peer
	p.deafen()
	p.presence.connected, p.presence.failed, p.presence.left = false, time.Time{}, false
	return old, nil
}

// drop takes peer away, if it is still the participant's.
func (p *participant) drop(peer *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peer == peer {
		p.peer = nil
		p.deafen()
		p.presence.connected, p.presence.failed = false, time.Time{}
		p.presence.since = p.node.now()
	}
}

// deafen takes the participant out of those who listen. Under mu.
func (p *participant) deafen() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// peerState notes what has become of the peer connection.
func (p *participant) peerState(peer *peer, s webrtc.PeerConnectionState) {
	now := p.node.now()
	p.mu.Lock()
	if p.closed || p.peer != peer {
		p.mu.Unlock()
		return
	}
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !p.presence.ever {
			p.node.counters.joinTime(now.Sub(p.joined))
		}
		p.presence.connected, p.presence.ever, p.presence.failed = true, true, time.Time{}
		peer.rtcp.anew.Store(true)
	case webrtc.PeerConnectionStateDisconnected:
		p.presence.connected = false
	case webrtc.PeerConnectionStateFailed:
		p.presence.connected = false
		if p.presence.failed.IsZero() {
			p.presence.failed = now
		}
	case webrtc.PeerConnectionStateClosed:
		p.presence.connected, p.presence.left = false, true
	}
	p.mu.Unlock()
	p.log.Debug("peer connection", zap.Stringer("state", s))
	p.syncListener(s)
	if s == webrtc.PeerConnectionStateClosed {
		p.hush()
	}
}

// lostConsent ends sending to a path whose other end no longer answers checks, though it may go on sending. To pion it
// is as good as ever; to us it has failed, until ICE is restarted.
func (p *participant) lostConsent(peer *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.peer != peer {
		return
	}
	peer.down.live.Store(false)
	p.deafen()
	p.presence.connected = false
	if p.presence.failed.IsZero() {
		p.presence.failed = p.node.now()
	}
}

// syncListener attaches the participant to the mix while it has a path and may hear, and detaches it when the path
// has failed: a room in which nobody listens costs nothing.
func (p *participant) syncListener(s webrtc.PeerConnectionState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peer
	switch {
	case p.listener == nil && !p.closed && peer != nil && peer.mayHear.Load() && s == webrtc.PeerConnectionStateConnected:
		l, err := p.room.mix.AddListener(mixer.ListenerConfig{
			Owner: p.id, Sink: peer.down, Redundant: peer.down.red.Load() > 0, Codec: peer.down.codec,
		})
		if err != nil {
			p.log.Warn("add a listener", zap.Error(err))
			return
		}
		p.listener = l
		for id, gain := range p.volumes {
			if err := l.SetGain(id, gain); err != nil {
				p.log.Debug("a personal volume is lost", zap.Error(err))
			}
		}
	case p.listener != nil && (peer == nil || !peer.mayHear.Load() ||
		s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateClosed):
		p.deafen()
	}
}

// hear makes t the track by which the participant is heard; false if it may not be, or a newer track is.
func (p *participant) hear(t *upTrack, arrival time.Duration) bool {
	if p2, err := p.current(); err != nil || p2 != t.p {
		return false
	}
	config := t.p.sourceConfig()
	heard, made, err := p.uplink.hear(t, arrival, func() (*mixer.Source, error) {
		return p.room.mix.AddSource(config)
	}, func(s *mixer.Source) Talker { return p.talker(s, config.Formats) })
	if err != nil {
		p.log.Warn("add a source", zap.Error(err))
		return false
	}
	if made {
		p.room.update(p, func(i *ParticipantInfo) { i.Publish = true })
	}
	return heard
}

// hush takes the participant's audio out of the mix.
func (p *participant) hush() {
	if p.uplink.silence() {
		p.room.update(p, func(i *ParticipantInfo) { i.Publish = false })
	}
}

// shutdown frees everything the participant has. The node runs it once, after the participant has left the maps.
func (p *participant) shutdown(reason string) {
	p.mu.Lock()
	p.closed = true
	p.deafen()
	p.mu.Unlock()
	p.uplink.silence()
	_ = p.lock(context.Background()) // an offer under way ends first; nobody else takes the token for good
	defer p.unlock()
	p.mu.Lock()
	peer := p.peer
	p.peer = nil
	p.mu.Unlock()
	if peer != nil {
		peer.close()
	}
	p.uplink.silence() // what a reader may have begun meanwhile
	p.events.close(ClosedEvent{Reason: reason})
	p.log.Info("participant left", zap.String("reason", reason))
	close(p.done)
}

// overdue tells if the participant is to be removed now, and why.
func (p *participant) overdue(now time.Time, t *timing) (reason string, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.presence
	switch {
	case p.closed:
		return "", false
	case s.left && !p.attached:
		return ReasonLeft, true
	case !s.failed.IsZero() && !p.attached:
		return ReasonTimeout, true
	case !s.failed.IsZero() && now.Sub(s.failed) >= t.keepAttached:
		return ReasonTimeout, true
	case !s.ever && !p.attached && now.Sub(s.since) >= t.neverConnected:
		return ReasonTimeout, true
	case s.ever && !s.connected && p.peer == nil && !p.attached && now.Sub(s.since) >= t.neverConnected:
		return ReasonTimeout, true
	}
	return "", false
}
