package neteq

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// Items 117, 118 and 119: what counts as concealed, and that it never falls.
func TestConcealedSamples(t *testing.T) { // 7.12
	st := statistics{}
	st.conceal(1000, false)
	st.correct(1000)
	if st.s != (Stats{}) || st.run != 0 {
		t.Errorf("counted before anything was decoded: %+v", st.s)
	}
	st.counted = true
	st.conceal(100, false)
	st.conceal(17, true)
	if s := st.s; s.ConcealedSamples != 117 || s.SilentConcealedSamples != 17 || s.ConcealmentEvents != 1 {
		t.Errorf("%d concealed, %d silent, %d events", s.ConcealedSamples, s.SilentConcealedSamples, s.ConcealmentEvents)
	}
	st = statistics{counted: true}
	for i, c := range []struct{ change, want int }{{100, 100}, {-10, 100}, {20, 110}, {-17, 110}, {100, 193}} {
		st.correct(c.change)
		if st.s.ConcealedSamples != uint64(c.want) {
			t.Errorf("correction %d: %d concealed, want %d", i, st.s.ConcealedSamples, c.want)
		}
	}
	b := newBench(t, Config{MinDelay: ms(100)})
	b.run(2*time.Second, nil)
	if err := b.n.SetDelayBounds(0, 0); err != nil {
		t.Fatal(err)
	}
	b.run(5*time.Second, nil)
	if s := b.n.Stats(); s.RemovedSamplesForAcceleration == 0 || s.ConcealedSamples != 0 || s.TotalSamplesReceived > 7*sampleRate {
		t.Errorf("%d removed, %d concealed, %d received", s.RemovedSamplesForAcceleration, s.ConcealedSamples, s.TotalSamplesReceived)
	}
}

func TestInterruptions(t *testing.T) { // item 121
	st := statistics{}
	conceal := func(total time.Duration) {
		for total > 0 {
			part := min(total, tickDuration)
			st.conceal(int(timeToSamples(part)), false)
			total -= part
		}
		st.endRun(false, false)
	}
	conceal(time.Second)
	if st.s.InterruptionCount != 0 {
		t.Error("an interruption before anything was heard")
	}
	st.counted = true
	for _, c := range []struct {
		ms, count, total int
	}{{149, 0, 0}, {151, 1, 151}, {5100, 2, 5251}} {
		conceal(ms(c.ms))
		if s := st.s; s.InterruptionCount != uint64(c.count) || int(s.InterruptionSamples) != c.total*millisecond {
			t.Errorf("after %d ms: %d interruptions, %d ms", c.ms, s.InterruptionCount, s.InterruptionSamples/millisecond)
		}
	}
}

func TestStutter(t *testing.T) { // item 129
	for _, c := range []struct {
		name             string
		events           []int // ms
		paused           bool
		stutter, network int
	}{
		{"200 ms", []int{200}, false, 0, 0}, {"210 ms", []int{210}, false, 210, 210}, {"two of 150 ms", []int{150, 150}, false, 0, 0},
		{"a pause of 3 s", []int{3000}, true, 3000, 0}, {"a loss of 3 s", []int{3000}, false, 3000, 3000},
	} {
		st := statistics{counted: true}
		for _, d := range c.events {
			for range d / 10 {
				st.conceal(tickSamples, false)
			}
			st.endRun(false, c.paused)
		}
		st.s.TotalSamplesReceived = 10 * sampleRate
		if got, network := int(st.s.StutterSamples)/millisecond, int(st.s.NetworkStutterSamples)/millisecond; got != c.stutter || network != c.network {
			t.Errorf("%s: %d ms of stutter, %d by the network, want %d, %d", c.name, got, network, c.stutter, c.network)
		}
		if got, want := st.s.StutterRate(), float64(c.stutter)/10000; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: rate %g, want %g", c.name, got, want)
		}
	}
}

