package sfu

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/pion/webrtc/v4"
)

// Offer takes a client's SDP offer and returns the answer, with all our candidates in it. A first offer, or one with
// another certificate, makes a peer connection; one with new ICE credentials restarts ICE; any other changes only
// what is said about directions. While an offer of ours waits for its answer it fails with ErrGlare: in the words of
// perfect negotiation the server is the impolite peer. Other errors wrap ErrBadSDP, ErrNoAudio, ErrNoCommonCodec,
// ErrTooManyCandidates, ErrNoParticipant, ErrClosed or ErrDraining.
func (n *Node) Offer(ctx context.Context, participant, sdp string) (string, error) {
	if err := n.ready(ctx); err != nil {
		return "", err
	}
	p, err := n.find(participant)
	if err != nil {
		return "", err
	}
	n.counters.offers.Add(1)
	answer, err := p.offer(ctx, sdp)
	if err != nil {
		n.counters.offersRefused.Add(1)
		return "", fmt.Errorf("offer of %q: %w", participant, err)
	}
	return answer, nil
}

func (p *participant) offer(ctx context.Context, sdp string) (string, error) {
	if err := p.lock(ctx); err != nil {
		return "", err
	}
	defer p.unlock()
	peer, err := p.current()
	if err != nil {
		return "", err
	}
	prefer := -1
	if peer != nil {
		if peer.offered {
			return "", ErrGlare
		}
		prefer = peer.understood.Load().audio
	}
	r, err := parseRemote(sdp, prefer)
	if err != nil {
		return "", err
	}
	fresh := peer == nil || !peer.serves(r)
	if !fresh {
		r.limitTo(peer.first)
	}
	switch {
	case fresh:
		if peer, err = p.replacePeer(ctx, r); err != nil {
			return "", err
		}
	case r.ufrag != peer.ufrag || r.pwd != peer.pwd:
		if err := peer.restart(ctx, r, r.ufrag, r.pwd, r.candidates); err != nil {
			p.discard(peer)
			return "", err
		}
	default:
		peer.more(r.candidates)
	}
	return p.agree(peer, r), nil
}

// serves tells if the peer connection can go on with r: the same certificate and payload types, and it is alive.
func (p *peer) serves(r *remote) bool {
	switch p.pc.ConnectionState() {
	case webrtc.PeerConnectionStateClosed:
		return false
	case webrtc.PeerConnectionStateFailed:
		if r.ufrag == p.ufrag {
			return false // no restart, so a new beginning
		}
	}
	f := p.first
	return f.print == r.print && f.hash == r.hash && r.agrees(f)
}

// replacePeer makes a new peer connection for a first offer and closes the one before.
func (p *participant) replacePeer(ctx context.Context, r *remote) (*peer, error) {
	peer, err := p.node.newPeer(p, r)
	if err != nil {
		return nil, err
	}
	peer.permit(p, r)
	peer.down.agree(r)
	old, err := p.install(peer)
	if err != nil {
		peer.close()
		return nil, err
	}
	if old != nil {
		p.hush()
		old.close()
	}
	if err := peer.apply(ctx, r, r.ufrag, r.pwd, r.candidates, false); err != nil {
		p.discard(peer)
		return nil, err
	}
	return peer, nil
}

// discard gives up a peer connection that negotiation has left in an unknown state: the next offer begins anew.
func (p *participant) discard(peer *peer) {
	p.drop(peer)
	p.hush()
	peer.close()
}

// permit sets what the client may do with its tracks under r.
func (p *peer) permit(part *participant, r *remote) {
	p.mayPublish.Store(part.publish && r.direction.send)
	p.mayHear.Store(part.subscribe && r.direction.recv && p.node.cfg.Mixer.Encodes(r.codec()))
}

// agree takes r as the client's description and writes ours.
func (p *participant) agree(peer *peer, r *remote) string {
	peer.understood.Store(r)
	peer.permit(p, r)
	if !peer.mayPublish.Load() {
		p.hush()
	}
	p.syncListener(peer.pc.ConnectionState())
	return r.render(peer.local, p.media(peer))
}

// media is what we say about our side.
func (p *participant) media(peer *peer) localMedia {
	peer.version++
	room := p.room
	return localMedia{
		sessionID:  sessionID(p.id),
		version:    peer.version,
		direction:  direction{send: peer.mayHear.Load(), recv: peer.mayPublish.Load()},
		bitrateBps: room.uplinkBitrate(p.node.cfg.BitrateBps),
		stereoIn:   room.takesStereo(peer.understood.Load()),
		stereoOut:  room.stereo(),
		music:      room.cfg.Music,
		packetMs:   room.cfg.FrameMs,
		ssrc:       peer.rtcp.ssrc,
		cname:      "parley",
	}
}

// sessionID is the o= session of a participant: 62 bits, for clients that read it as signed (RFC 8829, section 5.2.1).
func sessionID(participant string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(participant))
	return h.Sum64() >> 2
}

// Answer takes the client's answer to an OfferEvent. Without an offer that waits it fails with ErrNoOffer.
func (n *Node) Answer(ctx context.Context, participant, sdp string) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	if err := p.answer(ctx, sdp); err != nil {
		return fmt.Errorf("answer of %q: %w", participant, err)
	}
	return nil
}

func (p *participant) answer(ctx context.Context, sdp string) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	peer, err := p.current()
	if err != nil {
		return err
	}
	if peer == nil || !peer.offered {
		return ErrNoOffer
	}
	r, err := parseRemote(sdp, peer.understood.Load().audio)
	if err != nil {
		return err
	}
	if !peer.serves(r) {
		return fmt.Errorf("%w: another certificate or payload type than before", ErrBadSDP)
	}
	r.limitTo(peer.first)
	if err := peer.apply(ctx, r, r.ufrag, r.pwd, r.candidates, true); err != nil {
		p.discard(peer)
		return err
	}
	peer.offered = false
	p.agree(peer, r)
	return nil
}
