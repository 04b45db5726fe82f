package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"parley/neteq"
)

// ErrTrace reports input that is no trace.
var ErrTrace = errors.New("replay: bad trace")

// Packet is one RTP packet and when it arrived.
type Packet struct {
	neteq.Packet
	Arrival time.Duration
}

// traceHeader is the first line of a trace in CSV.
const traceHeader = "arrival_ms,seq,timestamp,ssrc,payload_type,payload_hex"

// maxTraceBytes bounds what is read of a trace, unpacked.
const maxTraceBytes = 1 << 30

// ReadTrace reads a trace file: CSV (.csv, .csv.gz), .pcap or .rtpdump. Of a capture it takes the audio stream with the
// most packets.
func ReadTrace(path string) ([]Packet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	name := path
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrTrace, path, err)
		}
		r, name = z, strings.TrimSuffix(name, ".gz")
	}
	r = io.LimitReader(r, maxTraceBytes)
	var packets []Packet
	switch {
	case strings.HasSuffix(name, ".pcap"), strings.HasSuffix(name, ".cap"):
		packets, err = readPcap(r)
	case strings.HasSuffix(name, ".rtpdump"), strings.HasSuffix(name, ".rtp"):
		packets, err = readRTPDump(r)
	default:
		packets, err = readCSV(r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(packets) == 0 {
		return nil, fmt.Errorf("%w: %s: no packets", ErrTrace, path)
	}
	return packets, nil
}

func readCSV(r io.Reader) ([]Packet, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	var packets []Packet
	for line := 1; s.Scan(); line++ {
		text := bytes.TrimSpace(s.Bytes())
		if len(text) == 0 || text[0] == '#' || string(text) == traceHeader {
			continue
		}
		p, err := parseLine(string(text))
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrTrace, line, err)
		}
		packets = append(packets, p)
	}
	return packets, s.Err()
}

func parseLine(text string) (Packet, error) {
	var p Packet
	c := strings.Split(text, ",")
	if len(c) != 6 {
		return p, fmt.Errorf("%d columns", len(c))
	}
	ms, err := strconv.ParseFloat(c[0], 64)
	if err != nil {
		return p, err
	}
	p.Arrival = time.Duration(ms * float64(time.Millisecond))
	var failed error
	number := func(s string, bits int) uint64 {
		v, err := strconv.ParseUint(s, 10, bits)
		if err != nil && failed == nil {
			failed = err
		}
		return v
	}
	p.SequenceNumber = uint16(number(c[1], 16))
	p.Timestamp = uint32(number(c[2], 32))
	p.SSRC = uint32(number(c[3], 32))
	p.PayloadType = uint8(number(c[4], 7))
	if failed != nil {
		return p, failed
	}
	p.Payload, err = hex.DecodeString(c[5])
	return p, err
}
