package signaling

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"parley/sfu"
)

// serveWS is GET /ws.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	c, err := s.accept(w, r)
	if err != nil {
		if !errors.Is(err, errResponded) {
			s.writeError(w, err)
		}
		return
	}
	if !s.open(c) {
		_ = c.ws.CloseNow()
		return
	}
	defer s.shut(c)
	var ss *session
	c.serve(s.stop, func(ctx context.Context) { ss = s.converse(ctx, c) })
	if ss != nil {
		ss.detach(c) // only now is it known what was not sent
	}
	switch c.reason {
	case "slow_reader":
		s.counters.slowReaders.Add(1)
	case string(CodeRateLimited):
		s.counters.rateLimited.Add(1)
	}
}

// converse is one socket's life: join, talk, and the end. It returns the session, nil if it came to none.
func (s *Server) converse(ctx context.Context, c *conn) *session {
	ss := s.welcome(ctx, c)
	if ss != nil {
		c.login()
		ss.syncAttached()
		if ss.talk(ctx, c) && ss.current(c) {
			ss.leave(sfu.ReasonLeft)
		}
	}
	if c.leaving() {
		c.drain(ctx)
	}
	return ss
}

// welcome reads messages until one gives the client its seat; nil when that did not happen, and the socket is closed
// or about to be.
func (s *Server) welcome(ctx context.Context, c *conn) *session {
	timeout := time.AfterFunc(joinTimeout, c.joinTimedOut)
	defer timeout.Stop()
	for range maxJoinAttempts {
		data, err := c.read(ctx)
		if err != nil {
			return nil
		}
		m, kind, err := DecodeClient(data)
		join, isJoin := m.(Join)
		switch {
		case err != nil:
			c.fail(err, kind, websocket.StatusPolicyViolation)
			return nil
		case !isJoin:
			c.fail(refuse(CodeNotJoined, "the first message is join"), kind, websocket.StatusPolicyViolation)
			return nil
		}
		timeout.Stop() // from here on the time is ours
		ss, err := s.seat(ctx, c, join)
		if err == nil {
			return ss
		}
		s.counters.joinsRefused.Add(1)
		if !errors.Is(err, &Error{Code: CodeResumeFailed}) {
			c.log.Debug("join refused", zap.Error(err))
			c.refuseJoin(err)
			return nil
		}
		c.fail(err, kind, 0) // the client may join anew
		timeout.Reset(joinTimeout)
	}
	c.fail(refuse(CodeRateLimited, "too many attempts to join"), "join", websocket.StatusPolicyViolation)
	return nil
}

// refuseJoin tells why there is no seat and closes the socket.
func (c *conn) refuseJoin(err error) {
	var moved redirected
	if errors.As(err, &moved) {
		c.say(Redirect{URL: moved.node})
		c.out.finish(CloseByServer, "redirect")
		return
	}
	p := statusOf(err)
	code := websocket.StatusCode(CloseByServer)
	if p.code == CodeDraining {
		c.say(Bye{Reason: sfu.ReasonDraining, RetryAfterMs: drainRetryMs()})
		code = websocket.StatusGoingAway
	}
	c.fail(err, "join", code)
}

func (c *conn) joinTimedOut() {
	c.fail(refuse(CodeJoinTimeout, "no join within %v", joinTimeout), "", websocket.StatusPolicyViolation)
}

// seat gives the client its seat, the old one when it can prove that it has one.
func (s *Server) seat(ctx context.Context, c *conn, m Join) (*session, error) {
	if err := CheckRoom(m.Room); err != nil {
		return nil, err
	}
	if m.Resume != "" {
		return s.resume(c, m)
	}
	if s.draining.Load() {
		return nil, sfu.ErrDraining
	}
	name, err := CleanName(m.Name)
	if err != nil {
		return nil, err
	}
	var who subject
	grants := Grants{Publish: true, Subscribe: true}
	if s.verifier != nil {
		token, key, err := s.verifier.verify(m.Token, m.Room)
		if err != nil {
			return nil, err
		}
		if name, err = tokenName(token, name); err != nil {
			return nil, err
		}
		who, grants = subject{key, token.Identity}, token.Grants
	}
	if !grants.Publish && !grants.Subscribe {
		return nil, refuse(CodeForbidden, "the token grants neither publish nor subscribe")
	}
	if err := s.place(m.Room, Hint{Region: m.Region, Failed: m.Failed, Redirected: m.Redirected}); err != nil {
		return nil, err
	}
	return s.join(ctx, c, m, name, who, grants)
}

