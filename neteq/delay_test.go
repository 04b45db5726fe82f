package neteq

import (
	"math"
	"testing"
	"time"
)

func sumOf(h *histogram) (sum int64, least int32) {
	least = math.MaxInt32
	for _, v := range h.buckets {
		sum += int64(v)
		least = min(least, v)
	}
	return sum, least
}

func TestHistogram(t *testing.T) { // 7.5 items 43, 44, 46
	h := newHistogram(65, 32440.0/32768, 0)
	for i, v := range h.buckets[:20] {
		if want := int32(1) << (30 - i - 1); v < want-65537 || v > want+65537 {
			t.Errorf("bucket %d is %d, want %d", i, v, want)
		}
	}
	if s, _ := sumOf(h); s != 1<<30 {
		t.Errorf("sum %d", s)
	}
	h = newHistogram(10, 0.983, 2)
	for i, want := range []int32{0, 10922, 16384, 19660, 21845, 23405} {
		h.add(i % 3)
		if d := h.factor - want; d < -1 || d > 1 {
			t.Errorf("after %d adds the factor is %d, want %d", i+1, h.factor, want)
		}
	}
	for h.count < 116 {
		h.add(1)
	}
	before := h.factor
	h.add(1)
	if base := int32(32210); before >= base || h.factor != base {
		t.Errorf("factor %d then %d, want %d from add 117 on", before, h.factor, base)
	}
	old := append([]int32(nil), h.buckets...)
	h.add(4)
	for i, v := range h.buckets {
		if i != 4 && old[i] > 16 && v >= old[i] || i == 4 && v <= old[i] {
			t.Errorf("bucket %d: %d after %d", i, v, old[i])
		}
	}
}

func TestHistogramForgetsSlowlyInTheEnd(t *testing.T) { // item 45
	h := newHistogram(100, 0.9993, 1)
	base := int32(32745)
	for range 32768/(32768-base) - 1 {
		h.add(3)
	}
	if h.factor >= base {
		t.Errorf("factor %d too early, of %d", h.factor, base)
	}
	h.add(3)
	h.add(3)
	if h.factor != base {
		t.Errorf("factor %d, want %d", h.factor, base)
	}
}

func TestHistogramStaysADistribution(t *testing.T) { // item 47
	h := newHistogram(100, 0.9993, 2)
	seed := uint64(9)
	for range 20000 {
		seed = seed*6364136223846793005 + 1442695040888963407
		h.add(int(seed >> 57))
		if s, least := sumOf(h); s != 1<<30 || least < 0 {
			t.Fatalf("sum %d, least bucket %d", s, least)
		}
	}
}

func TestUnderrunOptimizer(t *testing.T) { // item 48
	u := newUnderrunOptimizer()
	for d := 0; d <= 480; d += 20 {
		u.update(ms(d), ms(d))
		if u.optimum != 0 {
			t.Fatal("an optimum within the first interval")
		}
	}
	u.update(0, ms(510))
	if u.optimum != ms(500) {
		t.Errorf("optimum %v", u.optimum)
	}
}

func TestReorderOptimizer(t *testing.T) { // items 49, 50
	r := newReorderOptimizer(100, ms(20), 32745.0/32768, 1)
	for i, c := range []struct {
		delay     int
		reordered bool
		want      int
	}{{60, false, 20}, {100, false, 20}, {80, true, 100}} {
		r.update(ms(c.delay), c.reordered, 0)
		if r.optimum != ms(c.want) {
			t.Errorf("step %d: %v, want %d ms", i, r.optimum, c.want)
		}
	}
	r = newReorderOptimizer(100, ms(20), 32745.0/32768, 1)
	for range 3 {
		r.update(ms(40), true, 0)
	}
	if r.optimum != ms(60) {
		t.Errorf("%v, want 60 ms", r.optimum)
	}
	r.update(ms(600), true, 0)
	if r.optimum != ms(60) {
		t.Errorf("one packet at 600 ms: %v, want 60 ms", r.optimum)
	}
	// 20 ms per percent: see 3.3.
	r.update(ms(600), true, ms(200))
	if r.optimum != ms(620) {
		t.Errorf("with a base of 200 ms: %v, want 620 ms", r.optimum)
	}
}

