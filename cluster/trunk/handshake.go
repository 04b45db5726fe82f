package trunk

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

// answerGap is how long after an answered hello the next one of the same node is answered.
const answerGap = 50 * time.Millisecond

type privateShare = *ecdh.PrivateKey

// indexes says which session, or which hello of ours, an index in a datagram stands for.
type indexes struct {
	mu sync.RWMutex
	of map[uint32]indexed
}

type indexed struct {
	session *session
	link    *link // with a hello under way
}

func (x *indexes) get(index uint32) indexed {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.of[index]
}

// add gives an index that nobody can guess.
func (x *indexes) add(e indexed) uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil {
		x.of = map[uint32]indexed{}
	}
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // it never fails (crypto/rand)
		index := binary.BigEndian.Uint32(b[:])
		if _, taken := x.of[index]; !taken {
			x.of[index] = e
			return index
		}
	}
}

// set makes the index of a hello that of the session that came of it.
func (x *indexes) set(index uint32, s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.of[index] = indexed{session: s}
}

func (x *indexes) remove(index uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.of, index)
}

// helloDue tells whether to say hello now. mu is held.
func (l *link) helloDue(now time.Duration) bool {
	if now < l.helloAt || !l.wanted && (l.current == nil || !l.stats.Up) {
		return false
	}
	return l.current == nil || !l.stats.Up || l.current.spent(now)
}

// sayHello asks for a session. Writer only.
func (l *link) sayHello(now time.Duration) {
	share, err := newShare()
	if err != nil {
		l.t.log.Error("no hello to a node", zap.String("node", l.node), zap.Error(err))
		return
	}
	t := l.t
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return
	}
	l.stopAsking()
	a := &asking{share: share, epoch: l.epoch, sent: now, local: t.indexes.add(indexed{link: l})}
	l.asking = a
	l.helloGap = min(helloMost, max(helloFirst, 2*l.helloGap))
	l.helloAt = now + l.helloGap
	to := l.addr
	if !to.IsValid() || l.stats.Up && l.current != nil {
		to = l.current.addr
	}
	t.hellos++
	h := hello{index: a.local, number: t.hellos, epoch: t.cfg.Epoch, share: share.PublicKey().Bytes(), to: l.epoch, name: t.cfg.Node, receiver: l.node}
	b := h.appendTo(l.scratch[:0])
	b = append(b, t.askKey.of(nil, b)...)
	copy(a.mac[:], b[len(b)-tagBytes:])
	l.scratch = b
	l.mu.Unlock()
	t.writeHello(b, to)
}

func (t *Trunks) writeHello(b []byte, to netip.AddrPort) {
	if err := t.socket.write(b, to); err != nil {
		t.refused.writeErrors.Add(1)
	}
}

// hello answers a hello that is genuine, for us, new and of a process that is welcome. Nothing is kept of any other. Reader
// only.
func (t *Trunks) hello(b []byte, from netip.AddrPort, now time.Duration) {
	h, ok := parseHello(b)
	if !ok {
		t.refused.malformed.Add(1)
		return
	}
	if !t.helloKey.genuine(nil, b) {
		t.refused.forged.Add(1)
		return
	}
	t.mu.Lock()
	p := t.known[h.name]
	switch {
	case h.receiver != t.cfg.Node || h.to != t.cfg.Epoch || h.name == t.cfg.Node, h.epoch < p.epoch, h.epoch == p.epoch && p.barred:
		t.mu.Unlock()
		t.refused.stale.Add(1)
		return
	case h.epoch == p.epoch && h.number <= p.hello:
		t.mu.Unlock()
		t.refused.replayed.Add(1)
		return
	}
	t.remember(h.name, peer{epoch: h.epoch, hello: h.number})
	l := t.linkTo(h.name, true)
	t.mu.Unlock()
	if l == nil || !l.mayAnswer(now) {
		t.refused.tooMany.Add(1)
		return
	}
	if err := l.answer(&h, b[len(b)-tagBytes:], from, now); err != nil {
		t.refused.malformed.Add(1)
	}
}

// mayAnswer holds the rate of answers down: each costs two multiplications on a curve, 0.1 ms.
func (l *link) mayAnswer(now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answered != 0 && now-l.answered < answerGap {
		return false
	}
	l.answered = now
	return true
}

// answer offers a session.
func (l *link) answer(h *hello, mac []byte, from netip.AddrPort, now time.Duration) error {
	t := l.t
	own, err := newShare()
	if err != nil {
		return err
	}
	share := own.PublicKey().Bytes()
	there, back, err := deriveKeys(t.cfg.Secret, own, h.share, party{h.name, h.epoch, h.share}, party{t.cfg.Node, t.cfg.Epoch, share})
	if err != nil {
		return err
	}
	s := &session{
		link: l, remote: h.index, epoch: h.epoch, born: now, seal: back, open: there, addr: from,
		missing: make([]missing, 0, maxMissing),
	}
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return nil
	}
	if l.offered != nil {
		l.forget(l.offered)
	}
	s.local = t.indexes.add(indexed{session: s})
	l.offered = s
	l.mu.Unlock()
	b := appendAnswer(make([]byte, 0, answerBytes), h.index, s.local, t.cfg.Epoch, share)
	b = append(b, t.helloKey.of(mac, b)...)
	t.writeHello(b, from)
	return nil
}

// answer takes up what our hello brought. Reader only.
func (t *Trunks) answer(b []byte, from netip.AddrPort, now time.Duration) {
	if len(b) != answerBytes {
		t.refused.malformed.Add(1)
		return
	}
	r := reader{b: b[1:]}
	local, remote, epoch, share := r.uint32(), r.uint32(), r.uint64(), r.bytes(shareBytes)
	l := t.indexes.get(local).link
	if l == nil {
		t.refused.noSession.Add(1)
		return
	}
	l.mu.Lock()
	a := l.asking
	if a == nil || a.local != local {
		l.mu.Unlock()
		t.refused.noSession.Add(1)
		return
	}
	l.mu.Unlock()
	if !t.helloKey.genuine(a.mac[:], b) || epoch != a.epoch {
		t.refused.forged.Add(1)
		return
	}
	there, back, err := deriveKeys(t.cfg.Secret, a.share, share,
		party{t.cfg.Node, t.cfg.Epoch, a.share.PublicKey().Bytes()}, party{l.node, epoch, bytes.Clone(share)})
	if err != nil {
		t.refused.malformed.Add(1)
		return
	}
	s := &session{
		link: l, local: local, remote: remote, epoch: epoch, asked: true, born: now, seal: there, open: back, addr: from,
		missing: make([]missing, 0, maxMissing),
	}
	l.calls.Lock()
	defer l.calls.Unlock()
	l.mu.Lock()
	if l.gone || l.asking != a || epoch < l.epoch {
		l.mu.Unlock()
		return
	}
	l.asking = nil
	t.indexes.set(local, s)
	ended := l.begin(s, now)
	l.mu.Unlock()
	l.tellEnded(ended)
	t.signal() // the ping that confirms
}

// begin adopts a session and returns the streams that ended by it. mu is held.
func (l *link) begin(s *session, now time.Duration) (ended map[uint32]*StreamInfo) {
	another := l.inEpoch != s.epoch
	l.adopt(s, now)
	if another {
		ended = l.takeStreams()
		l.inEpoch = s.epoch
		clear(l.ended[:])
	}
	return ended
}
