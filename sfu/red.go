package sfu

import "encoding/binary"

const (
	// redMTU bounds a packet with redundancy: what fits through every tunnel (1,200 bytes, as WebRTC assumes) less 12 bytes of
	// RTP header and 16 of authentication. What does not fit goes without.
	redMTU = 1200 - 12 - 16
	// redHeader is the length of both block headers: four bytes for the frame before, one for the frame itself.
	redHeader = 5
	// The fields of a block header have 14 bits for the offset, and 10 for the length.
	redMaxOffset = 1<<14 - 1
	redMaxLength = 1<<10 - 1
)

// redPayload writes into dst the RED payload (RFC 2198, section 3) of a frame and the one before it, which began offset timestamp
// units earlier. Both are of the payload type pt. It returns 0 when the two do not fit.
func redPayload(dst []byte, pt uint8, before []byte, offset uint32, frame []byte) int {
	n := redHeader + len(before) + len(frame)
	if n > len(dst) || len(before) == 0 || len(before) > redMaxLength || offset > redMaxOffset {
		return 0
	}
	// 1 | type (7) | offset (14) | length (10), then 0 | type (7)
	binary.BigEndian.PutUint32(dst, 1<<31|uint32(pt&0x7f)<<24|offset<<10|uint32(len(before)))
	dst[4] = pt & 0x7f
	copy(dst[redHeader:], before)
	copy(dst[redHeader+len(before):], frame)
	return n
}
