package neteq

import "time"

// frameKind says what a stored frame is.
type frameKind uint8

const (
	kindSpeech frameKind = iota
	kindNoise            // RFC 3389
)

// storedFrame is one encoded frame that waits to be played.
type storedFrame struct {
	timestamp  uint32 // 48 kHz
	sequence   uint16
	payload    uint8 // payload type
	kind       frameKind
	redLevel   uint8 // 0: came as itself; else distance of the RED copy
	isDTX      bool
	marker     bool
	samples    int // duration, 48 kHz; 0 unknown
	fecSamples int // duration of the in-band redundancy it carries about the time before it; 0 none
	arrival    time.Duration
	data       []byte // owned by the slot
}

// better tells whether f should replace g, a frame for the same time: the frame itself beats a RED copy, a near copy a far one.
func (f *storedFrame) better(g *storedFrame) bool { return f.redLevel < g.redLevel }

// insertResult is what became of a frame.
type insertResult uint8

const (
	insertStored    insertResult = iota
	insertDuplicate              // an equal or better frame for that time is stored
	insertReplaced               // it took the place of a worse one
)

// packetBuffer keeps frames sorted by timestamp in a fixed number of slots. A slot's bytes stay with it, so that a stream
// in steady state allocates nothing.
type packetBuffer struct {
	slots    []storedFrame
	free     []uint16 // stack of free slots
	order    []uint16 // slots in use, oldest first
	capacity int
	bytes    int
}

func newPacketBuffer(capacity int) *packetBuffer {
	return &packetBuffer{capacity: capacity}
}

func (b *packetBuffer) len() int { return len(b.order) }

// at returns the i-th oldest frame.
func (b *packetBuffer) at(i int) *storedFrame { return &b.slots[b.order[i]] }

// head returns the oldest frame, nil when there is none.
func (b *packetBuffer) head() *storedFrame {
	if len(b.order) == 0 {
		return nil
	}
	return &b.slots[b.order[0]]
}

// newest returns the youngest frame, nil when there is none.
func (b *packetBuffer) newest() *storedFrame {
	if len(b.order) == 0 {
		return nil
	}
	return &b.slots[b.order[len(b.order)-1]]
}

// find returns the index of the first frame not before ts, and whether it is exactly at ts.
func (b *packetBuffer) find(ts uint32) (int, bool) {
	i := len(b.order)
	for i > 0 && !newer32(ts, b.slots[b.order[i-1]].timestamp) {
		i--
		if b.slots[b.order[i]].timestamp == ts {
			return i, true
		}
	}
	return i, false
}

// full tells whether the next insert needs room to be made.
func (b *packetBuffer) full() bool { return len(b.order) >= b.capacity }

// insert stores a copy of f and its payload. The caller makes room first: it must not be full.
func (b *packetBuffer) insert(f *storedFrame, payload []byte) insertResult {
	i, same := b.find(f.timestamp)
	if same {
		old := &b.slots[b.order[i]]
		if !f.better(old) {
			return insertDuplicate
		}
		b.fill(old, f, payload)
		return insertReplaced
	}
	var slot uint16
	if k := len(b.free); k > 0 {
		slot = b.free[k-1]
		b.free = b.free[:k-1]
	} else {
		slot = uint16(len(b.slots))
		b.slots = append(b.slots, storedFrame{})
	}
	b.fill(&b.slots[slot], f, payload)
	b.order = append(b.order, 0)
	copy(b.order[i+1:], b.order[i:])
	b.order[i] = slot
	return insertStored
}

func (b *packetBuffer) fill(slot, f *storedFrame, payload []byte) {
	b.bytes += len(payload) - len(slot.data)
	data := append(slot.data[:0], payload...)
	*slot = *f
	slot.data = data
}

// release gives slot number s back.
func (b *packetBuffer) release(s uint16) {
	b.bytes -= len(b.slots[s].data)
	b.slots[s].data = b.slots[s].data[:0]
	b.free = append(b.free, s)
}

// take removes the oldest frame from the order and returns its slot number; the caller releases it.
func (b *packetBuffer) take() uint16 {
	s := b.order[0]
	copy(b.order, b.order[1:])
	b.order = b.order[:len(b.order)-1]
	return s
}

// drop discards the i-th oldest frame.
func (b *packetBuffer) drop(i int) {
	s := b.order[i]
	copy(b.order[i:], b.order[i+1:])
	b.order = b.order[:len(b.order)-1]
	b.release(s)
}

// span is the media time from the start of the oldest frame to the end of the newest, in samples; frames of unknown length
// count as unknown.
func (b *packetBuffer) span(unknown int) int {
	if len(b.order) == 0 {
		return 0
	}
	last := b.newest()
	d := last.samples
	if d == 0 {
		d = unknown
	}
	return int(int32(last.timestamp-b.head().timestamp)) + d
}
