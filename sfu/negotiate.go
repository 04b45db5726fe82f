package sfu

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
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
	if peer == nil || !peer.serves(r) {
		if peer, err = p.replacePeer(ctx, r); err != nil {
			return "", err
		}
	} else if r.ufrag != peer.ufrag || r.pwd != peer.pwd {
		if err := peer.restart(ctx, r, r.ufrag, r.pwd, r.candidates); err != nil {
			p.discard(peer)
			return "", err
		}
	} else {
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
	return f.print == r.print && f.hash == r.hash && f.opus == r.opus && (f.red == r.red || r.red < 0)
}

// replacePeer makes a new peer connection for a first offer and closes the one before.
func (p *participant) replacePeer(ctx context.Context, r *remote) (*peer, error) {
	peer, err := p.node.newPeer(p, r)
	if err != nil {
		return nil, err
	}
	peer.permit(p, r)
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

// restart gives pion new ICE credentials of the client.
func (p *peer) restart(ctx context.Context, r *remote, ufrag, pwd string, candidates []candidate) error {
	if p.restarts++; p.restarts > maxRestarts {
		return fmt.Errorf("%w: %d ICE restarts on one connection", ErrBadSDP, maxRestarts)
	}
	p.node.counters.restarts.Add(1)
	return p.apply(ctx, r, ufrag, pwd, candidates, false)
}

// more adds candidates that a description repeats or brings in addition.
func (p *peer) more(list []candidate) {
	for _, c := range list {
		if p.gate.count() != nil {
			return
		}
		p.add(c)
	}
}

// add gives pion a candidate if it may be checked.
func (p *peer) add(c candidate) {
	if !p.gate.admit(c) {
		p.node.counters.candidatesIgnored.Add(1)
		return
	}
	mid := pionMid
	if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.String(), SDPMid: &mid}); err != nil {
		p.participant.log.Debug("add a candidate", zap.Error(err))
	}
}

// permit sets what the client may do with its tracks under r.
func (p *peer) permit(part *participant, r *remote) {
	p.mayPublish.Store(part.publish && r.direction.send)
	p.mayHear.Store(part.subscribe && r.direction.recv)
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
	return localMedia{
		sessionID:  sessionID(p.id),
		version:    peer.version,
		direction:  direction{send: peer.mayHear.Load(), recv: peer.mayPublish.Load()},
		bitrateBps: p.node.cfg.BitrateBps,
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
	if err := peer.apply(ctx, r, r.ufrag, r.pwd, r.candidates, true); err != nil {
		p.discard(peer)
		return err
	}
	peer.offered = false
	p.agree(peer, r)
	return nil
}

// errNothingToRestart: there is no peer connection, or it is being negotiated.
var errNothingToRestart = errors.New("no peer connection to restart")

// offerRestart offers the client an ICE restart. The client answers with Answer, or comes with an offer of its own
// after the server has given up waiting.
func (p *participant) offerRestart(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	peer, err := p.current()
	if err != nil {
		return err
	}
	if peer == nil || peer.offered || peer.pc.SignalingState() != webrtc.SignalingStateStable {
		return errNothingToRestart
	}
	if peer.restarts++; peer.restarts > maxRestarts {
		return errNothingToRestart
	}
	p.node.counters.restarts.Add(1)
	offer, err := peer.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		p.discard(peer)
		return fmt.Errorf("offer a restart: %w", err)
	}
	if err := peer.setLocal(ctx, offer); err != nil {
		p.discard(peer)
		return err
	}
	peer.offered = true
	peer.offeredAt = p.node.now()
	transport := peer.local
	transport.setup = "actpass"
	if !p.events.push(OfferEvent{SDP: peer.understood.Load().render(transport, p.media(peer))}) {
		p.node.dismiss(p, ReasonTimeout)
	}
	return nil
}

// giveUpOffer ends an offer that the client has not answered, so that its own offers are taken again. pion cannot roll
// back a local offer; it is given the client's last description as the answer. The path stays down until the
// client restarts ICE, as it was.
func (p *participant) giveUpOffer(peer *peer) {
	r := peer.understood.Load()
	peer.offered = false
	if err := peer.apply(context.Background(), r, peer.ufrag, peer.pwd, nil, true); err != nil {
		p.log.Debug("give up an offer", zap.Error(err))
		p.discard(peer)
	}
}

