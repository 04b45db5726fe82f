package mixer

import (
	"testing"

	"parley/neteq"
)

// What a packet's level will be is known when it is pushed: by what it states, or, of senders that state nothing or were found
// to lie, by the packets before it.
func TestExpect(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 2})
	_, _ = l.listener(r, "X")
	honest := l.voice(r, "A", steady(-30), nil, steadySound(-30))
	silent := l.voice(r, "B", nil, nil, steadySound(-20))
	liar := l.voice(r, "C", steady(-3), steady(-90), steadySound(-90))
	claims := func(level uint8) *neteq.Packet { return &neteq.Packet{HasAudioLevel: true, AudioLevel: level} }
	if got := honest.source.Expect(claims(33)); got != -33 {
		t.Errorf("the first packet is expected at %d, want -33", got)
	}
	if got := silent.source.Expect(&neteq.Packet{}); got != silentDBov {
		t.Errorf("the first packet without a level is expected at %d", got)
	}
	l.talk(100, nil, honest, silent, liar)
	if got := honest.source.Expect(claims(40)); got < -42 || got > -38 {
		t.Errorf("the honest one is expected at %d, want -40", got)
	}
	if got := silent.source.Expect(&neteq.Packet{}); got < -25 || got > -15 {
		t.Errorf("the one without levels is expected at %d, want -20", got)
	}
	if got := liar.source.Expect(claims(3)); got > -80 {
		t.Errorf("the liar is expected at %d, want -90", got)
	}
	if n := testing.AllocsPerRun(100, func() { honest.source.Expect(claims(3)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
