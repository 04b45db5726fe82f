package sfu

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

const (
	resendQueue = 4  // ticks whose requests may wait to be written
	resendMost  = 32 // packets asked for at once
)

// resend is one request for packets of a stream.
type resend struct {
	ssrc uint32
	n    int
	list [resendMost]uint16
}

// askedFor remembers which packets were asked for again, so that what comes of it can be told from what is merely late. The
// room's worker notes, the track's reader looks up.
type askedFor struct {
	rtt   atomic.Int64       // nanoseconds, 0 unknown
	slots [128]atomic.Uint64 // by sequence number: when (ms, from 1) << 16 | sequence number
}

// note remembers a request.
func (a *askedFor) note(seq uint16, now time.Duration) {
	a.slots[seq%uint16(len(a.slots))].Store(uint64(now.Milliseconds()+1)<<16 | uint64(seq))
}

// brought tells if a packet that fills a gap is the answer to a request, once per request. No answer comes before a round
// trip is over; half of it is for a measure that is out of date.
func (a *askedFor) brought(seq uint16, arrival time.Duration) bool {
	slot := &a.slots[seq%uint16(len(a.slots))]
	v := slot.Load()
	if v == 0 || uint16(v) != seq {
		return false
	}
	at := time.Duration(v>>16-1) * time.Millisecond
	return arrival-at >= time.Duration(a.rtt.Load())/2 && slot.CompareAndSwap(v, 0)
}

// RequestPackets passes on what the mixer misses of the track that is heard (RFC 4585, section 6.2.1). It is called on the
// room's worker and does not wait: what finds no room is not asked for.
func (u *uplink) RequestPackets(sequences []uint16) {
	t := u.asking.Load()
	if t == nil || t.p.resends == nil {
		return
	}
	r := resend{ssrc: uint32(t.remote.SSRC())}
	r.n = copy(r.list[:], sequences)
	now := t.p.node.cfg.Mixer.Now()
	select {
	case t.p.resends <- r:
		for _, seq := range r.list[:r.n] {
			u.asked.note(seq, now)
		}
	default:
	}
}

// askAgain writes the requests until the peer is closed. newPeer starts it where it was agreed; close waits for it.
func (p *peer) askAgain() {
	for {
		select {
		case <-p.gone:
			return
		case r := <-p.resends:
			err := p.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
				SenderSSRC: p.rtcp.ssrc, MediaSSRC: r.ssrc,
				Nacks: rtcp.NackPairsFromSequenceNumbers(r.list[:r.n]),
			}})
			if err == nil {
				p.node.counters.requested.Add(uint64(r.n))
			}
		}
	}
}
