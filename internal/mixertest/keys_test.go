package mixertest

import (
	"testing"
	"time"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

// Telephone keys are heard by others only where the operator wants it (M-07), and never hold up the speech beside them.
func TestM07KeysAreHeardWhenAskedFor(t *testing.T) {
	for _, asked := range []bool{false, true} {
		st := &stepped{}
		m, err := mixer.New(mixer.Config{
			Workers: 1, Clock: func() time.Duration { return st.now }, KeyTones: asked,
			NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) },
			NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		st.m = m
		r := newRoom(t, m, mixer.RoomConfig{})
		keys, err := r.AddSource(mixer.SourceConfig{Owner: "A", Formats: map[uint8]neteq.Format{101: {Name: "telephone-event", ClockRateHz: 48000}}})
		if err != nil {
			t.Fatal(err)
		}
		friend := newCaller(t, r, "B", tone(440, 0.2), true, false)
		e, _ := newEar(t, m, r, "X")
		p := neteq.Packet{PayloadType: 101, SSRC: 1}
		for n := range 300 {
			if n%2 == 0 {
				friend.send(st.now)
				friend.arrive(st.now)
				held := n % 100 * 480 // a key a second
				if held == 0 {
					p.Timestamp = uint32(n) * 480
				}
				p.SequenceNumber++
				p.Payload = []byte{5, 6, byte(held >> 8), byte(held + 1)} // 770 and 1336 Hz, -6 dBm0
				keys.Push(&p, st.now)
			}
			st.now += 10 * time.Millisecond
			m.Step()
		}
		if level := e.levelDB(440); level < -16 || level > -12 {
			t.Errorf("asked %v: the speaker is heard at %.1f dB, want -14", asked, level)
		}
		if level := e.levelDB(1336); asked != (level > -25) {
			t.Errorf("asked %v: the key is heard at %.1f dB", asked, level)
		}
		if got := keys.Stats().NetEq.ToneEvents; got != 3 {
			t.Errorf("%d keys counted", got)
		}
	}
}
