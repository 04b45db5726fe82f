package turn

import (
	"encoding/binary"
	"net/netip"
)

// Limits of what the guard lets through. Figures without a source are our own choice for WebRTC traffic.
const (
	maxFrame          = 1500 // bytes of one datagram or of one frame on a stream
	maxAttributes     = 48   // attributes in one message; browsers send up to 12
	maxPeerAddresses  = 16   // XOR-PEER-ADDRESS in one CreatePermission
	stunHeaderSize    = 20
	stunCookie        = 0x2112A442 // RFC 8489, section 5
	channelHeaderSize = 4
	minChannel        = 0x4000 // RFC 8656, section 12
	maxChannel        = 0x4FFF
	minLifetime       = 30 // seconds; RFC 8656, section 7.2, would raise a shorter one to the default; nobody asks for less
)

// STUN methods and classes as they lie in the first 16 bits of a message (RFC 8489, section 5; RFC 8656, section 18).
const (
	methodBinding          = 0x001
	methodAllocate         = 0x003
	methodRefresh          = 0x004
	methodSend             = 0x006
	methodCreatePermission = 0x008
	methodChannelBind      = 0x009

	classMask       = 0x0110
	classRequest    = 0x0000
	classIndication = 0x0010
	classSuccess    = 0x0100
	classError      = 0x0110
)

// Attribute types the guard looks into.
const (
	attrMappedAddress      = 0x0001
	attrUsername           = 0x0006
	attrMessageIntegrity   = 0x0008
	attrErrorCode          = 0x0009
	attrChannelNumber      = 0x000C
	attrLifetime           = 0x000D
	attrXORPeerAddress     = 0x0012
	attrData               = 0x0013
	attrRealm              = 0x0014
	attrNonce              = 0x0015
	attrXORRelayedAddress  = 0x0016
	attrRequestedFamily    = 0x0017
	attrRequestedTransport = 0x0019
	attrXORMappedAddress   = 0x0020
	attrAlternateServer    = 0x8023
	attrFingerprint        = 0x8028
)

// packet is what the guard found in one datagram or frame.
type packet struct {
	channelData bool
	channel     uint16 // of ChannelData, or of the CHANNEL-NUMBER attribute
	method      uint16
	class       uint16
	integrity   bool
	fingerprint bool
	foreign     bool // holds a comprehension-required attribute that this server does not know
	nonce       []byte
}

// inspect checks one whole datagram or frame: stream tells that ChannelData must be padded to four bytes (RFC 8656,
// section 12.5). It fills p, which borrows from b, and returns reasonNone when b may be passed on. It never allocates.
func inspect(b []byte, stream bool, p *packet) reason {
	*p = packet{}
	switch {
	case len(b) < channelHeaderSize:
		return reasonShort
	case len(b) > maxFrame:
		return reasonOversize
	case b[0] >= minChannel>>8 && b[0] <= maxChannel>>8:
		return inspectChannelData(b, stream, p)
	case b[0] < 0x40:
		return inspectSTUN(b, p)
	default:
		return reasonNotSTUN
	}
}

func inspectChannelData(b []byte, stream bool, p *packet) reason {
	p.channelData = true
	p.channel = binary.BigEndian.Uint16(b)
	length := int(binary.BigEndian.Uint16(b[2:]))
	rest := len(b) - channelHeaderSize
	if length > rest || rest-length > 3 || (stream && rest%4 != 0) {
		return reasonChannelMalformed
	}
	return reasonNone
}

func inspectSTUN(b []byte, p *packet) reason {
	if len(b) < stunHeaderSize || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return reasonNotSTUN
	}
	kind := binary.BigEndian.Uint16(b)
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length%4 != 0 || length != len(b)-stunHeaderSize {
		return reasonSTUNMalformed
	}
	p.class = kind & classMask
	p.method = kind&0x000F | kind&0x00E0>>1 | kind&0x3E00>>2
	switch {
	case p.class == classRequest && (p.method == methodBinding || p.method == methodAllocate || p.method == methodRefresh ||
		p.method == methodCreatePermission || p.method == methodChannelBind):
	case p.class == classIndication && (p.method == methodSend || p.method == methodBinding):
	default:
		return reasonSTUNMethod
	}
	return inspectAttributes(b, p)
}