func TestReorderEquilibria(t *testing.T) { // the derived table of 3.3
	for _, c := range []struct{ percent, delay, want int }{{1, 20, 40}, {2, 40, 60}, {5, 60, 80}, {5, 100, 120}, {5, 200, 20}, {10, 200, 220}} {
		r := newReorderOptimizer(100, ms(20), m150ReorderForget, m150StartWeight)
		for k := range 6000 {
			r.update(ms(c.delay), k%100 < c.percent, ms(20))
		}
		// The middle of a period: the weight of recent packets is even there.
		for k := range 50 {
			r.update(ms(c.delay), k%(100/c.percent) == 0, ms(20))
		}
		if r.optimum != ms(c.want) {
			t.Errorf("%d %% at %d ms: %v, want %d ms", c.percent, c.delay, r.optimum, c.want)
		}
	}
}

func TestM150DelayManager(t *testing.T) { // items 51, 52
	p := newM150Policy()
	if p.target() != ms(80) {
		t.Errorf("start %v", p.target())
	}
	for k := range 50 {
		p.packet(0, false, ms(20*k))
		if p.target() == ms(20) && k < 26 {
			t.Errorf("20 ms after %d packets", k)
		}
	}
	if p.target() != ms(20) {
		t.Errorf("without jitter %v", p.target())
	}
	// Calm for 120 s, then one delay of 95 ms every 500 ms: 100 ms within 1.7 s and one update.
	now := 50
	calm := func(until int) {
		for ; now*20 < until; now++ {
			p.packet(0, false, ms(20*now))
		}
	}
	calm(120000)
	reached := -1
	for start := now; now*20 < 150000; now++ {
		d := 0
		if (now-start)%25 == 0 {
			d = 95
		}
		p.packet(ms(d), false, ms(20*now))
		if p.target() == ms(100) && reached < 0 {
			reached = (now - start) * 20
		}
	}
	if reached < 1100 || reached > 2300 {
		t.Errorf("100 ms reached after %d ms, want 1700 and or less one update", reached)
	}
	// 30 s of jitter: back after 76 s.
	end := now * 20
	for p.target() > ms(20) && now*20 < end+200000 {
		p.packet(0, false, ms(20*now))
		now++
	}
	if back := now*20 - end; back < 75000 || back > 77500 {
		t.Errorf("back at 20 ms after %.1f s, want 76", float64(back)/1000)
	}
}

func TestDelayConstraints(t *testing.T) { // items 53 to 57
	fresh := func() *delayConstraints {
		c := &delayConstraints{capacity: 200}
		c.setPacketLength(ms(20))
		return c
	}
	c := fresh()
	if c.clamp(ms(100)) != ms(100) || c.clamp(0) != 0 {
		t.Error("no constraint")
	}
	c.setMaximum(ms(60))
	if c.clamp(ms(100)) != ms(60) {
		t.Error("maximum")
	}
	c = fresh()
	c.setMinimum(ms(140))
	if c.clamp(ms(20)) != ms(140) {
		t.Error("minimum")
	}
	c = fresh()
	c.setBase(ms(140))
	if c.clamp(ms(20)) != ms(140) {
		t.Error("base minimum")
	}
	if c.setBase(-1) || c.setBase(ms(10001)) || !c.setBase(ms(7999)) || c.setPacketLength(0) || c.setPacketLength(-1) {
		t.Error("bounds of base and packet length")
	}
	for _, v := range []struct{ base, minimum, maximum, want int }{{100, 200, 0, 200}, {70, 30, 0, 70}, {4001, 0, 0, 3000},
		{401, 0, 400, 400}, {399, 0, 400, 399}, {10, 20, 0, 20}, {30, 20, 0, 30}} {
		c := fresh()
		c.setMaximum(ms(v.maximum))
		c.setMinimum(ms(v.minimum))
		c.setBase(ms(v.base))
		if got := c.effectiveMinimum(); got != ms(v.want) {
			t.Errorf("%+v: %v", v, got)
		}
	}
	c = fresh()
	c.setMaximum(ms(20))
	if c.setMinimum(ms(40)) {
		t.Error("minimum over maximum accepted")
	}
	c = fresh()
	c.setMaximum(ms(100))
	c.setMinimum(ms(80))
	if c.setMaximum(ms(60)) {
		t.Error("maximum under minimum accepted")
	}
}

