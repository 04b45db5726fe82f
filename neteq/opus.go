package neteq

// What can be read from an Opus packet without decoding it (RFC 6716, sections 3.1, 3.2, 4.2.3 and 4.2.4).

const (
	// maxFrameSamples is the longest Opus packet, 120 ms at 48 kHz (RFC 6716, section 3.2.5, R5).
	maxFrameSamples = 5760
	// opusDTXBytes is the longest payload that announces silence instead of carrying sound: a TOC and at most one byte.
	opusDTXBytes = 2
	// opusStereoBit is set in the TOC of a packet with two channels.
	opusStereoBit = 0x04
)

// opusFrameSamples is the length of one Opus frame at 48 kHz, by the configuration number in the TOC (RFC 6716, table 2).
func opusFrameSamples(toc byte) int {
	config := int(toc >> 3)
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return 480 << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		return 120 << (config & 3)
	}
}

// opusFrames returns the number of Opus frames in a packet, 0 when it is malformed.
func opusFrames(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	switch payload[0] & 3 {
	case 0:
		return 1
	case 1, 2:
		return 2
	}
	if len(payload) < 2 {
		return 0
	}
	return int(payload[1] & 63)
}

// opusDuration returns the samples per channel at 48 kHz that a packet decodes to; 0 when it is malformed or longer than
// 120 ms.
func opusDuration(payload []byte) int {
	n := opusFrames(payload)
	if n == 0 {
		return 0
	}
	if n *= opusFrameSamples(payload[0]); n > maxFrameSamples {
		return 0
	}
	return n
}

// opusFirstFrame returns the bytes of the first Opus frame of a packet, nil when there are none.
func opusFirstFrame(payload []byte) []byte {
	if len(payload) < 2 {
		return nil
	}
	body := payload[1:]
	switch payload[0] & 3 {
	case 0:
		return body
	case 1: // two frames of equal length
		return body[:len(body)/2]
	case 2:
		n, used := opusLength(body)
		if used == 0 || used+n > len(body) {
			return nil
		}
		return body[used : used+n]
	}
	// Code 3: frame count byte, then padding length, then lengths of all frames but the last when they differ.
	count := body[0]
	frames := int(count & 63)
	if frames == 0 {
		return nil
	}
	body = body[1:]
	if count&0x40 != 0 { // padding
		padding := 0
		for {
			if len(body) == 0 {
				return nil
			}
			b := int(body[0])
			body = body[1:]
			if b < 255 {
				padding += b
				break
			}
			padding += 254
		}
		if padding > len(body) {
			return nil
		}
		body = body[:len(body)-padding]
	}
	if count&0x80 == 0 { // all of equal length
		return body[:len(body)/frames]
	}
	if frames == 1 {
		return body
	}
	n, used := opusLength(body)
	if used == 0 {
		return nil
	}
	rest := body[used:]
	for i := 2; i < frames; i++ { // the lengths of the middle frames stand before the first frame
		_, u := opusLength(rest)
		if u == 0 {
			return nil
		}
		rest = rest[u:]
	}
	if n > len(rest) {
		return nil
	}
	return rest[:n]
}

// opusLength reads a frame length (RFC 6716, section 3.2.1) and the bytes it took, 0 when it is cut off.
func opusLength(b []byte) (n, used int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 252:
		return int(b[0]), 1
	case len(b) < 2:
		return 0, 0
	}
	return int(b[0]) + 4*int(b[1]), 2
}

// opusFECSamples returns the duration of the redundant frame (LBRR) that a packet carries about the time before it: one Opus
// frame, at least 10 ms; 0 when it carries none.
func opusFECSamples(payload []byte) int {
	if len(payload) < 2 || payload[0]&0x80 != 0 { // CELT only: none
		return 0
	}
	if opusDuration(payload) == 0 {
		return 0
	}
	first := opusFirstFrame(payload)
	if len(first) == 0 {
		return 0
	}
	d := opusFrameSamples(payload[0])
	silkFrames := max(1, d/960) // 20 ms each
	// The frame starts, per channel, with one VAD bit per SILK frame and then the LBRR flag, most significant bit first.
	flags := byte(0x80) >> silkFrames
	if payload[0]&opusStereoBit != 0 { // stereo: the side channel's flags follow
		flags |= byte(0x80) >> (2*silkFrames + 1)
	}
	if first[0]&flags == 0 {
		return 0
	}
	return d
}

// opusIsDTX tells whether a payload only says that there is silence.
func opusIsDTX(payload []byte) bool { return len(payload) <= opusDTXBytes }