// inspectAttributes walks to the very end of the message; any byte left over, any address of the wrong size and anything
// but FINGERPRINT behind MESSAGE-INTEGRITY makes the message malformed.
func inspectAttributes(b []byte, p *packet) reason {
	peers, count := 0, 0
	for at := stunHeaderSize; at < len(b); {
		if len(b)-at < 4 {
			return reasonSTUNMalformed
		}
		kind := binary.BigEndian.Uint16(b[at:])
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		padded := (size + 3) &^ 3
		if padded > len(b)-at-4 {
			return reasonSTUNMalformed
		}
		value := b[at+4 : at+4+size : at+4+size]
		at += 4 + padded
		if count++; count > maxAttributes || p.fingerprint || (p.integrity && kind != attrFingerprint) {
			return reasonSTUNMalformed
		}
		switch kind {
		case attrMappedAddress, attrXORPeerAddress, attrXORRelayedAddress, attrXORMappedAddress, attrAlternateServer:
			if !(len(value) == 8 && value[1] == 1) && !(len(value) == 20 && value[1] == 2) || value[0] != 0 {
				return reasonSTUNMalformed
			}
			if kind == attrXORPeerAddress {
				if peers++; peers > maxPeerAddresses {
					return reasonSTUNMalformed
				}
			}
		case attrMessageIntegrity:
			if len(value) != 20 {
				return reasonSTUNMalformed
			}
			p.integrity = true
		case attrFingerprint:
			if len(value) != 4 {
				return reasonSTUNMalformed
			}
			p.fingerprint = true
		case attrLifetime:
			if len(value) != 4 {
				return reasonSTUNMalformed
			}
			if s := binary.BigEndian.Uint32(value); s < minLifetime && (s != 0 || p.method != methodRefresh) {
				return reasonLifetime
			}
		case attrChannelNumber:
			if len(value) != 4 {
				return reasonSTUNMalformed
			}
			p.channel = binary.BigEndian.Uint16(value)
		case attrRequestedTransport, attrRequestedFamily:
			if len(value) != 4 {
				return reasonSTUNMalformed
			}
		case attrNonce:
			p.nonce = value
		default:
			p.foreign = p.foreign || kind < 0x8000 && !knownRequired(kind)
		}
	}
	return reasonNone
}

// knownRequired lists the comprehension-required attributes that may stand in a Binding request without an error 420
// (RFC 8489, section 18.3; RFC 8445, section 16.1); the ones inspectAttributes looks into are not repeated.
func knownRequired(kind uint16) bool {
	switch kind {
	case attrUsername, attrErrorCode, attrRealm, attrData, 0x0024 /* PRIORITY */, 0x0025 /* USE-CANDIDATE */ :
		return true
	}
	return false
}

// eachPeer calls visit with every XOR-PEER-ADDRESS of the message b, which inspect has passed.
func eachPeer(b []byte, visit func(netip.AddrPort)) {
	for at := stunHeaderSize; at+4 <= len(b); {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if binary.BigEndian.Uint16(b[at:]) == attrXORPeerAddress {
			visit(decodeXOR(b, b[at+4:at+4+size]))
		}
		at += 4 + (size+3)&^3
	}
}

// decodeXOR reads an XOR-ed address attribute of the message b (RFC 8489, section 14.2).
func decodeXOR(b, value []byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(value[2:]) ^ stunCookie>>16
	if len(value) == 8 {
		var a [4]byte
		for i := range a {
			a[i] = value[4+i] ^ b[4+i]
		}
		return netip.AddrPortFrom(netip.AddrFrom4(a), port)
	}
	var a [16]byte
	for i := range a {
		a[i] = value[4+i] ^ b[4+i]
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a), port)
}

// frameSize tells from its first four bytes how long the frame on a stream is, padding included.
func frameSize(head [4]byte) (int, reason) {
	length := int(binary.BigEndian.Uint16(head[2:]))
	var size int
	switch {
	case head[0] >= minChannel>>8 && head[0] <= maxChannel>>8:
		size = channelHeaderSize + (length+3)&^3
	case head[0] < 0x40:
		if length%4 != 0 {
			return 0, reasonSTUNMalformed
		}
		size = stunHeaderSize + length
	default:
		return 0, reasonNotSTUN
	}
	if size > maxFrame {
		return 0, reasonOversize
	}
	return size, reasonNone
}

// bindingAnswer writes the success response to the Binding request b into out and returns it: XOR-MAPPED-ADDRESS alone, and
// FINGERPRINT when the request had one. out needs 52 bytes.
func bindingAnswer(out, b []byte, src netip.AddrPort, fingerprint bool) []byte {
	out = append(out[:0], 0x01, 0x01, 0, 0)
	out = append(out, b[4:stunHeaderSize]...)
	port := src.Port() ^ stunCookie>>16
	addr := src.Addr().Unmap()
	if addr.Is4() {
		a := addr.As4()
		out = append(out, 0, attrXORMappedAddress, 0, 8, 0, 1, byte(port>>8), byte(port))
		for i := range a {
			out = append(out, a[i]^b[4+i])
		}
	} else {
		a := addr.As16()
		out = append(out, 0, attrXORMappedAddress, 0, 20, 0, 2, byte(port>>8), byte(port))
		for i := range a {
			out = append(out, a[i]^b[4+i])
		}
	}
	if fingerprint {
		out = appendFingerprint(out)
	}
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize))
	return out
}
