package sfu

import (
	"context"
	"fmt"
)

// Roster lists everybody in the participant's room.
func (n *Node) Roster(participant string) ([]ParticipantInfo, error) {
	p, err := n.find(participant)
	if err != nil {
		return nil, err
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.roster(), nil
}

// SetAttached notes that the participant's signaling socket has come or gone.
func (n *Node) SetAttached(participant string, attached bool) {
	p, err := n.find(participant)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached = attached
	if !attached {
		p.presence.since = n.now()
	}
}

// Who else than a participant may have muted somebody; no participant may have such an id.
const (
	bySelf   = "self"
	byServer = "server"
)

// SetMuted silences a participant or lets it be heard again. by is a participant or "server". Somebody else's mute
// needs admin, and somebody else may only take back a mute that was not the participant's own (ErrForbidden):
// nobody's microphone is opened for them.
func (n *Node) SetMuted(_ context.Context, by, participant string, muted bool) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	shown := bySelf
	if by != participant {
		shown = by
		if by != byServer {
			other, err := n.find(by)
			if err != nil {
				return err
			}
			if !other.admin || other.room != p.room {
				return fmt.Errorf("mute %q: %w", participant, ErrForbidden)
			}
		}
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !muted && shown != bySelf && p.info.Muted && p.mutedBy == bySelf {
		return fmt.Errorf("unmute %q: %w", participant, ErrForbidden)
	}
	p.uplink.setMuted(muted)
	if p.info.Muted == muted {
		return nil
	}
	p.info.Muted, p.mutedBy = muted, shown
	r.tell(p, ParticipantEvent{Change: ChangeUpdated, Participant: p.info})
	if !p.events.push(MuteEvent{Muted: muted, By: shown}) {
		n.dismiss(p, ReasonTimeout)
	}
	return nil
}

// Chat sends a line of text to everybody in the participant's room, itself included.
func (n *Node) Chat(_ context.Context, participant, text string) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	p.room.chat(ChatEvent{From: participant, Text: text, At: n.now()})
	return nil
}