func TestBufferLevelFilter(t *testing.T) { // item 58
	for _, v := range []int{100, 200} {
		for n := 10; n <= 50; n += 10 {
			f := newBufferLevelFilter()
			f.setTarget(ms(20))
			for range n {
				f.update(v, 0)
			}
			want := (1 - math.Pow(251.0/256, float64(n))) * float64(v)
			if math.Abs(f.level-want) > 1 {
				t.Errorf("%d updates of %d: %.1f, want %.1f", n, v, f.level, want)
			}
		}
	}
	for _, c := range []struct{ target, want int }{{20, 18}, {60, 15}, {140, 11}, {141, 8}} {
		f := newBufferLevelFilter()
		f.setTarget(ms(c.target))
		for range 10 {
			f.update(100, 0)
		}
		if math.Abs(f.level-float64(c.want)) > 1 {
			t.Errorf("target %d: %.1f, want %d", c.target, f.level, c.want)
		}
	}
	f := newBufferLevelFilter()
	f.set(1000)
	f.update(1000, 300)
	if math.Abs(f.level-700) > 1 {
		t.Errorf("after a stretch of 300: %.1f", f.level)
	}
	f.update(0, 100000)
	if f.level != 0 {
		t.Errorf("negative level %.1f", f.level)
	}
}

func TestNetworkPolicy(t *testing.T) { // item 59
	p := newNetworkPolicy()
	if p.target() != ms(60) {
		t.Errorf("start %v", p.target())
	}
	for _, want := range []float64{68, 74.4, 79.52} {
		p.update(ms(100), 0)
		if got := float64(p.target()) / 1e6; math.Abs(got-want) > 0.01 {
			t.Errorf("%.2f ms, want %.2f", got, want)
		}
	}
	settle := func(rtt time.Duration, loss float64) float64 {
		for range 100 {
			p.update(rtt, loss)
			if v := p.target(); v < ms(40) || v > ms(200) {
				t.Fatalf("%v", v)
			}
		}
		return float64(p.target()) / 1e6
	}
	for _, c := range []struct {
		rtt        time.Duration
		loss, want float64
	}{{ms(100), 0, 100}, {ms(300), 10, 200}, {0, 0, 50}} {
		if got := settle(c.rtt, c.loss); math.Abs(got-c.want) > 0.1 {
			t.Errorf("RTT %v loss %g: %.1f ms, want %g", c.rtt, c.loss, got, c.want)
		}
	}
}

func TestAdaptiveTarget(t *testing.T) { // 6.1, 6.2, 6.4
	p := newAdaptivePolicy()
	now := time.Duration(0)
	feed := func(d time.Duration, delay func(k int) time.Duration) {
		for k, end := 0, now+d; now < end; k++ {
			p.packet(delay(k), false, now)
			now += ms(20)
		}
	}
	feed(10*time.Second, func(int) time.Duration { return 0 })
	if p.target() != ms(5) {
		t.Errorf("without jitter %v", p.target())
	}
	feed(10*time.Second, func(k int) time.Duration { return ms(k % 5 * 8) })
	if v := p.target(); v != ms(35) {
		t.Errorf("with delays up to 32 ms %v", v)
	}
	feed(30*time.Second, func(k int) time.Duration { return ms(k % 11 * 10) })
	if v := p.target(); v != ms(105) {
		t.Errorf("with delays up to 100 ms %v", v)
	}
	feed(10*time.Second, func(int) time.Duration { return 0 })
	if v := p.target(); v > ms(20) {
		t.Errorf("10 s after the jitter %v", v)
	}
	feed(60*time.Second, func(k int) time.Duration {
		if k == 1000 {
			return ms(600)
		}
		return 0
	})
	if v := p.target(); v > ms(20) {
		t.Errorf("one stall in a minute raised the target to %v", v)
	}
}
