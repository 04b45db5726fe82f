package mixer

import (
	"fmt"
	"math"
	"testing"

	"parley/neteq"
)

// Nothing is allocated in a steady tick, and nothing when speakers come and go once they have.
func TestTickDoesNotAllocate(t *testing.T) {
	l := newLab(t, 1)
	l.record, l.redundant = false, true
	r := l.room(RoomConfig{})
	var sources []*Source
	for i := range 4 {
		name := string(rune('A' + i))
		// On for 1.5 s, off for 1.5 s, so that buses fork and join.
		sources = append(sources, l.source(r, name, &fakeBuffer{sound: func(k int, frame []float32) {
			if (k/150+i)%2 == 0 {
				constant(0.4)(k, frame)
			}
		}}))
		l.listener(r, name)
	}
	for i := range 20 {
		x, _ := l.listener(r, fmt.Sprint(i))
		x.SetReport(Report{Loss: []float64{0, 0.04, 0.2}[i%3]})
		x.SetReport(Report{Loss: []float64{0, 0.04, 0.2}[i%3]})
		if i < 4 {
			if err := x.SetGain("A", float32(i/2)/2); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := &neteq.Packet{Payload: make([]byte, 80)}
	for _, s := range sources {
		s.room.parked.Load()
		b := s.buffer.(*fakeBuffer)
		b.inserted = make([]uint16, 0, 1<<16)
	}
	k := 0
	step := func() {
		k++
		if k%2 == 0 {
			for _, s := range sources {
				if !s.Push(p, l.now) {
					t.Fatal("packet refused")
				}
			}
		}
		l.tick()
	}
	for range 2000 {
		step()
	}
	before := l.m.Stats()
	if n := testing.AllocsPerRun(3000, step); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
	after := l.m.Stats()
	if len(r.personal) != 2 || after.Repeated == before.Repeated {
		t.Errorf("%d lists of gains, %d frames sent twice", len(r.personal), after.Repeated-before.Repeated)
	}
	if after.Forks-before.Forks < 10 || after.Joins-before.Joins < 10 {
		t.Errorf("%d forks, %d joins measured", after.Forks-before.Forks, after.Joins-before.Joins)
	}
}

func BenchmarkMixOnly(b *testing.B) {
	for _, c := range []struct{ speakers, listeners int }{{1, 4}, {4, 4}, {3, 1000}, {10, 10}} {
		b.Run(fmt.Sprintf("%d speakers %d listeners", c.speakers, c.listeners), func(b *testing.B) {
			l := newLab(b, 1)
			l.record = false
			r := l.room(RoomConfig{})
			for i := range c.speakers {
				var frame [frameSamples]float32
				noise(uint64(i), 0.1)(0, frame[:])
				l.source(r, fmt.Sprint(i), &fakeBuffer{sound: func(_ int, out []float32) { copy(out, frame[:]) }})
			}
			for i := range c.listeners {
				if _, err := r.AddListener(ListenerConfig{Owner: fmt.Sprint(i), Sink: nowhere{}}); err != nil {
					b.Fatal(err)
				}
			}
			l.ticks(100)
			for _, e := range l.encoders {
				e.cfg.Channels = 1
			}
			b.ReportAllocs()
			for b.Loop() {
				l.tick()
			}
			b.ReportMetric(math.Round(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000), "µs/tick")
		})
	}
}

type nowhere struct{}

func (nowhere) WriteFrame(Frame) {}
