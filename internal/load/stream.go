package load

import (
	"encoding/binary"
	"time"
)

// rtpHeader is what a packet says of itself, unencrypted (RFC 3550, section 5.1).
type rtpHeader struct {
	payloadType uint8
	marker      bool
	seq         uint16
	ts          uint32
	ssrc        uint32
}

// parseRTP reads the fixed header; false for what is not RTP version 2.
func parseRTP(b []byte) (h rtpHeader, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return h, false
	}
	return rtpHeader{
		payloadType: b[1] & 0x7f, marker: b[1]&0x80 != 0,
		seq: binary.BigEndian.Uint16(b[2:]), ts: binary.BigEndian.Uint32(b[4:]), ssrc: binary.BigEndian.Uint32(b[8:]),
	}, true
}

// isRTCP tells RTCP from RTP on one port (RFC 5761, section 4).
func isRTCP(b []byte) bool { return len(b) >= 2 && b[1] >= 192 && b[1] <= 223 }

const (
	longestFrame  = 2880       // 60 ms: a longer step between packets is a pause (DTX)
	longestPause  = 10 * 48000 // of DTX; a refresh comes every 400 ms
	reorderWindow = 64         // packets; further back is a restarted stream
)

// stream follows the one stream that a participant receives: sequence numbers without gaps, timestamps that go with them,
// one SSRC, and the time between packets. Not safe for concurrent use.
type stream struct {
	started bool
	last    rtpHeader
	at      time.Duration // arrival of last
	first   time.Duration
	frame   uint32 // timestamp step of the packet before, in samples
	highest uint32 // extended sequence number (RFC 3550, appendix A.1)
	base    uint32
	packets uint64
	jitter  float64 // RFC 3550, section 6.4.1, in timestamp units

	// of the last receiver report
	reportedHighest uint32
	reportedPackets uint64
	lastSR          uint32 // middle 32 bits of the NTP time of the server's last report
	lastSRAt        time.Duration
}

// streamCounts are what streams found, summed over all of a loop.
type streamCounts struct {
	Packets, Bytes    uint64
	Lost              int64 // missing sequence numbers, less those that came later
	Reordered         uint64
	Duplicates        uint64
	TimestampErrors   uint64 // steps that no codec's frame and no pause makes
	SSRCChanges       uint64
	PayloadTypeErrors uint64
	TalkSpurts        uint64 // packets with the marker
	gaps              *hist  // between packets of consecutive frames
	late              *hist  // the same, less the length of the frame before
}

// step is what a packet means for a decoder.
type step struct {
	lost    int    // packets missing before it
	pause   uint32 // samples that were not sent before it (DTX)
	usable  bool   // it follows what was decoded; false for old and duplicate ones
	restart bool   // a stream begins
}

// packet takes one packet's header with its arrival time.
func (s *stream) packet(h rtpHeader, size int, at time.Duration, red bool, c *streamCounts) step {
	c.Packets++
	c.Bytes += uint64(size)
	if h.marker {
		c.TalkSpurts++
	}
	if h.payloadType != payloadType && !(red && h.payloadType == redPayloadType) {
		c.PayloadTypeErrors++
		return step{}
	}
	if s.started && h.ssrc != s.last.ssrc {
		c.SSRCChanges++
		s.started = false
	}
	if !s.started {
		*s = stream{started: true, last: h, at: at, first: at, highest: uint32(h.seq), base: uint32(h.seq), packets: 1,
			reportedHighest: uint32(h.seq) - 1, lastSR: s.lastSR, lastSRAt: s.lastSRAt}
		return step{usable: true, restart: true}
	}
	s.packets++
	ahead := int16(h.seq - s.last.seq)
	switch {
	case ahead == 0:
		c.Duplicates++
		s.packets--
		return step{}
	case ahead < 0 && ahead > -reorderWindow:
		c.Reordered++
		c.Lost--
		return step{}
	case ahead < 0:
		c.SSRCChanges++ // the numbers were begun anew
		s.started = false
		return s.packet(h, size, at, red, &streamCounts{gaps: c.gaps, late: c.late})
	}
	samples := h.ts - s.last.ts
	took := at - s.at
	transit := float64(took)*48000/float64(time.Second) - float64(int32(samples))
	if transit < 0 {
		transit = -transit
	}
	s.jitter += (transit - s.jitter) / 16
	lost := int(ahead) - 1
	c.Lost += int64(lost)
	var pause uint32
	switch {
	case samples == 0 || samples%480 != 0 || samples > longestPause:
		c.TimestampErrors++
	case lost == 0 && samples <= longestFrame:
		c.gaps.add(took)
		c.late.add(max(0, took-time.Duration(samples)*time.Second/48000))
		s.frame = samples
	case lost == 0:
		pause = samples - min(samples, max(s.frame, 480))
	}
	s.highest += uint32(ahead)
	s.last, s.at = h, at
	return step{lost: lost, pause: pause, usable: true}
}

// appendReport appends a receiver report (RFC 3550, section 6.4.2) of the time since the one before.
func (s *stream) appendReport(b []byte, own uint32, now time.Duration) []byte {
	expected := s.highest - s.reportedHighest
	received := uint32(s.packets - s.reportedPackets)
	var fraction uint8
	if expected > 0 && expected > received {
		fraction = uint8(min(255, (expected-received)*256/expected))
	}
	lost := int64(s.highest-s.base+1) - int64(s.packets)
	s.reportedHighest, s.reportedPackets = s.highest, s.packets
	b = append(b, 0x81, 201, 0, 7)
	b = binary.BigEndian.AppendUint32(b, own)
	b = binary.BigEndian.AppendUint32(b, s.last.ssrc)
	b = binary.BigEndian.AppendUint32(b, uint32(fraction)<<24|uint32(max(0, lost))&0xffffff)
	b = binary.BigEndian.AppendUint32(b, s.highest)
	b = binary.BigEndian.AppendUint32(b, uint32(s.jitter))
	b = binary.BigEndian.AppendUint32(b, s.lastSR)
	var delay uint32
	if s.lastSR != 0 {
		delay = uint32((now - s.lastSRAt) * 65536 / time.Second)
	}
	return binary.BigEndian.AppendUint32(b, delay)
}

// senderReport takes the server's report, decrypted: only its time is of use.
func (s *stream) senderReport(b []byte, at time.Duration) {
	if len(b) >= 28 && b[1] == 200 {
		s.lastSR, s.lastSRAt = binary.BigEndian.Uint32(b[10:]), at
	}
}
