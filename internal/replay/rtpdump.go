package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// readRTPDump reads the binary format of rtptools: a line of text, a header of 16 bytes, then for each packet the length of
// the record, the length of the RTP packet (0: RTCP) and milliseconds.
func readRTPDump(r io.Reader, c *collector) error {
	b := bufio.NewReader(r)
	line, err := b.ReadSlice('\n')
	if err != nil || !strings.HasPrefix(string(line), "#!rtpplay1.0") {
		return fmt.Errorf("%w: not an rtpdump file", ErrTrace)
	}
	var head [16]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return fmt.Errorf("%w: rtpdump header cut off", ErrTrace)
	}
	for {
		var h [8]byte
		if _, err := io.ReadFull(b, h[:]); err != nil {
			return c.ended(err)
		}
		n := int(binary.BigEndian.Uint16(h[:])) - len(h)
		if n < 0 {
			return fmt.Errorf("%w: rtpdump record shorter than its header", ErrTrace)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(b, data); err != nil {
			return c.ended(err)
		}
		size := int(binary.BigEndian.Uint16(h[2:]))
		switch {
		case size == 0:
		case size > n:
			c.truncated++
		default:
			c.add(data[:size], time.Duration(binary.BigEndian.Uint32(h[4:]))*time.Millisecond)
		}
	}
}
