package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"parley/internal/opus"
)

// FrameSamples is what one packet carries: 20 ms at 48 kHz.
const FrameSamples = 960

// frame is the time of FrameSamples.
const frame = 20 * time.Millisecond

// ErrListenOnly is returned when a WHEP client is asked to send.
var ErrListenOnly = errors.New("a listener does not send")

// sender holds what makes one RTP stream continuous.
type sender struct {
	mu     sync.Mutex
	packet rtp.Packet
	began  bool
}

// Source fills frame, FrameSamples long, with what is said next, and tells whether there is more.
type Source func(frame []float32) (more bool)

// Loop is a source that repeats pcm for ever.
func Loop(pcm []float32) Source {
	at := 0
	return func(frame []float32) bool {
		for i := range frame {
			frame[i] = pcm[at]
			at = (at + 1) % len(pcm)
		}
		return true
	}
}

// Once is a source that says pcm and ends; the last frame is filled with silence.
func Once(pcm []float32) Source {
	return func(frame []float32) bool {
		n := copy(frame, pcm)
		clear(frame[n:])
		pcm = pcm[n:]
		return len(pcm) > 0
	}
}

// SpeakConfig changes how Speak encodes and sends.
type SpeakConfig struct {
	BitrateBps int  // 0 is 48000
	DTX        bool // packets of 2 bytes or fewer are not sent
	Marker     bool // the marker bit on every packet, as some stacks do
	Padding    int  // a packet of so many bytes of padding only goes before each packet; 0: none
	// Sent is told of each packet right before it is written: its payload, which it must not keep, and the time.
	Sent func(payload []byte, at time.Time)
}

// Speak encodes what source says and sends it in real time, one packet each 20 ms on an absolute grid, until the source
// ends or ctx does. It returns nil in both cases.
func (c *Client) Speak(ctx context.Context, source Source, cfg SpeakConfig) error {
	if cfg.BitrateBps == 0 {
		cfg.BitrateBps = 48000
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: cfg.BitrateBps, DTX: cfg.DTX, Complexity: 5})
	if err != nil {
		return err
	}
	pcm, out := make([]float32, FrameSamples), make([]byte, 1275)
	return Pace(ctx, func() (bool, error) {
		more := source(pcm)
		n, err := enc.Encode(pcm, out)
		if err != nil {
			return false, fmt.Errorf("encode: %w", err)
		}
		if cfg.Padding > 0 {
			if err := c.pad(byte(cfg.Padding)); err != nil {
				return false, err
			}
		}
		if n <= 2 {
			return more, c.Skip(FrameSamples)
		}
		if cfg.Sent != nil {
			cfg.Sent(out[:n], time.Now())
		}
		return more, c.Send(out[:n], FrameSamples, cfg.Marker)
	})
}

// Pace calls step every 20 ms on an absolute grid until it is done, fails, or ctx ends; late calls are made up.
func Pace(ctx context.Context, step func() (more bool, err error)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; due = due.Add(frame) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if more, err := step(); err != nil || !more {
			return err
		}
	}
}

// Send writes one packet and moves the timestamp on by samples (48 kHz). payload is not kept.
func (c *Client) Send(payload []byte, samples int, marker bool) error {
	if c.track == nil {
		return ErrListenOnly
	}
	s := &c.send
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packet.Version = 2
	s.packet.PayloadType = c.cfg.PayloadType
	s.packet.Marker = marker || !s.began
	s.packet.Payload = payload
	s.began = true
	err := c.track.WriteRTP(&s.packet)
	s.packet.SequenceNumber++
	s.packet.Timestamp += uint32(samples)
	return err
}

// Skip moves the timestamp on without a packet, as DTX does. The next packet carries a marker (RFC 3551, section 4.1).
func (c *Client) Skip(samples int) error {
	if c.track == nil {
		return ErrListenOnly
	}
	c.send.mu.Lock()
	defer c.send.mu.Unlock()
	c.send.packet.Timestamp += uint32(samples)
	c.send.began = false
	return nil
}

// pad sends a packet of padding only (RFC 3550, section 5.1), as bandwidth probes are.
func (c *Client) pad(size byte) error {
	s := &c.send
	s.mu.Lock()
	defer s.mu.Unlock()
	p := rtp.Packet{Header: rtp.Header{
		Version: 2, Padding: true, PaddingSize: size, PayloadType: c.cfg.PayloadType,
		SequenceNumber: s.packet.SequenceNumber, Timestamp: s.packet.Timestamp,
	}}
	err := c.track.WriteRTP(&p)
	s.packet.SequenceNumber++
	return err
}
