package neteq_test

import (
	"encoding/binary"
	"fmt"
	"time"

	"parley/neteq"
)

// A second of a call: packets go in as they come, 10 ms of sound come out whenever they are asked for. Of a real call the
// payloads are Opus, and the decoder one that conceals by itself.
func Example() {
	l16 := neteq.DecoderFunc(func(payload []byte, pcm []float32) (int, error) {
		for i := range pcm { // RFC 3551, section 4.5.11
			pcm[i] = float32(int16(binary.BigEndian.Uint16(payload[2*i:]))) / 32768
		}
		return len(pcm), nil
	})
	buffer, _ := neteq.New(neteq.Config{})
	_ = buffer.Register(96, neteq.Format{Name: "L16", ClockRateHz: 48000}, func() (neteq.Decoder, error) { return l16, nil })
	frame := make([]float32, 480)
	for now := time.Duration(0); now < time.Second; now += 10 * time.Millisecond {
		for _, packet := range received(now) {
			_ = buffer.Insert(packet, now)
		}
		buffer.Get(frame, now) // to be played
	}
	s := buffer.Stats()
	fmt.Printf("%d packets, %d concealment, %v of delay\n", s.PacketsReceived, s.ConcealmentEvents, s.PlayoutDelay)
	// Output: 49 packets, 1 concealment, 10ms of delay
}

// received stands for the network: a buzz of 100 Hz in packets of 20 ms, of which one is lost.
func received(now time.Duration) []*neteq.Packet {
	const length = 20 * time.Millisecond
	k := int(now / length)
	if now%length != 0 || k == 25 {
		return nil
	}
	payload := make([]byte, 960*2)
	for i := range 960 {
		binary.BigEndian.PutUint16(payload[2*i:], uint16(i%480*20))
	}
	return []*neteq.Packet{{PayloadType: 96, SequenceNumber: uint16(k), Timestamp: uint32(960 * k), Payload: payload}}
}
