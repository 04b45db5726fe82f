package signaling

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"parley/sfu"
)

// Config is what a Server is made from.
type Config struct {
	Rooms Rooms
	// ICE names the STUN and TURN servers; nil: none, as on a LAN.
	ICE ICEServers
	// Keys are the API keys with their secrets of at least MinSecretBytes bytes. Empty: an open server, which asks for
	// no token and looks at none.
	Keys map[string]string
	// Origins lists the other origins (https://host[:port]) whose pages may use /ws, WHIP and WHEP.
	Origins []string
	// ICETransportPolicy is what clients are told: "all" (also for "") or "relay".
	ICETransportPolicy string
	// Ready says why no participants can be taken, nil: they can. A nil Ready is always ready.
	Ready func() error
	// Static answers every path that is not ours, the pages of the web client among them. Nil: 404.
	Static  http.Handler
	Version string
	// Cluster knows the other nodes; nil: there are none.
	Cluster Cluster
	Log     *zap.Logger // nil: none
}

// Server is the HTTP side of a node. Its handler works as soon as it is made; Run does what has to be done in time.
type Server struct {
	rooms    Rooms
	ice      ICEServers
	cluster  Cluster   // nil: alone
	verifier *verifier // nil on an open server
	origins  origins
	policy   string
	ready    func() error
	static   http.Handler
	version  string
	log      *zap.Logger
	handler  http.Handler
	counters counters

	stop     context.Context // ends with Run: sockets are closed
	stopNow  context.CancelFunc
	draining atomic.Bool

	mu       sync.Mutex
	sockets  sync.WaitGroup      // of the handlers of /ws; Add under mu, not after closing
	closing  bool                // no new sockets
	conns    map[*conn]struct{}  // every socket
	sessions map[string]*session // by participant id
	resumes  map[[sha256.Size]byte]*session
	whips    map[string]*whipSession // by session id
	subjects map[subject]int         // WHIP and WHEP sessions of one identity
}

// subject is an identity as a token names it.
type subject struct{ key, identity string }

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Rooms == nil {
		return nil, errors.New("signaling: no Rooms")
	}
	s := &Server{
		rooms: cfg.Rooms, ice: cfg.ICE, policy: cfg.ICETransportPolicy, ready: cfg.Ready, static: cfg.Static,
		version: cfg.Version, cluster: cfg.Cluster, log: cfg.Log,
		conns: make(map[*conn]struct{}), sessions: make(map[string]*session),
		resumes: make(map[[sha256.Size]byte]*session), whips: make(map[string]*whipSession), subjects: make(map[subject]int),
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.log = s.log.Named("signaling")
	switch s.policy {
	case "":
		s.policy = "all"
	case "all", "relay":
	default:
		return nil, fmt.Errorf("signaling: ICE transport policy %q is neither all nor relay", s.policy)
	}
	for key, secret := range cfg.Keys {
		if err := checkKey(key, secret); err != nil {
			return nil, fmt.Errorf("signaling: %w", err)
		}
	}
	if len(cfg.Keys) > 0 {
		s.verifier = newVerifier(cfg.Keys)
	}
	var err error
	if s.origins, err = newOrigins(cfg.Origins); err != nil {
		return nil, fmt.Errorf("signaling: %w", err)
	}
	s.stop, s.stopNow = context.WithCancel(context.Background())
	s.handler = s.routes()
	return s, nil
}

// Handler answers every request of the public listeners.
func (s *Server) Handler() http.Handler { return s.handler }

// Run removes participants whose socket has not come back in ResumeTTL, until ctx ends; then it closes every socket
// and returns when their handlers have.
func (s *Server) Run(ctx context.Context) error {
	t := time.NewTicker(janitorInterval)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.expire(now)
			s.tellNodes()
		case <-ctx.Done():
			s.mu.Lock()
			s.closing = true
			s.mu.Unlock()
			s.stopNow()
			s.sockets.Wait()
			return nil
		}
	}
}

