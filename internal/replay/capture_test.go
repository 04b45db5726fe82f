package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

// rtp writes a packet as it is on the wire.
func rtp(p *Packet) []byte {
	b := []byte{0x80, p.PayloadType}
	b = binary.BigEndian.AppendUint16(b, p.SequenceNumber)
	b = binary.BigEndian.AppendUint32(b, p.Timestamp)
	b = binary.BigEndian.AppendUint32(b, p.SSRC)
	return append(b, p.Payload...)
}

func udp(payload []byte) []byte {
	b := []byte{0x13, 0x88, 0x13, 0x89}
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

func ipv4(payload []byte) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	return append(b, payload...)
}

func ipv6(payload []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, 17, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	return append(b, payload...)
}

func ethernet(etherType uint16, tags []uint16, payload []byte) []byte {
	b := make([]byte, 12)
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint16(b, tag)
		b = append(b, 0, 5)
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

const epoch = 1_700_000_000 // s

// pcap writes a capture; unit is time.Microsecond or time.Nanosecond.
func pcap(order byteOrder, unit time.Duration, link uint32, packets []Packet, frame func([]byte) []byte) []byte {
	magic := uint32(0xa1b2c3d4)
	if unit == time.Nanosecond {
		magic = 0xa1b23c4d
	}
	b := order.AppendUint32(nil, magic)
	b = append(b, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0)
	b = order.AppendUint32(b, link)
	for i := range packets {
		f := frame(rtp(&packets[i]))
		at := packets[i].Arrival
		b = order.AppendUint32(b, uint32(epoch+at/time.Second))
		b = order.AppendUint32(b, uint32(at%time.Second/unit))
		b = order.AppendUint32(b, uint32(len(f)))
		b = order.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

func pcapngBlock(order byteOrder, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	size := uint32(len(body) + 12)
	b := order.AppendUint32(nil, kind)
	b = order.AppendUint32(b, size)
	b = append(b, body...)
	return order.AppendUint32(b, size)
}

// pcapng writes a capture with a time resolution: 0 is none given, 6 and 9 are powers of ten, 0x80+n of two.
func pcapng(order byteOrder, resolution byte, packets []Packet, frame func([]byte) []byte) []byte {
	section := order.AppendUint32(nil, 0x1a2b3c4d)
	section = order.AppendUint16(section, 1)
	section = append(section, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255)
	b := pcapngBlock(order, blockSection, section)
	port := order.AppendUint16(nil, linkEthernet)
	port = append(port, 0, 0, 0, 0, 0, 0)
	units := uint64(1e6)
	if resolution != 0 {
		port = order.AppendUint16(port, 9)
		port = order.AppendUint16(port, 1)
		port = append(port, resolution, 0, 0, 0)
		port = append(port, 0, 0, 0, 0)
		switch resolution {
		case 9:
			units = 1e9
		case 0x80 + 20:
			units = 1 << 20
		}
	}
	b = append(b, pcapngBlock(order, blockInterface, port)...)
	b = append(b, pcapngBlock(order, 5, make([]byte, 12))...) // interface statistics, to be passed over
	b = append(b, pcapngBlock(order, 0x0bad, nil)...)
	for i := range packets {
		f := frame(rtp(&packets[i]))
		at := packets[i].Arrival
		stamp := uint64(epoch)*units + uint64(float64(at)/1e9*float64(units)+0.5)
		body := order.AppendUint32(nil, 0)
		body = order.AppendUint32(body, uint32(stamp>>32))
		body = order.AppendUint32(body, uint32(stamp))
		body = order.AppendUint32(body, uint32(len(f)))
		body = order.AppendUint32(body, uint32(len(f)))
		b = append(b, pcapngBlock(order, blockPacket, append(body, f...))...)
	}
	return b
}

func rtpdump(packets []Packet) []byte {
	b := append([]byte("#!rtpplay1.0 192.0.2.1/5000\n"), make([]byte, 16)...)
	for i := range packets {
		p := rtp(&packets[i])
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(p)))
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		b = binary.BigEndian.AppendUint32(b, uint32(packets[i].Arrival/time.Millisecond))
		b = append(b, p...)
	}
	return b
}

// Every format gives the packets that were put in, at their times after the first.
func TestCaptures(t *testing.T) {
	packets := tinyTrace()
	plain := func(p []byte) []byte { return ethernet(0x0800, nil, ipv4(udp(p))) }
	for _, tc := range []struct {
		name    string
		data    []byte
		rounded time.Duration
	}{
		{"pcap, little endian", pcap(binary.LittleEndian, time.Microsecond, linkEthernet, packets, plain), time.Microsecond},
		{"pcap, big endian, ns", pcap(binary.BigEndian, time.Nanosecond, linkEthernet, packets, plain), time.Nanosecond},
		{"IPv6", pcap(binary.LittleEndian, time.Microsecond, linkEthernet, packets, func(p []byte) []byte { return ethernet(0x86dd, nil, ipv6(udp(p))) }), time.Microsecond},
		{"two VLAN tags", pcap(binary.LittleEndian, time.Microsecond, linkEthernet, packets, func(p []byte) []byte {
			return ethernet(0x0800, []uint16{0x88a8, 0x8100}, ipv4(udp(p)))
		}), time.Microsecond},
		{"raw IP", pcap(binary.LittleEndian, time.Microsecond, linkRaw, packets, func(p []byte) []byte { return ipv4(udp(p)) }), time.Microsecond},
		{"loopback", pcap(binary.LittleEndian, time.Microsecond, linkNull, packets, func(p []byte) []byte { return append([]byte{2, 0, 0, 0}, ipv4(udp(p))...) }), time.Microsecond},
		{"cooked", pcap(binary.LittleEndian, time.Microsecond, linkCooked, packets, func(p []byte) []byte { return append(make([]byte, 16), ipv4(udp(p))...) }), time.Microsecond},
		{"cooked 2", pcap(binary.LittleEndian, time.Microsecond, linkCooked2, packets, func(p []byte) []byte { return append(make([]byte, 20), ipv4(udp(p))...) }), time.Microsecond},
		{"ethernet trailer", pcap(binary.LittleEndian, time.Microsecond, linkEthernet, packets, func(p []byte) []byte { return append(plain(p), 0, 0, 0, 0) }), time.Microsecond},
		{"pcapng", pcapng(binary.LittleEndian, 0, packets, plain), time.Microsecond},
		{"pcapng, big endian, ns", pcapng(binary.BigEndian, 9, packets, plain), time.Nanosecond},
		{"pcapng, powers of two", pcapng(binary.LittleEndian, 0x80+20, packets, plain), 2 * time.Microsecond},
		{"rtpdump", rtpdump(packets), time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := read(bytes.NewReader(tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Capture || len(r.Streams) != 1 || r.Streams[0].SSRC != tinySSRC || r.Truncated != 0 {
				t.Fatalf("capture %v, %d truncated, streams\n%s", r.Capture, r.Truncated, r)
			}
			got := r.Streams[0].Packets
			if len(got) != len(packets) {
				t.Fatalf("%d packets, want %d", len(got), len(packets))
			}
			for i := range got {
				want := packets[i].Arrival - packets[0].Arrival
				if off := got[i].Arrival - want; off > tc.rounded || off < -tc.rounded {
					t.Fatalf("packet %d at %v, want %v", i, got[i].Arrival, want)
				}
				got[i].Arrival = packets[i].Arrival
			}
			if !equalPackets(got, packets) {
				t.Error("packets differ")
			}
			// Cut off anywhere, what is whole is read and nothing else happens.
			for _, n := range []int{len(tc.data) - 1, len(tc.data) / 2, 700} {
				r, err := read(bytes.NewReader(tc.data[:n]))
				if err != nil {
					t.Errorf("cut to %d bytes: %v", n, err)
				} else if k := len(r.Streams[0].Packets); k == 0 || k >= len(packets) {
					t.Errorf("cut to %d bytes: %d packets", n, k)
				}
			}
		})
	}
}

func TestBadCaptures(t *testing.T) {
	one := tinyTrace()[:1]
	plain := func(p []byte) []byte { return ethernet(0x0800, nil, ipv4(udp(p))) }
	le := binary.LittleEndian
	good := pcap(le, time.Microsecond, linkEthernet, one, plain)
	edit := func(b []byte, at int, v uint32) []byte {
		b = bytes.Clone(b)
		le.PutUint32(b[at:], v)
		return b
	}
	ng := pcapng(le, 0, one, plain)
	portAt := 28 // after the section
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"pcap header cut", good[:20], "header cut off"},
		{"link type", edit(good, 20, 105), "link type 105"},
		{"huge record", edit(good, 32, 1<<20), "record of 1048576 bytes"},
		{"no RTP", pcap(le, time.Microsecond, linkEthernet, one, func([]byte) []byte { return plain([]byte("hello, this is not RTP")) }), "no RTP"},
		{"TCP", pcap(le, time.Microsecond, linkRaw, one, func(p []byte) []byte { b := ipv4(udp(p)); b[9] = 6; return b }), "no RTP"},
		{"fragments", pcap(le, time.Microsecond, linkRaw, one, func(p []byte) []byte { b := ipv4(udp(p)); b[6] = 0x20; return b }), "no RTP"},
		{"IP header too short", pcap(le, time.Microsecond, linkRaw, one, func(p []byte) []byte { b := ipv4(udp(p)); b[0] = 0x44; return b }), "no RTP"},
		{"snap length", edit(edit(good, 32, 60), 36, 214)[:100], "cut off: record them whole"},
		{"pcapng byte order", edit(ng, 8, 7), "without byte order"},
		{"pcapng block length", edit(ng, 4, 13), "block of 13 bytes"},
		{"pcapng huge block", edit(ng, portAt+4, 1<<30), "block of"},
		{"pcapng interface", edit(ng, portAt, 7), "packet of interface 0"},
		{"pcapng resolution", pcapng(le, 30, one, plain), "time resolution"},
		{"rtpdump header", []byte("#!rtpplay2.0\n"), "not an rtpdump"},
		{"rtpdump header cut", []byte("#!rtpplay1.0 a/1\n123"), "header cut off"},
		{"rtpdump record", append(rtpdump(nil), 0, 4, 0, 4, 0, 0, 0, 0), "shorter than its header"},
		{"rtpdump cut packets", append(rtpdump(nil), 0, 8, 0, 9, 0, 0, 0, 0), "cut off: record them whole"},
	} {
		if _, err := read(bytes.NewReader(tc.data)); !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestParseRTP(t *testing.T) {
	base := tinyTrace()[0]
	base.Payload = []byte{1, 2, 3}
	plain := rtp(&base)
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(plain)) }
	for _, tc := range []struct {
		name    string
		b       []byte
		payload []byte // nil: refused
	}{
		{"plain", plain, []byte{1, 2, 3}},
		{"marker", change(func(b []byte) []byte { b[1] |= 0x80; return b }), []byte{1, 2, 3}},
		{"padding", change(func(b []byte) []byte { b[0] |= 0x20; return append(b, 0, 0, 3) }), []byte{1, 2, 3}},
		{"padding of nothing", change(func(b []byte) []byte { b[0] |= 0x20; return append(b, 0) }), nil},
		{"padding of more than there is", change(func(b []byte) []byte { b[0] |= 0x20; return append(b, 200) }), nil},
		{"contributing source", change(func(b []byte) []byte { b[0] |= 1; return append(b[:12:12], append([]byte{9, 9, 9, 9}, b[12:]...)...) }), []byte{1, 2, 3}},
		{"extension", change(func(b []byte) []byte {
			b[0] |= 0x10
			return append(b[:12:12], append([]byte{0xbe, 0xde, 0, 1, 9, 9, 9, 9}, b[12:]...)...)
		}), []byte{1, 2, 3}},
		{"extension cut off", change(func(b []byte) []byte { b[0] |= 0x10; return b }), nil},
		{"version", change(func(b []byte) []byte { b[0] = 0x40; return b }), nil},
		{"RTCP", change(func(b []byte) []byte { b[1] = 200; return b }), nil},
		{"short", plain[:11], nil},
	} {
		p, ok := parseRTP(tc.b)
		if ok != (tc.payload != nil) || ok && (!bytes.Equal(p.Payload, tc.payload) || p.SSRC != tinySSRC) {
			t.Errorf("%s: %v %v", tc.name, ok, p.Payload)
		}
	}
}

