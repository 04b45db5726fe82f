package neteq

import (
	"testing"
	"time"
)

// TestNoAllocation pins item 168: nothing is allocated per packet or tick once the buffers have grown.
func TestNoAllocation(t *testing.T) {
	conceal := func(pcm []float32) { clear(pcm) }
	for _, c := range []struct {
		name    string
		cfg     Config
		conceal func([]float32)
		deliver func(k int) time.Duration
		skip    bool
	}{
		{"normal", Config{}, nil, nil, false},
		{"stereo", Config{Channels: 2}, nil, nil, false},
		{"jitter", Config{}, nil, func(k int) time.Duration { return ms(k * 13 % 90) }, false},
		{"loss, Expand and Merge", Config{}, nil, everyNth(9), false},
		{"loss, codec", Config{}, conceal, everyNth(9), false},
		{"M150", Config{Policy: PolicyM150}, nil, func(k int) time.Duration { return ms(k * 13 % 90) }, false},
		{"outages", Config{}, conceal, func(k int) time.Duration {
			if k%500 > 100 {
				return -1
			}
			return 0
		}, false},
		{"skip", Config{}, nil, everyNth(9), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.cfg)
			b.sig = voice(125)
			b.dec.conceal = c.conceal
			// Prepare the packets, so that only NetEq is measured.
			type event struct {
				p  *Packet
				at time.Duration
			}
			var events []event
			const count = 6000
			for k := range count {
				due := time.Duration(k) * ms(20)
				delay := time.Duration(0)
				if c.deliver != nil {
					delay = c.deliver(k)
				}
				if delay < 0 {
					b.lose()
					continue
				}
				if k%50 == 0 { // sharing payloads keeps the test small
					events = append(events, event{b.next(), due + delay})
				} else {
					p := *events[len(events)-1].p
					p.SequenceNumber, p.Timestamp = b.seq, b.ts
					b.lose()
					events = append(events, event{&p, due + delay})
				}
			}
			now, next := time.Duration(0), 0
			step := func() {
				now += tickDuration
				for next < len(events) && events[next].at <= now {
					if err := b.n.Insert(events[next].p, events[next].at); err != nil {
						t.Fatal(err)
					}
					next++
				}
				if c.skip && now/time.Second%2 == 1 {
					b.n.Skip(now)
				} else {
					b.n.Get(b.frame, now)
				}
				b.n.Stats()
			}
			for now < 30*time.Second {
				step()
			}
			if n := testing.AllocsPerRun(8000, step); n != 0 {
				t.Errorf("%.3f allocations per tick", n)
			}
		})
	}
}

// everyNth loses one packet in n.
func everyNth(n int) func(int) time.Duration {
	return func(k int) time.Duration {
		if k%n == n-1 {
			return -1
		}
		return 0
	}
}
