package load

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// peer is one participant as its loop knows it. After it was added to the loop, the loop alone uses it.
type peer struct {
	id     int
	name   string
	room   *room
	socket socket
	loop   *loop
	path   path
	pipe   *pipe // nil when DTLS is done
	keys   keys
	ear    *ear // nil: headers only

	connected chan struct{} // closed when ICE is up
	gone      bool
	lost      bool // the server gave it up
	leaving   bool // it has said so: the server may close
	dropped   uint32

	in      stream
	red     bool          // packets may be RED
	checked time.Duration // when a packet was last authenticated

	// what it sends
	ssrc     uint32
	seq      uint16
	tsBase   uint32
	levels   bool   // the audio level extension was agreed on
	idle     *track // while it does not speak; nil: nothing
	track    *track
	pos      int
	voice    int  // -1: none
	hushLeft int  // frames of the end of a talk
	paused   bool // the next packet begins a talk spurt
	slot     int  // in the loop's frame of slots; -1: in none
}

func newPeer(id int, name string, r *room, s socket) *peer {
	return &peer{id: id, name: name, room: r, socket: s, connected: make(chan struct{}), voice: -1, slot: -1, paused: true,
		ssrc: rand.Uint32(), seq: uint16(rand.Uint32()), tsBase: rand.Uint32()}
}

// speak starts a talk with voice v on track t.
func (p *peer) speak(v int, t *track) {
	p.voice, p.track, p.pos, p.hushLeft = v, t, 0, 0
	p.loop.schedule(p)
}

// hush ends it: a little silence, then what idle participants send.
func (p *peer) hush(silence *track) {
	p.voice, p.track, p.pos, p.hushLeft = -1, silence, 0, len(silence.frames)
}

// rest gives it what it sends when it does not speak.
func (p *peer) rest(idle *track) {
	p.idle, p.track, p.pos = idle, idle, 0
	if idle != nil {
		p.pos = int(rand.Uint32() % uint32(len(idle.frames)))
		p.loop.schedule(p)
	}
}

// sendFrame sends the next frame of its track. n numbers frames since the loop's start.
func (l *loop) sendFrame(p *peer, n int64) {
	t := p.track
	if t == nil || p.keys.out == nil {
		return
	}
	k := p.pos
	p.pos = (p.pos + 1) % len(t.frames)
	if p.hushLeft > 0 {
		if p.hushLeft--; p.hushLeft == 0 {
			p.track, p.pos = p.idle, 0
			if p.idle == nil {
				l.unschedule(p)
			}
		}
	}
	payload := t.frames[k]
	if payload == nil {
		p.paused = true
		return
	}
	b := l.plain[:12]
	b[0], b[1] = 0x80, payloadType
	if p.paused {
		b[1] |= 0x80
		p.paused = false
	}
	binary.BigEndian.PutUint16(b[2:], p.seq)
	binary.BigEndian.PutUint32(b[4:], p.tsBase+uint32(n)*uint32(t.samples))
	binary.BigEndian.PutUint32(b[8:], p.ssrc)
	p.seq++
	if p.levels { // one-byte header, one element (RFC 8285, section 4.2)
		b[0] |= 0x10
		level := t.levels[k]
		if p.voice >= 0 {
			level |= 0x80
		}
		b = append(b, 0xbe, 0xde, 0, 1, levelID<<4, level, 0, 0)
	}
	b = append(b, payload...)
	sealed, err := p.keys.out.EncryptRTP(l.sealed[:0], b, &l.header)
	if err != nil {
		l.counts.OtherErrors++
		return
	}
	if p.voice >= 0 && len(t.chirps) > 0 {
		now := l.clock()
		t.frameChirps(k, func(offset time.Duration) { p.room.sentChirp(now+offset, now) })
	}
	if l.loss > 0 && l.random.Float64() < l.loss {
		l.counts.DroppedOut++
		return
	}
	l.counts.Sent++
	l.counts.SentBytes += uint64(len(sealed))
	l.write(p, sealed)
}

// media takes an RTP or RTCP packet.
func (l *loop) media(p *peer, b []byte, at time.Duration) {
	if l.loss > 0 && l.random.Float64() < l.loss {
		l.counts.DroppedIn++
		return
	}
	if isRTCP(b) {
		l.rtcp(p, b, at)
		return
	}
	h, ok := parseRTP(b)
	if !ok || p.keys.in == nil {
		l.counts.OtherErrors++
		return
	}
	s := p.in.packet(h, len(b), at, p.red, &l.counts.streamCounts)
	if p.ear == nil && at-p.checked < time.Second {
		return
	}
	p.checked = at
	plain, err := p.keys.in.DecryptRTP(l.plain[:0], b, &l.header)
	if err != nil {
		l.counts.AuthErrors++
		return
	}
	l.counts.Decrypted++
	if p.ear == nil || !s.usable {
		return
	}
	payload := plain[headerSize(plain):]
	if l.header.Padding && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	if h.payloadType == redPayloadType {
		payload = redPrimary(payload)
	}
	p.ear.packet(s, payload, at, &l.counts.earCounts)
}

// headerSize is the length of an RTP header with its extensions; the packet was parsed before.
func headerSize(b []byte) int {
	n := 12 + 4*int(b[0]&15)
	if b[0]&0x10 != 0 && len(b) >= n+4 {
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	return min(n, len(b))
}

// redPrimary is the block of a RED payload that is not redundant (RFC 2198, section 3).
func redPrimary(b []byte) []byte {
	skip := 0
	for len(b) > 0 && b[0]&0x80 != 0 {
		if len(b) < 4 {
			return nil
		}
		skip += int(b[2]&3)<<8 | int(b[3])
		b = b[4:]
	}
	if len(b) < 1+skip {
		return nil
	}
	return b[1+skip:]
}

func (l *loop) rtcp(p *peer, b []byte, at time.Duration) {
	if p.keys.in == nil {
		return
	}
	plain, err := p.keys.in.DecryptRTCP(l.plain[:0], b, nil)
	if err != nil {
		l.counts.AuthErrors++
		return
	}
	l.counts.Reports++
	p.in.senderReport(plain, at)
}

// report sends a receiver report.
func (l *loop) report(p *peer, now time.Duration) {
	if !p.in.started || p.keys.out == nil {
		return
	}
	sealed, err := p.keys.out.EncryptRTCP(l.sealed[:0], p.in.appendReport(l.plain[:0], p.ssrc, now), nil)
	if err != nil {
		l.counts.OtherErrors++
		return
	}
	l.write(p, sealed)
}
