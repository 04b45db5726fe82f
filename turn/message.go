package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 8489, section 14.5, fixes SHA-1
	"encoding/binary"
	"hash/crc32"
)

// errorCode is a STUN error code (RFC 8489, section 14.8; RFC 8656, section 19).
type errorCode int

const (
	codeBadRequest       errorCode = 400
	codeUnauthorized     errorCode = 401
	codeForbidden        errorCode = 403
	codeMismatch         errorCode = 437
	codeWrongCredentials errorCode = 441
	codeTransport        errorCode = 442
	codeQuota            errorCode = 486
	codeCapacity         errorCode = 508
)

// errorAnswer builds the error response with the class and transaction of the response b that pion made. Nonce and realm go in
// when realm is not empty; key signs the message when it is not nil.
func errorAnswer(b []byte, code errorCode, realm string, nonce, key []byte) []byte {
	out := make([]byte, 0, 128)
	out = append(out, b[:stunHeaderSize]...)
	out = append(out, 0, attrErrorCode, 0, 4, 0, 0, byte(code/100), byte(code%100))
	if realm != "" {
		out = appendAttribute(out, attrNonce, nonce)
		out = appendAttribute(out, attrRealm, []byte(realm))
	}
	if key != nil {
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize+24))
		mac := hmac.New(sha1.New, key)
		mac.Write(out)
		out = appendAttribute(out, attrMessageIntegrity, mac.Sum(nil))
	}
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize))
	return out
}

func appendAttribute(out []byte, kind uint16, value []byte) []byte {
	out = binary.BigEndian.AppendUint16(out, kind)
	out = binary.BigEndian.AppendUint16(out, uint16(len(value)))
	out = append(out, value...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}

// appendFingerprint adds FINGERPRINT (RFC 8489, section 14.7) to a message without one.
func appendFingerprint(out []byte) []byte {
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize+8))
	sum := crc32.ChecksumIEEE(out) ^ 0x5354554e
	out = append(out, attrFingerprint>>8, attrFingerprint&0xFF, 0, 4)
	return binary.BigEndian.AppendUint32(out, sum)
}

// signed tells whether MESSAGE-INTEGRITY of the message b, which inspect has passed, was made with key.
func signed(b, key []byte) bool {
	for at := stunHeaderSize; at+4 <= len(b); {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if binary.BigEndian.Uint16(b[at:]) == attrMessageIntegrity {
			head := [stunHeaderSize]byte(b[:stunHeaderSize])
			binary.BigEndian.PutUint16(head[2:], uint16(at+24-stunHeaderSize))
			mac := hmac.New(sha1.New, key)
			mac.Write(head[:])
			mac.Write(b[stunHeaderSize:at])
			return hmac.Equal(mac.Sum(nil), b[at+4:at+24])
		}
		at += 4 + (size+3)&^3
	}
	return false
}

// grantedLifetime reads LIFETIME, in seconds, from a response of pion's.
func grantedLifetime(b []byte) (uint32, bool) {
	for at := stunHeaderSize; at+8 <= len(b); {
		if binary.BigEndian.Uint16(b[at:]) == attrLifetime {
			return binary.BigEndian.Uint32(b[at+4:]), true
		}
		at += 4 + (int(binary.BigEndian.Uint16(b[at+2:]))+3)&^3
	}
	return 0, false
}
