package neteq

import (
	"fmt"
	"time"
)

// jumpSamples is how far from where it should be a timestamp has to lie to count as another timeline.
const jumpSamples = 5 * sampleRate

// backSamples is how far behind the newest packet the next one in sequence may lie: the sender's clock was set back.
const backSamples = 200 * millisecond

// tolerance is how wrong the timestamp of the next packet in sequence may be to be taken as contiguous: 2.5 ms.
const tolerance = 120

// stranger is a packet whose timestamp fits nothing: one is forgotten, two that fit each other are a new timeline.
type stranger struct {
	seen bool
	ts   uint32
	seq  uint16
}

// stallWatch follows the packets after a gap during which the sender's clock stood still, or the network did.
type stallWatch struct {
	active bool
	since  time.Duration
	gap    time.Duration
	start  time.Duration // offset of the first packet after the gap
	least  time.Duration // smallest offset since
}

// Settings of the stall watch.
const (
	stallGap    = 200 * time.Millisecond
	stallSettle = 300 * time.Millisecond
)

// Insert takes one packet that arrived at arrival, on the same clock as the times given to Get. The payload is copied.
// The error says that the packet could not be used; nothing needs to be done about it. One without payload (padding only) is
// an error too, unless Config.Nack is set: then it tells that its number is not missing.
func (n *NetEq) Insert(p *Packet, arrival time.Duration) error {
	n.st.s.PacketsReceived++
	if len(p.Payload) == 0 {
		if n.nack == nil {
			return ErrEmptyPayload
		}
		n.nack.Padding(p.SequenceNumber) // that it came is all there is to know
		return nil
	}
	if len(p.Payload) > maxPayload {
		n.st.s.InvalidPackets++
		return ErrPayloadTooLarge
	}
	c := n.reg.get(p.PayloadType)
	if c == nil {
		n.st.s.InvalidPackets++
		return fmt.Errorf("%w: %d", ErrUnknownPayloadType, p.PayloadType)
	}
	if !n.haveSSRC || p.SSRC != n.ssrc {
		if n.haveSSRC { // the same track under another name: another timeline, the same network
			n.st.s.StreamResets++
			n.Flush()
		}
		n.ssrc, n.haveSSRC = p.SSRC, true
	}
	n.lastArrival = arrival
	if c.kind == codecRED {
		return n.insertRED(p, arrival)
	}
	return n.insertSingle(p, c, arrival)
}

// insertSingle takes a packet with one payload.
func (n *NetEq) insertSingle(p *Packet, c *codec, arrival time.Duration) error {
	scale := c.scale
	if c.kind == codecNoise || c.kind == codecEvent {
		scale = n.scaler.ratio(scale)
	}
	ts := n.scaler.toInternal(p.Timestamp, scale, arrival)
	n.nackReceived(p, ts, arrival)
	switch c.kind {
	case codecEvent:
		e, err := parseEvent(ts, p.Payload, int(scale))
		if err != nil {
			n.st.s.InvalidPackets++
			return err
		}
		if !n.events.known(e) && !n.eventPace.allow(arrival) {
			n.st.s.InvalidPackets++
			return fmt.Errorf("%w: telephone events, more than %d a second", ErrTooMany, eventsPerSecond)
		}
		if n.events.insert(e) {
			n.st.s.ToneEvents++
		}
		n.followSequence(p, ts)
		return nil
	case codecNoise:
		f := storedFrame{timestamp: ts, sequence: p.SequenceNumber, payload: c.payloadType, kind: kindNoise, isDTX: true,
			marker: p.Marker, arrival: arrival}
		if n.admit(&f) {
			n.store(&f, p.Payload)
			n.followSequence(p, ts)
		}
		return nil
	}
	f, err := n.frame(p, c, ts, p.Payload, arrival)
	if err != nil {
		return err
	}
	n.take(&f, p.Payload)
	return nil
}

// followSequence notes a packet that takes part in the sequence but not in the statistics of arrival.
func (n *NetEq) followSequence(p *Packet, ts uint32) {
	if n.haveNewest && newer32(ts, n.newestTS) {
		n.newestTS, n.newestAt = ts, n.lastArrival
	}
}

// insertRED takes a packet with redundancy (RFC 2198).
func (n *NetEq) insertRED(p *Packet, arrival time.Duration) error {
	blocks, err := splitRED(p.Payload, &n.blocks)
	if err != nil || len(blocks) == 0 {
		n.st.s.InvalidPackets++
		if err == nil {
			err = fmt.Errorf("%w: RED without blocks", ErrMalformed)
		}
		return err
	}
	primary := &blocks[0]
	c := n.reg.get(primary.payloadType)
	if c == nil || c.kind == codecRED {
		n.st.s.InvalidPackets++
		return fmt.Errorf("%w: %d inside RED", ErrUnknownPayloadType, primary.payloadType)
	}
	if primary.level != 0 { // an empty primary: redundancy alone
		ts := n.scaler.toInternal(p.Timestamp, c.scale, arrival)
		n.nackReceived(p, ts, arrival)
		return n.insertCopies(p, blocks, c, ts, arrival)
	}
	if c.kind == codecNoise || c.kind == codecEvent {
		q := *p
		q.PayloadType, q.Payload = primary.payloadType, primary.payload
		return n.insertSingle(&q, c, arrival)
	}
	ts := n.scaler.toInternal(p.Timestamp, c.scale, arrival)
	n.nackReceived(p, ts, arrival)
	f, err := n.frame(p, c, ts, primary.payload, arrival)
	if err != nil {
		return err
	}
	if !n.take(&f, primary.payload) {
		return nil
	}
	return n.insertCopies(p, blocks[1:], c, ts, arrival)
}

