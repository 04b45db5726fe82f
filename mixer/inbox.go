package mixer

import (
	"sync/atomic"
	"time"

	"parley/neteq"
)

const (
	inboxPackets = 128       // 100 ms of the shortest Opus packets (2.5 ms) three times over
	inboxBytes   = 16 * 1024 // a burst of 100 voice packets
	// maxPayload is the longest payload taken: a datagram that fits an Ethernet frame, and room for tunnels that do not.
	maxPayload = 2048

	// A stream of 2.5 ms packets is 400 a second; what a stream may send on top of 500 a second is a burst.
	inboxPacketsPerSecond = 500
	inboxBurst            = 100
)

// inbox takes packets from one writer (the track's reader) to one reader (the room's worker): a ring of descriptors and
// a ring of bytes. Neither side ever waits, and nothing is allocated after it was made.
type inbox struct {
	tail atomic.Uint32 // descriptors written, by the writer
	_    [60]byte
	head atomic.Uint32 // descriptors read, by the reader
	read atomic.Uint32 // bytes freed, by the reader
	_    [56]byte

	slots [inboxPackets]inboxSlot
	bytes [inboxBytes]byte

	// writer's own
	written uint32        // bytes used, with what was skipped at the end of the ring
	tokens  time.Duration // time worth of packets that may still come
	last    time.Duration

	full    atomic.Uint64 // turned away: no room
	limited atomic.Uint64 // turned away: too many per second, or too long
}

type inboxSlot struct {
	packet  neteq.Packet
	arrival time.Duration
	start   uint32 // position of the payload in the byte ring, unwrapped
	end     uint32
}

const (
	inboxTokenCost = time.Second / inboxPacketsPerSecond
	inboxTokenMax  = inboxBurst * inboxTokenCost
)

func newInbox() *inbox { return &inbox{tokens: inboxTokenMax} }

// push copies p. It returns false, and counts, when there is no room or the stream sends too fast.
func (b *inbox) push(p *neteq.Packet, arrival time.Duration) bool {
	if elapsed := arrival - b.last; elapsed > 0 {
		b.tokens = min(inboxTokenMax, b.tokens+elapsed)
		b.last = arrival
	}
	n := uint32(len(p.Payload))
	if b.tokens < inboxTokenCost || n > maxPayload {
		b.limited.Add(1)
		return false
	}
	tail := b.tail.Load()
	start := b.written
	if at := start % inboxBytes; at+n > inboxBytes {
		start += inboxBytes - at
	}
	if tail-b.head.Load() == inboxPackets || start+n-b.read.Load() > inboxBytes {
		b.full.Add(1)
		return false
	}
	b.tokens -= inboxTokenCost
	s := &b.slots[tail%inboxPackets]
	at := start % inboxBytes
	copy(b.bytes[at:at+n], p.Payload)
	s.packet, s.arrival = *p, arrival
	s.packet.Payload = b.bytes[at : at+n : at+n]
	s.start, s.end = start, start+n
	b.written = start + n
	b.tail.Store(tail + 1)
	return true
}

// peek returns the oldest packet, or nil. It is valid until pop.
func (b *inbox) peek() (*neteq.Packet, time.Duration) {
	head := b.head.Load()
	if head == b.tail.Load() {
		return nil, 0
	}
	s := &b.slots[head%inboxPackets]
	return &s.packet, s.arrival
}

// pop frees what peek returned.
func (b *inbox) pop() {
	head := b.head.Load()
	b.read.Store(b.slots[head%inboxPackets].end)
	b.head.Store(head + 1)
}

func (b *inbox) empty() bool { return b.head.Load() == b.tail.Load() }