func TestDiscards(t *testing.T) { // item 123
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		n.countLate(&storedFrame{})
	}
	n.countLate(&storedFrame{redLevel: 1})
	n.countDuplicate(&storedFrame{})
	if s := n.Stats(); s.PacketsDiscarded != 11 || s.LatePackets != 11 || s.FECPacketsDiscarded != 0 || s.RedundancyUnused != 1 {
		t.Errorf("%+v", s)
	}
	n.countLate(&storedFrame{fecSamples: 960})
	if s := n.Stats(); s.PacketsDiscarded != 12 || s.FECPacketsDiscarded != 1 {
		t.Errorf("%d packets, %d with redundancy", s.PacketsDiscarded, s.FECPacketsDiscarded)
	}
}

func TestSumsOfDelay(t *testing.T) { // item 124
	n, err := New(Config{Policy: PolicyFixed, FixedDelay: ms(70), MinDelay: ms(80)})
	if err != nil {
		t.Fatal(err)
	}
	for k := 1; k <= 2; k++ {
		n.now = ms(90 * k)
		n.emitted(&storedFrame{arrival: ms(90 * (k - 1))}, 480)
		s := n.Stats()
		near := func(what string, got, want float64) {
			if math.Abs(got-want*float64(k)*480) > 1e-6 {
				t.Errorf("%s after %d frames: %g", what, k, got)
			}
		}
		near("delay", s.JitterBufferDelay, 0.09)
		near("target", s.JitterBufferTargetDelay, 0.08)
		near("target without bounds", s.JitterBufferMinimumDelay, 0.07)
		if s.JitterBufferEmittedCount != uint64(480*k) {
			t.Errorf("%d emitted", s.JitterBufferEmittedCount)
		}
	}
}

func TestRelativeArrivalDelay(t *testing.T) { // item 125
	b := newBench(t, Config{})
	for k, late := range []int{0, 50, 20, 0} {
		b.insert(b.next(), ms(20*k+late))
		if s := b.n.Stats(); s.PacketsReceived != uint64(k+1) {
			t.Errorf("%d packets received after %d", s.PacketsReceived, k+1)
		}
	}
	if d := b.n.Stats().RelativeArrivalDelayMs; math.Abs(d-70) > 0.01 {
		t.Errorf("%.2f ms, want 70", d)
	}
}

func TestConcealmentEvents(t *testing.T) { // item 126
	b := newBench(t, Config{MinDelay: ms(60)}) // a merge may take some
	b.sig = voice(120)
	for i := range 19 {
		b.run(ms(200), nil)
		b.run(ms(20*(i+1)), func(int) time.Duration { return -1 })
	}
	b.run(ms(400), nil)
	if s := b.n.Stats(); s.ConcealmentEvents != 19 {
		t.Errorf("%d events", s.ConcealmentEvents)
	}
}

// Item 128: the delay is that between arrival and decoding, whatever happens in between.
func TestDelayIsThatOfThePackets(t *testing.T) {
	b := newBench(t, Config{})
	arrived := map[uint16]time.Duration{}
	var sum float64
	var emitted uint64
	b.dec.fail = func(p []byte) bool {
		sum += max(0, b.now-arrived[binary.BigEndian.Uint16(p)]).Seconds() * 960
		emitted += 960
		return false
	}
	for k := range 300 {
		p := b.next()
		binary.BigEndian.PutUint16(p.Payload, p.SequenceNumber)
		at := b.now + ms(k*7%30) // some arrive after the next tick
		if k%20 == 9 {
			continue
		}
		arrived[p.SequenceNumber] = at
		b.insert(p, at)
		b.tick()
		b.tick()
	}
	s := b.n.Stats()
	if s.ConcealmentEvents < 10 || s.JitterBufferEmittedCount != emitted {
		t.Errorf("%d concealments, %d samples emitted, want %d", s.ConcealmentEvents, s.JitterBufferEmittedCount, emitted)
	}
	if math.Abs(s.JitterBufferDelay-sum) > 1e-6*sum {
		t.Errorf("%g, want %g", s.JitterBufferDelay, sum)
	}
}