// insertCopies stores the redundant blocks of a RED packet that nothing better is known for. Only three levels, and only
// the primary's payload type, are looked at.
func (n *NetEq) insertCopies(p *Packet, blocks []redBlock, c *codec, ts uint32, arrival time.Duration) error {
	for i := range blocks {
		b := &blocks[i]
		if b.payloadType != c.payloadType || b.level > 3 {
			continue
		}
		n.st.s.REDPacketsReceived++
		at := ts - b.offset*c.scale
		if n.beforeStart(at) {
			n.st.s.RedundancyUnused++
			continue
		}
		n.missed(at, arrival)
		if n.state == statePlaying && newer32(n.endTS, at) {
			n.st.s.RedundancyUnused++
			continue
		}
		if i, same := n.buf.find(at); same && n.buf.at(i).redLevel <= b.level {
			n.st.s.RedundancyUnused++
			continue
		}
		samples := c.samples(b.payload)
		if samples == 0 && c.kind == codecOpus {
			n.st.s.InvalidPackets++
			continue
		}
		f := storedFrame{timestamp: at, sequence: p.SequenceNumber - uint16(b.level), payload: c.payloadType,
			redLevel: b.level, isDTX: c.isDTX(b.payload), samples: samples,
			fecSamples: c.fecSamples(b.payload), arrival: arrival}
		if f.fecSamples > 0 { // the copy's own redundancy reaches one packet further back
			if older := at - uint32(f.fecSamples); !n.beforeStart(older) {
				n.missed(older, arrival)
			}
		}
		n.store(&f, b.payload)
		if n.nack != nil {
			n.nack.Recovered(f.sequence)
		}
	}
	return nil
}

// take enters a speech frame everywhere; false means that it belongs to no known timeline.
func (n *NetEq) take(f *storedFrame, payload []byte) bool {
	if !n.admit(f) {
		return false
	}
	seen := n.hist.contains(f.timestamp)
	if !seen && newer32(n.newestTS, f.timestamp) {
		n.reordered, n.reorderedAt = true, f.arrival
	}
	n.arrived(f)
	if seen && n.cfg.Policy == PolicyAdaptive {
		n.countDuplicate(f)
		return true
	}
	n.store(f, payload)
	return true
}

// frame describes a speech payload.
func (n *NetEq) frame(p *Packet, c *codec, ts uint32, payload []byte, arrival time.Duration) (storedFrame, error) {
	samples := c.samples(payload)
	if samples == 0 {
		n.st.s.InvalidPackets++
		return storedFrame{}, fmt.Errorf("%w: %d bytes of no known duration", ErrMalformed, len(payload))
	}
	return storedFrame{timestamp: ts, sequence: p.SequenceNumber, payload: c.payloadType, isDTX: c.isDTX(payload),
		marker: p.Marker, samples: samples, fecSamples: c.fecSamples(payload), arrival: arrival}, nil
}

// beforeStart tells whether sound at ts precedes the first packet of the stream; redundancy about it would only delay the
// start.
func (n *NetEq) beforeStart(ts uint32) bool {
	return !n.haveNewest || newer32(n.firstTS, ts)
}

// missed reports redundancy about a packet that did not come: what delay would have made it useful.
func (n *NetEq) missed(ts uint32, when time.Duration) {
	if n.hist.count > 0 && !n.hist.contains(ts) {
		n.policy.recovered(n.hist.delay(ts, when), when)
	}
}

// admit keeps timelines apart: a timestamp that cannot belong to the stream is refused, and a second one that fits the first
// starts a new timeline.
func (n *NetEq) admit(f *storedFrame) bool {
	if !n.haveNewest {
		n.haveNewest = true
		n.newestSeq, n.newestTS, n.newestAt = f.sequence, f.timestamp, f.arrival
		n.firstTS = f.timestamp
		return true
	}
	elapsed := timeToSamples(f.arrival - n.newestAt)
	moved := int64(int32(f.timestamp - n.newestTS))
	setBack := moved < -backSamples && newer16(f.sequence, n.newestSeq)
	if setBack || moved < -jumpSamples || moved > jumpSamples+max(0, elapsed) {
		s := n.stranger
		n.stranger = stranger{seen: true, ts: f.timestamp, seq: f.sequence}
		d := int64(int32(f.timestamp - s.ts))
		if !s.seen || d < -sampleRate || d > sampleRate {
			n.countFlushed(f)
			return false
		}
		n.st.s.StreamResets++
		n.dropAll()
		n.restart(false)
		n.hist.reset()
		n.stranger = stranger{}
		n.newestSeq, n.newestTS, n.newestAt = f.sequence, f.timestamp, f.arrival
		n.firstTS = f.timestamp
		return true
	}
	n.stranger.seen = false
	return true
}

