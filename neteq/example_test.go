package neteq_test

import (
	"encoding/binary"
	"fmt"
	"time"

	"parley/neteq"
)

// l16 decodes RFC 3551's L16: big-endian samples. Real streams have Opus, and a decoder that conceals.
type l16 struct{}

func (l16) Decode(payload []byte, pcm []float32) (int, error) {
	for i := range len(payload) / 2 {
		pcm[i] = float32(int16(binary.BigEndian.Uint16(payload[2*i:]))) / 32768
	}
	return len(payload) / 2, nil
}
func (l16) DecodeFEC([]byte, []float32) (int, error) { return 0, neteq.ErrNoConcealment }
func (l16) Conceal([]float32) (int, error)           { return 0, neteq.ErrNoConcealment }
func (l16) Reset() error                             { return nil }

// A second of sound in packets of 20 ms, of which one is lost, played in frames of 10 ms.
func Example() {
	buffer, _ := neteq.New(neteq.Config{})
	_ = buffer.Register(96, neteq.Format{Name: "L16", ClockRateHz: 48000}, func() (neteq.Decoder, error) { return l16{}, nil })
	payload := make([]byte, 960*2)
	for i := 0; i < 960; i++ { // a buzz of 100 Hz
		binary.BigEndian.PutUint16(payload[2*i:], uint16(i%480*20))
	}
	frame := make([]float32, 480)
	for tick := range 100 {
		now := time.Duration(tick) * 10 * time.Millisecond
		if k := tick / 2; tick%2 == 0 && k != 25 { // packet 25 is lost
			_ = buffer.Insert(&neteq.Packet{PayloadType: 96, SequenceNumber: uint16(k), Timestamp: uint32(960 * k), Payload: payload}, now)
		}
		buffer.Get(frame, now) // play frame
	}
	s := buffer.Stats()
	fmt.Printf("%d packets, %d concealment, delay %v\n", s.PacketsReceived, s.ConcealmentEvents, s.PlayoutDelay)
	// Output: 49 packets, 1 concealment, delay 10ms
}
