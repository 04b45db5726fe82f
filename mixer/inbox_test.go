package mixer

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"parley/neteq"
)

func TestInboxKeepsOrderAndCopies(t *testing.T) {
	b := newInbox()
	rng := rand.New(rand.NewPCG(1, 1))
	payload := make([]byte, maxPayload)
	var want [][]byte
	seq, read := uint16(0), uint16(0)
	now := time.Duration(0)
	for range 20000 {
		now += 2 * time.Millisecond
		if rng.IntN(2) == 0 {
			n := rng.IntN(400)
			if rng.IntN(20) == 0 {
				n = rng.IntN(maxPayload + 1)
			}
			for i := range n {
				payload[i] = byte(rng.Uint32())
			}
			if b.push(&neteq.Packet{SequenceNumber: seq, Timestamp: uint32(seq) * 960, PayloadType: 111, Payload: payload[:n]}, now) {
				want = append(want, bytes.Clone(payload[:n]))
				seq++
			}
			clear(payload) // the inbox must have copied
		} else if p, arrival := b.peek(); p != nil {
			if p.SequenceNumber != read || p.Timestamp != uint32(read)*960 || p.PayloadType != 111 || !bytes.Equal(p.Payload, want[read]) || arrival > now {
				t.Fatalf("packet %d came out as %d, %d bytes", read, p.SequenceNumber, len(p.Payload))
			}
			b.pop()
			read++
		}
	}
	if read < 5000 {
		t.Errorf("only %d packets went through", read)
	}
}

func TestInboxFull(t *testing.T) {
	b := newInbox()
	n := 0
	for b.push(&neteq.Packet{Payload: make([]byte, 1000)}, time.Hour+time.Duration(n)*time.Second) {
		n++
	}
	if n != inboxBytes/1000 || b.full.Load() != 1 {
		t.Errorf("%d packets of 1,000 bytes fit, %d turned away", n, b.full.Load())
	}
	b.pop()
	if !b.push(&neteq.Packet{Payload: make([]byte, 10)}, 2*time.Hour) {
		t.Error("no room after a pop")
	}
	b = newInbox()
	n = 0
	for b.push(&neteq.Packet{}, time.Duration(n)*time.Second) {
		n++
	}
	if n != inboxPackets || b.full.Load() != 1 {
		t.Errorf("%d empty packets fit", n)
	}
}

func TestInboxLimitsTheRate(t *testing.T) {
	b := newInbox()
	taken := 0
	for i := range 50000 { // 50,000 packets in a second
		if b.push(&neteq.Packet{Payload: []byte{1}}, time.Duration(i)*20*time.Microsecond) {
			taken++
			b.pop()
		}
	}
	if taken < inboxPacketsPerSecond || taken > inboxPacketsPerSecond+inboxBurst+1 {
		t.Errorf("%d packets taken in a second, want about %d", taken, inboxPacketsPerSecond+inboxBurst)
	}
	if b.limited.Load() != uint64(50000-taken) || b.full.Load() != 0 {
		t.Errorf("%d counted", b.limited.Load())
	}
	// The shortest Opus packets, 400 a second, and a freeze of two seconds at 50 a second, pass.
	b = newInbox()
	for i := range 4000 {
		if !b.push(&neteq.Packet{Payload: []byte{1}}, time.Duration(i)*2500*time.Microsecond) {
			t.Fatalf("packet %d of 2.5 ms refused", i)
		}
		b.pop()
	}
	for i := range 100 {
		if !b.push(&neteq.Packet{Payload: []byte{1}}, time.Minute) {
			t.Fatalf("packet %d of a burst refused", i)
		}
		b.pop()
	}
	if b.push(&neteq.Packet{Payload: make([]byte, maxPayload+1)}, time.Hour) {
		t.Error("an over-long packet was taken")
	}
}

// One writer, one reader, no lock: under the race detector.
func TestInboxConcurrent(t *testing.T) {
	b := newInbox()
	const packets = 20000
	var wg sync.WaitGroup
	wg.Go(func() {
		payload := make([]byte, 300)
		for i := 0; i < packets; {
			n := 1 + i%300
			for k := range n {
				payload[k] = byte(i)
			}
			if b.push(&neteq.Packet{SequenceNumber: uint16(i), Payload: payload[:n]}, time.Duration(i)*time.Second) {
				i++
			}
		}
	})
	for i := 0; i < packets; {
		p, _ := b.peek()
		if p == nil {
			continue
		}
		if p.SequenceNumber != uint16(i) || len(p.Payload) != 1+i%300 {
			t.Errorf("packet %d came out as %d with %d bytes", i, p.SequenceNumber, len(p.Payload))
			break
		}
		for _, v := range p.Payload {
			if v != byte(i) {
				t.Fatalf("packet %d is torn", i)
			}
		}
		b.pop()
		i++
	}
	wg.Wait()
	if !b.empty() {
		t.Error("not empty")
	}
}

func TestInboxPushDoesNotAllocate(t *testing.T) {
	b, p, now := newInbox(), &neteq.Packet{Payload: make([]byte, 120)}, time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += 20 * time.Millisecond
		if !b.push(p, now) {
			t.Fatal("full")
		}
		b.pop()
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkInbox(b *testing.B) {
	x, p, now := newInbox(), &neteq.Packet{Payload: make([]byte, 120)}, time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 20 * time.Millisecond
		x.push(p, now)
		x.peek()
		x.pop()
	}
}
