package neteq

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plan is a network drawn at random: the delay of each packet, negative for a loss.
func plan(t *rapid.T) []time.Duration {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
		if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			return -1
		}
		return time.Duration(rapid.IntRange(0, 80).Draw(t, "delay")) * time.Millisecond
	}), 20, 120).Draw(t, "plan")
}

func playPlan(t testing.TB, delays []time.Duration, seq uint16, ts uint32, prepare func(*bench)) *bench {
	b := newBench(t, Config{})
	b.seq, b.ts, b.sig = seq, ts, voice(123)
	if prepare != nil {
		prepare(b)
	}
	b.run(time.Duration(len(delays))*ms(20), func(k int) time.Duration {
		if k >= len(delays) {
			return 0
		}
		return delays[k]
	})
	return b
}

func same(t *rapid.T, a, b []float32) {
	if len(a) != len(b) {
		t.Fatalf("%d and %d samples", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("sample %d: %v and %v", i, a[i], b[i])
		}
	}
}

func TestPropertyWhereNumbersStartDoesNotMatter(t *testing.T) { // item 143
	rapid.Check(t, func(r *rapid.T) {
		delays := plan(r)
		a := playPlan(t, delays, 0, 0, nil)
		b := playPlan(t, delays, rapid.Uint16().Draw(r, "seq"), rapid.Uint32().Draw(r, "ts"), nil)
		same(r, a.out, b.out)
		if x, y := a.n.Stats(), b.n.Stats(); x != y {
			r.Fatalf("%+v\n%+v", x, y)
		}
	})
}

func TestPropertyStatisticsAddUp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		delays := plan(r)
		b := playPlan(t, delays, 1, 1, nil)
		s := b.n.Stats()
		ticks := uint64(0)
		for _, v := range s.Operations {
			ticks += v
		}
		if ticks != uint64(len(b.results)) {
			r.Fatalf("%d ticks by operation, %d pulled", ticks, len(b.results))
		}
		if s.SilentConcealedSamples > s.ConcealedSamples || s.ConcealedSamples > s.TotalSamplesReceived+2*maxFrameSamples {
			r.Fatalf("%+v", s)
		}
		played := s.JitterBufferEmittedCount / 960
		if got := played + s.PacketsDiscarded + s.DuplicatePackets + s.InvalidPackets + uint64(s.BufferedPackets); got != s.PacketsReceived {
			r.Fatalf("%d packets received, %d accounted for: %+v", s.PacketsReceived, got, s)
		}
		if s.EventsOver[0] < s.EventsOver[1] || s.EventsOver[1] < s.EventsOver[2] || s.EventsOver[2] < s.EventsOver[3] {
			r.Fatalf("%v", s.EventsOver)
		}
	})
}

func TestPropertyOrderWithinTheBufferDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// Two instances get the same packets between two ticks, in different order.
		a, b := newBench(t, Config{}), newBench(t, Config{})
		a.sig, b.sig = voice(99), voice(99)
		for range 30 {
			k := rapid.IntRange(0, 4).Draw(r, "packets")
			var batch []*Packet
			for range k {
				batch = append(batch, a.next())
				b.lose()
			}
			first := len(batch) > 0 && !a.n.haveNewest
			for _, p := range batch {
				a.insert(p, a.now+ms(1))
			}
			order := rapid.Permutation(batch).Draw(r, "order")
			if first { // the first packet of all decides where the stream begins
				order = batch
			}
			for _, p := range order {
				b.insert(p, b.now+ms(1))
			}
			x, y := a.n.Stats(), b.n.Stats()
			if x.BufferedPackets != y.BufferedPackets || x.BufferedBytes != y.BufferedBytes {
				r.Fatalf("%d and %d packets", x.BufferedPackets, y.BufferedPackets)
			}
			for i := range a.n.buf.order {
				if a.n.buf.at(i).timestamp != b.n.buf.at(i).timestamp {
					r.Fatalf("packet %d differs", i)
				}
			}
		}
	})
}

func TestPropertyUnwrap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var u unwrapper
		start, at := rapid.Uint32().Draw(r, "start"), int64(0)
		if got := u.unwrap(start); got != 0 {
			r.Fatalf("first %d", got)
		}
		for range 200 {
			at += int64(rapid.Int32Range(-1<<30, 1<<30).Draw(r, "step"))
			if got := u.unwrap(start + uint32(at)); got != at {
				r.Fatalf("got %d, want %d", got, at)
			}
		}
	})
}
