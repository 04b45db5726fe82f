package mixer

import (
	"fmt"
	"testing"
	"time"

	"parley/neteq"
)

// costly is a room whose encodes take time on the lab's clock, by complexity and redundancy, and whose decodes do.
type costly struct {
	*lab
	room   *Room
	factor float64       // of all costs
	sent   time.Duration // when packets were last sent
}

func newCostly(t *testing.T, encoding EncoderConfig, talkers int) *costly {
	l := newLab(t, 1)
	l.record = false
	c := &costly{lab: l, factor: 1}
	l.onEncode = func(e *fakeEncoder) {
		us := 100.0 + 60*float64(e.complexity)
		if e.loss > 0 {
			us *= 1.3
		}
		us *= float64(e.samples) / 960
		if e.samples > 960 {
			us *= 0.8
		}
		l.now += time.Duration(us * c.factor * float64(time.Microsecond))
	}
	c.room = l.room(RoomConfig{Encoder: &encoding})
	for i := range talkers {
		l.source(c.room, fmt.Sprint(i), &fakeBuffer{
			sound: noise(uint64(i), 0.1), onGet: func(time.Duration) { l.now += time.Duration(50*c.factor) * time.Microsecond },
		})
		listener, _ := l.listener(c.room, fmt.Sprint(i))
		listener.SetReport(Report{Loss: 0.02})
	}
	return c
}

// run lets the clock go on from tick to tick; what ticks take is in it.
func (c *costly) run(d time.Duration) {
	for end := c.now + d; c.now < end; {
		next := due(firstDue(c.now, c.room.phase), c.room.phase)
		c.now = max(c.now, next)
		for ; c.sent+20*time.Millisecond <= c.now; c.sent += 20 * time.Millisecond {
			for i, s := range c.room.sources {
				p := neteq.Packet{Payload: []byte{1}, HasAudioLevel: true, AudioLevel: uint8(25 + i)}
				s.Push(&p, c.sent)
			}
		}
		c.m.Step()
		c.now++
	}
}

func TestOverloadLadder(t *testing.T) {
	encoding := EncoderConfig{BitrateBps: 32000, FEC: true, Complexity: 9, LossPercent: 5}
	c := newCostly(t, encoding, 8)
	c.run(3 * time.Second)
	st := c.m.Stats()
	if st.Rung != 0 || st.Load < 0.2 || st.Load > 0.7 || st.Climbs != [Rungs - 1]uint64{} {
		t.Fatalf("load %.2f, rung %d", st.Load, st.Rung)
	}
	e := c.encoders[0]
	if e.loss == 0 || e.complexity != 9 {
		t.Fatalf("loss %d, complexity %d", e.loss, e.complexity)
	}
	// More and more: step by step down, in that order.
	seen := []int{0}
	for c.factor = 1; c.factor < 20 && !c.m.Overloaded(); c.factor *= 1.05 {
		for range 4 {
			c.run(100 * time.Millisecond)
			if rung := c.m.Stats().Rung; rung != seen[len(seen)-1] {
				seen = append(seen, rung)
				c.run(60 * time.Millisecond) // for the next frame
				c.checkRung(t, encoding)
			}
		}
	}
	if fmt.Sprint(seen) != "[0 1 2 3 4 5 6]" {
		t.Fatalf("rungs %v, want one after the other", seen)
	}
	if !c.m.Overloaded() || !c.room.Overloaded() {
		t.Error("joins are not refused")
	}
	chosen := 0
	for _, s := range c.room.sources {
		if s.chosen {
			chosen++
		}
	}
	if chosen != fewestSpeakers {
		t.Errorf("%d speakers under overload, want %d", chosen, fewestSpeakers)
	}
	st = c.m.Stats()
	for rung := 1; rung < Rungs; rung++ {
		if st.Climbs[rung-1] == 0 {
			t.Errorf("rung %d was not counted", rung)
		}
	}
	// And back, not all at once.
	c.factor = 0.3
	c.run(2 * time.Second)
	if rung := c.m.Stats().Rung; rung < 4 {
		t.Errorf("at rung %d two seconds after the load fell", rung)
	}
	c.run(100 * time.Second)
	st = c.m.Stats()
	if st.Rung != 0 || st.Descents < Rungs-1 {
		t.Errorf("rung %d, %d descents after the load fell", st.Rung, st.Descents)
	}
	for _, b := range c.room.buses() {
		if f := b.encoder.(*fakeEncoder); f.complexity != 9 || f.loss == 0 || f.samples != 960 {
			t.Errorf("afterwards complexity %d, loss %d, %d samples", f.complexity, f.loss, f.samples)
		}
	}
	for _, s := range c.room.sources {
		if !s.chosen {
			t.Error("a speaker is still left out")
		}
	}
}

