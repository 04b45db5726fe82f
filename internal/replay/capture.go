package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"parley/neteq"
)

// parseRTP reads an RTP packet (RFC 3550, section 5.1). false: it is none.
func parseRTP(b []byte) (neteq.Packet, bool) {
	var p neteq.Packet
	if len(b) < 12 || b[0]>>6 != 2 {
		return p, false
	}
	if pt := b[1]; pt >= 192 && pt <= 223 { // RTCP (RFC 5761, section 4)
		return p, false
	}
	at := 12 + 4*int(b[0]&15)
	if b[0]&0x10 != 0 {
		if len(b) < at+4 {
			return p, false
		}
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 {
		end -= int(b[len(b)-1])
	}
	if at > end {
		return p, false
	}
	p.Marker = b[1]&0x80 != 0
	p.PayloadType = b[1] & 0x7f
	p.SequenceNumber = binary.BigEndian.Uint16(b[2:])
	p.Timestamp = binary.BigEndian.Uint32(b[4:])
	p.SSRC = binary.BigEndian.Uint32(b[8:])
	p.Payload = append([]byte(nil), b[at:end]...)
	return p, true
}

// collector sorts packets by SSRC and keeps the fullest stream.
type collector struct {
	streams map[uint32][]Packet
	first   time.Duration
	started bool
}

func (c *collector) add(b []byte, at time.Duration) {
	p, ok := parseRTP(b)
	if !ok || len(p.Payload) == 0 {
		return
	}
	if c.streams == nil {
		c.streams = map[uint32][]Packet{}
	}
	if !c.started {
		c.started, c.first = true, at
	}
	c.streams[p.SSRC] = append(c.streams[p.SSRC], Packet{Packet: p, Arrival: at - c.first})
}

func (c *collector) fullest() []Packet {
	var best []Packet
	for ssrc, s := range c.streams {
		if len(s) > len(best) || len(s) == len(best) && len(s) > 0 && ssrc < best[0].SSRC {
			best = s
		}
	}
	return best
}

// readRTPDump reads the format of rtptools: a text line, a header of 16 bytes, then per packet length, RTP length and
// milliseconds.
func readRTPDump(r io.Reader) ([]Packet, error) {
	b := bufio.NewReader(r)
	if _, err := b.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("%w: no rtpdump header", ErrTrace)
	}
	var head [16]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return nil, fmt.Errorf("%w: rtpdump header cut off", ErrTrace)
	}
	var c collector
	for {
		var h [8]byte
		if _, err := io.ReadFull(b, h[:]); err != nil {
			return c.fullest(), nil
		}
		n := int(binary.BigEndian.Uint16(h[:])) - 8
		if n < 0 {
			return nil, fmt.Errorf("%w: rtpdump length", ErrTrace)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(b, data); err != nil {
			return c.fullest(), nil
		}
		if binary.BigEndian.Uint16(h[2:]) == 0 { // RTCP
			continue
		}
		c.add(data, time.Duration(binary.BigEndian.Uint32(h[4:]))*time.Millisecond)
	}
}

// readPcap reads a classic pcap file of Ethernet, Linux cooked or raw IP frames with UDP.
func readPcap(r io.Reader) ([]Packet, error) {
	b := bufio.NewReader(r)
	var head [24]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return nil, fmt.Errorf("%w: pcap header cut off", ErrTrace)
	}
	var order binary.ByteOrder = binary.LittleEndian
	unit := time.Microsecond
	switch binary.LittleEndian.Uint32(head[:]) {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		unit = time.Nanosecond
	case 0xd4c3b2a1:
		order = binary.BigEndian
	case 0x4d3cb2a1:
		order, unit = binary.BigEndian, time.Nanosecond
	default:
		return nil, fmt.Errorf("%w: not a pcap file", ErrTrace)
	}
	link := order.Uint32(head[20:]) & 0xffff
	var c collector
	for {
		var h [16]byte
		if _, err := io.ReadFull(b, h[:]); err != nil {
			return c.fullest(), nil
		}
		n := order.Uint32(h[8:])
		if n > 1<<18 {
			return nil, fmt.Errorf("%w: pcap record of %d bytes", ErrTrace, n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(b, data); err != nil {
			return c.fullest(), nil
		}
		at := time.Duration(order.Uint32(h[0:]))*time.Second + time.Duration(order.Uint32(h[4:]))*unit
		if u := udpPayload(data, link); u != nil {
			c.add(u, at)
		}
	}
}

// udpPayload finds the UDP payload of a captured frame, nil when there is none.
func udpPayload(b []byte, link uint32) []byte {
	skip := map[uint32]int{1: 14, 101: 0, 113: 16, 228: 0, 276: 20}
	n, ok := skip[link]
	if !ok || len(b) < n+20 {
		return nil
	}
	if link == 1 && b[12] == 0x81 && b[13] == 0 { // VLAN tag
		n += 4
	}
	b = b[n:]
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		if b[9] != 17 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // UDP, no fragments
			return nil
		}
		h := 4 * int(b[0]&15)
		if len(b) < h+8 {
			return nil
		}
		b = b[h:]
	case len(b) >= 48 && b[0]>>4 == 6:
		if b[6] != 17 {
			return nil
		}
		b = b[40:]
	default:
		return nil
	}
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size < 8 || size > len(b) {
		return nil
	}
	return b[8:size]
}
