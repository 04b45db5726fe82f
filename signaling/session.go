package signaling

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"parley/sfu"
)

// session is one participant that joined over /ws. It is the participant's sfu.Observer. It outlives its socket.
type session struct {
	server *Server
	room   string
	region string // as the client names it
	name   string
	who    subject // zero on an open server
	grants Grants
	secret string // 128 random bits in hex
	offers *rate.Limiter
	chats  *rate.Limiter

	// ready is closed when Rooms.Join has returned; id is set then, or known before when there is an identity.
	ready         chan struct{}
	id            string
	music, stereo bool // of the room, set with id
	// turn is held by who calls Rooms for this session, so that the client's messages take effect in its order even
	// when it has just changed sockets.
	turn chan struct{}

	// attachMu orders calls of Rooms.SetAttached, see syncAttached.
	attachMu sync.Mutex

	mu         sync.Mutex
	conn       *conn     // nil while there is none
	generation int       // counts attaches
	detachedAt time.Time // when conn became nil
	ended      bool      // gone from the room, or about to be
	gone       chan struct{}
	// offer is the server's last offer while it is not answered, candidates what came after it; both are said again
	// to a new socket, since nobody knows what the old one still delivered.
	offer      *outgoing
	offeredAt  time.Time
	candidates []outgoing
	held       []outgoing // other messages for the next socket
	heldBytes  int
	quality    map[string]int    // scores that came while there was no socket
	names      map[string]string // of everyone in the room, by id
	trickled   int               // candidates since the client's last offer
	nodes      []string          // that the client was told to try when this one fails
}

// maxHeldCandidates is more than a server with MaxSDPCandidates candidates can have to say.
const maxHeldCandidates = 2 * MaxSDPCandidates

// offerLife is how long an offer of the server's is worth answering. The node gives it up later than that, and offers
// anew where it still needs to.
const offerLife = 5 * time.Second

// maxHeldMessages and maxHeldBytes leave room in an empty queue for the rest of what a new socket is told.
const (
	maxHeldMessages = 160
	maxHeldBytes    = 512 << 10
)