// tokenName is the name a token gives, or the one asked for when it gives none.
func tokenName(t Token, asked string) (string, error) {
	if t.Name == "" {
		return asked, nil
	}
	return CleanName(t.Name)
}

// resume gives a new socket to an old session.
func (s *Server) resume(c *conn, m Join) (*session, error) {
	failed := refuse(CodeResumeFailed, "there is no session to resume; join anew")
	ss := s.find(m.Resume, m.Room)
	if ss == nil {
		s.counters.resumesFailed.Add(1)
		return nil, failed
	}
	ok, err := ss.attach(c, true, func() ([]sfu.ParticipantInfo, error) { return s.rooms.Roster(ss.id) })
	if !ok {
		s.counters.resumesFailed.Add(1)
		if err != nil { // the node has lost it
			ss.leave(sfu.ReasonTimeout)
		}
		return nil, failed
	}
	s.counters.resumes.Add(1)
	s.log.Debug("resumed", zap.String("room", ss.room), zap.String("participant", ss.id))
	return ss, nil
}

// join takes a new seat. An identity has one seat in a room: who joins with it again gets it, and the old session is
// told that it was replaced. In another room at the same time, the identity gets an id with a suffix.
func (s *Server) join(ctx context.Context, c *conn, m Join, name string, who subject, g Grants) (*session, error) {
	room := m.Room
	ss := newSession(s, room, name, who, g)
	ss.region = m.Region
	if who.identity != "" {
		if err := s.takeIdentity(ctx, ss); err != nil {
			return nil, err
		}
	}
	joinCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
	joined, err := s.rooms.Join(joinCtx, sfu.JoinRequest{
		Room: room, Participant: ss.id, Name: name, Kind: sfu.KindWebSocket,
		Publish: g.Publish, Subscribe: g.Subscribe, Admin: g.Admin, Observer: ss,
		Back: s.cluster != nil && (m.Failed != "" || m.Redirected),
	})
	cancel()
	if err != nil {
		s.forget(ss)
		ss.end(sfu.ReasonRoomError)
		close(ss.gone)
		close(ss.ready)
		return nil, err
	}
	ss.music, ss.stereo = joined.Music, joined.Stereo
	s.register(ss, joined.Participant)
	close(ss.ready)
	list := func() ([]sfu.ParticipantInfo, error) { return joined.Participants, nil }
	if ctx.Err() != nil || s.draining.Load() {
		ss.leave(sfu.ReasonDraining)
		return nil, sfu.ErrDraining
	}
	ok, err := ss.attach(c, false, list)
	if !ok {
		if err == nil {
			err = sfu.ErrClosed
		}
		return nil, err
	}
	s.counters.joins.Add(1)
	s.log.Debug("joined", zap.String("room", room), zap.String("participant", ss.id))
	return ss, nil
}

// takeIdentity makes the session the one of its identity, ending the one that was, if that is in the same room.
func (s *Server) takeIdentity(ctx context.Context, ss *session) error {
	for id := ss.who.identity; ; {
		holder := s.claim(ss, id)
		if holder == nil {
			return nil
		}
		select {
		case <-holder.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if holder.room != ss.room || holder.who != ss.who {
			id = ss.who.identity + "~" + randomID()[:8]
			continue
		}
		holder.leave(sfu.ReasonReplaced)
	}
}

// leaving reports whether the socket is being closed by us.
func (c *conn) leaving() bool {
	c.out.mu.Lock()
	ending := c.out.ending
	c.out.mu.Unlock()
	select {
	case <-c.shut:
		return true
	default:
		return ending
	}
}
