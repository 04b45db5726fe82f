package neteq

import "fmt"

// g711Decoder decodes PCMU or PCMA (ITU-T G.711) to 48 kHz, the same in every channel.
type g711Decoder struct {
	channels int
	expand   func(byte) int16
	up       *upsampler
}

// NewPCMUDecoder makes a decoder for G.711 mu-law with 1 or 2 output channels.
func NewPCMUDecoder(channels int) (Decoder, error) { return newG711(channels, expandMuLaw) }

// NewPCMADecoder makes a decoder for G.711 A-law with 1 or 2 output channels.
func NewPCMADecoder(channels int) (Decoder, error) { return newG711(channels, expandALaw) }

func newG711(channels int, expand func(byte) int16) (Decoder, error) {
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("%w: %d channels", ErrConfig, channels)
	}
	return &g711Decoder{channels: channels, expand: expand, up: newUpsampler(6)}, nil
}

// Decode decodes one byte per sample.
func (d *g711Decoder) Decode(payload []byte, pcm []float32) (int, error) {
	if len(payload) == 0 || len(payload)*6*d.channels > len(pcm) {
		return 0, fmt.Errorf("%w: %d bytes", ErrMalformed, len(payload))
	}
	for i, b := range payload {
		out := pcm[i*6*d.channels:]
		d.up.push(float32(d.expand(b))/32768, out, d.channels)
		if d.channels == 2 {
			for k := 0; k < 12; k += 2 {
				out[k+1] = out[k]
			}
		}
	}
	return len(payload) * 6, nil
}

// DecodeFEC fails: there is none.
func (d *g711Decoder) DecodeFEC([]byte, []float32) (int, error) { return 0, ErrNoConcealment }

// Conceal fails: NetEq's Expand does it.
func (d *g711Decoder) Conceal([]float32) (int, error) { return 0, ErrNoConcealment }

// Reset forgets the filter's state.
func (d *g711Decoder) Reset() error { d.up.reset(); return nil }

func expandMuLaw(b byte) int16 {
	b = ^b
	v := (int(b&15)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		return int16(-v)
	}
	return int16(v)
}

func expandALaw(b byte) int16 {
	b ^= 0x55
	v := int(b&15) << 4
	if e := b >> 4 & 7; e == 0 {
		v += 8
	} else {
		v = (v + 0x108) << (e - 1)
	}
	if b&0x80 == 0 {
		return int16(-v)
	}
	return int16(v)
}
