package trunk

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"parley/neteq"
)

// Any datagram: no panic, nothing unbounded; and what parses is written back the same.
func FuzzMessages(f *testing.F) {
	info := StreamInfo{Room: "r", Participant: "p", SourceEpoch: 9, Origin: "a", Hop: 1, Formats: map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}}
	f.Add(appendMedia(nil, 300, packet(1), 20*time.Millisecond))
	f.Add(append(appendInfo(appendID(nil, kindAnnounce, 1), &info), appendMedia(nil, 1, packet(2), 0)...))
	f.Add(appendNack(appendPong(appendPing(nil, 1, 0.1, true), 1), 5, 6, 7))
	f.Add(appendID(appendID(nil, kindWithdraw, 1), kindUnknown, 1<<32-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		for rest := b; len(rest) > 0; {
			var err error
			before := rest
			if rest, err = m.parse(rest); err != nil {
				return
			}
			if len(rest) >= len(before) {
				t.Fatal("nothing was taken")
			}
			var again message
			switch m.kind {
			case kindMedia:
				b := appendMedia(nil, m.stream, &m.packet, m.held)
				if _, err := again.parse(b); err != nil || !reflect.DeepEqual(m.packet, again.packet) || m.held != again.held || m.stream != again.stream {
					t.Fatalf("%+v became %+v: %v", m, again, err)
				}
			case kindAnnounce:
				if !m.info.check() {
					t.Fatalf("taken: %+v", m.info)
				}
				b := appendInfo(appendID(nil, kindAnnounce, m.stream), &m.info)
				if _, err := again.parse(b); err != nil || !reflect.DeepEqual(m.info, again.info) {
					t.Fatalf("%+v became %+v: %v", m.info, again.info, err)
				}
			}
		}
	})
}

// Any datagram from anywhere, at a node that has links, and as plain text of a peer gone mad.
func FuzzDatagram(f *testing.F) {
	h := hello{index: 1, number: 1, epoch: 5, share: bytes.Repeat([]byte{9}, shareBytes), to: 2, name: "x", receiver: "b"}
	f.Add(h.appendTo(nil), false)
	f.Add(appendAnswer(nil, 1, 2, 3, make([]byte, shareBytes)), false)
	f.Add(appendID(appendMedia(nil, 1, packet(0), 0), kindWithdraw, 1), true)
	f.Add(appendNack(nil, 0, 1<<64-1, 1<<64-1), true)
	f.Fuzz(func(t *testing.T, b []byte, authentic bool) {
		tr, err := New(Config{Conn: newNetwork().listen("10.0.0.2:1"), Node: "b", Secret: testSecret, Epoch: 2, OnPacket: func(Packet) {}})
		if err != nil {
			t.Fatal(err)
		}
		if !authentic {
			if len(b) > tagBytes && (b[0] == typeHello || b[0] == typeAnswer) { // let it through to what comes after the MAC
				b = append(b[:len(b)-tagBytes:len(b)-tagBytes], tr.helloKey.of(nil, b[:len(b)-tagBytes])...)
			}
			tr.datagram(b, thirdHost, 1)
			return
		}
		tr.mu.Lock()
		l := tr.linkTo("a", true)
		tr.mu.Unlock()
		s := &session{link: l, remote: 0, epoch: 1, missing: make([]missing, 0, maxMissing)}
		l.begin(s, 1)
		for len(b) > 0 {
			if b, err = tr.message.parse(b); err != nil {
				return
			}
			l.handle(&tr.message, 1)
		}
		if len(l.in) > MaxStreams || len(l.resends) > maxResends || l.tail-l.head > queueLen {
			t.Fatalf("%d streams, %d resends, %d datagrams", len(l.in), len(l.resends), l.tail-l.head)
		}
	})
}

// The window against a model that remembers everything.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 2, 200, 255, 0, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var w window
		seen, highest, at := map[uint64]bool{}, uint64(0), uint64(1)
		for k, step := range steps {
			at += (uint64(step) - 100) * uint64(1+k%17)
			if int64(at) < 0 {
				at = 0
			}
			want := at != 0 && !seen[at] && (at > highest || highest-at < windowSize)
			if got := w.fresh(at); got != want {
				t.Fatalf("step %d: %d is fresh: %v, want %v; highest %d", k, at, got, want, highest)
			}
			if want {
				w.take(at)
				seen[at], highest = true, max(highest, at)
			}
		}
	})
}