// arrived feeds the statistics of arrival.
func (n *NetEq) arrived(f *storedFrame) {
	if f.fecSamples > 0 {
		n.st.s.FECPacketsReceived++
	}
	adaptive := n.cfg.Policy == PolicyAdaptive
	when := f.arrival
	if !adaptive {
		when = time.Duration(n.ticks) * tickDuration // libwebrtc knows no finer time
	}
	if adaptive && n.haveNewest && newer32(f.timestamp, n.newestTS) {
		n.watchStall(f)
	}
	if f.samples > 0 {
		n.cons.setPacketLength(samplesToTime(int64(f.samples)))
	}
	if f.fecSamples > 0 {
		if at := f.timestamp - uint32(f.fecSamples); !n.beforeStart(at) {
			if adaptive {
				n.missed(at, when)
			} else if n.hist.count > 0 && !n.hist.contains(at) {
				n.report(at, f.fecSamples, when)
			}
		}
	}
	n.report(f.timestamp, f.samples, when)
	if newer32(f.timestamp, n.newestTS) {
		n.newestSeq, n.newestTS, n.newestAt = f.sequence, f.timestamp, f.arrival
	}
}

// report enters one packet into the history and its delay into the policy.
func (n *NetEq) report(ts uint32, samples int, when time.Duration) {
	if !n.hist.insert(ts, samples, when) || n.hist.count < 2 {
		return
	}
	delay := n.hist.delay(ts, when)
	n.st.s.RelativeArrivalDelayMs += float64(delay) / 1e6
	n.settle.packet(delay, n.target(), when)
	n.policy.packet(delay, !n.hist.isNewest(ts), when)
}

// watchStall handles a gap in time that the timestamps do not show. When the network stalled, a burst follows that catches
// up; when the sender froze its clock while muted, nothing does, and the delay since is none. So the history starts anew
// at the first packet, and only if a burst follows the gap enters the statistics as a delay.
func (n *NetEq) watchStall(f *storedFrame) {
	offset := f.arrival - samplesToTime(n.hist.unwrap.peek(f.timestamp))
	if w := &n.stall; w.active {
		w.least = min(w.least, offset)
		if f.arrival-w.since > stallSettle {
			w.active = false
			if caught := w.start - w.least; caught > w.gap/2 {
				n.policy.packet(caught, false, f.arrival)
			}
		}
		return
	}
	gap := f.arrival - n.newestAt
	media := samplesToTime(int64(int32(f.timestamp - n.newestTS)))
	if gap > stallGap && media < gap/2 {
		base := n.hist.unwrap
		n.hist.reset()
		n.hist.unwrap = base
		n.stall = stallWatch{active: true, since: f.arrival, gap: gap - media, start: offset, least: offset}
	}
}

// store keeps a frame within the bounds of the buffer.
func (n *NetEq) store(f *storedFrame, payload []byte) {
	n.burst++
	if n.state == statePlaying && n.tooLate(f) {
		n.countLate(f)
		return
	}
	for n.buf.len() > 0 && (n.buf.full() || n.buf.bytes+len(payload) > maxBytes || n.spanWith(f) > maxSpan) {
		n.st.s.BufferFlushes++
		n.discard(0)
	}
	switch n.buf.insert(f, payload) {
	case insertDuplicate:
		n.countDuplicate(f)
	case insertReplaced:
		n.st.s.RedundancyUnused++
	}
}

// spanWith is the media time the buffer would hold with f.
func (n *NetEq) spanWith(f *storedFrame) int {
	d := int(int32(f.timestamp - n.buf.head().timestamp))
	return max(d, n.buf.span(n.lastFrame))
}

// tooLate tells whether all of f was played or concealed. What of it was not can still be used; libwebrtc drops it whole.
func (n *NetEq) tooLate(f *storedFrame) bool {
	if n.cfg.Policy != PolicyAdaptive {
		return newer32(n.endTS, f.timestamp)
	}
	return !newer32(f.timestamp+uint32(max(1, f.samples)), n.endTS)
}

func (n *NetEq) countLate(f *storedFrame) {
	if f.redLevel > 0 {
		n.st.s.RedundancyUnused++
		return
	}
	n.st.s.PacketsDiscarded++
	n.st.s.LatePackets++
	if f.fecSamples > 0 {
		n.st.s.FECPacketsDiscarded++
		n.st.s.RedundancyUnused++
	}
}

func (n *NetEq) countDuplicate(f *storedFrame) {
	if f.redLevel > 0 {
		n.st.s.RedundancyUnused++
		return
	}
	n.st.s.DuplicatePackets++
}
