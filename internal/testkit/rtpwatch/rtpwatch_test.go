package rtpwatch

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func packet(second byte, seq uint16, ssrc uint32) []byte {
	b := make([]byte, 40)
	b[0], b[1] = 0x90, second
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

func TestCounter(t *testing.T) {
	var c Counter
	in := func(seq uint16, lost bool) { c.Datagram(true, packet(0x80|111, seq, 7), lost) }
	in(65534, false)
	in(65535, true) // comes never
	in(0, true)     // comes with the second resend
	in(1, true)     // comes with the first
	in(2, false)    // comes twice
	in(0, true)
	in(1, false)
	in(2, false)
	in(0, false)
	in(65535, true)
	in(3, false)
	want := Stream{Packets: 6, Dropped: 3, Missing: 1, Resent: 5, ResentDropped: 2}
	require.Equal(t, want, c.Stream(true, 7))
	require.Equal(t, 2, want.Recovered())
	require.InDelta(t, 0.5, want.Loss(), 1e-9)
	require.Zero(t, c.Stream(false, 7), "the other direction")
	require.Zero(t, c.Stream(true, 8), "another stream")
	require.Zero(t, Stream{}.Loss())
}

func TestCounterPassesOverWhatIsNoRTP(t *testing.T) {
	var c Counter
	for name, data := range map[string][]byte{
		"nothing": {}, "short": packet(111, 1, 7)[:11], "STUN": append([]byte{0, 1, 0, 0}, packet(0, 1, 7)[4:]...),
		"DTLS": append([]byte{22, 254, 253}, packet(0, 1, 7)[3:]...), "sender report": packet(200, 1, 7), "feedback": packet(205, 1, 7),
		"first RTCP type": packet(192, 1, 7), "last RTCP type": packet(223, 1, 7),
	} {
		c.Datagram(true, data, false)
		require.Empty(t, c.streams, name)
	}
	c.Datagram(true, packet(63, 1, 7), false)
	c.Datagram(true, packet(224, 2, 7), true) // payload type 96 with marker
	require.Equal(t, Stream{Packets: 2, Dropped: 1, Missing: 1}, c.Stream(true, 7))
}
