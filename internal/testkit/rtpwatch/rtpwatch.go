// Package rtpwatch counts what a bad network does to RTP streams: for each direction and SSRC how many packets came, how
// many of them were dropped, and which came again. It reads RTP headers, which SRTP leaves in the clear (RFC 3711,
// section 3.1); STUN, DTLS and RTCP on the same socket (RFC 7983, RFC 5761) are passed over.
//
// It refuses to drop anything itself: that is netsim's, whose Tap it fits.
package rtpwatch

import (
	"encoding/binary"
	"sync"
)

// Stream is what happened to one stream. A packet is one sequence number, whatever comes with it and however often.
type Stream struct {
	Packets       int // that came to the network
	Dropped       int // of these, those whose first copy was dropped: what the path loses
	Missing       int // of these, those of which no copy got through: what resends do not repair
	Resent        int // copies beyond the first
	ResentDropped int // of these, those dropped
}

// Recovered is how many packets got through by a resend only.
func (s Stream) Recovered() int { return s.Dropped - s.Missing }

// Loss is the share of packets whose first copy was dropped.
func (s Stream) Loss() float64 { return float64(s.Dropped) / float64(max(1, s.Packets)) }

type key struct {
	up   bool
	ssrc uint32
}

type stream struct {
	Stream
	started bool
	highest int64          // extended sequence number
	through map[int64]bool // by extended sequence number: a copy got through
}

// Counter counts the streams of a netsim.UDPProxy. The zero value is ready; safe for concurrent use.
type Counter struct {
	mu      sync.Mutex
	streams map[key]*stream
}

// Datagram is a netsim.Tap.
func (c *Counter) Datagram(up bool, data []byte, lost bool) {
	seq, ssrc, ok := header(data)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams == nil {
		c.streams = make(map[key]*stream)
	}
	s := c.streams[key{up, ssrc}]
	if s == nil {
		s = &stream{through: make(map[int64]bool)}
		c.streams[key{up, ssrc}] = s
	}
	s.packet(seq, lost)
}

// header reads a packet of RTP. Payload types 64 to 95 with any marker are RTCP packet types 192 to 223 (RFC 5761, section 4).
func header(data []byte) (seq uint16, ssrc uint32, ok bool) {
	if len(data) < 12 || data[0]>>6 != 2 || data[1] >= 192 && data[1] <= 223 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(data[2:]), binary.BigEndian.Uint32(data[8:]), true
}

func (s *stream) packet(seq uint16, lost bool) {
	if !s.started {
		s.started, s.highest = true, int64(seq)
	}
	n := s.highest + int64(int16(seq-uint16(s.highest)))
	s.highest = max(s.highest, n)
	through, again := s.through[n]
	switch {
	case !again:
		s.Packets++
		if lost {
			s.Dropped++
			s.Missing++
		}
	default:
		s.Resent++
		if lost {
			s.ResentDropped++
		} else if !through {
			s.Missing--
		}
	}
	s.through[n] = through || !lost
}

// Stream returns the counts of a stream so far; all zero for one that has not come.
func (c *Counter) Stream(up bool, ssrc uint32) Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[key{up, ssrc}]; s != nil {
		return s.Stream
	}
	return Stream{}
}
