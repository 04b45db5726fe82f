package replay

import "encoding/binary"

// Link types of captures (tcpdump.org/linktypes.html).
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw      = 101
	linkLoop     = 108
	linkCooked   = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
)

// linkHeader is the length of a link layer's header; false: a link type that is not read.
func linkHeader(link uint32) (int, bool) {
	switch link {
	case linkNull, linkLoop:
		return 4, true
	case linkEthernet:
		return 14, true
	case linkRaw, linkIPv4, linkIPv6, 12, 14: // 12 and 14: raw IP on some BSDs
		return 0, true
	case linkCooked:
		return 16, true
	case linkCooked2:
		return 20, true
	}
	return 0, false
}

// udpPayload finds the UDP payload of a captured frame, nil when there is none that is whole.
func udpPayload(b []byte, link uint32) []byte {
	n, ok := linkHeader(link)
	if !ok || len(b) < n {
		return nil
	}
	if link == linkEthernet {
		for len(b) >= n+4 && isVLAN(binary.BigEndian.Uint16(b[n-2:])) {
			n += 4
		}
	}
	b = b[n:]
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		const moreOrOffset = 0x3fff // of a fragmented packet
		h := 4 * int(b[0]&15)
		if b[9] != 17 || binary.BigEndian.Uint16(b[6:])&moreOrOffset != 0 || h < 20 || len(b) < h+8 {
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

// isVLAN reports whether an EtherType announces a VLAN tag (IEEE 802.1Q, 802.1ad).
func isVLAN(etherType uint16) bool { return etherType == 0x8100 || etherType == 0x88a8 }
