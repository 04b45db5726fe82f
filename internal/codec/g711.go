package codec

// ITU-T G.711: a sign, three bits of segment, four of position in it. The values here are those of 16 bits, as everywhere:
// mu-law's 14 bits shifted by two, A-law's 13 by three.

const (
	muLawBias = 33 << 2
	muLawClip = 32635 // 8159 in 14 bits, less the bias
)

// MuLawToLinear decodes one byte of PCMU.
func MuLawToLinear(b byte) int16 {
	b = ^b
	v := (int(b&15)<<3+muLawBias)<<(b>>4&7) - muLawBias
	if b&0x80 != 0 {
		return int16(-v)
	}
	return int16(v)
}

// LinearToMuLaw encodes one sample as PCMU.
func LinearToMuLaw(v int16) byte {
	x, sign := int(v), byte(0)
	if x < 0 {
		x, sign = -x-1, 0x80 // the intervals of negative values are closed at the other end
	}
	x = min(x, muLawClip) + muLawBias
	segment := byte(0)
	for x>>(segment+8) != 0 {
		segment++
	}
	return ^(sign | segment<<4 | byte(x>>(segment+3))&15)
}

// ALawToLinear decodes one byte of PCMA.
func ALawToLinear(b byte) int16 {
	b ^= 0x55
	v := int(b&15)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		v = (v + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		return int16(-v)
	}
	return int16(v)
}

// LinearToALaw encodes one sample as PCMA.
func LinearToALaw(v int16) byte {
	x, sign := int(v), byte(0x80)
	if x < 0 {
		x, sign = -x-1, 0
	}
	segment := byte(0)
	for x>>(segment+8) != 0 {
		segment++
	}
	shift := max(segment, 1) + 3
	return (sign | segment<<4 | byte(x>>shift)&15) ^ 0x55
}
