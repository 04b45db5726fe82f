package trunk

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// unknownGap is how long an unknown stream is not asked about again.
const unknownGap = 20 * time.Millisecond

// datagram takes in what came. It is changed. Reader only.
func (t *Trunks) datagram(b []byte, from netip.AddrPort, now time.Duration) {
	if len(b) == 0 || len(b) > maxDatagram {
		t.refused.malformed.Add(1)
		return
	}
	switch b[0] {
	case typeData:
		t.data(b, from, now)
	case typeHello:
		t.hello(b, from, now)
	case typeAnswer:
		t.answer(b, from, now)
	default:
		t.refused.malformed.Add(1)
	}
}

// data takes in a datagram of a session.
func (t *Trunks) data(b []byte, from netip.AddrPort, now time.Duration) {
	if len(b) < headerBytes+tagBytes {
		t.refused.malformed.Add(1)
		return
	}
	counter := binary.BigEndian.Uint64(b[5:])
	s := t.indexes.get(binary.BigEndian.Uint32(b[1:])).session
	if s == nil {
		t.refused.noSession.Add(1)
		return
	}
	l := s.link
	l.mu.Lock()
	fresh := s.window.fresh(counter)
	if !fresh {
		l.stats.Replayed++
	}
	l.mu.Unlock()
	if !fresh {
		return
	}
	plain, err := s.decrypt(b)
	if err != nil {
		l.mu.Lock()
		l.stats.Forged++
		l.mu.Unlock()
		return
	}
	l.calls.Lock()
	defer l.calls.Unlock()
	ok, late := l.accept(s, counter, len(b), from, now)
	if !ok {
		return
	}
	for m := &t.message; len(plain) > 0; {
		if plain, err = m.parse(plain); err != nil {
			l.mu.Lock()
			l.stats.Malformed++
			l.mu.Unlock()
			return
		}
		if late && (m.kind == kindPing || m.kind == kindPong) {
			continue // sent again, perhaps: it tells nothing about time
		}
		l.handle(m, now)
	}
}

// accept notes a datagram that is authentic, and tells whether it had been missing. calls is held.
func (l *link) accept(s *session, counter uint64, size int, from netip.AddrPort, now time.Duration) (ok, late bool) {
	l.mu.Lock()
	if s.closed {
		l.mu.Unlock()
		return false, false
	}
	var ended map[uint32]*StreamInfo
	if s == l.offered {
		l.offered = nil
		ended = l.begin(s, now)
	}
	newest := counter > s.window.highest
	gap, filled, waited := s.take(counter, now)
	l.stats.Missed += uint64(gap)
	l.measure.missed += uint64(gap)
	switch {
	case filled && (waited || l.measure.doubled):
		late = true
		l.stats.Recovered++
	case filled:
		l.stats.Missed--
		if l.measure.missed > 0 {
			l.measure.missed--
		}
	}
	if gap > 0 {
		l.ask(s, now)
	}
	if newest && from != s.addr {
		s.addr = from
		l.stats.Moves++
	}
	l.heard, s.heard = now, now
	l.stats.DatagramsIn++
	l.stats.BytesIn += uint64(size)
	l.mu.Unlock()
	if gap > 0 {
		l.t.signal()
	}
	l.tellEnded(ended)
	return true, late
}

// handle does what a message says. calls is held.
func (l *link) handle(m *message, now time.Duration) {
	switch m.kind {
	case kindMedia:
		l.media(m, now)
	case kindAnnounce:
		l.announced(m)
	case kindWithdraw:
		l.withdrawnBy(m.stream)
	default:
		l.mu.Lock()
		l.control(m, now)
		l.mu.Unlock()
	}
}

