package neteq

import (
	"testing"
	"time"
)

// at8k turns samples at 8 kHz, in which section 7 gives its figures, into ours.
func at8k(samples int) uint32 { return uint32(samples * 6) }

func TestArrivalHistory(t *testing.T) { // 7.4 items 37, 38, 39 and 40
	const packet = 160
	type step struct {
		wait   int // ms since the step before
		packet int // in packets from the start
		delay  int // ms
		newest bool
	}
	for _, c := range []struct {
		name  string
		start uint32
		steps []step
		max   int
	}{
		{"delays and a new reference", 1000, []step{{0, 0, 0, true}, {20, 1, 0, true}, {40, 2, 20, true}, {0, -1, 80, false},
			{40, 3, 40, true}, {0, 7, 0, true}, {40, 8, 20, true}}, 80 + 40},
		{"reordered ones do not count", 1 << 20, []step{{0, 0, 0, true}, {0, -4, 80, false}, {0, -1, 20, false}, {80, 1, 60, true}}, 60},
		{"wrap forwards", 0xffffffff, []step{{0, 0, 0, true}, {40, 1, 20, true}, {0, -2, 80, false}, {0, 2, 0, true}}, 20},
		{"start at zero", 0, []step{{0, 0, 0, true}, {40, 1, 20, true}, {0, -2, 80, false}, {0, 2, 0, true}}, 20},
	} {
		h := newArrivalHistory(time.Second)
		now := time.Duration(0)
		for i, s := range c.steps {
			now += ms(s.wait)
			ts := c.start + uint32(int32(s.packet)*int32(at8k(packet)))
			if !h.insert(ts, packet*6, now) {
				t.Errorf("%s step %d: refused", c.name, i)
			}
			if got := h.delay(ts, now).Round(time.Millisecond); got != ms(s.delay) {
				t.Errorf("%s step %d: delay %v, want %d ms", c.name, i, got, s.delay)
			}
			if got := h.isNewest(ts); got != s.newest {
				t.Errorf("%s step %d: newest %v", c.name, i, got)
			}
		}
		if c.name != "delays and a new reference" { // there the reference moved, see the next test
			if got := h.maxDelay().Round(time.Millisecond); got != ms(c.max) {
				t.Errorf("%s: largest delay %v, want %d ms", c.name, got, c.max)
			}
		}
	}
}

func TestArrivalHistoryForgets(t *testing.T) { // item 39
	h := newArrivalHistory(time.Second)
	h.insert(0, 960, 0)
	h.insert(960, 960, ms(40))
	if d := h.delay(960, ms(40)).Round(time.Millisecond); d != ms(20) {
		t.Errorf("delay %v", d)
	}
	later := uint32(1020 * millisecond)
	h.insert(960+later, 960, ms(40+1020))
	if h.delay(960+later, ms(1060)) != 0 || h.maxDelay() != 0 {
		t.Errorf("delay %v, largest %v after the window has passed", h.delay(960+later, ms(1060)), h.maxDelay())
	}
}

func TestArrivalHistoryRefuses(t *testing.T) { // item 41
	h := newArrivalHistory(time.Second)
	h.insert(100000, 960, ms(100))
	for name, ts := range map[string]uint32{"duplicate": 100000, "older than the window": 100000 - 48000 - 1} {
		if h.insert(ts, 960, ms(100)) {
			t.Errorf("%s accepted", name)
		}
	}
	if h.insert(100000+480, 480, ms(100)) {
		t.Error("a 10 ms packet inside a 20 ms one accepted")
	}
	if !h.insert(100000-48000, 960, ms(100)) {
		t.Error("at the edge of the window refused")
	}
}

func TestArrivalHistoryIsFine(t *testing.T) { // item 42
	h := newArrivalHistory(time.Second)
	h.insert(0, 960, 0)
	h.insert(960, 960, ms(23))
	if d := h.delay(960, ms(23)); d != ms(3) {
		t.Errorf("delay %v, want 3 ms", d)
	}
}

func TestArrivalHistoryAgainstBruteForce(t *testing.T) {
	h := newArrivalHistory(2 * time.Second)
	type packet struct {
		ts     int64
		offset time.Duration
	}
	var all []packet
	newest := int64(-1)
	seed := uint64(1)
	for k := range 5000 {
		seed = seed*6364136223846793005 + 1442695040888963407
		ts := int64(k) * 960
		if seed>>60 == 0 {
			ts -= 9600 // an old packet
		}
		at := time.Duration(k)*ms(20) + time.Duration(seed>>40%50)*time.Millisecond
		if ts < 0 || !h.insert(uint32(ts), 960, at) {
			continue
		}
		if ts > newest {
			newest = ts
			all = append(all, packet{ts, at - samplesToTime(ts)})
		}
		least := time.Duration(1 << 62)
		for _, p := range all {
			if p.ts >= newest-2*sampleRate {
				least = min(least, p.offset)
			}
		}
		if got, want := h.delay(uint32(newest), at), max(0, at-samplesToTime(newest)-least); got != want {
			t.Fatalf("packet %d: delay %v, want %v", k, got, want)
		}
	}
}
