package sfu

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

const (
	batchPackets = 64       // in one system call: the rest of it costs so much more than the call that more gain nothing
	batchBytes   = 24 << 10 // in one batch: 64 packets of 350 bytes, Opus at 128 kb/s in 20 ms
)

// batch collects the datagrams that one worker of the mixer sends through one socket, until the end of its tick or until the
// batch is full. Only its worker uses it, but for a packet that is sent again meanwhile: so the lock is free in steady state.
type batch struct {
	conn *mediaConn

	mu    sync.Mutex
	n     int // packets
	size  int // bytes
	ends  [batchPackets]int
	to    [batchPackets]netip.AddrPort
	arena [batchBytes]byte
	vector
}

// add copies a datagram into the batch, and sends what is there when it is full.
func (b *batch) add(packet []byte, to netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == batchPackets || b.size+len(packet) > batchBytes {
		b.send()
	}
	if len(packet) > batchBytes || to.Addr().Unmap().Is4() != b.conn.is4 {
		b.conn.counters.writeErrors.Add(1)
		return
	}
	b.size += copy(b.arena[b.size:], packet)
	b.ends[b.n], b.to[b.n] = b.size, to
	b.n++
}

// flush sends what is there.
func (b *batch) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n > 0 {
		b.send()
	}
}

// send sends all packets in their order, and counts. What the system refuses is lost, as in any network; the others are not.
func (b *batch) send() {
	sent, bytes, calls := b.conn.sendBatch(b)
	c := b.conn.counters
	c.packetsOut.Add(uint64(sent))
	c.bytesOut.Add(uint64(bytes))
	c.writeErrors.Add(uint64(b.n - sent))
	c.batches.Add(uint64(calls))
	b.n, b.size = 0, 0
}

// packet returns the i-th.
func (b *batch) packet(i int) []byte {
	begin := 0
	if i > 0 {
		begin = b.ends[i-1]
	}
	return b.arena[begin:b.ends[i]:b.ends[i]]
}

// outbox holds the batches of one worker, one per socket.
type outbox struct {
	batches []atomic.Pointer[batch] // by mediaConn.index; made when first needed, which a resent packet may do too
	dirty   atomic.Bool
}

func newOutbox(sockets int) *outbox {
	return &outbox{batches: make([]atomic.Pointer[batch], sockets)}
}

// add collects a datagram for a socket.
func (o *outbox) add(c *mediaConn, packet []byte, to netip.AddrPort) {
	b := o.batches[c.index].Load()
	if b == nil {
		b = &batch{conn: c}
		b.prepare()
		if !o.batches[c.index].CompareAndSwap(nil, b) {
			b = o.batches[c.index].Load()
		}
	}
	b.add(packet, to)
	if !o.dirty.Load() {
		o.dirty.Store(true)
	}
}

// flush sends everything that was collected.
func (o *outbox) flush() {
	if !o.dirty.Swap(false) {
		return
	}
	for i := range o.batches {
		if b := o.batches[i].Load(); b != nil {
			b.flush()
		}
	}
}

// lane says where the RTP packets that a peer sends are collected: the outbox of the worker that is just writing to it, or
// nowhere. Then, and always for what is not RTP, they are sent at once.
type lane struct{ outbox atomic.Pointer[outbox] }

// flush sends what a worker of the mixer has handed out since its last call.
func (n *Node) flush(worker int) { n.outboxes[worker].flush() }
