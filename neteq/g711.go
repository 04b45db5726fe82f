package neteq

// The two laws of ITU-T G.711, for telling how loud a payload is without a decoder; decoding is a Decoder's.

func expandMuLaw(b byte) int16 {
	b = ^b
	v := (int(b&15)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		return int16(-v)
	}
	return int16(v)
}

func expandALaw(b byte) int16 {
	b ^= 0x55
	v := int(b&15) << 4
	if e := b >> 4 & 7; e == 0 {
		v += 8
	} else {
		v = (v + 0x108) << (e - 1)
	}
	if b&0x80 == 0 {
		return int16(-v)
	}
	return int16(v)
}
