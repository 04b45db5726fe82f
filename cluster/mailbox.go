package cluster

import "sync"

// Limits of what may wait for the loop. More means that this node does not keep up: newer messages are dropped, and what
// they said is asked for again.
const (
	mailboxMessages = 16384
	mailboxBytes    = 16 << 20
)

type letter struct {
	subject string
	data    []byte
}

// mailbox holds received messages until the loop takes them. It never blocks the sender and never grows beyond its limits.
type mailbox struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	letters []letter
	bytes   int
	dropped uint64
	gap     bool // something was lost since the last take
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (b *mailbox) put(subject string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.letters) >= mailboxMessages || b.bytes+len(data) > mailboxBytes {
		b.dropped++
		b.gap = true
		return
	}
	b.letters = append(b.letters, letter{subject, data})
	b.bytes += len(data)
	b.signal()
}

// lost notes that the bus itself has lost messages.
func (b *mailbox) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gap = true
	b.signal()
}

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the box into buf.
func (b *mailbox) take(buf []letter) (_ []letter, gap bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	buf, b.letters = b.letters, buf[:0]
	gap, b.gap, b.bytes = b.gap, false, 0
	return buf, gap
}

func (b *mailbox) drops() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
