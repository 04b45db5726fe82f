package codec

import (
	"fmt"
	"strings"

	"parley/internal/resample"
)

const (
	outputRate = 48000
	// block is how many payload bytes are decoded at a time; it bounds scratch memory, not payloads.
	block = 160
)

// expander turns one payload byte into samples at the codec's own rate. It cannot fail: every byte means something.
type expander interface {
	// expand writes len(payload)*perByte samples in [-1, 1].
	expand(pcm []float32, payload []byte)
	reset()
}

// Decoder decodes one mono stream to 48 kHz, in one or two equal channels. It lags by half the resampler's filter: 2.25 ms
// for G.711, 1.13 ms for G.722. Not safe for concurrent use; it allocates nothing after New.
type Decoder struct {
	channels int
	perByte  int // samples at the codec's rate
	factor   int // 48 kHz over the codec's rate
	expander expander
	up       *resample.Resampler
	raw      []float32
}

// NewDecoder makes a decoder for "PCMU", "PCMA" or "G722" (as in SDP, in any case) with 1 or 2 output channels.
func NewDecoder(name string, channels int) (*Decoder, error) {
	d := &Decoder{channels: channels, perByte: 1}
	rate := 8000
	switch {
	case channels != 1 && channels != 2:
		return nil, fmt.Errorf("%w: %s with %d channels", ErrFormat, name, channels)
	case strings.EqualFold(name, "PCMU"):
		d.expander = g711{MuLawToLinear}
	case strings.EqualFold(name, "PCMA"):
		d.expander = g711{ALawToLinear}
	case strings.EqualFold(name, "G722"):
		d.expander, d.perByte, rate = &g722Expander{NewG722Decoder()}, 2, 16000
	default:
		return nil, fmt.Errorf("%w: %q", ErrFormat, name)
	}
	var err error
	if d.up, err = resample.New(rate, outputRate, 1); err != nil {
		return nil, err
	}
	d.factor = outputRate / rate
	d.raw = make([]float32, block*d.perByte)
	return d, nil
}

// Decode decodes one payload and returns the samples per channel written to pcm: six for every byte. It fails when the
// payload is empty or pcm too short, and then nothing has changed.
func (d *Decoder) Decode(payload []byte, pcm []float32) (int, error) {
	total := len(payload) * d.perByte * d.factor
	if total == 0 || total*d.channels > len(pcm) {
		return 0, fmt.Errorf("%w: %d bytes into %d samples", ErrPayload, len(payload), len(pcm))
	}
	mono := pcm[:total]
	for rest := mono; len(payload) > 0; {
		n := min(len(payload), block)
		raw := d.raw[:n*d.perByte]
		d.expander.expand(raw, payload[:n])
		k := d.up.Process(rest, raw)
		rest, payload = rest[k:], payload[n:]
	}
	if d.channels == 2 {
		for i := total - 1; i >= 0; i-- {
			pcm[2*i], pcm[2*i+1] = mono[i], mono[i]
		}
	}
	return total, nil
}

// DecodeFEC fails with ErrNone.
func (d *Decoder) DecodeFEC([]byte, []float32) (int, error) { return 0, ErrNone }

// Conceal fails with ErrNone.
func (d *Decoder) Conceal([]float32) (int, error) { return 0, ErrNone }

// Reset returns the decoder to its initial state. It does not fail.
func (d *Decoder) Reset() error {
	d.expander.reset()
	d.up.Reset()
	return nil
}

// g711 needs no state.
type g711 struct{ linear func(byte) int16 }

func (g g711) expand(pcm []float32, payload []byte) {
	for i, b := range payload {
		pcm[i] = float32(g.linear(b)) / 32768
	}
}

func (g711) reset() {}

type g722Expander struct{ d *G722Decoder }

func (g *g722Expander) expand(pcm []float32, payload []byte) {
	for i, b := range payload {
		first, second := g.d.Decode(b)
		pcm[2*i], pcm[2*i+1] = float32(first)/32768, float32(second)/32768
	}
}

func (g *g722Expander) reset() { *g.d = *NewG722Decoder() }
