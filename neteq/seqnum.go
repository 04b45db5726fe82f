package neteq

// newer32 tells whether timestamp a comes after b, modulo 2^32. At a distance of exactly 2^31 the larger number is the newer
// one, so that the relation is never symmetric.
func newer32(a, b uint32) bool {
	d := a - b
	if d == 1<<31 {
		return a > b
	}
	return d != 0 && d < 1<<31
}

// newer16 is newer32 for sequence numbers.
func newer16(a, b uint16) bool {
	d := a - b
	if d == 1<<15 {
		return a > b
	}
	return d != 0 && d < 1<<15
}

// unwrapper turns 32-bit timestamps into a 64-bit line without jumps that begins at 0 with the first value it sees: where a
// stream starts to count must not change how times are rounded.
type unwrapper struct {
	last    int64
	raw     uint32
	started bool
}

// unwrap returns the position of ts that is nearest to the last one, and moves there.
func (u *unwrapper) unwrap(ts uint32) int64 {
	u.last = u.peek(ts)
	u.raw, u.started = ts, true
	return u.last
}

// peek is unwrap without moving.
func (u *unwrapper) peek(ts uint32) int64 {
	if !u.started {
		return 0
	}
	return u.last + int64(int32(ts-u.raw))
}
