package replay

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The trace in testdata is what the generator makes, and reads back as it was.
func TestGoldenTrace(t *testing.T) {
	const file = "testdata/tiny.csv"
	var b bytes.Buffer
	if err := WriteTrace(&b, tinyTrace()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s differs from what the generator makes; -update rewrites it", file)
	}
	got, err := ReadTrace(file)
	if err != nil {
		t.Fatal(err)
	}
	if !equalPackets(got, tinyTrace()) {
		t.Error("packets differ after writing and reading")
	}
	zipped := filepath.Join(t.TempDir(), "tiny.csv.gz")
	if err := SaveFile(zipped, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		if _, err := z.Write(want); err != nil {
			return err
		}
		return z.Close()
	}); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadTrace(zipped); err != nil || !equalPackets(got, tinyTrace()) {
		t.Errorf("zipped: %d packets, %v", len(got), err)
	}
}

func TestCSV(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		packets    int
		fails      string
	}{
		{"header, comment and empty line", traceHeader + "\n# a\n\n1,2,3,4,111,00ff\n", 1, ""},
		{"arrivals out of order are sorted", "9,2,3,4,111,00\n1,1,3,4,111,00\n", 2, ""},
		{"windows line ends", traceHeader + "\r\n1,2,3,4,111,00\r\n", 1, ""},
		{"empty payload", "1,2,3,4,111,\n", 1, ""},
		{"nothing", traceHeader + "\n", 0, "no packets"},
		{"columns", "1,2,3,4,111\n", 0, "line 1: 5 columns"},
		{"arrival", "\nx,2,3,4,111,00\n", 0, "line 2"},
		{"not a number", "nan,2,3,4,111,00\n", 0, "arrival at NaN"},
		{"infinite", "-inf,2,3,4,111,00\n", 0, "arrival at -Inf"},
		{"far", "1e300,2,3,4,111,00\n", 0, "arrival at 1e+300"},
		{"sequence number", "1,65536,3,4,111,00\n", 0, "out of range"},
		{"payload type", "1,2,3,4,128,00\n", 0, "out of range"},
		{"odd hex", "1,2,3,4,111,0\n", 0, "odd length"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := read(strings.NewReader(tc.text))
			if tc.fails != "" {
				if !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("error %v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := r.Streams[0].Packets
			if len(p) != tc.packets || r.Capture {
				t.Errorf("%d packets, want %d; capture %v", len(p), tc.packets, r.Capture)
			}
			for i := 1; i < len(p); i++ {
				if p[i].Arrival < p[i-1].Arrival {
					t.Error("not in the order of arrival")
				}
			}
		})
	}
}

func TestArrivalIsRoundedToTheNanosecond(t *testing.T) {
	p, err := parseLine("21.536,1,2,3,4,00")
	if err != nil || p.Arrival != 21536*time.Microsecond {
		t.Errorf("%v, %v", p.Arrival, err)
	}
}

func TestSelect(t *testing.T) {
	packets := tinyTrace()
	other := make([]Packet, 100)
	for i := range other {
		other[i].SSRC, other[i].PayloadType, other[i].Arrival = 7, 96, time.Duration(i)*time.Second
	}
	r := &Recording{Capture: true, Streams: []Stream{{7, other}, {tinySSRC, packets}}}
	ssrc, unknown := uint32(7), uint32(8)
	for _, tc := range []struct {
		name  string
		s     Selection
		ssrc  uint32
		count int
		fails string
	}{
		{"fullest of all", Selection{}, 7, 100, ""},
		{"fullest of known formats", Selection{Formats: DefaultFormats()}, tinySSRC, len(packets), ""},
		{"by SSRC", Selection{SSRC: &ssrc, Formats: DefaultFormats()}, 7, 100, ""},
		{"no such SSRC", Selection{SSRC: &unknown}, 0, 0, "no SSRC 0x00000008"},
		{"by payload type", Selection{PayloadTypes: []uint8{0}}, tinySSRC, len(packets), ""},
		{"no such payload type", Selection{PayloadTypes: []uint8{5}}, 0, 0, "96 (100)"},
		{"a part", Selection{From: 10 * time.Second, To: 20 * time.Second}, 7, 10, ""},
		{"nothing left", Selection{From: time.Hour}, 0, 0, "no packets are left"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := r.Select(tc.s)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("error %v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil || len(got) != tc.count || got[0].SSRC != tc.ssrc {
				t.Errorf("%d packets, %v", len(got), err)
			}
		})
	}
	long := append([]Packet(nil), other...)
	long[99].Arrival = 2 * MaxLength
	if _, err := (&Recording{Streams: []Stream{{7, long}}}).Select(Selection{}); err == nil || !strings.Contains(err.Error(), "at most 1h0m0s") {
		t.Errorf("two hours: %v", err)
	}
}

func TestParseFormat(t *testing.T) {
	pt, f, err := ParseFormat("96=opus/48000/2")
	if err != nil || pt != 96 || f.Name != "opus" || f.ClockRateHz != 48000 || f.Channels != 2 {
		t.Errorf("%d %+v %v", pt, f, err)
	}
	if _, f, err = ParseFormat("0=PCMU/8000"); err != nil || f.Channels != 1 {
		t.Errorf("%+v %v", f, err)
	}
	for _, bad := range []string{"", "96", "128=opus/48000", "96=opus", "96=/48000", "96=opus/x", "96=opus/0", "96=opus/48000/0", "96=opus/48000/2/1", "-1=opus/48000"} {
		if _, _, err := ParseFormat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(traceHeader + "\n1.5,2,3,4,111,00ff\n"))
	f.Add([]byte("1e9,65535,4294967295,4294967295,127,\n-1e9,0,0,0,0,00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, err := readCSV(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrTrace) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		for i := range packets {
			packets[i].Arrival = packets[i].Arrival.Round(time.Microsecond)
		}
		var out bytes.Buffer
		if err := WriteTrace(&out, packets); err != nil {
			t.Fatal(err)
		}
		again, err := readCSV(&out)
		if err != nil || !equalPackets(packets, again) {
			t.Fatalf("not the same after writing and reading: %v", err)
		}
	})
}
