package neteq

import "time"

const (
	// historyEntries bounds the arrival history: 2 s of 10 ms packets and a reserve.
	historyEntries = 256
	// defaultWindow is how far back the fastest packet is looked for (libwebrtc, decision_logic: 2000 ms).
	defaultWindow = 2 * time.Second
)

// samplesToTime converts samples at 48 kHz to time without overflow for any stream shorter than two years.
func samplesToTime(n int64) time.Duration { return time.Duration(n * 62500 / 3) }

// timeToSamples is the inverse of samplesToTime, rounded down.
func timeToSamples(d time.Duration) int64 { return int64(d) * 3 / 62500 }

// arrivalEntry is one packet in the history. offset is its arrival minus its media time: only differences mean something.
type arrivalEntry struct {
	ts      int64
	offset  time.Duration
	samples int32
	inOrder bool
}

// arrivalHistory tells how late a packet is against the fastest one of the last two seconds of media time. Measuring against
// a recent minimum makes it blind to the sender's clock drift.
type arrivalHistory struct {
	entries [historyEntries]arrivalEntry
	first   int // index of the oldest entry
	count   int
	window  int64 // samples
	newest  int64 // largest media time, valid when count > 0
	// newestSamples is the length of that packet.
	newestSamples int32
	unwrap        unwrapper
	// Indexes of in-order entries in queue order: offsets rise in minQueue and fall in maxQueue.
	minQueue, maxQueue indexQueue
}

// indexQueue is a double-ended queue of entry numbers.
type indexQueue struct {
	items [historyEntries]uint8
	first uint8
	count int
}

func (q *indexQueue) front() uint8 { return q.items[q.first] }
func (q *indexQueue) back() uint8  { return q.items[q.first+uint8(q.count-1)] }
func (q *indexQueue) popFront()    { q.first++; q.count-- }
func (q *indexQueue) popBack()     { q.count-- }
func (q *indexQueue) push(i uint8) { q.items[q.first+uint8(q.count)] = i; q.count++ }

func newArrivalHistory(window time.Duration) *arrivalHistory {
	return &arrivalHistory{window: timeToSamples(window)}
}

func (h *arrivalHistory) reset() {
	h.first, h.count = 0, 0
	h.unwrap = unwrapper{}
	h.minQueue.count, h.maxQueue.count = 0, 0
}

// insert records a packet of the given length. It returns false, and records nothing, for one older than the window and for
// one that a recorded packet covers completely.
func (h *arrivalHistory) insert(ts uint32, samples int, arrival time.Duration) bool {
	t := h.unwrap.peek(ts)
	if h.count > 0 {
		if t+h.window < h.newest {
			return false
		}
		if h.covered(t, samples) {
			return false
		}
	}
	// The unwrapper follows the newest packet, so that a late one cannot turn it.
	e := arrivalEntry{ts: t, offset: arrival - samplesToTime(t), samples: int32(samples)}
	if h.count == 0 || t > h.newest {
		e.inOrder = true
		h.unwrap.unwrap(ts)
		h.newest, h.newestSamples = t, e.samples
		h.prune()
	}
	if h.count == historyEntries {
		h.pop()
	}
	i := uint8(h.first + h.count)
	h.entries[i] = e
	h.count++
	if e.inOrder {
		q := &h.minQueue
		for q.count > 0 && h.entries[q.back()].offset >= e.offset {
			q.popBack()
		}
		q.push(i)
		q = &h.maxQueue
		for q.count > 0 && h.entries[q.back()].offset <= e.offset {
			q.popBack()
		}
		q.push(i)
	}
	return true
}

// covered tells whether a recorded packet contains [t, t+samples).
func (h *arrivalHistory) covered(t int64, samples int) bool {
	if t > h.newest {
		return t+int64(samples) <= h.newest+int64(h.newestSamples)
	}
	for k := h.count - 1; k >= 0; k-- {
		e := &h.entries[uint8(h.first+k)]
		if t == e.ts || (t > e.ts && t+int64(samples) <= e.ts+int64(e.samples)) {
			return true
		}
	}
	return false
}

// prune forgets what is older than the window.
func (h *arrivalHistory) prune() {
	for h.count > 0 && h.entries[uint8(h.first)].ts < h.newest-h.window {
		h.pop()
	}
}

func (h *arrivalHistory) pop() {
	i := uint8(h.first)
	if h.minQueue.count > 0 && h.minQueue.front() == i {
		h.minQueue.popFront()
	}
	if h.maxQueue.count > 0 && h.maxQueue.front() == i {
		h.maxQueue.popFront()
	}
	h.first = int(i + 1)
	h.first &= historyEntries - 1
	h.count--
}

// delay tells how long after its due time media time ts is at now, were it to travel as fast as the fastest packet in the
// window; 0 when it is not yet due or nothing is recorded.
func (h *arrivalHistory) delay(ts uint32, now time.Duration) time.Duration {
	return max(0, h.lateness(ts, now))
}

// lateness is delay without the floor: negative when ts is not yet due.
func (h *arrivalHistory) lateness(ts uint32, now time.Duration) time.Duration {
	if h.minQueue.count == 0 {
		return 0
	}
	return now - samplesToTime(h.unwrap.peek(ts)) - h.entries[h.minQueue.front()].offset
}

// maxDelay is the delay that the slowest in-order packet in the window had.
func (h *arrivalHistory) maxDelay() time.Duration {
	if h.maxQueue.count == 0 {
		return 0
	}
	return h.entries[h.maxQueue.front()].offset - h.entries[h.minQueue.front()].offset
}

// isNewest tells whether ts is the youngest media time recorded, or nothing is.
func (h *arrivalHistory) isNewest(ts uint32) bool {
	return h.count == 0 || h.unwrap.peek(ts) == h.newest
}

// contains tells whether a packet that starts at ts is recorded.
func (h *arrivalHistory) contains(ts uint32) bool {
	if h.count == 0 {
		return false
	}
	t := h.unwrap.peek(ts)
	for k := h.count - 1; k >= 0 && t <= h.newest; k-- {
		if h.entries[uint8(h.first+k)].ts == t {
			return true
		}
	}
	return false
}
