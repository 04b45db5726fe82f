package trunk

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"parley/neteq"
)

// Stream is one participant's packets on their way to other nodes. Where to is said packet by packet; a node is told of the
// stream with the first, and again with each until it has said that it knows.
type Stream struct {
	t            *Trunks
	info         StreamInfo
	announcement []byte // without kind and id
	closed       atomic.Bool
}

// outgoing is a stream on one link.
type outgoing struct {
	stream  *Stream
	id      uint32 // never given twice by a process
	acked   bool
	refused bool
	told    uint64 // datagram that the announcement is in, by its place in the queue
	inQueue bool   // told is valid
	repeat  repeat
}

// NewStream makes a stream of a participant of this node. Origin and Hop of the description are ignored. It is closed by
// Close.
func (t *Trunks) NewStream(info StreamInfo) (*Stream, error) {
	info.Origin, info.Hop = t.cfg.Node, 1
	return t.newStream(info)
}

// Forward makes a stream of one that came in, for hubs. ErrHops: it has come far enough. It is never sent to the node it is
// of.
func (t *Trunks) Forward(info StreamInfo) (*Stream, error) {
	if info.Hop++; info.Hop > t.cfg.MaxHops || info.Hop < 2 {
		return nil, fmt.Errorf("stream of %q: %w", info.Origin, ErrHops)
	}
	return t.newStream(info)
}

func (t *Trunks) newStream(info StreamInfo) (*Stream, error) {
	if !info.check() {
		return nil, fmt.Errorf("%w: room %q, participant %q, %d formats", ErrStream, info.Room, info.Participant, len(info.Formats))
	}
	info.Formats = maps.Clone(info.Formats)
	return &Stream{t: t, info: info, announcement: appendInfo(nil, &info)}, nil
}

// Info returns the description. It must not be changed.
func (s *Stream) Info() StreamInfo { return s.info }

// Close withdraws the stream everywhere. It does not wait, and may be called again.
func (s *Stream) Close() {
	if !s.closed.CompareAndSwap(false, true) {
		return
	}
	for _, l := range *s.t.links.Load() {
		l.withdraw(s)
	}
	s.t.signal()
}

// Withdraw tells one node that nothing more comes. A packet sent to it later announces the stream again.
func (t *Trunks) Withdraw(node string, s *Stream) {
	if l := (*t.links.Load())[node]; l != nil {
		l.withdraw(s)
		t.signal()
	}
}

// Send sends a packet of a stream to a node. It never blocks; what cannot be sent is dropped and counted. It copies, and
// allocates nothing once the node knows the stream. SSRC is not carried, see StreamInfo.SourceEpoch. Any goroutine may call
// it; packets of one stream keep the order of calls.
func (t *Trunks) Send(node string, s *Stream, p *neteq.Packet) { t.SendHeld(node, s, p, 0) }

// SendHeld is Send of a packet that came some time ago, at most 255 ms.
func (t *Trunks) SendHeld(node string, s *Stream, p *neteq.Packet, held time.Duration) {
	l := (*t.links.Load())[node]
	if l == nil {
		return
	}
	if l.send(s, p, held) {
		t.signal()
	}
}

// send puts a packet into the datagram that is being filled.
func (l *link) send(s *Stream, p *neteq.Packet, held time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || l.gone {
		l.stats.Unsent++
		return false
	}
	if s.closed.Load() || len(p.Payload) == 0 || len(p.Payload) > MaxPayload || s.info.Origin == l.node {
		l.stats.Dropped++
		return false
	}
	o := l.out[s]
	if o == nil {
		if len(l.out) >= MaxStreams {
			l.stats.Dropped++
			return false
		}
		o = &outgoing{stream: s, id: l.t.streams.Add(1)}
		l.out[s], l.outByID[o.id] = o, o
		l.unacked++
	}
	if o.refused {
		l.stats.Dropped++
		return false
	}
	need := maxMediaHeader + len(p.Payload)
	if both := need + announceHeader + len(s.announcement); !o.acked && both <= maxPlain {
		need = both
	}
	b := l.room(need)
	if b == nil {
		return false
	}
	if !o.acked && !(o.inQueue && o.told == l.tail) {
		if b = l.announce(o); b == nil {
			return false
		}
		if b = l.room(maxMediaHeader + len(p.Payload)); b == nil {
			return false
		}
		o.repeat.at = l.t.clock() + max(2*busyTick, l.stats.RTT+busyTick)
	}
	*b = appendMedia(*b, o.id, p, held)
	l.stats.PacketsOut++
	return true
}

// announce puts the description of a stream into the datagram that is being filled. mu is held.
func (l *link) announce(o *outgoing) *[]byte {
	b := l.room(announceHeader + len(o.stream.announcement))
	if b != nil {
		*b = append(appendID(*b, kindAnnounce, o.id), o.stream.announcement...)
		o.told, o.inQueue = l.tail, true
	}
	return b
}

// withdraw takes a stream off the link.
func (l *link) withdraw(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.out[s]
	if o == nil {
		return
	}
	delete(l.out, s)
	delete(l.outByID, o.id)
	if !o.acked {
		l.unacked--
	}
	if !o.refused && len(l.withdrawn) < MaxStreams {
		l.withdrawn[o.id] = &repeat{}
		l.repeatWithdrawals(l.t.clock())
	}
}

// announceAgain repeats what was not acknowledged. mu is held.
func (l *link) announceAgain(now time.Duration) {
	if l.unacked > 0 {
		for _, o := range l.out {
			if !o.acked && !o.refused && o.repeat.due(now, l.stats.RTT) && l.announce(o) == nil {
				break
			}
		}
	}
	l.repeatWithdrawals(now)
}

func (l *link) repeatWithdrawals(now time.Duration) {
	for id, r := range l.withdrawn {
		if now < r.at {
			continue
		}
		b := l.room(1 + 5)
		if b == nil {
			return
		}
		r.due(now, l.stats.RTT)
		*b = appendID(*b, kindWithdraw, id)
	}
}
