package media

import (
	"time"

	"parley/neteq"
)

const (
	// backlogTime is how long the packets of somebody who is not chosen are kept.
	backlogTime = 200 * time.Millisecond
	// backlogPackets are 200 ms of 10 ms packets.
	backlogPackets = 20
	// primers is how many packets before the first sound are sent: what a decoder takes to be in step (RFC 6716, section 4.5.2:
	// 20 to 80 ms).
	primers = 3
)

// backlog keeps the last packets of a talker. After each slot has been used it allocates no more.
type backlog struct {
	slots [backlogPackets]kept
	next  int
	count int
}

type kept struct {
	packet  neteq.Packet
	payload []byte
	arrival time.Duration
	loud    bool
}

func (b *backlog) add(p *neteq.Packet, arrival time.Duration, loud bool) {
	k := &b.slots[b.next]
	b.next = (b.next + 1) % backlogPackets
	b.count = min(backlogPackets, b.count+1)
	k.payload = append(k.payload[:0], p.Payload...)
	k.packet, k.arrival, k.loud = *p, arrival, loud
	k.packet.Payload = k.payload
}

func (b *backlog) at(i int) *kept {
	return &b.slots[(b.next-b.count+i+2*backlogPackets)%backlogPackets]
}

func (b *backlog) clear() { b.count = 0 }

// from returns the first packet that is worth sending at now: some before the first sound, if that is in the backlog, or some
// before the newest, if there is nothing but sound, since then the beginning has been missed long ago.
func (b *backlog) from(now time.Duration) int {
	oldest := 0
	for oldest < b.count && now-b.at(oldest).arrival > backlogTime {
		oldest++
	}
	onset := b.count - 1
	for i := oldest; i < b.count; i++ {
		if b.at(i).loud {
			if i > oldest {
				onset = i
			}
			break
		}
	}
	return max(oldest, onset-primers)
}
