package neteq

import (
	"errors"
	"testing"
)

// redPayload builds RFC 2198 around blocks, oldest first; the last is the primary.
func redPayload(pt uint8, offsets []uint32, blocks ...[]byte) []byte {
	var head, body []byte
	for i, b := range blocks {
		if i == len(blocks)-1 {
			head = append(head, pt)
		} else {
			o := offsets[i]
			head = append(head, 0x80|pt, byte(o>>6), byte(o<<2)|byte(len(b)>>8), byte(len(b)))
		}
		body = append(body, b...)
	}
	return append(head, body...)
}

func TestSplitRED(t *testing.T) { // 7.2 items 18, 19, 20, 23, 24, 25, 26
	var blocks [redMaxBlocks]redBlock
	long := make([]byte, 1023)
	for i := range long {
		long[i] = byte(i)
	}
	cases := []struct {
		name    string
		in      []byte
		want    []redBlock
		failure bool
	}{
		{"one", redPayload(5, nil, []byte{1, 2}), []redBlock{{5, 0, 0, []byte{1, 2}}}, false},
		{"two", redPayload(5, []uint32{160}, []byte{9}, []byte{1, 2}), []redBlock{{5, 0, 0, []byte{1, 2}}, {5, 1, 160, []byte{9}}}, false},
		{"three", redPayload(5, []uint32{320, 160}, []byte{7, 7}, []byte{9}, []byte{1}),
			[]redBlock{{5, 0, 0, []byte{1}}, {5, 1, 160, []byte{9}}, {5, 2, 320, []byte{7, 7}}}, false},
		{"empty block", redPayload(5, []uint32{160}, nil, []byte{1}), []redBlock{{5, 0, 0, []byte{1}}}, false},
		{"largest", redPayload(5, []uint32{16383}, long, []byte{1}), []redBlock{{5, 0, 0, []byte{1}}, {5, 1, 16383, long}}, false},
		{"second block too short", redPayload(5, []uint32{320, 160}, []byte{7, 7}, []byte{9, 9}, []byte{})[:12],
			[]redBlock{{5, 2, 320, []byte{7, 7}}}, true},
		{"four bytes", redPayload(5, []uint32{160}, []byte{9}, []byte{1})[:4], nil, true},
		{"three bytes", redPayload(5, []uint32{160}, []byte{9}, []byte{1})[:3], nil, true},
		{"nothing", nil, nil, true},
	}
	many := make([]byte, 0, 200)
	for range 40 {
		many = append(many, 0x85, 0, 0, 0)
	}
	cases = append(cases, struct {
		name    string
		in      []byte
		want    []redBlock
		failure bool
	}{"too many", append(many, 5, 1), nil, true})
	for _, c := range cases {
		got, err := splitRED(c.in, &blocks)
		if (err != nil) != c.failure || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %d blocks", c.name, len(got))
			continue
		}
		for i, w := range c.want {
			if g := got[i]; g.payloadType != w.payloadType || g.level != w.level || g.offset != w.offset || string(g.payload) != string(w.payload) {
				t.Errorf("%s block %d: %+v", c.name, i, g)
			}
		}
	}
}

func TestREDFillsHolesAndNothingElse(t *testing.T) { // items 21, 22, 30 and 152
	b := newBench(t, Config{})
	b.sig = sine(300, 0.4)
	var last []byte
	insert := func(lost bool, pt uint8) error {
		p := b.next()
		q := *p
		q.PayloadType = 63
		if last == nil {
			last = make([]byte, 4) // nonsense before the first packet: must not delay the start
		}
		q.Payload = redPayload(pt, []uint32{960}, last[:min(len(last), 1000)], p.Payload)
		last = p.Payload
		b.packet = 480
		if lost {
			return nil
		}
		return b.n.Insert(&q, b.now+ms(1))
	}
	b.packet = 480
	for k := range 300 {
		if err := insert(k%7 == 6, testPT); err != nil {
			t.Fatal(err)
		}
		b.tick()
	}
	s := b.n.Stats()
	if s.REDPacketsReceived == 0 || s.InvalidPackets != 0 {
		t.Errorf("%+v", s)
	}
	if err := insert(false, 63); !errors.Is(err, ErrUnknownPayloadType) {
		t.Errorf("RED inside RED: %v", err)
	}
	if err := insert(false, 33); !errors.Is(err, ErrUnknownPayloadType) {
		t.Errorf("unknown inside RED: %v", err)
	}
}

func FuzzSplitRED(f *testing.F) { // item 27, M-06
	f.Add(redPayload(5, []uint32{160}, []byte{9}, []byte{1, 2}))
	f.Add([]byte{0x85, 0xff, 0xff, 0xff, 5, 1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		var blocks [redMaxBlocks]redBlock
		got, _ := splitRED(in, &blocks)
		sum := 0
		for _, b := range got {
			sum += len(b.payload)
			if len(b.payload) == 0 || cap(b.payload) != len(b.payload) {
				t.Fatal("block empty or open-ended")
			}
		}
		if sum > len(in) {
			t.Fatalf("%d bytes in blocks of %d", sum, len(in))
		}
	})
}
