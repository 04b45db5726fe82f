package neteq

import (
	"flag"
	"runtime"
	"testing"
	"time"
)

var longCalls = flag.Bool("long", false, "play 10,000 s where the tests play 500 s")

// TestLongCalls pins item 181: hours of audio, with loss and a clock that is a tenth off, and without, in the memory that the
// first seconds took.
func TestLongCalls(t *testing.T) {
	longCall := shortCall
	if *longCalls {
		longCall = 10000 * time.Second
	}
	for _, c := range []struct {
		name   string
		every  time.Duration // between packets of 20 ms
		lossIn int
	}{{"perfect", ms(20), 1 << 30}, {"a tenth lost, sender a tenth fast", ms(18), 10}, {"a tenth lost, sender a tenth slow", ms(22), 10}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.sig = voice(125)
			var packets [50]*Packet
			for i := range packets {
				packets[i] = b.next()
			}
			now, due := time.Duration(0), time.Duration(0)
			k := 0
			play := func(until time.Duration) {
				for now < until {
					now += tickDuration
					for ; due <= now; due += c.every {
						p := *packets[k%len(packets)]
						p.SequenceNumber, p.Timestamp = uint16(k), uint32(k)*960
						if k%c.lossIn != c.lossIn-1 {
							b.insert(&p, due)
						}
						k++
					}
					b.n.Get(b.frame, now)
				}
			}
			play(30 * time.Second)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			first := b.n.Stats()
			play(30*time.Second + longCall)
			runtime.ReadMemStats(&after)
			if d := after.Mallocs - before.Mallocs; d > 200 { // the test's own goroutines allocate some
				t.Errorf("%d allocations in %v", d, longCall)
			}
			s := b.n.Stats()
			if got := s.TotalSamplesReceived - first.TotalSamplesReceived; got != uint64(timeToSamples(longCall)) {
				t.Errorf("%d samples in %v", got, longCall)
			}
			if s.PlayoutDelay > 2*time.Second || s.BufferedPackets > 200 {
				t.Errorf("delay %v, %d packets", s.PlayoutDelay, s.BufferedPackets)
			}
			if share := float64(s.ConcealedSamples) / float64(s.TotalSamplesReceived); share > 0.3 || c.lossIn > 100 && share > 0 {
				t.Errorf("%.1f %% concealed", 100*share)
			}
		})
	}
}