// expire ends the sessions that nobody came back to.
func (s *Server) expire(now time.Time) {
	for _, ss := range s.allSessions() {
		if ss.expired(now) {
			s.counters.expired.Add(1)
			ss.leave(sfu.ReasonTimeout)
		}
	}
}

// Drain refuses new participants from now on, asks those there are to move to other nodes, says goodbye to who is left in
// the last fifth of the time and takes them out of their rooms. It returns when their sockets are closed, or when ctx ends.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	if deadline, limited := ctx.Deadline(); limited {
		moving, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/5))
		s.move(moving)
		cancel()
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, ss := range s.allSessions() {
		wg.Go(func() { ss.leave(sfu.ReasonDraining) }) // waited for by closeWhenIdle
	}
	for _, w := range s.allWHIPs() {
		wg.Go(func() { s.endWHIP(ctx, w, sfu.ReasonDraining) })
	}
	wg.Go(func() { s.waitSockets(ctx) })
	go closeWhenIdle(&wg, done) // ends with the calls above, each of which is bounded in time
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func closeWhenIdle(wg *sync.WaitGroup, done chan<- struct{}) {
	wg.Wait()
	close(done)
}

// waitSockets waits until no socket is open, or ctx ends.
func (s *Server) waitSockets(ctx context.Context) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (s *Server) allSessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*session, 0, len(s.sessions))
	for _, ss := range s.sessions {
		out = append(out, ss)
	}
	return out
}

// open counts a socket in; false when the server is stopping.
func (s *Server) open(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.sockets.Add(1)
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) shut(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.sockets.Done()
}

// claim makes ss the session of an id. When somebody has it, that session is returned instead.
func (s *Server) claim(ss *session, id string) (holder *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if holder = s.sessions[id]; holder != nil {
		return holder
	}
	ss.id = id
	s.sessions[id] = ss
	return nil
}

// register enters a session that has its seat.
func (s *Server) register(ss *session, id string) {
	s.mu.Lock()
	ss.id = id
	s.sessions[id] = ss
	s.resumes[sha256.Sum256([]byte(ss.secret))] = ss
	s.mu.Unlock()
	ss.mu.Lock()
	ended := ss.ended
	ss.mu.Unlock()
	if ended { // before it was entered
		s.forget(ss)
	}
}

// forget removes a session from the tables, unless another has its id by now.
func (s *Server) forget(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[ss.id] == ss {
		delete(s.sessions, ss.id)
	}
	delete(s.resumes, sha256.Sum256([]byte(ss.secret)))
}

// find returns the session with a resume secret. The table is keyed by the secret's hash, so that the time of the look-up
// tells nothing of the secret, and the secret itself is compared in constant time.
func (s *Server) find(secret, room string) *session {
	s.mu.Lock()
	ss := s.resumes[sha256.Sum256([]byte(secret))]
	s.mu.Unlock()
	if ss == nil || subtle.ConstantTimeCompare([]byte(ss.secret), []byte(secret)) != 1 || ss.room != room {
		return nil
	}
	return ss
}

func (s *Server) iceServers(participant, host string) ([]ICEServer, time.Duration) {
	if s.ice == nil {
		return []ICEServer{}, 0
	}
	list, ttl := s.ice.ICEServers(participant, host)
	if list == nil {
		list = []ICEServer{}
	}
	return list, ttl
}

func (s *Server) logLeave(ss *session, err error) {
	if !errors.Is(err, sfu.ErrNoParticipant) && !errors.Is(err, sfu.ErrClosed) {
		s.log.Warn("leave", zap.String("room", ss.room), zap.String("participant", ss.id), zap.Error(err))
	}
}

// randomID returns 128 random bits in hex.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// drainRetryMs spreads those who come back to a restarted server over four seconds.
func drainRetryMs() int { return 1000 + mathrand.IntN(4000) }
