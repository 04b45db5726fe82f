package signaling

import "sync/atomic"

// counters are the server's, for Stats.
type counters struct {
	joins, joinsRefused, resumes, resumesFailed, expired, slowReaders, rateLimited, whipJoins, whipRefused, redirects atomic.Uint64
}

// Stats is a snapshot of the server's gauges and counters.
type Stats struct {
	Sockets      int // open WebSockets
	Sessions     int // participants that joined over /ws, with or without a socket
	Detached     int // of these, without
	WHIPSessions int // WHIP and WHEP

	Joins         uint64 // over /ws
	JoinsRefused  uint64
	Resumes       uint64
	ResumesFailed uint64
	Expired       uint64 // sessions whose socket did not come back
	SlowReaders   uint64 // sockets closed because their queue was full
	RateLimited   uint64 // sockets closed because they sent too much
	WHIPJoins     uint64 // WHIP and WHEP
	WHIPRefused   uint64
	Redirects     uint64 // joins that were sent to another node
}

// Stats may be called from any goroutine.
func (s *Server) Stats() Stats {
	st := Stats{
		Joins: s.counters.joins.Load(), JoinsRefused: s.counters.joinsRefused.Load(), Resumes: s.counters.resumes.Load(),
		ResumesFailed: s.counters.resumesFailed.Load(), Expired: s.counters.expired.Load(),
		SlowReaders: s.counters.slowReaders.Load(), RateLimited: s.counters.rateLimited.Load(),
		WHIPJoins: s.counters.whipJoins.Load(), WHIPRefused: s.counters.whipRefused.Load(), Redirects: s.counters.redirects.Load(),
	}
	sessions := s.allSessions()
	for _, ss := range sessions {
		ss.mu.Lock()
		if ss.conn == nil {
			st.Detached++
		}
		ss.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Sockets, st.Sessions, st.WHIPSessions = len(s.conns), len(sessions), len(s.whips)
	return st
}
