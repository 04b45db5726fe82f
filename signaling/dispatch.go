package signaling

import (
	"context"
	"errors"

	"github.com/coder/websocket"

	"parley/sfu"
)

// talk reads the client's messages until the socket ends, and reports whether the client said or showed that it will
// not come back.
func (s *session) talk(ctx context.Context, c *conn) (left bool) {
	for {
		data, err := c.read(ctx)
		if err != nil {
			status := websocket.CloseStatus(err)
			return status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway
		}
		m, kind, err := DecodeClient(data)
		if err == nil {
			if _, ok := m.(Leave); ok {
				return true
			}
			err = s.obey(ctx, c, m)
		}
		if errors.Is(err, errNotCurrent) {
			return false
		}
		if err != nil {
			c.fail(err, kind, 0)
		}
	}
}

// errNotCurrent says that the socket is no longer the session's.
var errNotCurrent = errors.New("not the session's socket")

// obey does what one message asks. The client's messages are done one after the other, also across sockets.
func (s *session) obey(ctx context.Context, c *conn, m Message) error {
	if p, ok := m.(Ping); ok {
		c.say(Pong(p))
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return errNotCurrent
	}
	if !s.current(c) {
		return errNotCurrent
	}
	// What was begun is finished, even if the socket is lost meanwhile: the session goes on without it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
	defer cancel()
	rooms := s.server.rooms
	switch m := m.(type) {
	case Join:
		return refuse(CodeAlreadyJoined, "this socket has joined already")
	case Offer:
		return s.negotiate(ctx, m.SDP)
	case Answer:
		if err := CheckSDP(m.SDP); err != nil {
			return err
		}
		if err := rooms.Answer(ctx, s.id, m.SDP); err != nil {
			return err
		}
		s.answered()
		return nil
	case Candidate:
		if !s.countCandidate() {
			return &LimitError{CodeTooManyCandidates, "MaxSDPCandidates", MaxSDPCandidates, MaxSDPCandidates + 1}
		}
		return rooms.AddCandidate(ctx, s.id, sfu.Candidate(m))
	case MuteRequest:
		return s.mute(ctx, m)
	case VolumeRequest:
		return rooms.SetVolume(ctx, s.id, m.Participant, m.Volume)
	case ChatRequest:
		if !s.chats.Allow() {
			return refuse(CodeRateLimited, "more than %d lines of chat a second", chatRate)
		}
		return rooms.Chat(ctx, s.id, m.Text)
	default:
		return refuse(CodeUnknownType, "no such type of message")
	}
}

// negotiate answers an offer. The server is the impolite peer: an offer that collides with one of its own is passed
// over in silence, and the client takes the server's.
func (s *session) negotiate(ctx context.Context, sdp string) error {
	if err := CheckSDP(sdp); err != nil {
		return err
	}
	if !s.offers.Allow() {
		return refuse(CodeRateLimited, "more than %d offers a second", offerRate)
	}
	s.mu.Lock()
	s.trickled, s.candidates = 0, nil
	s.mu.Unlock()
	answer, err := s.server.rooms.Offer(ctx, s.id, sdp)
	if errors.Is(err, sfu.ErrGlare) {
		return nil
	}
	if err != nil {
		return err
	}
	s.tell(Answer{SDP: answer}, keepIt)
	return nil
}

// mute sets the client's own state, or for admins another's. Which of these the other must agree to, the node says.
func (s *session) mute(ctx context.Context, m MuteRequest) error {
	who := m.Participant
	if who == "" {
		who = s.id
	}
	if who != s.id && !s.grants.Admin {
		return refuse(CodeForbidden, "only admins mute others")
	}
	return s.server.rooms.SetMuted(ctx, s.id, who, m.Muted)
}

// answered forgets the server's offer, which need not be said again.
func (s *session) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offer, s.candidates = nil, nil
}

// countCandidate counts the candidates of one offer of the client's, and reports whether one more is accepted.
func (s *session) countCandidate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trickled++
	return s.trickled <= MaxSDPCandidates
}
