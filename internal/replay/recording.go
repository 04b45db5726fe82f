package replay

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"parley/neteq"
)

// ErrTrace reports input that is no trace.
var ErrTrace = errors.New("replay: bad trace")

// ErrUnknownFormat reports a recording without packets of a payload type that is known.
var ErrUnknownFormat = errors.New("replay: no packets of a known payload type")

// maxTraceBytes bounds what is read of a trace, unpacked.
const maxTraceBytes = 1 << 30

// MaxLength is the longest stretch that is replayed at once: all of its sound is kept in memory.
const MaxLength = time.Hour

// Packet is one RTP packet and when it arrived.
type Packet struct {
	neteq.Packet
	Arrival time.Duration
}

// Stream is what one SSRC sent, in the order of arrival.
type Stream struct {
	SSRC    uint32
	Packets []Packet
}

// PayloadTypes counts the packets of each payload type.
func (s *Stream) PayloadTypes() map[uint8]int {
	count := map[uint8]int{}
	for i := range s.Packets {
		count[s.Packets[i].PayloadType]++
	}
	return count
}

// String describes the stream in a line: SSRC, packets, length, payload types.
func (s *Stream) String() string {
	count := s.PayloadTypes()
	var types []int
	for pt := range count {
		types = append(types, int(pt))
	}
	sort.Ints(types)
	var b strings.Builder
	fmt.Fprintf(&b, "SSRC %#08x: %d packets in %.1f s, payload types", s.SSRC, len(s.Packets),
		(s.Packets[len(s.Packets)-1].Arrival - s.Packets[0].Arrival).Seconds())
	for i, pt := range types {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %d (%d)", pt, count[uint8(pt)])
	}
	return b.String()
}

// Recording is what a file held.
type Recording struct {
	Capture   bool     // of a network: its streams are told apart, its times count from its first RTP packet
	Streams   []Stream // most packets first; a CSV trace is one, whatever its SSRCs
	Truncated int      // packets of which the file has only the beginning, left out
}

// Open reads a trace file: CSV (.csv), .pcap, .pcapng or .rtpdump, each also with .gz. Captures are told apart by their first
// bytes, whatever their name.
func Open(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func read(f io.Reader) (*Recording, error) {
	b := bufio.NewReader(f)
	if magic, _ := b.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTrace, err)
		}
		b = bufio.NewReader(z)
	}
	limited := io.LimitReader(b, maxTraceBytes)
	var c collector
	var err error
	switch magic, _ := b.Peek(4); string(magic) {
	case "\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1":
		err = readPcap(limited, &c)
	case "\x0a\x0d\x0d\x0a":
		err = readPcapNG(limited, &c)
	case "#!rt":
		err = readRTPDump(limited, &c)
	default:
		packets, err := readCSV(limited)
		if err != nil {
			return nil, err
		}
		if len(packets) == 0 {
			return nil, fmt.Errorf("%w: no packets", ErrTrace)
		}
		sortByArrival(packets)
		return &Recording{Streams: []Stream{{packets[0].SSRC, packets}}}, nil
	}
	if err != nil {
		return nil, err
	}
	return c.recording()
}

func sortByArrival(p []Packet) {
	sort.SliceStable(p, func(i, j int) bool { return p[i].Arrival < p[j].Arrival })
}

// collector sorts captured packets by SSRC.
type collector struct {
	streams   map[uint32][]Packet
	first     time.Duration
	started   bool
	truncated int
}

// frame takes a captured frame of the given length on the wire.
func (c *collector) frame(b []byte, original, link uint32, at time.Duration) {
	if u := udpPayload(b, link); u != nil {
		c.add(u, at)
	} else if int64(original) > int64(len(b)) {
		c.truncated++
	}
}

func (c *collector) add(b []byte, at time.Duration) {
	p, ok := parseRTP(b)
	if !ok || len(p.Payload) == 0 {
		return
	}
	if c.streams == nil {
		c.streams = map[uint32][]Packet{}
	}
	if !c.started {
		c.started, c.first = true, at
	}
	c.streams[p.SSRC] = append(c.streams[p.SSRC], Packet{Packet: p, Arrival: at - c.first})
}

// ended tells the end of a file, where the last packet may be cut off, from trouble with reading it.
func (c *collector) ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func (c *collector) recording() (*Recording, error) {
	r := &Recording{Capture: true, Truncated: c.truncated}
	for ssrc, packets := range c.streams {
		sortByArrival(packets)
		r.Streams = append(r.Streams, Stream{ssrc, packets})
	}
	sort.Slice(r.Streams, func(i, j int) bool {
		a, b := &r.Streams[i], &r.Streams[j]
		return len(a.Packets) > len(b.Packets) || len(a.Packets) == len(b.Packets) && a.SSRC < b.SSRC
	})
	if len(r.Streams) == 0 {
		if r.Truncated > 0 {
			return nil, fmt.Errorf("%w: all %d packets are cut off: record them whole (tcpdump -s 0)", ErrTrace, r.Truncated)
		}
		return nil, fmt.Errorf("%w: no RTP packets", ErrTrace)
	}
	return r, nil
}
