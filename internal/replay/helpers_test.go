package replay

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/codec"
	"parley/neteq"
)

var update = flag.Bool("update", false, "rewrite testdata")

// What the network does to the tiny trace, by packet.
const (
	tinyPackets   = 60
	tinyLost      = 20 // and the next one
	tinyReordered = 33 // arrives after its successor
	tinyTwice     = 40
	tinySeq       = 65510 // wraps
	tinyTimestamp = 1<<32 - 4000
	tinySSRC      = 0x1f2e3d4c
)

// muLaw is the G.711 mu-law code of a sample in [-1, 1] (ITU-T G.711, table 2a).
func muLaw(v float64) byte {
	const bias, clip = 33, 8158
	sign := byte(0x80)
	if v < 0 {
		sign, v = 0, -v
	}
	magnitude := int(math.Min(v*8192, clip)) + bias
	segment := 0
	for magnitude>>(segment+6) > 0 && segment < 7 {
		segment++
	}
	return ^(sign ^ 0x80 | byte(segment)<<4 | byte(magnitude>>(segment+1)&15))
}

// tinyTrace is 1.2 s of a 440 Hz tone in PCMU, packets of 20 ms that take 5 to 9 ms: two lost in a row, one overtaken, one
// twice.
func tinyTrace() []Packet {
	var packets []Packet
	for i := range tinyPackets {
		payload := make([]byte, 160)
		for k := range payload {
			payload[k] = muLaw(0.5 * math.Sin(2*math.Pi*440*float64(160*i+k)/8000))
		}
		p := Packet{Arrival: time.Duration(i)*20*time.Millisecond + time.Duration(5000+1000*(i*7%5))*time.Microsecond,
			Packet: neteq.Packet{SequenceNumber: uint16(tinySeq + i), Timestamp: uint32(tinyTimestamp + 160*i), SSRC: tinySSRC, Payload: payload}}
		switch i {
		case tinyLost, tinyLost + 1:
			continue
		case tinyReordered:
			p.Arrival += 24 * time.Millisecond
		case tinyTwice:
			q := p
			q.Arrival += 3 * time.Millisecond
			packets = append(packets, q)
		}
		packets = append(packets, p)
	}
	sortByArrival(packets)
	return packets
}

func tinyOptions() Options {
	return Options{Name: "tiny", Watch: true, NewDecoder: func(f neteq.Format, channels int) (neteq.Decoder, error) {
		return codec.NewDecoder("PCMU", channels)
	}}
}

func runTiny(t testing.TB) *Outcome {
	t.Helper()
	o, err := Run(tinyTrace(), tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func equalPackets(a, b []Packet) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Arrival != y.Arrival || x.SequenceNumber != y.SequenceNumber || x.Timestamp != y.Timestamp || x.SSRC != y.SSRC ||
			x.PayloadType != y.PayloadType || !bytes.Equal(x.Payload, y.Payload) {
			return false
		}
	}
	return true
}

// tracesDir is where the reference traces are; the test is skipped without them.
func tracesDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("PARLEY_TRACES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "testdata", "traces")
	}
	if _, err := os.Stat(filepath.Join(dir, "libwebrtc_reference.json")); err != nil {
		t.Skip("no reference traces: set PARLEY_TRACES to their directory")
	}
	return dir
}
