package replay

import (
	"fmt"
	"testing"
	"time"

	"parley/neteq"
)

// The fates in the tiny trace are what the network did to it.
func TestFatesOfTheTinyTrace(t *testing.T) {
	o := runTiny(t)
	units := o.Units()
	if len(units) != tinyPackets {
		t.Fatalf("%d units, want %d", len(units), tinyPackets)
	}
	for i, u := range units {
		want := FatePlayed
		switch i {
		case tinyLost, tinyLost + 1:
			want = FateLost
		case tinyReordered:
			want = FateReordered
			if !u.Played { // it had 24 ms more to wait than the buffer may hold
				want = FateLate
			}
		}
		if u.Fate != want || u.Sequence != int64(tinySeq+i) || u.Segment != 0 {
			t.Errorf("packet %d: %v, sequence %d, segment %d", i, u.Fate, u.Sequence, u.Segment)
		}
		if copies := map[bool]int{true: 1}[i == tinyTwice]; u.Copies != copies {
			t.Errorf("packet %d came %d times more", i, u.Copies)
		}
		if u.Arrived && u.Played && u.PlayedAt < u.Arrival {
			t.Errorf("packet %d was played at %v before it came at %v", i, u.PlayedAt, u.Arrival)
		}
		wantDelay := time.Duration(1000*(i*7%5)) * time.Microsecond
		if i == tinyReordered {
			wantDelay += 24 * time.Millisecond
		}
		if u.Arrived && u.Delay != wantDelay {
			t.Errorf("packet %d: delay %v, want %v", i, u.Delay, wantDelay)
		}
	}
	// What did not come has the time at which it would have: 5 ms after it was sent.
	for _, i := range []int{tinyLost, tinyLost + 1} {
		if want := time.Duration(i)*20*time.Millisecond + 5*time.Millisecond; units[i].Arrival != want {
			t.Errorf("lost packet %d at %v, want %v", i, units[i].Arrival, want)
		}
	}
}

func opusPacket(seq uint16, ts uint32, at time.Duration, payload string) Packet {
	return Packet{Arrival: at, Packet: neteq.Packet{SequenceNumber: seq, Timestamp: ts, SSRC: 1, PayloadType: 111, Payload: []byte(payload)}}
}

func outcome(packets []Packet, ticks int, log ...decoding) *Outcome {
	o := &Outcome{Channels: 1, Formats: DefaultFormats(), Packets: packets, decoded: log, PCM: make([]float32, ticks*tickFrames)}
	for i := range ticks {
		o.Ticks = append(o.Ticks, Tick{At: time.Duration(i) * tick})
	}
	return o
}

func heard(tick int, payload string) decoding { return decoding{tick, hash([]byte(payload)), false} }
func spared(tick int, payload string) decoding {
	return decoding{tick, hash([]byte(payload)), true}
}

