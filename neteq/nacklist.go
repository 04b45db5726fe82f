package neteq

import "time"

// Settings of the wish for packets that come later than the target delay.
const (
	nackElasticLoss  = 0.02
	nackElasticDelay = 200 * time.Millisecond // to which the target may be driven by packets sent again
)

// NACKs appends to dst the RTP sequence numbers that are worth asking the sender for at now (RFC 4585, section 6.2.1): those
// missing that can still be played when they come a round trip later. Call it once per tick, after Get; it remembers what
// was asked for, and when. rtt 0 is unknown. Nothing is appended without Config.Nack, or while the source is skipped. It
// allocates only when dst is too short; there are never more than Config.Nack.MaxEntries numbers.
//
// While more than 2 % are lost, packets are asked for that come too late for the target of now but would be in time for one
// of 200 ms: packets sent again count as reordered ones, and the target rises to take them in.
func (n *NetEq) NACKs(dst []uint16, now, rtt time.Duration) []uint16 {
	t := n.nack
	if t == nil || t.Missing() == 0 || n.skip.active || n.declared {
		return dst
	}
	h := n.buf.head()
	switch {
	case n.state == statePlaying:
		t.Played(n.endTS + uint32(n.gen) - uint32(max(0, n.left())) + uint32(timeToSamples(max(0, now-n.now))))
	case h != nil:
		t.Played(h.timestamp) // it may start at the next tick
	default:
		return dst
	}
	slack := time.Duration(0)
	if t.Loss() > nackElasticLoss && n.cfg.Policy != PolicyFixed {
		slack = max(0, n.cons.clamp(nackElasticDelay)-n.target())
	}
	return t.List(dst, now, rtt, slack)
}

func (n *NetEq) nackReceived(p *Packet, ts uint32, arrival time.Duration) {
	if n.nack != nil {
		n.nack.Received(p.SequenceNumber, ts, arrival)
	}
}
