package trunk

import "time"

const (
	// cacheSlots is how many datagrams are kept to be sent again: 200 ms of 2,560 a second, which is 3 MB/s of full ones.
	cacheSlots = 512
	// cacheLife is how long a datagram is worth being sent again.
	cacheLife = 250 * time.Millisecond
	// Of what was sent, a quarter may be sent again on request, and resendBurst at once.
	resendShare = 0.25
	resendBurst = 64
	// maxResends is how many requests wait for the writer.
	maxResends = 256

	// Everything is sent a second time, doubleAfter later, when the peer loses more than doubleLoss; doubleLossFar, when asking
	// takes longer than doubleRTT. It ends at half of that.
	doubleAfter   = 20 * time.Millisecond
	doubleRTT     = 60 * time.Millisecond
	doubleLoss    = 0.05
	doubleLossFar = 0.01
)

// resend is a datagram that the peer asks for.
type resend struct {
	session *session
	counter uint64
}

// cache keeps the datagrams sent last, as they were sent: sent again they are the same, and the receiver's window takes one.
type cache struct {
	slots   [cacheSlots]cached
	tokens  float64
	doubled uint64   // counter of the last that was sent twice, or will not be
	of      *session // whose counter that is
}

type cached struct {
	session *session
	counter uint64
	at      time.Duration
	b       []byte
}

// seal encrypts a datagram into the cache. It is valid for as long as the writer does not seal cacheSlots more.
func (c *cache) seal(s *session, plain []byte, now time.Duration) []byte {
	slot := &c.slots[(s.sent+1)%cacheSlots]
	slot.b = s.encrypt(slot.b, plain)
	slot.session, slot.counter, slot.at = s, s.sent, now
	c.tokens = min(resendBurst, c.tokens+resendShare)
	return slot.b
}

// find returns a datagram that is still worth being sent, or nil.
func (c *cache) find(s *session, counter uint64, now time.Duration) *cached {
	slot := &c.slots[counter%cacheSlots]
	if slot.session != s || slot.counter != counter || now-slot.at > cacheLife {
		return nil
	}
	return slot
}

// resend sends what was asked for. Writer only.
func (l *link) resend(r resend, now time.Duration) {
	slot := l.cache.find(r.session, r.counter, now)
	if slot == nil || l.cache.tokens < 1 {
		l.mu.Lock()
		l.stats.NotResent++
		l.mu.Unlock()
		return
	}
	l.cache.tokens--
	if l.again(slot) {
		l.mu.Lock()
		l.stats.Resent++
		l.mu.Unlock()
	}
}

// again sends a datagram once more.
func (l *link) again(slot *cached) bool {
	l.mu.Lock()
	to, closed := slot.session.addr, slot.session.closed
	l.mu.Unlock()
	if closed {
		return false
	}
	err := l.t.socket.write(slot.b, to)
	l.mu.Lock()
	l.sent(len(slot.b), err)
	l.mu.Unlock()
	return err == nil
}

// duplicate sends for the second time what is to be sent twice and has waited for that, and tells whether more is waiting.
// Writer only.
func (l *link) duplicate(s *session, redundant bool, now time.Duration) bool {
	c := &l.cache
	if s == nil || !redundant || c.of != s {
		if c.of = s; s != nil {
			c.doubled = s.sent
		}
		return false
	}
	for c.doubled = max(c.doubled, s.sent-min(s.sent, cacheSlots)); c.doubled < s.sent; c.doubled++ {
		slot := c.find(s, c.doubled+1, now)
		if slot == nil {
			continue
		}
		if now-slot.at < doubleAfter {
			return true
		}
		if l.again(slot) {
			l.mu.Lock()
			l.stats.Doubled++
			l.mu.Unlock()
		}
	}
	return false
}

// wantDouble follows what the peer says it loses. mu is held.
func (l *link) wantDouble() {
	if l.t.cfg.once {
		return
	}
	most := doubleLoss
	if l.stats.RTT > doubleRTT {
		most = doubleLossFar
	}
	if l.stats.LossOut > most {
		l.stats.Redundant = true
	} else if l.stats.LossOut < most/2 {
		l.stats.Redundant = false
	}
}