// checkRung checks that every encoder is set as the rung wants.
func (c *costly) checkRung(t *testing.T, encoding EncoderConfig) {
	t.Helper()
	rung := c.m.Stats().Rung
	want := []int{9, 9, 5, 2, 2, 2, 2}[rung]
	for _, b := range c.room.buses() {
		e := b.encoder.(*fakeEncoder)
		if e.complexity != want {
			t.Errorf("rung %d: complexity %d, want %d", rung, e.complexity, want)
		}
		if (e.loss == 0) != (rung >= rungFEC) {
			t.Errorf("rung %d: loss %d", rung, e.loss)
		}
		if (e.samples == 1920) != (rung >= rungLong) {
			t.Errorf("rung %d: frames of %d samples", rung, e.samples)
		}
	}
}

// At a load that one rung cures and that comes back when it is left, it is left less and less often.
func TestLadderDoesNotSwing(t *testing.T) {
	var l ladder
	now := time.Duration(0)
	for now < 10*time.Minute {
		now += 10 * time.Millisecond
		took := 9500 * time.Microsecond
		if l.rung > 0 {
			took = 5 * time.Millisecond
		}
		l.worked(took, now, false)
	}
	if n := l.descents.Load(); n < 3 || n > 14 {
		t.Errorf("left a rung that is needed %d times in ten minutes", n)
	}
	// A quiet time, and it begins anew.
	for end := now + 5*time.Minute; now < end; {
		now += 10 * time.Millisecond
		l.worked(time.Millisecond, now, false)
	}
	if l.rung != 0 {
		t.Errorf("rung %d after five quiet minutes", l.rung)
	}
}

func TestLadderWindows(t *testing.T) {
	run := func(l *ladder, from, d, took time.Duration, skipped bool) (now time.Duration, moved int) {
		for now = from; now < from+d; {
			now += 10 * time.Millisecond
			moved += l.worked(took, now, skipped)
		}
		return now, moved
	}
	var l ladder
	// One window of high load is nothing, two are.
	now, moved := run(&l, 0, 200*time.Millisecond, 9*time.Millisecond, false)
	if moved != 0 {
		t.Error("a rung for 200 ms of load")
	}
	now, moved = run(&l, now, 200*time.Millisecond, time.Millisecond, false)
	if moved != 0 {
		t.Error("a rung for nothing")
	}
	now, moved = run(&l, now, 400*time.Millisecond, 9*time.Millisecond, false)
	if moved != 1 {
		t.Errorf("moved by %d for 400 ms of load", moved)
	}
	// Full load is one at once.
	now, moved = run(&l, now, 200*time.Millisecond, 10*time.Millisecond, false)
	if moved != 1 {
		t.Errorf("moved by %d for 200 ms of full load", moved)
	}
	// Ticks left out while the worker did not work say nothing about its work.
	now, moved = run(&l, now, 400*time.Millisecond, time.Millisecond, true)
	if moved != 0 {
		t.Errorf("moved by %d for somebody else's work", moved)
	}
	now, moved = run(&l, now, 200*time.Millisecond, 7*time.Millisecond, true)
	if moved != 1 {
		t.Errorf("moved by %d for ticks left out", moved)
	}
	// Between the marks it stays.
	now, moved = run(&l, now, time.Minute, 7*time.Millisecond, false)
	if moved != 0 {
		t.Errorf("moved by %d at a load of 0.7", moved)
	}
	now, moved = run(&l, now, 4*time.Second, 5*time.Millisecond, false)
	if moved != 0 {
		t.Errorf("moved by %d after 4 s of low load", moved)
	}
	_, moved = run(&l, now, 1300*time.Millisecond, 5*time.Millisecond, false)
	if moved != -1 {
		t.Errorf("moved by %d after 5 s of low load", moved)
	}
	// Nothing to do: all is well at once.
	l.idle()
	if l.rung != 0 || l.published.Load() != 0 {
		t.Error("overloaded by nothing")
	}
}

