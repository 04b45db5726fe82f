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
		return n.muteRemote(by, participant, muted, err)
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
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.mute(p, shown, muted)
}

// muteRemote has the node of a participant do it, if it is in the same room; else it returns unknown.
func (n *Node) muteRemote(by, participant string, muted bool, unknown error) error {
	admin, err := n.find(by)
	if err != nil {
		return unknown
	}
	admin.room.mu.Lock()
	defer admin.room.mu.Unlock()
	switch other := admin.room.remotes[participant]; {
	case other == nil:
		return unknown
	case !admin.admin:
		return fmt.Errorf("mute %q: %w", participant, ErrForbidden)
	default:
		return admin.room.muteElsewhere(other, by, muted)
	}
}

// MaxVolume is the most by which a participant may raise somebody else for itself: +18 dB.
const MaxVolume = 8

// SetVolume sets how loud participant hears other, for itself alone: 1 is as everybody does, 0 not at all, at most MaxVolume. It
// lasts until one of them leaves. ErrTooManyMixes when it has too many volumes, or the room too many different mixes.
func (n *Node) SetVolume(_ context.Context, participant, other string, volume float64) error {
	p, err := n.find(participant)
	if err != nil {
		return err
	}
	if !p.room.hosts(other) {
		return fmt.Errorf("volume of %q: %w", other, ErrNoParticipant)
	}
	if !(volume >= 0 && volume <= MaxVolume) {
		return fmt.Errorf("volume %v: %w", volume, ErrForbidden)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.volumes { // of those who have left
		if !p.room.hosts(id) {
			delete(p.volumes, id)
		}
	}
	if p.listener != nil {
		if err := p.listener.SetGain(other, float32(volume)); err != nil {
			return fmt.Errorf("volume of %q: %w: %w", other, ErrTooManyMixes, err)
		}
	}
	if volume == 1 {
		delete(p.volumes, other)
		return nil
	}
	if p.volumes == nil {
		p.volumes = map[string]float32{}
	}
	p.volumes[other] = float32(volume)
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
