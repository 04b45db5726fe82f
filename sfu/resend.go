package sfu

import (
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

// RequestPackets passes on what the mixer misses of the track that is heard (RFC 4585, section 6.2.1). It is called on the
// room's worker and does not wait: what finds no room is not asked for.
func (u *uplink) RequestPackets(sequences []uint16) {
	t := u.asking.Load()
	if t == nil || t.p.resends == nil {
		return
	}
	r := resend{ssrc: uint32(t.remote.SSRC())}
	r.n = copy(r.list[:], sequences)
	select {
	case t.p.resends <- r:
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