func newSession(s *Server, room, name string, who subject, g Grants) *session {
	return &session{
		server: s, room: room, name: name, who: who, grants: g, secret: randomID(),
		offers: rate.NewLimiter(offerRate, offerBurst), chats: rate.NewLimiter(chatRate, chatBurst),
		ready: make(chan struct{}), turn: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

// Event implements sfu.Observer.
func (s *session) Event(ev sfu.Event) {
	switch e := ev.(type) {
	case sfu.OfferEvent:
		s.tell(Offer(e), keepIt)
	case sfu.CandidateEvent:
		s.tell(candidateOf(e.Candidate), keepIt)
	case sfu.ParticipantEvent:
		s.rename(e)
		s.tell(changeOf(e), roster)
	case sfu.LevelsEvent:
		s.tell(levelsOf(e), latest)
	case sfu.MuteEvent:
		s.tell(Muted(e), keepIt)
	case sfu.QualityEvent:
		s.tellQuality(e)
	case sfu.StatsEvent:
		s.tell(statsOf(&e.Stats), latest)
	case sfu.ChatEvent:
		s.mu.Lock()
		name := s.names[e.From]
		s.mu.Unlock()
		s.tell(ChatLine{From: e.From, Name: name, Text: e.Text, At: e.At.UTC()}, keepIt)
	case sfu.ClosedEvent:
		s.closed(e.Reason)
	}
}

// tell sends a message to the client, or keeps it for the next socket as far as it matters then.
func (s *session) tell(m Message, i importance) {
	data, err := Encode(m)
	if err != nil { // nothing a node can say fails to encode
		return
	}
	out := outgoing{kind: m.MessageType(), importance: i, data: data}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	switch m.(type) {
	case Offer:
		s.offer, s.offeredAt, s.candidates = &out, time.Now(), nil
	case Candidate:
		if s.candidates = append(s.candidates, out); len(s.candidates) > maxHeldCandidates {
			s.candidates = slices.Delete(s.candidates, 0, 1)
		}
	}
	if s.conn == nil || !s.conn.send(out) {
		s.hold(out) // also when the queue has just overflowed: the socket is lost
	}
}

// send encodes and queues a message that the next socket needs when this one loses it.
func (s *session) send(c *conn, m Message) {
	if data, err := Encode(m); err == nil { // see tell
		c.send(outgoing{kind: m.MessageType(), importance: keepIt, data: data})
	}
}

// hold keeps a message for the next socket; s.mu is held. Offers and candidates are kept elsewhere, and what is only
// of the moment is dropped. When there is too much, the oldest go: the roster that comes with a new socket makes up
// for changes, and a line of chat of long ago is the least loss.
func (s *session) hold(m outgoing) {
	if m.importance == latest || m.importance == ofSocket || m.kind == "offer" || m.kind == "candidate" {
		return
	}
	s.held = append(s.held, m)
	s.heldBytes += len(m.data)
	for len(s.held) > maxHeldMessages || s.heldBytes > maxHeldBytes {
		s.heldBytes -= len(s.held[0].data)
		s.held = slices.Delete(s.held, 0, 1)
	}
}

// takeHeld empties what is held; s.mu is held.
func (s *session) takeHeld() []outgoing {
	held := s.held
	s.held, s.heldBytes = nil, 0
	return held
}

// tellQuality sends scores, or merges them for the next socket: the node only tells of changes.
func (s *session) tellQuality(e sfu.QualityEvent) {
	s.mu.Lock()
	if s.conn == nil && !s.ended {
		if s.quality == nil {
			s.quality = make(map[string]int)
		}
		for _, q := range e.Qualities {
			s.quality[q.Participant] = q.Score
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.tell(qualityOf(e), keepIt)
}

// rename keeps the names of the room, which lines of chat are signed with.
func (s *session) rename(e sfu.ParticipantEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Change == sfu.ChangeLeft {
		delete(s.names, e.Participant.ID)
		return
	}
	if s.names == nil {
		s.names = make(map[string]string)
	}
	s.names[e.Participant.ID] = e.Participant.Name
}

// attach makes c the session's socket. The message joined goes first, with the roster as it is now; then what the
// client has missed. It reports false when the session has ended or another socket was quicker.
func (s *session) attach(c *conn, resumed bool, participants func() ([]sfu.ParticipantInfo, error)) (bool, error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false, nil
	}
	old := s.conn
	s.conn = nil
	s.generation++
	generation := s.generation
	if old != nil {
		s.detachedAt = time.Now()
		s.collect(old)
	}
	// Changes of the roster from here on are held: the list may be older than they are.
	for _, m := range s.takeHeld() {
		if m.importance != roster {
			s.hold(m)
		}
	}
	s.mu.Unlock()
	if old != nil {
		old.abort(CloseReplaced, "replaced")
	}

	list, err := participants()
	if err != nil {
		return false, err
	}
	servers, _ := s.server.iceServers(s.id, c.host)
	nodes := s.server.fallbacks(s.room, s.region)
	joined := Joined{
		Participant: s.id, Room: s.room, Name: s.name, Resume: s.secret, ResumeTTL: int(ResumeTTL / time.Second),
		Resumed: resumed, ICEServers: servers, ICETransportPolicy: s.server.policy, Participants: participantsOf(list),
		CanPublish: s.grants.Publish, CanSubscribe: s.grants.Subscribe, Admin: s.grants.Admin, Mode: modeOf(s.music), Stereo: s.stereo, Version: s.server.version, Nodes: nodes,
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.generation != generation {
		return false, nil
	}
	if s.names == nil {
		s.names = make(map[string]string, len(list))
	}
	for _, p := range list {
		s.names[p.ID] = p.Name
	}
	s.nodes = nodes
	c.say(joined)
	if s.offer != nil && time.Since(s.offeredAt) < offerLife {
		c.send(*s.offer)
	}
	for _, m := range slices.Concat(s.candidates, s.takeHeld()) {
		c.send(m)
	}
	if len(s.quality) > 0 {
		var q Quality
		for id, score := range s.quality {
			q.Qualities = append(q.Qualities, QualityScore{id, score})
		}
		s.send(c, q)
	}
	s.quality = nil
	s.conn = c
	return true, nil
}

// collect takes over what a socket did not get rid of; s.mu is held. It is older than what is held.
func (s *session) collect(c *conn) {
	for _, m := range slices.Concat(c.out.unsent(), s.takeHeld()) {
		s.hold(m)
	}
}

// detach says that c is gone, and reports whether it was still the session's socket.
func (s *session) detach(c *conn) bool {
	s.mu.Lock()
	mine := s.conn == c
	if mine {
		s.conn = nil
		s.detachedAt = time.Now()
		if !s.ended {
			s.collect(c)
		}
	}
	s.mu.Unlock()
	if mine {
		s.syncAttached()
	}
	return mine
}

// syncAttached tells the node whether there is a socket. Whoever changes it calls this afterwards; the mutex makes the
// last call tell the last state.
func (s *session) syncAttached() {
	s.attachMu.Lock()
	defer s.attachMu.Unlock()
	s.mu.Lock()
	attached, ended := s.conn != nil, s.ended
	s.mu.Unlock()
	if !ended {
		s.server.rooms.SetAttached(s.id, attached)
	}
}

// current reports whether c is the session's socket: what an older one still says does not count.
func (s *session) current(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == c && !s.ended
}

// expired reports whether the session has been without a socket for ResumeTTL.
func (s *session) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && !s.ended && !s.detachedAt.IsZero() && now.Sub(s.detachedAt) >= ResumeTTL
}

// end says goodbye to the client, once, and reports whether this call was the one.
func (s *session) end(reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	s.offer, s.candidates, s.quality = nil, nil, nil
	s.takeHeld()
	if s.conn != nil {
		bye := Bye{Reason: reason}
		if reason == sfu.ReasonDraining {
			bye.RetryAfterMs = drainRetryMs()
		}
		s.conn.say(bye)
		s.conn.out.finish(int(closeCode(reason)), reason)
	}
	return true
}

// leave takes the participant out of the room. Whoever calls it first does so; the others wait until it is done, so
// that the identity is free for a new participant when leave returns.
func (s *session) leave(reason string) {
	<-s.ready
	if !s.end(reason) {
		<-s.gone
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), operationTimeout)
	defer cancel()
	if err := s.server.rooms.Leave(ctx, s.id, reason); err != nil {
		s.server.logLeave(s, err)
	}
	s.server.forget(s)
	close(s.gone)
}

// closed is called when the node has removed the participant.
func (s *session) closed(reason string) {
	if s.end(reason) {
		s.server.forget(s)
		close(s.gone)
	}
}

// closeCode is the WebSocket close code that goes with the reason of a bye.
func closeCode(reason string) websocket.StatusCode {
	switch reason {
	case sfu.ReasonLeft:
		return websocket.StatusNormalClosure
	case sfu.ReasonDraining:
		return websocket.StatusGoingAway
	case sfu.ReasonReplaced:
		return CloseReplaced
	default:
		return CloseByServer
	}
}