// media hands a packet on.
func (l *link) media(m *message, now time.Duration) {
	l.mu.Lock()
	info := l.in[m.stream]
	if info == nil {
		l.stats.UnknownStream++
		if now >= l.askUnknown {
			l.askUnknown = now + unknownGap
			l.say(kindUnknown, m.stream)
		}
		l.mu.Unlock()
		return
	}
	l.stats.PacketsIn++
	l.mu.Unlock()
	if l.t.cfg.OnPacket == nil {
		return
	}
	m.packet.SSRC = info.SourceEpoch
	l.t.cfg.OnPacket(Packet{
		From: l.node, Room: info.Room, Participant: info.Participant, Stream: m.stream, SourceEpoch: info.SourceEpoch,
		Held: m.held, Packet: m.packet,
	})
}

// say queues a message about a stream and wakes the writer. mu is held.
func (l *link) say(kind byte, stream uint32) {
	if b := l.room(1 + 5); b != nil {
		*b = appendID(*b, kind, stream)
		l.t.signal()
	}
}

// announced takes a stream in, or refuses it.
func (l *link) announced(m *message) {
	info := m.info
	l.mu.Lock()
	if l.in[m.stream] != nil {
		l.say(kindAnnounced, m.stream)
		l.mu.Unlock()
		return
	}
	for _, id := range l.ended {
		if id == m.stream { // sent again, and overtaken by its end
			l.mu.Unlock()
			return
		}
	}
	direct := info.Hop == 1
	if len(l.in) >= MaxStreams || info.Hop > l.t.cfg.MaxHops || info.Origin == l.t.cfg.Node || direct != (info.Origin == l.node) {
		l.stats.RefusedStreams++
		l.say(kindWithdrawn, m.stream)
		l.mu.Unlock()
		return
	}
	l.in[m.stream] = &info
	l.say(kindAnnounced, m.stream)
	l.mu.Unlock()
	if l.t.cfg.OnStream != nil {
		l.t.cfg.OnStream(StreamEvent{From: l.node, Stream: m.stream, Info: info})
	}
}

// withdrawnBy ends a stream that the peer sends no more of.
func (l *link) withdrawnBy(id uint32) {
	l.mu.Lock()
	info := l.in[id]
	delete(l.in, id)
	if info != nil {
		l.ended[l.endedAt%len(l.ended)] = id
		l.endedAt++
	}
	l.say(kindWithdrawn, id)
	l.mu.Unlock()
	if info != nil {
		l.tellEnded(map[uint32]*StreamInfo{id: info})
	}
}

// control does what concerns the link itself. mu is held.
func (l *link) control(m *message, now time.Duration) {
	switch m.kind {
	case kindAnnounced:
		if o := l.outByID[m.stream]; o != nil && !o.acked {
			o.acked = true
			l.unacked--
		}
	case kindWithdrawn:
		delete(l.withdrawn, m.stream)
		if o := l.outByID[m.stream]; o != nil {
			o.refused = true
			if !o.acked {
				o.acked = true
				l.unacked--
			}
		}
	case kindUnknown:
		if o := l.outByID[m.stream]; o != nil && o.acked && !o.refused {
			o.acked = false
			l.unacked++
		}
	case kindPing:
		l.measure.doubled = m.double
		l.measure.ping(time.Duration(m.time), now, &l.stats.Jitter)
		l.stats.LossOut = float64(m.loss) / 65535
		l.wantDouble()
		if b := l.room(1 + 8); b != nil {
			*b = appendPong(*b, m.time)
			l.t.signal()
		}
	case kindPong:
		if sample := now - time.Duration(m.time); sample >= 0 && sample < downAfter {
			l.ponged, l.stats.Up = now, true
			l.measure.pong(sample, &l.stats.RTT)
		}
	case kindNack:
		l.asked(m)
	}
}

// asked notes what the peer wants again.
func (l *link) asked(m *message) {
	for _, s := range l.sessions {
		if s.remote != m.index {
			continue
		}
		for i := range uint64(64) {
			if m.mask&(1<<i) != 0 && len(l.resends) < maxResends {
				l.resends = append(l.resends, resend{s, m.base + i})
			}
		}
		l.t.signal()
		return
	}
}
