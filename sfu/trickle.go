package sfu

import (
	"context"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

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
