package trunk

import (
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// queueLen is how many datagrams wait for the writer; a link that has more to say is told off.
	queueLen = 32
	// MaxStreams is how many streams a link carries in each direction.
	MaxStreams = 10000

	// A link is up while something authentic has come within downAfter, and an answer to a ping within pongAfter; its streams end after endAfter, and one that nobody
	// here asked for is forgotten after forgetAfter.
	downAfter   = 3 * time.Second
	pongAfter   = 5 * time.Second
	endAfter    = 5 * time.Second
	forgetAfter = 30 * time.Second
	// A ping every second; the first few come faster, to know the round trip soon.
	pingEvery  = time.Second
	pingFirst  = 100 * time.Millisecond
	firstPings = 5
	// A hello is repeated after helloFirst, then at twice the time up to helloMost.
	helloFirst = 250 * time.Millisecond
	helloMost  = 2 * time.Second
	// helloLife is how long a hello may be answered, and its answer taken up.
	helloLife = 5 * time.Second
)

// link is the trunk to one node.
type link struct {
	t    *Trunks
	node string

	calls sync.Mutex // orders the callbacks of this link; taken before mu

	mu       sync.Mutex
	gone     bool
	wanted   bool           // Connect was called
	addr     netip.AddrPort // from Connect
	epoch    uint64         // least that is taken
	current  *session       // sent on; nil: none yet
	sessions []*session     // received on, current among them
	offered  *session       // answered by us, not yet heard on
	asking   *asking        // our hello
	helloAt  time.Duration
	helloGap time.Duration
	answered time.Duration // when a hello was answered last

	queue      [queueLen][]byte // plain text; what is from head up to tail is closed, tail is being filled
	head, tail uint64

	out        map[*Stream]*outgoing
	outByID    map[uint32]*outgoing
	unacked    int
	withdrawn  map[uint32]*repeat
	in         map[uint32]*StreamInfo
	inEpoch    uint64 // of the process whose streams these are
	ended      [64]uint32
	endedAt    int
	askUnknown time.Duration // when an unknown stream may be asked about again

	resends []resend
	stats   Link
	measure measure
	heard   time.Duration // when the last authentic datagram came
	ponged  time.Duration // when a ping was answered last, or the session began
	pingAt  time.Duration
	pings   int

	// The writer's own.
	cache    cache
	resender []resend // the other half of resends
	scratch  []byte
}

// asking is a hello that may still be answered.
type asking struct {
	local uint32
	share privateShare
	mac   [tagBytes]byte
	epoch uint64 // of the peer
	sent  time.Duration
}

// repeat is when something is to be said again.
type repeat struct {
	at  time.Duration
	gap time.Duration
}

const repeatMost = time.Second

// due tells whether to say it now; the next time is later then.
func (r *repeat) due(now, rtt time.Duration) bool {
	if now < r.at {
		return false
	}
	r.gap = min(repeatMost, max(2*r.gap, 2*busyTick, rtt+busyTick))
	r.at = now + r.gap
	return true
}

func newLink(t *Trunks, node string) *link {
	return &link{
		t: t, node: node, out: map[*Stream]*outgoing{}, outByID: map[uint32]*outgoing{}, withdrawn: map[uint32]*repeat{}, in: map[uint32]*StreamInfo{},
		heard: t.clock(),
	}
}

// expect is Connect.
func (l *link) expect(addr netip.AddrPort, epoch uint64, now time.Duration) {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.mu.Lock()
	l.wanted = true
	if l.addr != addr {
		l.addr, l.helloGap = addr, 0
	}
	l.raise(epoch)
	if l.current == nil {
		l.helloAt = min(l.helloAt, now)
	}
	ended := l.outdated()
	l.mu.Unlock()
	l.tellEnded(ended)
}

// raise refuses everything of older processes from now on. mu is held.
func (l *link) raise(epoch uint64) {
	if epoch <= l.epoch {
		return
	}
	l.epoch, l.helloGap, l.helloAt = epoch, 0, 0
	for i := 0; i < len(l.sessions); {
		if s := l.sessions[i]; s.epoch < epoch {
			l.drop(s)
		} else {
			i++
		}
	}
	if l.offered != nil && l.offered.epoch < epoch {
		l.forget(l.offered)
		l.offered = nil
	}
	l.stopAsking()
}

