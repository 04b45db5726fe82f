package signaling

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Cluster is what signaling wants to know of other nodes. Nodes are named by the address under which clients reach them,
// as an origin (https://a.example:8443). No method waits.
type Cluster interface {
	// Place says where a client of a room belongs that came here: at node, or here when that is empty. Errors are those of
	// package sfu.
	Place(room string, hint Hint) (node string, err error)
	// Fallbacks lists the nodes to try when this one does not answer a client of a room, the best first.
	Fallbacks(room, region string) []string
	// Members lists the other nodes.
	Members() []string
}

// Hint is what a client says that has to do with its place.
type Hint struct {
	Region     string // nearest to it; empty: not known
	Failed     string // the node that it has just lost; empty: none
	Redirected bool   // it was sent here
}

const (
	// maxFallbacks is how many nodes a client is told of.
	maxFallbacks = 4
	// moveShare is the part of a drain's time in which clients are asked to begin to move, so that not all do at once.
	moveShare = 3
)

// redirected says that a client was sent to another node: no error to anybody.
type redirected struct{ node string }

func (redirected) Error() string { return "redirected" }

// place says no to a client that belongs elsewhere, as a redirected.
func (s *Server) place(room string, h Hint) error {
	if s.cluster == nil {
		return nil
	}
	node, err := s.cluster.Place(room, h)
	if err != nil {
		return err
	}
	if node != "" {
		s.counters.redirects.Add(1)
		return redirected{node}
	}
	return nil
}

// fallbacks are the nodes that a client is told of.
func (s *Server) fallbacks(room, region string) []string {
	if s.cluster == nil {
		return nil
	}
	list := s.cluster.Fallbacks(room, region)
	return list[:min(len(list), maxFallbacks)]
}

// tellNodes tells clients of nodes that have come, gone or changed places.
func (s *Server) tellNodes() {
	if s.cluster == nil {
		return
	}
	type place struct{ room, region string }
	known := map[place][]string{}
	for _, ss := range s.allSessions() {
		p := place{ss.room, ss.region}
		list, seen := known[p]
		if !seen {
			list = s.fallbacks(p.room, p.region)
			known[p] = list
		}
		if ss.changeNodes(list) {
			ss.tell(Nodes{Nodes: list}, latest)
		}
	}
}

// changeNodes notes what the client is told, and reports whether that is news.
func (s *session) changeNodes(list []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || slices.Equal(list, s.nodes) {
		return false
	}
	s.nodes = list
	return true
}

// move asks everybody to go to another node, and waits until they have or ctx ends. Clients connect there before they leave
// here.
func (s *Server) move(ctx context.Context) {
	deadline, limited := ctx.Deadline()
	if s.cluster == nil || !limited {
		return
	}
	within := time.Until(deadline)
	asked := 0
	for _, ss := range s.allSessions() {
		if list := s.fallbacks(ss.room, ss.region); len(list) > 0 {
			asked++
			ss.tell(Move{Nodes: list, WithinMs: int((within / moveShare).Milliseconds())}, keepIt)
		}
	}
	if asked == 0 {
		return
	}
	s.log.Info("clients were asked to move", zap.Int("participants", asked), zap.Duration("within", within))
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		s.mu.Lock()
		left := len(s.sessions)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.log.Warn("not everybody has moved in time", zap.Int("participants", left))
			return
		case <-t.C:
		}
	}
}

// allowed reports whether the request comes from a page of this server, of a listed origin or of another node.
func (s *Server) allowed(r *http.Request) bool {
	return s.origins.allowed(r) || s.ofMember(r)
}

func (s *Server) ofMember(r *http.Request) bool {
	if s.cluster == nil {
		return false
	}
	u, ok := requestOrigin(r)
	return ok && slices.Contains(s.cluster.Members(), u.Scheme+"://"+u.Host)
}