// A worker that other programs keep from its processor looks busy, and skips ticks; doing less would not help it.
func TestLadderKnowsItsOwnWork(t *testing.T) {
	for share, climbs := range map[float64]bool{0.3: false, 0.55: false, 1: true, 1.8: true} {
		var l ladder
		var now time.Duration
		l.cpu = func() time.Duration { return time.Duration(share * float64(now)) }
		for range 1000 {
			now += 10 * time.Millisecond
			l.worked(10*time.Millisecond, now, true)
		}
		if climbed := l.rung > rungNone; climbed != climbs {
			t.Errorf("with %.0f %% of a processor: rung %d", 100*share, l.rung)
		}
	}
	begun := processCPU()
	for n := 0; processCPU() == begun; n++ {
		if n > 1e8 {
			t.Fatal("processor time stands still")
		}
	}
}

func TestComplexityAt(t *testing.T) {
	for _, c := range []struct{ rung, configured, want int }{
		{rungNone, 10, 10}, {rungFEC, 9, 9}, {rungComplexity, 9, 5}, {rungComplexity, 3, 3}, {rungComplexity2, 9, 2},
		{rungLong, 9, 2}, {rungSpeakers, 0, 0}, {rungRefuse, 5, 2},
	} {
		if got := complexityAt(c.rung, c.configured); got != c.want {
			t.Errorf("rung %d of complexity %d: %d, want %d", c.rung, c.configured, got, c.want)
		}
	}
}

// New rooms go where there is time for them, and a node is overloaded when there is none left.
func TestRoomsAvoidOverloadedWorkers(t *testing.T) {
	l := newLab(t, 2)
	l.m.workers[0].ladder.set(rungFEC)
	for range 20 {
		if r := l.room(RoomConfig{}); r.worker.index != 1 {
			t.Fatal("a room was given to an overloaded worker")
		}
	}
	l.m.workers[0].ladder.set(rungRefuse)
	if l.m.Overloaded() {
		t.Error("overloaded, with a worker that is not")
	}
	l.m.workers[1].ladder.set(rungRefuse)
	r := l.room(RoomConfig{})
	if !l.m.Overloaded() || !r.Overloaded() {
		t.Error("not overloaded, with all workers at the last rung")
	}
	l.tick() // nothing to do for either
	l.tick()
	if l.m.Overloaded() || r.Overloaded() {
		t.Error("overloaded, with nothing to do")
	}
}

// An encoder that was given back under overload is whole again when it is used next.
func TestEncoderIsWholeAfterOverload(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Encoder: &EncoderConfig{BitrateBps: 32000, FEC: true, Complexity: 9, LossPercent: 5}})
	talking := true
	l.source(r, "A", &fakeBuffer{busy: true, sound: func(k int, frame []float32) {
		if talking {
			constant(0.3)(k, frame)
		}
	}})
	l.listener(r, "A")
	l.listener(r, "X")
	l.ticks(10)
	l.m.workers[0].ladder.hold = time.Hour
	l.m.workers[0].ladder.set(rungComplexity2)
	l.ticks(4)
	for _, e := range l.encoders {
		if e.complexity != 2 || e.loss != 0 {
			t.Fatalf("under overload: complexity %d, loss %d", e.complexity, e.loss)
		}
	}
	talking = false
	l.ticks(joinAfterTicks + 4)
	if len(r.buses()) != 1 || len(r.spare) != 1 {
		t.Fatalf("%d buses, %d spare", len(r.buses()), len(r.spare))
	}
	l.m.workers[0].ladder.set(rungNone)
	l.noCopy = true
	r.spare[0].encoder = plainResetter{r.spare[0].encoder.(*fakeEncoder)} // cannot take the other's settings over
	talking = true
	l.ticks(4)
	if len(r.buses()) != 2 {
		t.Fatalf("%d buses", len(r.buses()))
	}
	for _, e := range l.encoders {
		if e.complexity != 9 || e.loss != 5 {
			t.Errorf("afterwards: complexity %d, loss %d", e.complexity, e.loss)
		}
	}
}

// plainResetter can be reset and not be forked.
type plainResetter struct{ e *fakeEncoder }

func (p plainResetter) Encode(pcm []float32, out []byte) (int, error) { return p.e.Encode(pcm, out) }
func (p plainResetter) SetBitrate(bps int) error                      { return p.e.SetBitrate(bps) }
func (p plainResetter) SetPacketLoss(percent int) error               { return p.e.SetPacketLoss(percent) }
func (p plainResetter) SetComplexity(complexity int) error            { return p.e.SetComplexity(complexity) }
func (p plainResetter) Reset() error                                  { return p.e.Reset() }