func TestSplitRED(t *testing.T) {
	// Two copies, 1920 and 960 before, of 2 and 3 bytes.
	head := func(pt byte, offset, length uint32) []byte {
		return binary.BigEndian.AppendUint32(nil, uint32(0x80|pt)<<24|offset<<10|length)
	}
	b := append(head(111, 1920, 2), head(111, 960, 3)...)
	b = append(b, 111, 'a', 'b', 'c', 'd', 'e', 'f')
	blocks := splitRED(b)
	if len(blocks) != 3 || blocks[0].offset != 1920 || string(blocks[0].payload) != "ab" || blocks[1].offset != 960 ||
		string(blocks[1].payload) != "cde" || blocks[2].offset != 0 || string(blocks[2].payload) != "f" {
		t.Errorf("%+v", blocks)
	}
	for n := range 13 { // any shorter, a header or block is cut off
		if got := splitRED(b[:n]); got != nil {
			t.Errorf("%d bytes: %+v", n, got)
		}
	}
}

func checkRecording(t *testing.T, r *Recording, err error) {
	if err != nil {
		if !errors.Is(err, ErrTrace) {
			t.Fatalf("error of another kind: %v", err)
		}
		return
	}
	for i := range r.Streams {
		p := r.Streams[i].Packets
		if len(p) == 0 {
			t.Fatal("empty stream")
		}
		for k := range p {
			if len(p[k].Payload) == 0 || p[k].SSRC != r.Streams[i].SSRC || k > 0 && p[k].Arrival < p[k-1].Arrival {
				t.Fatalf("packet %d: %+v", k, p[k])
			}
		}
		_ = r.Streams[i].String()
	}
}

func FuzzPcap(f *testing.F) {
	packets := tinyTrace()[:2]
	plain := func(p []byte) []byte { return ethernet(0x0800, nil, ipv4(udp(p[:20]))) }
	f.Add(pcap(binary.LittleEndian, time.Microsecond, linkEthernet, packets, plain))
	f.Add(pcap(binary.BigEndian, time.Nanosecond, linkEthernet, packets, plain))
	f.Add(pcapng(binary.LittleEndian, 9, packets, plain))
	f.Add(pcapng(binary.BigEndian, 0, packets, plain))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func(*bytes.Reader, *collector) error{
			func(r *bytes.Reader, c *collector) error { return readPcap(r, c) },
			func(r *bytes.Reader, c *collector) error { return readPcapNG(r, c) },
		} {
			var c collector
			err := parse(bytes.NewReader(b), &c)
			r, err2 := c.recording()
			checkRecording(t, r, errors.Join(err, err2))
		}
	})
}

func FuzzRTPDump(f *testing.F) {
	f.Add(rtpdump(tinyTrace()[:2]))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := read(bytes.NewReader(append([]byte("#!rtpplay1.0 "), b...)))
		checkRecording(t, r, err)
	})
}