func TestFates(t *testing.T) {
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	red := func(seq uint16, ts uint32, ms int, old, own string) Packet {
		p := opusPacket(seq, ts, at(ms), "")
		p.PayloadType = 63
		word := 111 | 0x80
		p.Payload = append([]byte{byte(word), 960 >> 6, byte(960 << 2 & 0xff), byte(len(old)), 111}, old+own...)
		return p
	}
	for _, tc := range []struct {
		name string
		o    *Outcome
		want string
	}{
		{"in-band redundancy for one of two lost", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(13, 2880, at(60), "ddd")}, 20,
			heard(1, "aaa"), spared(7, "ddd"), heard(9, "ddd")), "played lost recovered played"},
		{"redundancy, and the packet after all", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(12, 1920, at(40), "ccc"), opusPacket(11, 960, at(90), "bbb"), opusPacket(13, 2880, at(91), "ddd")}, 20,
			heard(1, "aaa"), spared(5, "ccc"), heard(7, "ccc"), heard(10, "ddd")), "played recovered played played"},
		{"RED copy", outcome(
			[]Packet{red(10, 960, 0, "zzz", "aaa"), red(12, 2880, 40, "bbb", "ccc")}, 20,
			heard(1, "aaa"), heard(5, "bbb"), heard(7, "ccc")), "played recovered played"},
		{"too late", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(12, 1920, at(40), "ccc"), opusPacket(11, 960, at(90), "bbb"), opusPacket(13, 2880, at(95), "ddd")}, 20,
			heard(1, "aaa"), heard(7, "ccc"), heard(10, "ddd")), "played late played played"},
		{"reordered", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(12, 1920, at(40), "ccc"), opusPacket(11, 960, at(41), "bbb")}, 20,
			heard(1, "aaa"), heard(5, "bbb"), heard(7, "ccc")), "played reordered played"},
		{"silence is not decoded and not late", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(11, 960, at(20), "x"), opusPacket(12, 20000, at(400), "ccc")}, 60,
			heard(1, "aaa"), heard(42, "ccc")), "played played played"},
		{"waiting at the end", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(11, 960, at(20), "bbb")}, 3,
			heard(1, "aaa")), "played played"},
		{"equal payloads are taken in order", outcome(
			[]Packet{opusPacket(10, 0, 0, "aaa"), opusPacket(11, 960, at(20), "aaa"), opusPacket(12, 1920, at(40), "bbb"), opusPacket(13, 2880, at(60), "aaa")}, 20,
			heard(1, "aaa"), heard(3, "aaa"), heard(9, "aaa")), "played played late played"},
	} {
		got := ""
		for i, u := range tc.o.Units() {
			if i > 0 {
				got += " "
			}
			got += u.Fate.String()
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestSegments(t *testing.T) {
	p := []Packet{opusPacket(65535, 0, 0, "aaa"), opusPacket(0, 960, 20*time.Millisecond, "bbb"),
		opusPacket(5000, 1920, 40*time.Millisecond, "ccc"),                        // sequence numbers leap
		opusPacket(5001, 1920+48000*10, 60*time.Millisecond, "ddd"),               // timestamps leap
		opusPacket(5002, 1920+48000*10+960, 80*time.Millisecond, "eee"),           // no leap
		opusPacket(5003, 1920+48000*14, 80*time.Millisecond+4*time.Second, "fff")} // a pause is none
	p[5].Timestamp = p[4].Timestamp + 48000*4
	q := opusPacket(5004, p[5].Timestamp+960, p[5].Arrival+20*time.Millisecond, "ggg")
	q.SSRC = 2
	got := ""
	for _, u := range outcome(append(p, q), 1).Units() {
		got += fmt.Sprintf("%d:%d ", u.Segment, u.Sequence)
	}
	if want := "0:65535 0:65536 1:5000 2:5001 2:5002 2:5003 3:5004 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The baseline of the real delay moves with the network, two seconds behind.
func TestRealDelayFollowsTheFastestOfTwoSeconds(t *testing.T) {
	// A packet every 100 ms, all played 50 ms after they came; after 5 s they take 30 ms longer.
	var packets []Packet
	var log []decoding
	for i := range 100 {
		at := time.Duration(i) * 100 * time.Millisecond
		if i >= 50 {
			at += 30 * time.Millisecond
		}
		payload := fmt.Sprintf("packet %d", i)
		packets = append(packets, opusPacket(uint16(i), uint32(i)*4800, at, payload))
		log = append(log, heard(int((at+50*time.Millisecond)/tick), payload))
	}
	o := outcome(packets, 1010, log...)
	real := o.realDelay(o.Units())
	for _, tc := range []struct {
		tick int
		want float64
	}{{3, 0}, {100, 50}, {515, 80}, {690, 80}, {720, 50}, {1000, 50}} {
		if real[tc.tick] != tc.want {
			t.Errorf("tick %d: %g ms, want %g", tc.tick, real[tc.tick], tc.want)
		}
	}
}
