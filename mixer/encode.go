package mixer

import "fmt"

// Encoder encodes one bus. It is used by one goroutine at a time.
//
// An encoder that also has
//
//	CopyState(from any) error
//
// where from is another encoder made by the same function, can be forked: after it, both yield the same bytes from
// the same samples. Without it a listener that begins to speak gets a fresh encoder, and its stream a small seam.
type Encoder interface {
	// Encode encodes pcm, 10, 20 or 40 ms of interleaved float32 in [-1, 1] at 48 kHz, into out and returns the bytes written.
	// The length may change from call to call.
	// At most two bytes mean that nothing needs to be sent (DTX).
	Encode(pcm []float32, out []byte) (int, error)
	// SetBitrate sets the target rate in bit/s.
	SetBitrate(bps int) error
	// SetPacketLoss sets the loss to protect against, in percent.
	SetPacketLoss(percent int) error
	// SetComplexity trades computation (0) for quality (10).
	SetComplexity(complexity int) error
}

type stateCopier interface{ CopyState(from any) error }

// EncoderConfig says how a room's buses are encoded.
type EncoderConfig struct {
	Channels    int  // 1 or 2; set by the room
	BitrateBps  int  // 6,000 to 510,000; what an Excellent listener gets, the others less
	FEC         bool // in-band redundancy, as much as LossPercent or the listeners' reports ask for
	DTX         bool // nothing is sent in silence but a refresh every 400 ms
	LossPercent int  // least loss to protect against, 0 to 100
	Complexity  int  // 0 to 10
	Music       bool // for any sound instead of voice; set by the room
}

// DefaultEncoderConfig is used where a configuration has none: voice, mono, 40 kbit/s.
func DefaultEncoderConfig() EncoderConfig {
	return EncoderConfig{Channels: 1, BitrateBps: 40000, FEC: true, DTX: true, Complexity: 9}
}

func (c EncoderConfig) check() error {
	switch {
	case c.BitrateBps < 6000 || c.BitrateBps > 510000:
		return fmt.Errorf("%w: bitrate of %d bit/s", ErrConfig, c.BitrateBps)
	case c.LossPercent < 0 || c.LossPercent > 100:
		return fmt.Errorf("%w: expected loss of %d %%", ErrConfig, c.LossPercent)
	case c.Complexity < 0 || c.Complexity > 10:
		return fmt.Errorf("%w: complexity %d", ErrConfig, c.Complexity)
	case c.Channels != 0 && c.Channels != 1 && c.Channels != 2:
		return fmt.Errorf("%w: %d channels", ErrConfig, c.Channels)
	}
	return nil
}
