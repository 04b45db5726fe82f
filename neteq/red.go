package neteq

import "fmt"

// redMaxBlocks bounds the blocks of one RED payload.
const redMaxBlocks = 32

// redBlock is one block of a RED payload (RFC 2198, section 3).
type redBlock struct {
	payloadType uint8
	level       uint8  // 0 the primary, 1 the redundancy next to it, and so on
	offset      uint32 // how far before the packet's timestamp, RTP clock
	payload     []byte // borrowed from the RED payload
}

// splitRED cuts a RED payload into blocks, primary first, into blocks' array. Blocks without bytes are left out.
// When a block would run past the payload it fails and returns what could still be cut (the oldest blocks).
func splitRED(payload []byte, blocks *[redMaxBlocks]redBlock) ([]redBlock, error) {
	var lengths [redMaxBlocks]int
	n, pos := 0, 0
	for {
		if pos >= len(payload) {
			return nil, fmt.Errorf("%w: RED header cut off", ErrMalformed)
		}
		if n == redMaxBlocks {
			return nil, fmt.Errorf("%w: more than %d RED blocks", ErrMalformed, redMaxBlocks)
		}
		b := &blocks[n]
		b.payloadType = payload[pos] & 0x7f
		b.offset = 0
		if payload[pos]&0x80 == 0 {
			pos++
			n++
			break
		}
		if pos+4 > len(payload) {
			return nil, fmt.Errorf("%w: RED header cut off", ErrMalformed)
		}
		b.offset = uint32(payload[pos+1])<<6 | uint32(payload[pos+2])>>2
		lengths[n] = int(payload[pos+2]&3)<<8 | int(payload[pos+3])
		pos += 4
		n++
	}
	// Blocks stand oldest first; the last is the primary and takes the rest.
	var err error
	cut := 0
	for i := 0; i < n; i++ {
		length := lengths[i]
		if i == n-1 {
			length = len(payload) - pos
		}
		if pos+length > len(payload) {
			err = fmt.Errorf("%w: RED block past the end", ErrMalformed)
			break
		}
		blocks[i].payload = payload[pos : pos+length : pos+length]
		blocks[i].level = uint8(n - 1 - i)
		pos += length
		cut++
	}
	// Primary first, without the empty ones.
	for i, j := 0, cut-1; i < j; i, j = i+1, j-1 {
		blocks[i], blocks[j] = blocks[j], blocks[i]
	}
	kept := 0
	for i := 0; i < cut; i++ {
		if len(blocks[i].payload) > 0 {
			blocks[kept] = blocks[i]
			kept++
		}
	}
	return blocks[:kept], err
}
