package signaling

import "sync"

// importance says what may be done to a message that cannot be sent at once.
type importance uint8

const (
	// keepIt: it changes what the client must do; it waits for a new socket.
	keepIt importance = iota
	// roster: it changes who is in the room; the roster that comes with a new socket takes its place.
	roster
	// ofSocket: it is about this socket, and nothing to any other.
	ofSocket
	// latest: a newer one takes its place; there is at most one of each type in a queue.
	latest
)

// outgoing is an encoded message on its way.
type outgoing struct {
	kind       string // type of the message
	importance importance
	data       []byte
}

// outbox is what waits to be written to one socket: at most maxQueueMessages and maxQueueBytes. Writers never block.
type outbox struct {
	mu     sync.Mutex
	queue  []outgoing
	bytes  int
	flight *outgoing     // being written
	wake   chan struct{} // capacity 1: something is in the queue, or finished
	full   bool          // overflowed; nothing goes in any more
	ending bool          // nothing goes in any more; code and reason are sent when the queue is empty
	code   int
	reason string
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// push adds a message and reports whether it was taken. overflow is true once: when this message found no room.
func (o *outbox) push(m outgoing) (taken, overflow bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full || o.ending {
		return false, false
	}
	if m.importance == latest {
		for i := range o.queue {
			if o.queue[i].kind == m.kind {
				o.bytes += len(m.data) - len(o.queue[i].data)
				o.queue[i] = m
				return true, false
			}
		}
	}
	if len(o.queue) == maxQueueMessages || o.bytes+len(m.data) > maxQueueBytes {
		o.full = true
		return false, true
	}
	o.queue = append(o.queue, m)
	o.bytes += len(m.data)
	o.notify()
	return true, false
}

// finish lets the queue run empty and then ends the socket with a close code. Only the first call counts.
func (o *outbox) finish(code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return
	}
	o.ending, o.code, o.reason = true, code, reason
	o.notify()
}

func (o *outbox) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// next takes the oldest message; sent says that it has been written. With none left, done says whether finish was called.
func (o *outbox) next() (m outgoing, ok, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return outgoing{}, false, o.ending
	}
	m = o.queue[0]
	o.queue[0] = outgoing{}
	o.queue = o.queue[1:]
	o.bytes -= len(m.data)
	if len(o.queue) == 0 {
		o.queue = nil // let a burst's memory go
	}
	o.flight = &m
	return m, true, false
}

func (o *outbox) sent() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flight = nil
}

// unsent empties the outbox of a socket that is gone and returns what a new socket still needs. What was being written
// counts as not sent: a message twice is better than none.
func (o *outbox) unsent() []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	var kept []outgoing
	if o.flight != nil && o.flight.importance == keepIt {
		kept = append(kept, *o.flight)
	}
	for _, m := range o.queue {
		if m.importance == keepIt {
			kept = append(kept, m)
		}
	}
	o.queue, o.bytes, o.flight, o.full = nil, 0, nil, true
	return kept
}
