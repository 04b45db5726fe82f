package neteq

import "time"

// timestampScaler maps RTP timestamps to 48 kHz, whatever the codec's RTP clock runs at. The first packet maps 1:1. It is
// wrap-safe in both directions: 32-bit differences are signed.
type timestampScaler struct {
	started            bool
	external, internal uint32
	scale              uint32 // 48 kHz over the RTP clock rate; 0 before the first packet
	arrival            time.Duration
}

// toInternal moves the scaler to ts, of a packet whose codec's clock has the given ratio.
//
// A stream that changes to a codec with another clock breaks its time line: RFC 7160 has seen senders count the time until
// the change in the old clock's units, in the new one's, and not at all. The one of the two that agrees better with the
// time of arrival is taken.
func (s *timestampScaler) toInternal(ts, scale uint32, arrival time.Duration) uint32 {
	if !s.started {
		s.started, s.external, s.internal, s.scale, s.arrival = true, ts, ts, scale, arrival
		return ts
	}
	d := int64(int32(ts - s.external))
	moved := d * int64(scale)
	if scale != s.scale {
		elapsed := timeToSamples(arrival - s.arrival)
		if old := d * int64(s.scale); magnitude(old-elapsed) < magnitude(moved-elapsed) {
			moved = old
		}
	}
	s.internal += uint32(moved)
	s.external, s.scale, s.arrival = ts, scale, arrival
	return s.internal
}

// ratio is that of the stream, for packets that do not change it (comfort noise, events): their own only before the first.
func (s *timestampScaler) ratio(own uint32) uint32 {
	if s.started {
		return s.scale
	}
	return own
}

func magnitude(v int64) int64 { return max(v, -v) }
