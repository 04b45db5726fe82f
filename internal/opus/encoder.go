package opus

import (
	"fmt"
	"unsafe"

	binding "gopkg.in/hraban/opus.v2"
)

// EncoderConfig says how to encode. The zero value of a number leaves libopus' own default, except Channels.
type EncoderConfig struct {
	Channels    int  // 1 (also for 0) or 2
	BitrateBps  int  // 6,000 to 510,000; 0: chosen by libopus
	FEC         bool // in-band redundancy (LBRR) as far as LossPercent asks for it
	DTX         bool // silence yields packets of at most two bytes, which need not be sent; see dtxComplexity
	LossPercent int  // expected packet loss, 0 to 100
	Complexity  int  // 0 to 10
	Music       bool // for any sound (OPUS_APPLICATION_AUDIO) instead of voice (OPUS_APPLICATION_VOIP)
}

// Encoder encodes one stream, of voice unless told otherwise, from 48 kHz PCM. It fits mixer.Encoder. Not safe for concurrent use.
//
// Its look-ahead is 6.5 ms (312 samples): what goes in comes out of a decoder that much later.
type Encoder struct {
	enc   *binding.Encoder
	state []byte // the C state inside enc
	cfg   EncoderConfig
}

// LookaheadSamples is the encoder's delay at 48 kHz: 4 ms for SILK and CELT to meet, 2.5 ms of MDCT overlap.
const LookaheadSamples = 312

// dtxComplexity is the least complexity with DTX. From here on libopus analyses the signal (opus_encoder.c, run_analysis);
// below, DTX goes by SILK's voice activity detector, which takes every steady sound for background noise after a second:
// of a held tone or chord it keeps back nine frames in ten.
const dtxComplexity = 7

// NewEncoder makes an encoder.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if cfg.Channels == 0 {
		cfg.Channels = 1
	}
	application := binding.AppVoIP
	if cfg.Music {
		application = binding.AppAudio
	}
	enc, err := binding.NewEncoder(SampleRateHz, cfg.Channels, application)
	if err != nil {
		return nil, fmt.Errorf("opus: new encoder: %w", err)
	}
	state, err := stateOf(enc)
	if err != nil {
		return nil, err
	}
	e := &Encoder{enc: enc, state: state, cfg: cfg}
	if cfg.BitrateBps != 0 {
		if err := enc.SetBitrate(cfg.BitrateBps); err != nil {
			return nil, fmt.Errorf("opus: bitrate %d: %w", cfg.BitrateBps, err)
		}
	}
	if err := enc.SetComplexity(cfg.Complexity); err != nil {
		return nil, fmt.Errorf("opus: complexity %d: %w", cfg.Complexity, err)
	}
	if err := enc.SetInBandFEC(cfg.FEC); err != nil {
		return nil, fmt.Errorf("opus: fec: %w", err)
	}
	if err := enc.SetPacketLossPerc(cfg.LossPercent); err != nil {
		return nil, fmt.Errorf("opus: loss %d: %w", cfg.LossPercent, err)
	}
	if err := enc.SetDTX(cfg.DTX && cfg.Complexity >= dtxComplexity); err != nil {
		return nil, fmt.Errorf("opus: dtx: %w", err)
	}
	return e, nil
}

// Channels returns the number of input channels.
func (e *Encoder) Channels() int { return e.cfg.Channels }

// Encode encodes pcm, which must hold 2.5, 5, 10, 20, 40 or 60 ms, into out and returns the bytes written.
// 1,275 bytes are always enough; less room than libopus wants lowers the quality, not the safety.
// With DTX a result of one or two bytes says that the frame need not be sent.
func (e *Encoder) Encode(pcm []float32, out []byte) (int, error) {
	if !encodable(len(pcm), e.cfg.Channels) {
		return 0, ErrLength
	}
	if len(out) == 0 {
		return 0, ErrPayload
	}
	return e.enc.EncodeFloat32(pcm, out[:len(out):len(out)])
}

func encodable(length, channels int) bool {
	switch length / channels {
	case 120, 240, 480, 960, 1920, 2880:
		return length%channels == 0
	}
	return false
}

// SetBitrate sets the target rate in bit/s.
func (e *Encoder) SetBitrate(bps int) error { return e.enc.SetBitrate(bps) }

// SetPacketLoss sets the expected loss in percent, which decides how much redundancy FEC adds.
func (e *Encoder) SetPacketLoss(percent int) error { return e.enc.SetPacketLossPerc(percent) }

// SetComplexity trades computation (0) for quality (10). Below 7 there is no DTX.
func (e *Encoder) SetComplexity(complexity int) error {
	if err := e.enc.SetComplexity(complexity); err != nil {
		return err
	}
	e.cfg.Complexity = complexity
	return e.enc.SetDTX(e.cfg.DTX && complexity >= dtxComplexity)
}

// SetFEC switches in-band redundancy.
func (e *Encoder) SetFEC(on bool) error { return e.enc.SetInBandFEC(on) }

// Reset returns the encoder to its initial state; its settings stay.
func (e *Encoder) Reset() error { return e.enc.Reset() }

// CopyState makes e continue exactly where from, an *Encoder with the same number of channels, is now: given the same
// samples both yield the same bytes. Settings (bitrate, FEC, …) are part of the state and are taken over too.
// It allocates nothing. from is untyped so that the mixer can ask for this without knowing the package.
func (e *Encoder) CopyState(from any) error {
	src, ok := from.(*Encoder)
	if !ok || src == nil || src.cfg.Channels != e.cfg.Channels || len(src.state) != len(e.state) {
		return ErrState
	}
	copy(e.state, src.state)
	e.cfg = src.cfg
	return nil
}

// Fork returns a new encoder that continues where e is now; see CopyState.
func (e *Encoder) Fork() (*Encoder, error) {
	f, err := NewEncoder(e.cfg)
	if err != nil {
		return nil, err
	}
	if err := f.CopyState(e); err != nil {
		return nil, err
	}
	return f, nil
}

// StateBytes is the size of the codec's state: what one more encoder costs in memory and what a fork copies.
func (e *Encoder) StateBytes() int { return len(e.state) }

// interiorPointers counts the words of the state that point into the state itself. A copy of such a word would point
// into the original, so a fork is only sound when there are none.
func (e *Encoder) interiorPointers() int {
	base := uintptr(unsafe.Pointer(&e.state[0]))
	end := base + uintptr(len(e.state))
	n := 0
	for i := 0; i+8 <= len(e.state); i += 8 {
		if p := *(*uintptr)(unsafe.Pointer(&e.state[i])); p >= base && p < end {
			n++
		}
	}
	return n
}
