package neteq

import "time"

// Settings of the wish for packets that come later than the target delay.
const (
	nackFloorLoss    = 0.01
	nackElasticLoss  = 0.02
	nackElasticDelay = 200 * time.Millisecond // to which packets sent again may drive the target
	nackFloorMargin  = 20 * time.Millisecond
)

// NACKs appends to dst the RTP sequence numbers that are worth asking the sender for at now (RFC 4585, section 6.2.1): those
// missing that can still be played when they come a round trip later. Call it once per tick, after Get; it remembers what
// was asked for, and when. rtt 0 is unknown. Nothing is appended without Config.Nack, or while the source is skipped. It
// allocates only when dst is too short; there are never more than Config.Nack.MaxEntries numbers.
//
// While more than 1 % are lost, the target is held where a packet sent again is in time, if that is at most 200 ms; above
// 2 % packets are asked for before it has got there. A known rtt is needed for both.
func (n *NetEq) NACKs(dst []uint16, now, rtt time.Duration) []uint16 {
	t := n.nack
	if t == nil || n.skip.active || n.declared {
		return dst
	}
	elastic := n.nackTarget(rtt)
	if t.Missing() == 0 {
		return dst
	}
	var position uint32
	switch h := n.buf.head(); {
	case n.state == statePlaying:
		position = n.endTS + uint32(n.gen) - uint32(max(0, n.left())) + uint32(timeToSamples(max(0, now-n.now)))
	case h != nil:
		position = h.timestamp // it may start at the next tick
	default:
		return dst
	}
	t.Played(position - uint32(timeToSamples(elastic)))
	before := len(dst)
	dst = t.List(dst, now, rtt, 0)
	n.st.s.PacketsRequested += uint64(len(dst) - before)
	return dst
}

// nackTarget holds the target up while there is loss, and returns by how much it may still rise.
func (n *NetEq) nackTarget(rtt time.Duration) (elastic time.Duration) {
	n.nackFloor = 0
	loss := n.nack.Loss()
	if rtt <= 0 || n.cfg.Policy == PolicyFixed || !n.nack.cfg.PlayoutAware {
		return 0
	}
	// The loss shows one packet later, at a tick.
	floor := rtt + samplesToTime(int64(n.lastFrame)) + tickDuration + nackFloorMargin
	if loss > nackFloorLoss && floor <= nackElasticDelay {
		n.nackFloor = floor
	}
	if loss > nackElasticLoss {
		elastic = max(0, n.cons.clamp(nackElasticDelay)-n.target())
	}
	return elastic
}

func (n *NetEq) nackReceived(p *Packet, ts uint32, arrival time.Duration) {
	if n.nack != nil {
		n.nack.Received(p.SequenceNumber, ts, arrival)
	}
}
