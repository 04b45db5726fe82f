package sfu

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

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

// restart gives pion new ICE credentials of the client.
func (p *peer) restart(ctx context.Context, r *remote, ufrag, pwd string, candidates []candidate) error {
	if p.restarts++; p.restarts > maxRestarts {
		return fmt.Errorf("%w: %d ICE restarts on one connection", ErrBadSDP, maxRestarts)
	}
	p.node.counters.restarts.Add(1)
	return p.apply(ctx, r, ufrag, pwd, candidates, false)
}
