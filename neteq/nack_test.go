package neteq

import (
	"slices"
	"testing"
	"time"
)

func TestNackList(t *testing.T) { // 7.11 items 111, 112, 113
	feed := func(n *NackTracker, from, count int, lost ...int) {
		for k := from; k < from+count; k++ {
			if !slices.Contains(lost, k) {
				n.Received(uint16(k), uint32(k*480), ms(30*k))
			}
		}
	}
	n := NewNackTracker(NackConfig{MaxEntries: 200}, 16000)
	feed(n, 0, 100)
	if n.Missing() != 0 {
		t.Error("missing without loss")
	}
	for _, start := range []int{100, 65530} {
		n.Reset()
		eight := []int{start, start + 1, start + 2, start + 3, start + 4, start + 5, start + 6, start + 7}
		feed(n, start-10, 30, eight...)
		got := n.List(nil, 0, 0, 0)
		for i, s := range eight {
			if i >= len(got) || got[i] != uint16(s) {
				t.Fatalf("start %d: %v", start, got)
			}
		}
		for i, s := range eight {
			n.Received(uint16(s), uint32(s*480), 0)
			if n.Missing() != 7-i {
				t.Errorf("%d missing after retransmission %d", n.Missing(), i)
			}
		}
	}
	n = NewNackTracker(NackConfig{MaxEntries: 10}, 16000)
	feed(n, 0, 5)
	n.Received(20, 20*480, 0)
	if n.Missing() != 10 {
		t.Errorf("%d entries, want 10", n.Missing())
	}
	n.Reset()
	if n.Missing() != 0 {
		t.Error("entries after reset")
	}
}

func TestNackHorizon(t *testing.T) { // items 114, 115
	n := NewNackTracker(NackConfig{}, 16000)
	n.Received(0, 0, 0)
	n.Received(6, 6*480, 0)
	if got := n.List(nil, 0, 930*time.Millisecond, 0); !slices.Equal(got, []uint16{4, 5}) {
		t.Errorf("RTT 930 ms: %v", got)
	}
	if got := n.List(nil, 0, time.Second, 0); len(got) != 0 {
		t.Errorf("RTT 1 s: %v", got)
	}
	n.Reset()
	n.Received(0, 0, 0)
	n.Received(2, 16000*8/10, 0) // 400 ms each: silence
	if n.Missing() != 0 {
		t.Error("a DTX gap counts as loss")
	}
}

func TestNackTimeToPlay(t *testing.T) { // item 116, 6.12
	for _, c := range []struct {
		rtt, slack time.Duration
		recovers   bool
	}{{ms(60), ms(30), true}, {ms(300), ms(30), false}, {ms(60), 0, false}} {
		n := NewNackTracker(NackConfig{PlayoutAware: true}, 48000)
		const target = 80 * time.Millisecond
		lost, inTime, requests := 0, 0, 0
		resends := map[uint16]time.Duration{}
		asked := map[uint16]int{}
		for k := range 10000 { // ticks
			now := ms(10 * k)
			for s, at := range resends {
				if at <= now {
					if time.Duration(s)*ms(20)+target+c.slack >= at {
						inTime++
					}
					n.Received(s, uint32(s)*960, at)
					delete(resends, s)
				}
			}
			if p := k / 2; k%2 == 0 && p%20 != 13 {
				n.Received(uint16(p), uint32(p)*960, now)
			} else if k%2 == 0 {
				lost++
			}
			if played := now - target - c.slack; played > 0 {
				n.Played(uint32(timeToSamples(now - target)))
			}
			for _, s := range n.List(nil, now, c.rtt, c.slack) {
				requests++
				asked[s]++
				if asked[s] == 1 {
					resends[s] = now + c.rtt
				}
				if asked[s] > 3 {
					t.Fatalf("packet %d asked for %d times", s, asked[s])
				}
			}
		}
		if c.recovers && (inTime < lost*9/10 || float64(requests) > 1.3*float64(lost)) {
			t.Errorf("RTT %v: %d of %d in time, %d requests", c.rtt, inTime, lost, requests)
		}
		if !c.recovers && requests != 0 {
			t.Errorf("RTT %v slack %v: %d requests for what cannot be played", c.rtt, c.slack, requests)
		}
	}
}