// outdated takes out the streams of a process that is no more. mu is held.
func (l *link) outdated() map[uint32]*StreamInfo {
	if l.inEpoch >= l.epoch || len(l.in) == 0 {
		return nil
	}
	return l.takeStreams()
}

func (l *link) takeStreams() map[uint32]*StreamInfo {
	ended := l.in
	l.in = map[uint32]*StreamInfo{}
	return ended
}

// tellEnded calls OnStream. calls is held.
func (l *link) tellEnded(ended map[uint32]*StreamInfo) {
	if l.t.cfg.OnStream == nil {
		return
	}
	for id, info := range ended {
		l.t.cfg.OnStream(StreamEvent{From: l.node, Stream: id, Info: *info, Ended: true})
	}
}

// close ends the link for good.
func (l *link) close() {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.mu.Lock()
	l.gone = true
	for len(l.sessions) > 0 {
		l.drop(l.sessions[0])
	}
	if l.offered != nil {
		l.forget(l.offered)
		l.offered = nil
	}
	l.stopAsking()
	ended := l.takeStreams()
	l.mu.Unlock()
	l.tellEnded(ended)
}

// drop ends a session. mu is held.
func (l *link) drop(s *session) {
	for i, other := range l.sessions {
		if other == s {
			l.sessions = append(l.sessions[:i], l.sessions[i+1:]...)
			break
		}
	}
	if l.current == s {
		l.current = nil
	}
	l.forget(s)
}

// forget makes a session's index mean nothing. mu is held.
func (l *link) forget(s *session) {
	s.closed = true
	l.t.indexes.remove(s.local)
}

func (l *link) stopAsking() {
	if l.asking != nil {
		l.t.indexes.remove(l.asking.local)
		l.asking = nil
	}
}

// adopt makes a session the one that is sent on. mu is held.
func (l *link) adopt(s *session, now time.Duration) {
	s.heard = now
	for len(l.sessions) >= maxSessions {
		oldest := l.sessions[0]
		for _, other := range l.sessions {
			if other.heard < oldest.heard {
				oldest = other
			}
		}
		l.drop(oldest)
	}
	l.sessions = append(l.sessions, s)
	l.current = s
	l.helloGap, l.heard, l.ponged, l.pings = 0, now, now, 0
	l.stats.Sessions++
	if s.epoch > l.epoch {
		l.raise(s.epoch)
	}
	for _, o := range l.out { // it may have forgotten our streams
		if o.acked {
			o.acked = false
			l.unacked++
		}
		o.refused = false
	}
	if l.inEpoch != s.epoch { // another process
		clear(l.withdrawn)
		l.measure = measure{}
		l.stats.RTT, l.stats.Jitter, l.stats.LossIn, l.stats.LossOut, l.stats.Redundant = 0, 0, 0, 0, false
	}
	if !l.stats.Up {
		l.stats.Up = true
		l.t.log.Info("trunk up", zap.String("node", l.node), zap.Stringer("addr", s.addr), zap.Uint64("epoch", s.epoch))
	}
	l.ping(now) // tells the peer that the session stands
}

// look does what time brings, and tells whether it wants to be called again soon. Writer only.
func (l *link) look(now time.Duration) bool {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return false
	}
	for i := 0; i < len(l.sessions); {
		if s := l.sessions[i]; s != l.current && now-s.heard >= keepRetired {
			l.drop(s)
		} else {
			i++
		}
	}
	if o := l.offered; o != nil && now-o.born >= helloLife {
		l.forget(o)
		l.offered = nil
	}
	if a := l.asking; a != nil && now-a.sent >= helloLife {
		l.stopAsking()
	}
	silence := now - l.heard
	if l.stats.Up && (silence >= downAfter || now-l.ponged >= pongAfter || l.current == nil) {
		l.stats.Up, l.helloGap, l.helloAt = false, 0, now
		l.t.log.Warn("trunk down", zap.String("node", l.node), zap.Duration("silence", silence))
	}
	if s := l.current; s != nil {
		if now >= l.pingAt {
			l.ping(now)
		}
		for _, s := range l.sessions {
			l.ask(s, now)
		}
		l.announceAgain(now)
	}
	hello := l.helloDue(now)
	end := silence >= endAfter && len(l.in) > 0
	forget := !l.wanted && silence >= forgetAfter
	busy := l.busy()
	l.mu.Unlock()
	if hello {
		l.sayHello(now)
	}
	if end {
		l.endStreams()
	}
	if forget {
		l.t.remove(l.node)
	}
	return busy
}

