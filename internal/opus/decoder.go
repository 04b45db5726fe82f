package opus

import (
	"fmt"

	binding "gopkg.in/hraban/opus.v2"
)

// Decoder decodes one Opus stream to 48 kHz. It fits neteq.Decoder. Not safe for concurrent use.
type Decoder struct {
	dec      *binding.Decoder
	state    []byte // the C state inside dec
	fresh    []byte // shared: the same state right after initialisation
	marked   []byte // a copy of the state, nil before the first Mark
	channels int
}

// NewDecoder makes a decoder with one or two output channels. A mono stream in a stereo decoder fills both channels,
// a stereo stream in a mono decoder is mixed down by libopus.
func NewDecoder(channels int) (*Decoder, error) {
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("opus: new decoder: %d channels", channels)
	}
	dec, err := binding.NewDecoder(SampleRateHz, channels)
	if err != nil {
		return nil, fmt.Errorf("opus: new decoder: %w", err)
	}
	state, err := stateOf(dec)
	if err != nil {
		return nil, err
	}
	fresh, err := pristine[channels-1]()
	if err != nil {
		return nil, err
	}
	return &Decoder{dec: dec, state: state, fresh: fresh, channels: channels}, nil
}

// Channels returns the number of output channels.
func (d *Decoder) Channels() int { return d.channels }

// Decode decodes one packet into pcm and returns the samples per channel written. 5760 samples per channel are always
// enough. A corrupt packet or too short a pcm is an error and leaves the decoder usable.
func (d *Decoder) Decode(payload []byte, pcm []float32) (int, error) {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return 0, ErrPayload
	}
	if len(pcm) < d.channels {
		return 0, ErrLength
	}
	size := len(pcm) - len(pcm)%d.channels
	n, err := d.dec.DecodeFloat32(payload, pcm[:size:size])
	if err != nil {
		return 0, err
	}
	bound(pcm[:n*d.channels])
	return n, nil
}

// DecodeFEC decodes what payload carries about the frame before it (LBRR, RFC 6716, section 2.1.7) and fills pcm,
// whose length must be the duration of that frame: a multiple of 2.5 ms, at most 120 ms. Without such data in the
// payload libopus conceals instead. It returns the samples per channel.
func (d *Decoder) DecodeFEC(payload []byte, pcm []float32) (int, error) {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return 0, ErrPayload
	}
	n, err := d.fillable(pcm)
	if err != nil {
		return 0, err
	}
	if err := d.dec.DecodeFECFloat32(payload, pcm[:len(pcm):len(pcm)]); err != nil {
		return 0, err
	}
	bound(pcm)
	return n, nil
}

// Conceal fills pcm with what the decoder makes up for a packet that did not come: concealment, or comfort noise when
// the stream is in DTX. The length must be a multiple of 2.5 ms, at most 120 ms. It returns the samples per channel.
func (d *Decoder) Conceal(pcm []float32) (int, error) {
	n, err := d.fillable(pcm)
	if err != nil {
		return 0, err
	}
	if err := d.dec.DecodePLCFloat32(pcm[:len(pcm):len(pcm)]); err != nil {
		return 0, err
	}
	bound(pcm)
	return n, nil
}

// Mark remembers the state for Rewind. Only its first call allocates.
func (d *Decoder) Mark() { d.marked = append(d.marked[:0], d.state...) }

// Rewind returns the decoder to the state at the last Mark, as if nothing had been decoded or concealed since. Without a
// Mark it does nothing.
func (d *Decoder) Rewind() {
	if len(d.marked) == len(d.state) {
		copy(d.state, d.marked)
	}
}

// Reset returns the decoder to its initial state.
func (d *Decoder) Reset() error {
	if len(d.state) != len(d.fresh) {
		return ErrState
	}
	copy(d.state, d.fresh)
	return nil
}

func (d *Decoder) fillable(pcm []float32) (int, error) {
	n := len(pcm) / d.channels
	if n == 0 || n > MaxFrameSamples || n*d.channels != len(pcm) || n%samplesPer2500us != 0 {
		return 0, ErrLength
	}
	return n, nil
}

// bound keeps samples in [-1, 1]: the float decoder overshoots on loud input. What is not a number becomes silence.
func bound(pcm []float32) {
	for i, x := range pcm {
		switch {
		case x >= -1 && x <= 1:
		case x > 1:
			pcm[i] = 1
		case x < -1:
			pcm[i] = -1
		default:
			pcm[i] = 0
		}
	}
}
