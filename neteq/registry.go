package neteq

import (
	"fmt"
	"strings"
)

// codecKind tells how payloads of a format are read.
type codecKind uint8

const (
	codecOpus  codecKind = iota
	codecG711            // PCMU, PCMA: a byte is a sample
	codecG722            // RFC 3551, section 4.5.2: clock 8000, a byte is two samples of 16 kHz
	codecL16             // linear, two bytes a sample and channel
	codecNoise           // RFC 3389
	codecEvent           // RFC 4733
	codecRED             // RFC 2198
)

// codec is one registered payload type.
type codec struct {
	payloadType uint8
	kind        codecKind
	scale       uint32 // internal (48 kHz) units per RTP clock unit
	channels    int
	newDecoder  func() (Decoder, error)
	decoder     Decoder
	broken      bool // newDecoder failed
}

// registry holds the payload types of one stream: a handful, looked up by going through them.
type registry struct{ codecs []*codec }

func (r *registry) get(pt uint8) *codec {
	for _, c := range r.codecs {
		if c.payloadType == pt {
			return c
		}
	}
	return nil
}

func (r *registry) add(pt uint8, f Format, newDecoder func() (Decoder, error)) error {
	if pt > 127 {
		return fmt.Errorf("%w: payload type %d", ErrFormat, pt)
	}
	if r.get(pt) != nil {
		return fmt.Errorf("%w: %d", ErrRegistered, pt)
	}
	if f.ClockRateHz <= 0 || sampleRate%f.ClockRateHz != 0 {
		return fmt.Errorf("%w: clock rate %d", ErrFormat, f.ClockRateHz)
	}
	c := &codec{payloadType: pt, scale: uint32(sampleRate / f.ClockRateHz), channels: max(1, f.Channels), newDecoder: newDecoder}
	speech := true
	switch {
	case strings.EqualFold(f.Name, "opus"):
		c.kind = codecOpus
	case strings.EqualFold(f.Name, "PCMU"), strings.EqualFold(f.Name, "PCMA"):
		c.kind = codecG711
	case strings.EqualFold(f.Name, "G722"):
		c.kind = codecG722
	case strings.EqualFold(f.Name, "L16"):
		c.kind = codecL16
	case strings.EqualFold(f.Name, "CN"):
		c.kind, speech = codecNoise, false
	case strings.EqualFold(f.Name, "telephone-event"):
		c.kind, speech = codecEvent, false
	case strings.EqualFold(f.Name, "red"):
		c.kind, speech = codecRED, false
	default:
		return fmt.Errorf("%w: %q", ErrFormat, f.Name)
	}
	if speech && newDecoder == nil {
		return fmt.Errorf("%w: %q without decoder", ErrFormat, f.Name)
	}
	r.codecs = append(r.codecs, c)
	return nil
}

// samples returns the duration of a payload at 48 kHz, 0 when it cannot be told.
func (c *codec) samples(payload []byte) int {
	n := 0
	switch c.kind {
	case codecOpus:
		return opusDuration(payload)
	case codecG711, codecG722:
		n = len(payload) / c.channels * int(c.scale)
	case codecL16:
		n = len(payload) / (2 * c.channels) * int(c.scale)
	}
	if n > maxFrameSamples {
		return 0
	}
	return n
}

// isDTX tells whether a payload stands for silence inside the codec.
func (c *codec) isDTX(payload []byte) bool { return c.kind == codecOpus && opusIsDTX(payload) }

// fecSamples returns how much time before the packet its in-band redundancy describes.
func (c *codec) fecSamples(payload []byte) int {
	if c.kind != codecOpus {
		return 0
	}
	return opusFECSamples(payload)
}

// open returns the decoder, making it at first use, and after release; nil when that fails.
func (c *codec) open() Decoder {
	if c.decoder == nil && !c.broken && c.newDecoder != nil {
		d, err := c.newDecoder()
		if err != nil || d == nil {
			c.broken = true
			return nil
		}
		c.decoder = d
	}
	return c.decoder
}

// release forgets the decoders; open makes them again.
func (r *registry) release() {
	for _, c := range r.codecs {
		c.decoder = nil
	}
}