// AddCandidate takes a trickled candidate. Candidates of another ICE generation, of sections that were turned down, by
// host name, over TCP or at addresses that are not checked are ignored. Beyond 32 in one generation it fails with
// ErrTooManyCandidates, for a malformed one or without a peer connection with ErrBadCandidate.
func (n *Node) AddCandidate(ctx context.Context, participant string, c Candidate) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	peer, err := p.current()
	if err != nil {
		return err
	}
	if peer == nil {
		return fmt.Errorf("candidate of %q before any offer: %w", participant, ErrBadCandidate)
	}
	return peer.trickle(c)
}

func (p *peer) trickle(c Candidate) error {
	if strings.TrimSpace(c.Candidate) == "" || !p.concerns(c) {
		return nil
	}
	if err := p.gate.count(); err != nil {
		return err
	}
	parsed, keep, err := parseCandidate(c.Candidate)
	if err != nil {
		return err
	}
	if !keep {
		p.node.counters.candidatesIgnored.Add(1)
		return nil
	}
	p.add(parsed)
	return nil
}

// concerns tells if a trickled candidate belongs to our section and to the ICE generation that is running.
func (p *peer) concerns(c Candidate) bool {
	if c.UsernameFragment != nil && *c.UsernameFragment != "" && *c.UsernameFragment != p.ufrag {
		return false
	}
	r := p.understood.Load()
	if c.SDPMid != nil && *c.SDPMid != "" {
		mid := *c.SDPMid
		return mid == r.sections[r.audio].mid || r.bundled && mid == r.bundle[0]
	}
	if c.SDPMLineIndex != nil {
		i := int(*c.SDPMLineIndex)
		return i == r.audio || r.bundled && i < len(r.sections) && r.sections[i].mid == r.bundle[0]
	}
	return true
}

// ICERestart restarts ICE with the client's new credentials, for clients whose signaling is WHIP or WHEP (RFC 9725,
// section 4.3.3). It returns the SDP fragment of the answer. Errors are those of Offer.
func (n *Node) ICERestart(ctx context.Context, participant, ufrag, pwd string, candidates []Candidate) (string, error) {
	p, err := n.find(participant)
	if err != nil {
		return "", err
	}
	fragment, err := p.restart(ctx, ufrag, pwd, candidates)
	if err != nil {
		return "", fmt.Errorf("ICE restart of %q: %w", participant, err)
	}
	return fragment, nil
}

func (p *participant) restart(ctx context.Context, ufrag, pwd string, list []Candidate) (string, error) {
	if err := checkICECredentials(ufrag, pwd); err != nil {
		return "", err
	}
	if len(list) > maxCandidates {
		return "", ErrTooManyCandidates
	}
	var candidates []candidate
	for _, c := range list {
		if strings.TrimSpace(c.Candidate) == "" {
			continue
		}
		parsed, keep, err := parseCandidate(c.Candidate)
		if err != nil {
			return "", err
		}
		if keep {
			candidates = append(candidates, parsed)
		}
	}
	if err := p.lock(ctx); err != nil {
		return "", err
	}
	defer p.unlock()
	peer, err := p.current()
	switch {
	case err != nil:
		return "", err
	case peer == nil:
		return "", errNothingToRestart
	case peer.offered:
		return "", ErrGlare
	case ufrag == peer.ufrag && pwd == peer.pwd:
		return "", fmt.Errorf("%w: the ICE credentials are the old ones", ErrBadSDP)
	}
	r := peer.understood.Load().generation(len(list))
	if err := peer.restart(ctx, r, ufrag, pwd, candidates); err != nil {
		p.discard(peer)
		return "", err
	}
	peer.understood.Store(r)
	return r.fragment(peer.local), nil
}

// generation is r for a new ICE generation that has brought so many candidate lines.
func (r *remote) generation(lines int) *remote {
	c := *r
	c.lines, c.candidates = lines, nil
	return &c
}
