package neteqtest

import (
	"fmt"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

const (
	sampleRate   = 48000
	frameSamples = 960
	opusPT       = 111
	redPT        = 63
)

// FrameTime is the length of the packets made here.
const FrameTime = 20 * time.Millisecond

// Encode sends mono sound as a browser does: a packet every 20 ms, in DTX only those that need to be sent. The arrival of a
// packet is when it was sent; the network functions delay it.
func Encode(pcm []float32, cfg opus.EncoderConfig) ([]replay.Packet, error) {
	if cfg.BitrateBps == 0 {
		cfg.BitrateBps = 32000
	}
	if cfg.Complexity == 0 {
		cfg.Complexity = 5
		if cfg.DTX { // below 7 our encoder has none
			cfg.Complexity = 9
		}
	}
	enc, err := opus.NewEncoder(cfg)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	channels := max(1, cfg.Channels)
	out := make([]byte, 1500)
	var packets []replay.Packet
	seq, ts := uint16(65000), uint32(1<<32-700000)
	quiet := false
	for k := 0; (k+1)*frameSamples*channels <= len(pcm); k++ {
		n, err := enc.Encode(pcm[k*frameSamples*channels:(k+1)*frameSamples*channels], out)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		if dtx := n <= 2; !dtx || !quiet {
			packets = append(packets, replay.Packet{Arrival: time.Duration(k) * FrameTime, Packet: neteq.Packet{
				SequenceNumber: seq, Timestamp: ts, SSRC: 1, PayloadType: opusPT, Marker: quiet, Payload: append([]byte(nil), out[:n]...)}})
			seq++
			quiet = dtx
		}
		ts += frameSamples
	}
	return packets, nil
}

// RED wraps packets in RFC 2198 with up to distance copies of earlier ones.
func RED(packets []replay.Packet, distance int) []replay.Packet {
	out := make([]replay.Packet, len(packets))
	for i, p := range packets {
		var head, body []byte
		for d := distance; d >= 1; d-- {
			if i < d {
				continue
			}
			old := packets[i-d]
			offset := p.Timestamp - old.Timestamp
			if offset >= 1<<14 || len(old.Payload) >= 1<<10 {
				continue
			}
			head = append(head, 0x80|old.PayloadType, byte(offset>>6), byte(offset<<2)|byte(len(old.Payload)>>8), byte(len(old.Payload)))
			body = append(body, old.Payload...)
		}
		head = append(head, p.PayloadType)
		q := p
		q.PayloadType = redPT
		q.Payload = append(append(head, body...), p.Payload...)
		out[i] = q
	}
	return out
}

// Decoder makes decoders for replay.
func Decoder(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) }
