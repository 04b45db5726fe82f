package trunk

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Link is a snapshot of one trunk. Counts are since the link was made.
type Link struct {
	Node  string
	Up    bool           // something authentic has come within 3 s
	Addr  netip.AddrPort // that is sent to; from Connect while there is no session
	Epoch uint64         // of the peer's process, the newest heard of

	RTT     time.Duration // smoothed; 0 until measured
	Jitter  time.Duration // of the way in, by pings (RFC 3550, section 6.4.1)
	LossIn  float64       // share of datagrams lost on the way in, before repair, over some seconds
	LossOut float64       // the same on the way out, as the peer says

	StreamsIn, StreamsOut        int
	PacketsIn, PacketsOut        uint64 // of speech
	DatagramsIn, DatagramsSent   uint64
	BytesIn, BytesSent           uint64 // of datagrams, without IP and UDP headers
	Missed, Recovered            uint64 // datagrams that did not come in turn; of those, came after all, in 200 ms or so
	Nacks, Resent, NotResent     uint64 // requests sent; datagrams sent again on request; requests not followed
	Doubled                      uint64 // datagrams sent twice unasked
	Redundant                    bool   // everything is sent twice now
	Forged                       uint64 // refused: do not authenticate
	Replayed                     uint64 // refused: came before, or too old to know. Those sent twice are among them
	Malformed                    uint64 // authentic datagrams with something in them that means nothing
	UnknownStream                uint64 // packets of streams that were not announced
	RefusedStreams               uint64 // announced, but too many, of our own, or over too many hops
	Dropped, Unsent              uint64 // out: no room for it, or too long; no link to send it on
	WriteErrors, Sessions, Moves uint64 // errors of the socket; keys agreed; changes of the peer's address
}

// Refused counts datagrams that belong to no link, and cost nothing but this.
type Refused struct {
	Malformed   uint64 // nothing we speak
	Forged      uint64 // hellos and answers without the cluster's secret
	Stale       uint64 // genuine hellos of an old epoch, for another epoch or node, or of a process that was disconnected
	Replayed    uint64 // genuine hellos that came before
	TooMany     uint64 // hellos beyond one in 50 ms for a node, or of more nodes than are taken
	NoSession   uint64 // datagrams for a session that does not exist
	ReadErrors  uint64 // of the socket
	WriteErrors uint64
}

type refused struct {
	malformed, forged, stale, replayed, tooMany, noSession, readErrors, writeErrors atomic.Uint64
}

// Stats returns all links, by name. It allocates.
func (t *Trunks) Stats() []Link {
	var all []Link
	for _, l := range *t.links.Load() {
		l.mu.Lock()
		s := l.stats
		s.Node, s.Addr, s.Epoch = l.node, l.addr, l.epoch
		if l.current != nil {
			s.Addr = l.current.addr
		}
		s.StreamsIn, s.StreamsOut = len(l.in), len(l.out)
		l.mu.Unlock()
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Link) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// Refused returns what came from nobody.
func (t *Trunks) Refused() Refused {
	r := &t.refused
	return Refused{
		Malformed: r.malformed.Load(), Forged: r.forged.Load(), Stale: r.stale.Load(), Replayed: r.replayed.Load(),
		TooMany: r.tooMany.Load(), NoSession: r.noSession.Load(), ReadErrors: r.readErrors.Load(), WriteErrors: r.writeErrors.Load(),
	}
}

// measure reckons the loss on the way in, and the jitter.
type measure struct {
	missed         uint64 // since the last look
	doubled        bool   // the peer sends everything twice: what comes late tells nothing of order
	lost, expected float64
	sent, came     time.Duration // the last ping, by either clock
	pinged         bool
	ponged         bool
}

// loss takes the last second in and returns the share lost; older seconds count for ever less.
func (m *measure) loss(sessions []*session) float64 {
	const fade = 0.9 // per second: half is of the last seven
	var came uint64
	for _, s := range sessions {
		came += s.window.highest - s.counted
		s.counted = s.window.highest
	}
	m.lost = m.lost*fade + float64(m.missed)
	m.expected = m.expected*fade + float64(came)
	m.missed = 0
	if m.expected < 1 {
		return 0
	}
	return min(1, m.lost/m.expected)
}

// ping takes in when one was sent and came.
func (m *measure) ping(sent, came time.Duration, jitter *time.Duration) {
	if m.pinged {
		d := (came - m.came) - (sent - m.sent)
		*jitter += (max(d, -d) - *jitter) / 16
	}
	m.sent, m.came, m.pinged = sent, came, true
}

// pong takes in a round trip (RFC 6298, section 2, without the variance).
func (m *measure) pong(sample time.Duration, rtt *time.Duration) {
	if !m.ponged {
		*rtt, m.ponged = sample, true
		return
	}
	*rtt += (sample - *rtt) / 8
}
