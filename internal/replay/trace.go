package replay

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// traceHeader is the first line of a trace in CSV.
const traceHeader = "arrival_ms,seq,timestamp,ssrc,payload_type,payload_hex"

// maxArrivalMs bounds the arrival times of a trace: eleven days.
const maxArrivalMs = 1e9

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
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	return packets, nil
}

func parseLine(text string) (Packet, error) {
	var p Packet
	c := strings.Split(text, ",")
	if len(c) != 6 {
		return p, fmt.Errorf("%d columns, want %s", len(c), traceHeader)
	}
	ms, err := strconv.ParseFloat(c[0], 64)
	if err != nil {
		return p, err
	}
	if math.IsNaN(ms) || math.Abs(ms) > maxArrivalMs {
		return p, fmt.Errorf("arrival at %g ms", ms)
	}
	p.Arrival = time.Duration(math.Round(ms * float64(time.Millisecond)))
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

// WriteTrace writes packets in the format that Open reads as CSV; times are rounded to the microsecond.
func WriteTrace(w io.Writer, packets []Packet) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, traceHeader)
	for i := range packets {
		p := &packets[i]
		fmt.Fprintf(b, "%.3f,%d,%d,%d,%d,%x\n", float64(p.Arrival)/1e6, p.SequenceNumber, p.Timestamp, p.SSRC, p.PayloadType, p.Payload)
	}
	return b.Flush()
}
