package neteq

import (
	"testing"
	"time"
)

// FuzzNack: whatever comes, in whatever order, the list is bounded and holds no number twice; NetEq asks for no more than its
// budget allows.
func FuzzNack(f *testing.F) {
	f.Add(true, []byte{1, 3, 1, 3, 5, 3, 0, 9, 1, 255, 1, 3, 2, 2, 200, 4})
	f.Add(false, []byte{0, 1, 0, 200, 0, 3, 2, 50})
	f.Fuzz(func(t *testing.T, aware bool, in []byte) {
		const most = 40
		n := NewNackTracker(NackConfig{PlayoutAware: aware, MaxEntries: most}, sampleRate)
		data := fuzzed{in}
		seq, ts, now := uint16(65500), uint32(1<<32-3000), time.Duration(0)
		var list []uint16
		for len(data.data) > 0 {
			switch op := data.byte(); op % 8 {
			case 0, 1, 2:
				step := data.byte()
				if step == 255 {
					step = 0
					seq += uint16(data.byte()) << 8
				}
				seq += uint16(step % 16)
				ts += uint32(step%16) * 960
				if op > 200 {
					ts += uint32(data.byte()) << 16
				}
				n.Received(seq, ts, now)
			case 3:
				n.Received(seq-uint16(data.byte()), ts-uint32(data.byte())*960, now)
			case 4:
				n.Played(ts - uint32(data.byte())*480)
			case 5:
				n.Padding(seq + uint16(data.byte()%3))
			case 6:
				n.Recovered(seq - uint16(data.byte()))
			default:
				switch data.byte() {
				case 0:
					n.Pause()
				case 1:
					n.Reset()
				}
			}
			now += time.Duration(data.byte()%32) * time.Millisecond
			list = n.List(list[:0], now, time.Duration(data.byte())*time.Millisecond, time.Duration(data.byte()%2)*100*time.Millisecond)
			if len(list) > n.Missing() || n.Missing() > most || cap(n.entries) > most+1 {
				t.Fatalf("%d in the list, %d missing, room for %d", len(list), n.Missing(), cap(n.entries))
			}
			if l := n.Loss(); !(l >= 0 && l <= 1) {
				t.Fatalf("loss %v", l)
			}
			for i, s := range list {
				for _, other := range list[:i] {
					if s == other {
						t.Fatalf("%d twice in %v", s, list)
					}
				}
			}
			if aware && len(list) > 10 {
				t.Fatalf("%d requests at once, the budget is 10", len(list))
			}
		}
	})
}
