package media

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/cluster/trunk"
	"parley/neteq"
)

// fakeSource records what is done to a mixer's source.
type fakeSource struct {
	owner   string
	formats map[uint8]neteq.Format
	packets []int
	times   []time.Duration
	muted   bool
	closed  bool
	full    bool
}

func (s *fakeSource) Push(p *neteq.Packet, arrival time.Duration) bool {
	if s.full {
		return false
	}
	s.packets, s.times = append(s.packets, int(p.SequenceNumber)), append(s.times, arrival)
	return true
}
func (s *fakeSource) SetMuted(m bool) { s.muted = m }
func (s *fakeSource) Close()          { s.closed = true }

// receiver is an inlet whose rooms are in a test's hands.
type receiver struct {
	*Inlet
	now     time.Duration
	rooms   []string
	sources []*fakeSource
	asked   int
}

var errNoRoom = errors.New("no such room")

func newReceiver(t *testing.T, rooms ...string) *receiver {
	t.Helper()
	r := &receiver{rooms: rooms, now: time.Hour}
	var err error
	r.Inlet, err = NewInlet(InletConfig{
		Now: func() time.Duration { return r.now },
		AddSource: func(room, participant string, formats map[uint8]neteq.Format) (Source, error) {
			if r.asked++; !slices.Contains(r.rooms, room) {
				return nil, errNoRoom
			}
			r.sources = append(r.sources, &fakeSource{owner: participant, formats: formats})
			return r.sources[len(r.sources)-1], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *receiver) open(from string, stream uint32, participant string, epoch uint32, hop int) {
	r.Stream(event(from, stream, participant, epoch, hop, false))
}

func (r *receiver) end(from string, stream uint32, participant string, epoch uint32, hop int) {
	r.Stream(event(from, stream, participant, epoch, hop, true))
}

func event(from string, stream uint32, participant string, epoch uint32, hop int, ended bool) trunk.StreamEvent {
	return trunk.StreamEvent{From: from, Stream: stream, Ended: ended, Info: trunk.StreamInfo{
		Room: "room", Participant: participant, SourceEpoch: epoch, Hop: hop, Origin: "x", Formats: opusFormats}}
}

func (r *receiver) push(from string, stream uint32, participant string, sequence int, held time.Duration) {
	p := trunk.Packet{From: from, Room: "room", Participant: participant, Stream: stream, Held: held}
	p.SequenceNumber = uint16(sequence)
	r.Packet(p)
}

// A participant is one source, however often its stream ends and begins anew, and is told silent in between.
func TestOneSourcePerParticipant(t *testing.T) {
	r := newReceiver(t, "room")
	for spurt := range 5 {
		stream := uint32(10 + spurt)
		r.open("a", stream, "alice", 3, 1)
		if r.sources[0].muted {
			t.Fatal("muted while speaking")
		}
		r.push("a", stream, "alice", spurt, 60*time.Millisecond)
		r.end("a", stream, "alice", 3, 1)
		if !r.sources[0].muted {
			t.Fatal("not silent when its stream has ended")
		}
		r.push("a", stream, "alice", 99, 0)
		r.now += time.Minute
	}
	s := r.sources[0]
	if len(r.sources) != 1 || s.owner != "alice" || !slices.Equal(s.packets, []int{0, 1, 2, 3, 4}) || s.closed {
		t.Errorf("%d sources, %+v", len(r.sources), s)
	}
	if s.times[1] != time.Hour+time.Minute-60*time.Millisecond {
		t.Errorf("a packet that was held back for 60 ms came at %v", s.times[1])
	}
	if st := r.Stats(); st.Packets != 5 || st.Doubles != 5 || st.Voices != 1 {
		t.Errorf("%+v", st)
	}
	r.now += keepIdle
	r.open("a", 77, "bob", 1, 1)
	if st := r.Stats(); !s.closed || st.Voices != 1 {
		t.Errorf("after %v of silence closed: %v; %+v", keepIdle, s.closed, st)
	}
	r.push("a", 5, "alice", 1, 0)
	if st := r.Stats(); st.Unknown != 1 {
		t.Errorf("%+v", st)
	}
}

// Of a participant's packets that come by several ways one stream is heard: the newest epoch's, then the shortest way's.
func TestNobodyIsHeardTwice(t *testing.T) {
	r := newReceiver(t, "room")
	heard := func() string {
		for _, s := range r.sources {
			s.packets = nil
		}
		for i, from := range []string{"hub", "a", "b"} {
			r.push(from, uint32(i+1), "alice", i+1, 0)
		}
		return fmt.Sprint(r.sources[0].packets)
	}
	r.open("hub", 1, "alice", 5, 2)
	for _, c := range []struct {
		do   func()
		want string
	}{
		{func() {}, "[1]"},
		{func() { r.open("a", 2, "alice", 5, 1) }, "[2]"},
		{func() { r.open("b", 3, "alice", 6, 2) }, "[3]"},
		{func() { r.end("b", 3, "alice", 6, 2) }, "[2]"},
		{func() { r.end("hub", 1, "alice", 5, 2) }, "[2]"},
		{func() { r.open("hub", 1, "alice", 4, 1) }, "[2]"},
		{func() { r.end("a", 2, "alice", 5, 1) }, "[1]"},
		{func() { r.end("a", 2, "alice", 5, 1) }, "[1]"},
		{func() { r.end("hub", 1, "alice", 4, 1) }, "[]"},
	} {
		c.do()
		if got := heard(); got != c.want {
			t.Fatalf("heard %s, want %s", got, c.want)
		}
	}
	if len(r.sources) != 1 {
		t.Errorf("%d sources of one participant", len(r.sources))
	}
}

// A room that comes to this node later gets its sources with the next packets; one that goes loses them.
func TestRoomsComeAndGo(t *testing.T) {
	r := newReceiver(t)
	r.open("a", 1, "alice", 1, 1)
	for k := range 100 {
		r.push("a", 1, "alice", k, 0)
		r.now += 20 * time.Millisecond
	}
	if st := r.Stats(); st.NoRoom != 100 || r.asked > 10 {
		t.Errorf("%+v; asked %d times in 2 s", st, r.asked)
	}
	r.rooms = []string{"room"}
	for k := range 20 {
		r.push("a", 1, "alice", k, 0)
		r.now += 20 * time.Millisecond
	}
	if len(r.sources) != 1 || len(r.sources[0].packets) < 5 {
		t.Fatalf("%d sources", len(r.sources))
	}
	r.sources[0].full = true
	r.push("a", 1, "alice", 1, 0)
	if r.Stats().Full != 1 {
		t.Errorf("%+v", r.Stats())
	}
	r.Forget("room", "bob")
	if r.sources[0].closed {
		t.Error("bob left and alice was closed")
	}
	r.rooms = nil
	r.Forget("room", "")
	if !r.sources[0].closed {
		t.Error("the room went and its source stayed")
	}
	r.end("a", 1, "alice", 1, 1)
	r.Forget("room", "alice")
	if r.Stats().Voices != 0 {
		t.Errorf("%+v", r.Stats())
	}
}

// Other formats make another source; too many streams are counted.
func TestFormatsAndBounds(t *testing.T) {
	r := newReceiver(t, "room")
	r.open("a", 1, "alice", 1, 1)
	e := event("a", 2, "alice", 2, 1, false)
	e.Info.Formats = map[uint8]neteq.Format{0: {Name: "PCMU", ClockRateHz: 8000}}
	r.Stream(e)
	if len(r.sources) != 2 || !r.sources[0].closed || r.sources[1].formats[0].Name != "PCMU" {
		t.Errorf("%d sources", len(r.sources))
	}
	for k := range maxStreamsEach {
		r.open("b", uint32(k), "alice", 0, 1)
	}
	if st := r.Stats(); st.TooMany != 2 {
		t.Errorf("%+v", st)
	}
	if _, err := NewInlet(InletConfig{}); err == nil {
		t.Error("an inlet without mixer")
	}
}

// A hub sends on what came from the speakers' own nodes, and nothing that came over a hub.
func TestRelay(t *testing.T) {
	conn := newWire(t)
	hub, err := trunk.New(trunk.Config{Conn: stubConn(t), Node: "hub", Secret: make([]byte, 32), Epoch: 1, MaxHops: 2})
	if err != nil {
		t.Fatal(err)
	}
	conn.Trunks = hub
	r := NewRelay(conn, func(room, from string) []string {
		if room != "room" {
			return nil
		}
		return []string{"leaf1", "leaf2", from}
	})
	e := event("a", 1, "alice", 1, 1, false)
	r.Stream(e)
	second := event("b", 1, "bob", 1, 2, false)
	r.Stream(second)
	other := event("a", 2, "carol", 1, 1, false)
	other.Info.Room = "elsewhere"
	r.Stream(other)
	for _, from := range []string{"a", "b"} {
		for stream := range uint32(3) {
			r.Packet(trunk.Packet{From: from, Room: "room", Stream: stream, Held: time.Millisecond, Packet: neteq.Packet{Payload: []byte("x")}})
		}
	}
	got := conn.sent["alice"]
	if len(conn.sent) != 1 || len(got) != 2 || got[0].node != "leaf1" || got[1].node != "leaf2" || got[0].held != time.Millisecond {
		t.Errorf("sent on: %+v", conn.sent)
	}
	if info := got[0].stream.Info(); info.Hop != 2 || info.Origin != "x" {
		t.Errorf("as %+v", info)
	}
	e.Ended = true
	r.Stream(e)
	r.Packet(trunk.Packet{From: "a", Room: "room", Stream: 1})
	if len(conn.sent["alice"]) != 2 {
		t.Error("sent on after the end")
	}
}
