package mixertest

import (
	"testing"
	"time"

	"parley/mixer"
	"parley/neteq"
)

// One stream of 50,000 packets a second: 500 a second and a burst of 100 are taken, the rest is turned away at the door, before
// anything looks at it; the other speaker is heard as before. What turning away costs is BenchmarkPacketTurnedAway.
func TestM03PacketRate(t *testing.T) {
	st, _, calls := newCounting(t)
	r := newRoom(t, st.m, mixer.RoomConfig{Speakers: 5})
	hostile := newSource(t, r, "A")
	friend := newCaller(t, r, "B", tone(440, 0.2), true, false)
	e, _ := newEar(t, st.m, r, "X")
	p := neteq.Packet{PayloadType: 111, SSRC: 1, Payload: []byte{0x80, 1, 2, 3}, HasAudioLevel: true, AudioLevel: 0} // CELT, 2.5 ms
	const seconds = 5
	taken, decoded := 0, 0
	for n := range seconds * 100 {
		if n%2 == 0 {
			friend.send(st.now)
			friend.arrive(st.now)
		}
		for k := range 500 {
			p.SequenceNumber++
			p.Timestamp += 120
			if hostile.Push(&p, st.now+time.Duration(k)*20*time.Microsecond) {
				taken++
			}
		}
		*calls = 0
		st.now += 10 * time.Millisecond
		st.m.Step()
		decoded += *calls
	}
	s := hostile.Stats()
	if most := seconds*500 + 100; taken > most || taken < seconds*500 {
		t.Errorf("%d packets taken in %d s, want at most %d", taken, seconds, most)
	}
	if s.RateLimited+s.InboxFull != uint64(seconds*50000-taken) || s.NetEq.PacketsReceived > uint64(taken) {
		t.Errorf("%d turned away for their rate, %d for want of room, %d seen by NetEq", s.RateLimited, s.InboxFull, s.NetEq.PacketsReceived)
	}
	if decoded > taken+seconds*100 { // the friend's are in it
		t.Errorf("%d packets decoded, %d taken", decoded, taken)
	}
	if level := e.levelDB(440); level < -16 || level > -12 {
		t.Errorf("the other speaker is heard at %.1f dB, want -14", level)
	}
}

// BenchmarkPacketTurnedAway times 50,000 are what the flood of M-03 costs in a second, beside what pion does before.
func BenchmarkPacketTurnedAway(b *testing.B) {
	st := newStepped(b)
	source := newSource(b, newRoom(b, st.m, mixer.RoomConfig{}), "A")
	p := neteq.Packet{PayloadType: 111, SSRC: 1, Payload: make([]byte, 100)}
	for source.Push(&p, 0) {
	}
	b.ReportAllocs()
	for b.Loop() {
		if source.Push(&p, 0) {
			b.Fatal("taken")
		}
	}
}
