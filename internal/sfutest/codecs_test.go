package sfutest

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"parley/internal/codec"
	"parley/internal/opus"
	"parley/internal/testkit"
)

var opusAlone = []webrtc.RTPCodecParameters{audio(111, "opus", 48000, 2)}

// g711 is a sender of PCMU or PCMA.
func g711(pt uint8, hz, amplitude float64, encode func(int16) byte) *sender {
	at := toneAt(hz, amplitude, 8000)
	s := &sender{step: 160}
	s.next = func(s *sender) []byte {
		s.header.PayloadType = pt
		out := make([]byte, 160)
		for i := range out {
			out[i] = encode(int16(32767 * at()))
		}
		return out
	}
	return s
}

func g722(hz, amplitude float64) *sender {
	at, e := toneAt(hz, amplitude, 16000), codec.NewG722Encoder()
	return &sender{step: 160, next: func(s *sender) []byte {
		s.header.PayloadType = 9
		out := make([]byte, 160)
		for i := range out {
			out[i] = e.Encode(int16(32767*at()), int16(32767*at()))
		}
		return out
	}}
}

func opusTone(t *testing.T, hz, amplitude float64) *sender {
	t.Helper()
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: 32000, Complexity: 5})
	if err != nil {
		t.Fatal(err)
	}
	at := toneAt(hz, amplitude, 48000)
	return &sender{step: 960, next: func(s *sender) []byte {
		s.header.PayloadType = 111
		var pcm [960]float32
		for i := range pcm {
			pcm[i] = float32(at())
		}
		out := make([]byte, 1275)
		n, err := e.Encode(pcm[:], out)
		if err != nil {
			t.Error(err)
		}
		return out[:n]
	}}
}

// A client that knows one old codec only is heard, and hears the others by it.
func TestClientWithoutOpusTakesPart(t *testing.T) {
	for _, c := range []struct {
		codec  webrtc.RTPCodecParameters
		sender *sender
		hz     float64
		name   string
	}{
		{audio(0, "PCMU", 8000, 0), g711(0, 1000, 0.25, codec.LinearToMuLaw), 1000, "pcmu"},
		{audio(8, "PCMA", 8000, 0), g711(8, 1000, 0.25, codec.LinearToALaw), 1000, "pcma"},
		{audio(9, "G722", 8000, 0), g722(5000, 0.25), 5000, "g722"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			listener := join(t, n, options{codecs: opusAlone})
			old := join(t, n, options{codecs: []webrtc.RTPCodecParameters{c.codec, audio(13, "CN", 8000, 0), audio(101, "telephone-event", 8000, 0)}})
			for _, want := range []string{"a=sendrecv\r\n", "a=rtpmap:13 CN/8000\r\n", "a=rtpmap:101 telephone-event/8000\r\n", "a=fmtp:101 0-15\r\n"} {
				if !strings.Contains(old.answer, want) {
					t.Errorf("no %q in\n%s", want, old.answer)
				}
			}
			if strings.Contains(old.answer, "opus") {
				t.Errorf("more is promised than can be:\n%s", old.answer)
			}
			old.start(c.sender)
			listener.start(opusTone(t, 600, 0.25))
			listener.awaitTone(c.hz, -12)
			old.awaitTone(600, -12)
			old.mu.Lock()
			step, own := old.last20, testkit.ToneLevel(old.pcm[len(old.pcm)-9600:], c.hz)
			old.mu.Unlock()
			if step != 160 {
				t.Errorf("packets are %d samples apart on its clock, want 160", step)
			}
			if own > -50 {
				t.Errorf("it hears itself at %.1f dBFS", own)
			}
			for s := range old.stats {
				if s.Up.PacketsReceived > 0 {
					if s.Up.Codec != c.name || s.Down.Codec != c.name {
						t.Errorf("codecs %q and %q", s.Up.Codec, s.Down.Codec)
					}
					break
				}
			}
		})
	}
}

// A stream changes from one codec to another and back while it runs, with another RTP clock each time.
func TestCodecChangesInALiveStream(t *testing.T) {
	n := newNode(t)
	listener := join(t, n, options{codecs: opusAlone})
	c := join(t, n, options{codecs: []webrtc.RTPCodecParameters{audio(111, "opus", 48000, 2), audio(0, "PCMU", 8000, 0), audio(9, "G722", 8000, 0)}})
	if !strings.Contains(c.answer, "SAVPF 111 0 9\r\n") || !strings.Contains(c.answer, "a=sendrecv\r\n") {
		t.Errorf("answer:\n%s", c.answer)
	}
	var previous *sender
	for _, x := range []struct {
		s  *sender
		hz float64
	}{
		{opusTone(t, 400, 0.25), 400}, {g711(0, 1100, 0.25, codec.LinearToMuLaw), 1100}, {opusTone(t, 700, 0.25), 700}, {g722(5200, 0.25), 5200},
		{opusTone(t, 500, 0.25), 500},
	} {
		if previous != nil {
			x.s.header.SequenceNumber, x.s.header.Timestamp = previous.header.SequenceNumber, previous.header.Timestamp
		}
		stop := c.start(x.s)
		listener.awaitTone(x.hz, -12)
		stop()
		previous = x.s
	}
}

// A key that is pressed is heard.
func TestTelephoneEvent(t *testing.T) {
	n := newNode(t)
	listener := join(t, n, options{codecs: opusAlone})
	c := join(t, n, options{codecs: []webrtc.RTPCodecParameters{audio(111, "opus", 48000, 2), audio(110, "telephone-event", 48000, 0)}})
	speech := opusTone(t, 440, 0.1)
	stop := c.start(speech)
	listener.awaitTone(440, -20)
	stop()
	duration := 0
	key := &sender{header: speech.header, next: func(s *sender) []byte {
		s.header.PayloadType = 110
		duration = min(duration+960, 65000)
		return []byte{5, 10, byte(duration >> 8), byte(duration)} // 770 and 1336 Hz
	}}
	c.start(key)
	listener.awaitTone(1336, -16.1)
	listener.awaitTone(770, -19.1)
}
