package mixer

import (
	"testing"

	"parley/neteq"
)

// Totals are of everybody, also of those who have gone, and nothing is counted twice.
func TestNetEqTotals(t *testing.T) {
	l := newLab(t, 2)
	r, other := l.room(RoomConfig{}), l.room(RoomConfig{})
	a := l.source(r, "A", &fakeBuffer{sound: constant(0.1)})
	b := l.source(other, "B", &fakeBuffer{sound: constant(0.1)})
	l.listener(r, "X")
	l.listener(other, "Y")
	push := func(s *Source, n int) {
		for k := range n {
			s.Push(&neteq.Packet{SequenceNumber: uint16(k), Payload: []byte{1}}, l.now)
			l.ticks(2)
		}
	}
	push(a, 30)
	push(b, 20)
	l.ticks(20)
	if got := l.m.Stats().NetEq.PacketsReceived; got != 50 {
		t.Errorf("%d packets, want 50", got)
	}
	a.Close()
	l.ticks(20)
	push(b, 5)
	l.ticks(20)
	if got := l.m.Stats().NetEq.PacketsReceived; got != 55 {
		t.Errorf("%d packets after a departure, want 55", got)
	}
}

// A counter that is corrected downwards does not wrap the total around.
func TestNetEqTotalsNeverFall(t *testing.T) {
	var c neteqCounters
	before := c.add(NetEqTotals{}, &neteq.Stats{ConcealedSamples: 100, JitterBufferDelay: 0.5})
	before = c.add(before, &neteq.Stats{ConcealedSamples: 90, JitterBufferDelay: 0.5})
	c.add(before, &neteq.Stats{ConcealedSamples: 120, JitterBufferDelay: 0.75})
	var got NetEqTotals
	c.addTo(&got)
	if got.ConcealedSamples != 130 || got.DelayMicroseconds != 750000 {
		t.Errorf("%+v", got)
	}
}
