package neteq

import (
	"runtime"
	"testing"
	"time"
)

// prepared makes packets of L16 ahead of time, so that a benchmark measures NetEq alone.
func prepared(b *testing.B, cfg Config) (*bench, []*Packet) {
	t := newBench(b, cfg)
	t.sig = voice(120)
	packets := make([]*Packet, 100)
	for i := range packets {
		packets[i] = t.next()
	}
	return t, packets
}

// The budgets of item 169.

// BenchmarkSecond is one second of sound, insert and pull, without a codec (PCM is copied).
func BenchmarkSecond(b *testing.B) {
	for _, c := range []struct {
		name    string
		deliver func(k int) time.Duration
	}{
		{"clean", func(int) time.Duration { return 0 }},
		{"jitter", func(k int) time.Duration { return ms(k * 13 % 60) }},
		{"loss", everyNth(10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			t, packets := prepared(b, Config{})
			var now time.Duration
			k := 0
			b.ReportAllocs()
			for b.Loop() {
				for tick := range 100 {
					now += tickDuration
					if tick%2 == 0 {
						if d := c.deliver(k); d >= 0 {
							p := *packets[k%len(packets)]
							p.SequenceNumber, p.Timestamp = uint16(k), uint32(k)*960
							_ = t.n.Insert(&p, now-tickDuration+d)
						}
						k++
					}
					t.n.Get(t.frame, now)
				}
			}
		})
	}
}

func BenchmarkIdleTick(b *testing.B) {
	t, packets := prepared(b, Config{})
	_ = t.n.Insert(packets[0], 0)
	var now time.Duration
	for range 1000 {
		now += tickDuration
		t.n.Get(t.frame, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		now += tickDuration
		t.n.Get(t.frame, now)
	}
}

// BenchmarkIdleInstances ticks 10,000 instances that have played and fell silent, one after the other, as a server does that
// pulls all of them (item 170).
func BenchmarkIdleInstances(b *testing.B) {
	const count = 10000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := make([]*NetEq, count)
	t, packets := prepared(b, Config{})
	for i := range all {
		n, err := New(Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Register(testPT, Format{Name: "L16", ClockRateHz: sampleRate}, func() (Decoder, error) { return t.dec, nil }); err != nil {
			b.Fatal(err)
		}
		now := time.Duration(0)
		for k := range 12 {
			now += tickDuration
			if k < 4 {
				_ = n.Insert(packets[k], now)
			}
			n.Get(t.frame, now)
		}
		n.DeclareGap()
		n.Get(t.frame, now+tickDuration)
		all[i] = n
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	now, best := 10*time.Second, time.Hour
	for b.Loop() {
		now += tickDuration
		started := time.Now()
		for _, n := range all {
			if !n.Get(t.frame, now).Muted {
				b.Fatal("not muted")
			}
		}
		best = min(best, time.Since(started))
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/count, "B/instance")
	b.ReportMetric(float64(best.Nanoseconds())/count, "ns/instance") // at best: of a machine with other work, too
}

// BenchmarkSkip is what a source costs that nobody hears: one packet and two ticks.
func BenchmarkSkip(b *testing.B) {
	t, packets := prepared(b, Config{})
	var now time.Duration
	k := 0
	b.ReportAllocs()
	for b.Loop() {
		p := *packets[k%len(packets)]
		p.SequenceNumber, p.Timestamp = uint16(k), uint32(k)*960
		_ = t.n.Insert(&p, now)
		now += tickDuration
		t.n.Skip(now)
		now += tickDuration
		t.n.Skip(now)
		k++
	}
}

func BenchmarkExpand(b *testing.B) {
	s, _ := played(voice(130), overlapSamples)
	e := newExpander(1)
	b.ReportAllocs()
	for b.Loop() {
		e.reset()
		e.process(s, nil)
	}
}

func BenchmarkStretchAnalysis(b *testing.B) {
	s, _ := played(voice(130), stretchWindow)
	b.ReportAllocs()
	for b.Loop() {
		analyseStretch(s, s.read, 1e-6)
	}
}
