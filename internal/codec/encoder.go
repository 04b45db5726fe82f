package codec

import (
	"fmt"
	"math"
	"strings"

	"parley/internal/resample"
)

// longest is how many samples per channel, at 48 kHz, are encoded at a time: 40 ms.
const longest = 1920

// compressor turns samples at the codec's own rate into bytes.
type compressor interface {
	compress(out []byte, pcm []float32)
	reset()
}

// Encoder encodes 48 kHz sound, of two channels their mean. It fits mixer.Encoder, to which these codecs have nothing to set. It
// allocates nothing after New. Not safe for concurrent use.
type Encoder struct {
	name       string
	channels   int
	perByte    int // samples at the codec's rate
	factor     int // 48 kHz over the codec's rate
	compressor compressor
	down       *resample.Resampler
	mono, raw  []float32
}

// NewEncoder makes an encoder for "PCMU", "PCMA" or "G722" (as in SDP, in any case) with 1 or 2 input channels.
func NewEncoder(name string, channels int) (*Encoder, error) {
	e := &Encoder{name: strings.ToUpper(name), channels: channels, perByte: 1}
	rate := 8000
	switch {
	case channels != 1 && channels != 2:
		return nil, fmt.Errorf("%w: %s with %d channels", ErrFormat, name, channels)
	case e.name == "PCMU":
		e.compressor = g711Compressor{LinearToMuLaw}
	case e.name == "PCMA":
		e.compressor = g711Compressor{LinearToALaw}
	case e.name == "G722":
		e.compressor, e.perByte, rate = &g722Compressor{NewG722Encoder()}, 2, 16000
	default:
		return nil, fmt.Errorf("%w: %q", ErrFormat, name)
	}
	var err error
	if e.down, err = resample.New(outputRate, rate, 1); err != nil {
		return nil, err
	}
	e.factor = outputRate / rate
	e.mono, e.raw = make([]float32, longest), make([]float32, longest/e.factor)
	return e, nil
}

// Encode encodes pcm, interleaved samples in [-1, 1] that make whole bytes and at most 40 ms, into out, and returns the bytes
// written: one for every six samples per channel.
func (e *Encoder) Encode(pcm []float32, out []byte) (int, error) {
	n := len(pcm) / e.channels
	bytes := n / (e.factor * e.perByte)
	if bytes == 0 || n > longest || bytes*e.factor*e.perByte*e.channels != len(pcm) || bytes > len(out) {
		return 0, fmt.Errorf("%w: %d samples into %d bytes", ErrPayload, len(pcm), len(out))
	}
	mono := pcm
	if e.channels == 2 {
		mono = e.mono[:n]
		for i := range mono {
			mono[i] = (pcm[2*i] + pcm[2*i+1]) / 2
		}
	}
	k := e.down.Process(e.raw, mono)
	e.compressor.compress(out[:bytes], e.raw[:k])
	return bytes, nil
}

// SetBitrate does nothing: the rate is the codec's.
func (e *Encoder) SetBitrate(int) error { return nil }

// SetPacketLoss does nothing: there is no redundancy.
func (e *Encoder) SetPacketLoss(int) error { return nil }

// SetComplexity does nothing.
func (e *Encoder) SetComplexity(int) error { return nil }

// Reset returns the encoder to its initial state. It does not fail.
func (e *Encoder) Reset() error {
	e.compressor.reset()
	e.down.Reset()
	return nil
}

// CopyState makes e go on where from is, an *Encoder of the same codec and channels.
func (e *Encoder) CopyState(from any) error {
	src, ok := from.(*Encoder)
	if !ok || src == nil || src.name != e.name || src.channels != e.channels || !e.down.CopyState(src.down) {
		return fmt.Errorf("%w: copy of another encoder", ErrFormat)
	}
	if g, ok := e.compressor.(*g722Compressor); ok {
		*g.e = *src.compressor.(*g722Compressor).e
	}
	return nil
}

// linear is a sample as 16 bits.
func linear(v float32) int16 {
	return int16(math.RoundToEven(float64(max(-1, min(1, v))) * 32767))
}

// g711Compressor needs no state.
type g711Compressor struct{ byte func(int16) byte }

func (g g711Compressor) compress(out []byte, pcm []float32) {
	for i := range out {
		out[i] = g.byte(linear(pcm[i]))
	}
}

func (g711Compressor) reset() {}

type g722Compressor struct{ e *G722Encoder }

func (g *g722Compressor) compress(out []byte, pcm []float32) {
	for i := range out {
		out[i] = g.e.Encode(linear(pcm[2*i]), linear(pcm[2*i+1]))
	}
}

func (g *g722Compressor) reset() { *g.e = *NewG722Encoder() }
