package replay

import (
	"encoding/binary"

	"parley/neteq"
)

// parseRTP reads an RTP packet (RFC 3550, section 5.1) into a copy of its own. false: it is none, or RTCP.
func parseRTP(b []byte) (neteq.Packet, bool) {
	var p neteq.Packet
	if len(b) < 12 || b[0]>>6 != 2 {
		return p, false
	}
	if pt := b[1]; pt >= 192 && pt <= 223 { // RTCP (RFC 5761, section 4)
		return p, false
	}
	at := 12 + 4*int(b[0]&15)
	if b[0]&0x10 != 0 { // header extension
		if len(b) < at+4 {
			return p, false
		}
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 { // padding, its length is the last byte and counts itself
		padding := int(b[len(b)-1])
		if padding == 0 {
			return p, false
		}
		end -= padding
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

// redBlock is a block of a RED payload (RFC 2198, section 3).
type redBlock struct {
	offset  uint32 // before the packet's timestamp; 0: the primary
	payload []byte
}

// splitRED cuts a RED payload into its blocks, oldest first; nil when it is malformed.
func splitRED(b []byte) []redBlock {
	type header struct {
		offset uint32
		length int
	}
	var heads []header
	for {
		if len(b) < 1 || len(heads) > 32 {
			return nil
		}
		if b[0]&0x80 == 0 {
			b = b[1:]
			break
		}
		if len(b) < 4 {
			return nil
		}
		word := binary.BigEndian.Uint32(b)
		heads = append(heads, header{word >> 10 & 0x3fff, int(word & 0x3ff)})
		b = b[4:]
	}
	var blocks []redBlock
	for _, h := range heads {
		if h.length > len(b) {
			return nil
		}
		blocks = append(blocks, redBlock{h.offset, b[:h.length]})
		b = b[h.length:]
	}
	return append(blocks, redBlock{0, b})
}
