package mixer

import (
	"slices"
	"testing"
	"time"

	"parley/neteq"
)

// requests records what is asked for.
type requests struct{ lists [][]uint16 }

func (r *requests) RequestPackets(sequences []uint16) {
	r.lists = append(r.lists, slices.Clone(sequences))
}

// What NetEq misses is asked for once a tick while the source is heard, with the round trip known; not while it is muted or
// nobody listens, and never of a sender that does not send again.
func TestRequests(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	_, _ = l.listener(r, "B")
	formats := map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}
	asked := &requests{}
	b := &fakeBuffer{sound: constant(0.1), busy: true}
	l.next = b
	s, err := r.AddSource(SourceConfig{Owner: "A", Formats: formats, Requests: asked})
	if err != nil {
		t.Fatal(err)
	}
	silent := &fakeBuffer{sound: constant(0.1), missing: []uint16{1}}
	l.source(r, "C", silent) // without Requests
	s.SetRTT(70 * time.Millisecond)
	l.ticks(3)
	if len(asked.lists) != 0 || b.rtt != 70*time.Millisecond {
		t.Errorf("nothing is missing: %v, round trip %v", asked.lists, b.rtt)
	}
	b.missing = []uint16{7, 9}
	l.ticks(2)
	if len(asked.lists) != 2 || !slices.Equal(asked.lists[1], []uint16{7, 9}) {
		t.Errorf("%v", asked.lists)
	}
	s.SetMuted(true)
	l.ticks(3)
	n := len(asked.lists)
	l.ticks(10)
	if len(asked.lists) != n {
		t.Error("a muted source is asked for packets")
	}
}