// busy tells whether there is something to repeat. mu is held.
func (l *link) busy() bool {
	if l.unacked > 0 || len(l.withdrawn) > 0 {
		return true
	}
	for _, s := range l.sessions {
		if len(s.missing) > 0 {
			return true
		}
	}
	return false
}

// endStreams ends what comes from a node that is silent.
func (l *link) endStreams() {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.mu.Lock()
	var ended map[uint32]*StreamInfo
	if l.t.clock()-l.heard >= endAfter {
		ended = l.takeStreams()
	}
	l.mu.Unlock()
	l.tellEnded(ended)
}

// ping asks for a round trip and tells what was measured. mu is held.
func (l *link) ping(now time.Duration) {
	l.pingAt = now + pingFirst
	if l.pings++; l.pings > firstPings {
		l.pingAt = now + pingEvery
		l.stats.LossIn = l.measure.loss(l.sessions)
	}
	if b := l.room(1 + 8 + 2); b != nil {
		*b = appendPing(*b, int64(now), l.stats.LossIn, l.stats.Redundant)
	}
}

// ask asks for what is missing. mu is held.
func (l *link) ask(s *session, now time.Duration) {
	if len(s.missing) == 0 {
		return
	}
	if b := l.room(1 + 4 + 8 + 8); b != nil {
		before := len(*b)
		*b = s.ask(*b, now, l.stats.RTT)
		if len(*b) > before {
			l.stats.Nacks++
		}
	}
}

// room returns the datagram that is being filled, with n bytes left in it at least, or nil. mu is held.
func (l *link) room(n int) *[]byte {
	if l.tail-l.head < queueLen && len(l.queue[l.tail%queueLen])+n > maxPlain {
		l.tail++
	}
	if l.tail-l.head >= queueLen {
		l.stats.Dropped++
		return nil
	}
	b := &l.queue[l.tail%queueLen]
	if cap(*b) == 0 {
		*b = make([]byte, 0, maxPlain)
	}
	return b
}

// flush sends what there is, and tells whether some of it is to be sent once more. Writer only.
func (l *link) flush(now time.Duration) bool {
	l.mu.Lock()
	l.resends, l.resender = l.resender[:0], l.resends
	s, redundant := l.current, l.stats.Redundant
	l.mu.Unlock()
	for _, r := range l.resender {
		l.resend(r, now)
	}
	for l.flushOne(now) {
	}
	return l.duplicate(s, redundant, now)
}

// flushOne sends one datagram, if there is one.
func (l *link) flushOne(now time.Duration) bool {
	l.mu.Lock()
	at := l.head % queueLen
	if l.head == l.tail {
		if len(l.queue[at]) == 0 {
			l.mu.Unlock()
			return false
		}
		l.tail++ // nobody adds to it any more
	}
	s := l.current
	if s == nil || s.sent >= lastPackets {
		l.queue[at] = l.queue[at][:0]
		l.head++
		l.stats.Dropped++
		l.mu.Unlock()
		return true
	}
	to, plain := s.addr, l.queue[at]
	l.mu.Unlock()

	datagram := l.cache.seal(s, plain, now)
	err := l.t.socket.write(datagram, to)

	l.mu.Lock()
	l.queue[at] = plain[:0]
	l.head++
	l.sent(len(datagram), err)
	l.mu.Unlock()
	return true
}

// sent counts a datagram out. mu is held.
func (l *link) sent(size int, err error) {
	if err != nil {
		l.stats.WriteErrors++
		return
	}
	l.stats.DatagramsSent++
	l.stats.BytesSent += uint64(size)
}
