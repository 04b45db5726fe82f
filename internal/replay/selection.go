package replay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/neteq"
)

// Selection says which packets of a recording to replay.
type Selection struct {
	SSRC         *uint32                // nil: the stream with most packets of a known format; of a CSV trace, all
	PayloadTypes []uint8                // empty: all
	Formats      map[uint8]neteq.Format // that are known; nil: all are
	From, To     time.Duration          // after the first packet of the recording; To 0: to the end
}

// Select returns the packets to replay, in the order of arrival, at most MaxLength of them.
func (r *Recording) Select(s Selection) ([]Packet, error) {
	stream, err := r.choose(s)
	if err != nil {
		return nil, err
	}
	first := time.Duration(0)
	if !r.Capture {
		first = stream.Packets[0].Arrival
	}
	var packets []Packet
	for i := range stream.Packets {
		p := &stream.Packets[i]
		at := p.Arrival - first
		if s.SSRC != nil && p.SSRC != *s.SSRC || len(s.PayloadTypes) > 0 && !slices.Contains(s.PayloadTypes, p.PayloadType) ||
			at < s.From || s.To > 0 && at >= s.To {
			continue
		}
		packets = append(packets, *p)
	}
	if len(packets) == 0 {
		return nil, fmt.Errorf("%w: no packets are left of %s", ErrTrace, stream)
	}
	if length := packets[len(packets)-1].Arrival - packets[0].Arrival; length > MaxLength {
		return nil, fmt.Errorf("%w: %v long, at most %v can be replayed at once", ErrTrace, length.Round(time.Second), MaxLength)
	}
	return packets, nil
}

func (r *Recording) choose(s Selection) (*Stream, error) {
	if s.SSRC != nil {
		for i := range r.Streams {
			if !r.Capture || r.Streams[i].SSRC == *s.SSRC {
				return &r.Streams[i], nil
			}
		}
		return nil, fmt.Errorf("%w: no SSRC %#08x here, but\n%s", ErrTrace, *s.SSRC, r)
	}
	var best *Stream
	most := 0
	for i := range r.Streams {
		known := 0
		for pt, n := range r.Streams[i].PayloadTypes() {
			_, has := s.Formats[pt]
			if (has || s.Formats == nil) && (len(s.PayloadTypes) == 0 || slices.Contains(s.PayloadTypes, pt)) {
				known += n
			}
		}
		if known > most {
			best, most = &r.Streams[i], known
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w, but\n%s", ErrUnknownFormat, r)
	}
	return best, nil
}

// String lists the streams, one a line.
func (r *Recording) String() string {
	lines := make([]string, len(r.Streams))
	for i := range r.Streams {
		lines[i] = r.Streams[i].String()
	}
	return strings.Join(lines, "\n")
}

// ReadTrace reads a trace file as Open does. Of a capture it takes the stream with the most packets.
func ReadTrace(path string) ([]Packet, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	packets, err := r.Select(Selection{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return packets, nil
}

// DefaultFormats are the payload types of our traces, and the static ones of RFC 3551 that NetEq can play.
func DefaultFormats() map[uint8]neteq.Format {
	return map[uint8]neteq.Format{
		0:   {Name: "PCMU", ClockRateHz: 8000, Channels: 1},
		8:   {Name: "PCMA", ClockRateHz: 8000, Channels: 1},
		9:   {Name: "G722", ClockRateHz: 8000, Channels: 1},
		13:  {Name: "CN", ClockRateHz: 8000, Channels: 1},
		63:  {Name: "red", ClockRateHz: sampleRate, Channels: 2},
		111: {Name: "opus", ClockRateHz: sampleRate, Channels: 2},
	}
}

// ParseFormat reads what a payload type stands for as SDP writes it (RFC 8866, section 6.6): "111=opus/48000/2".
func ParseFormat(text string) (uint8, neteq.Format, error) {
	var f neteq.Format
	bad := func() (uint8, neteq.Format, error) {
		return 0, f, fmt.Errorf("replay: format %q: want PT=NAME/RATE or PT=NAME/RATE/CHANNELS, such as 111=opus/48000/2", text)
	}
	number, name, found := strings.Cut(text, "=")
	pt, err := strconv.ParseUint(number, 10, 7)
	if !found || err != nil {
		return bad()
	}
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return bad()
	}
	rate, err := strconv.ParseUint(parts[1], 10, 20)
	if err != nil || rate == 0 {
		return bad()
	}
	f = neteq.Format{Name: parts[0], ClockRateHz: int(rate), Channels: 1}
	if len(parts) == 3 {
		channels, err := strconv.ParseUint(parts[2], 10, 8)
		if err != nil || channels == 0 {
			return bad()
		}
		f.Channels = int(channels)
	}
	return uint8(pt), f, nil
}
