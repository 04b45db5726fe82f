package neteq

import "time"

// Policy chooses how NetEq sets its target delay, hides losses and restarts.
type Policy uint8

const (
	// PolicyAdaptive is this package's own and the default; see docs/neteq.md for what it does otherwise than libwebrtc.
	PolicyAdaptive Policy = iota
	// PolicyM150 decides as libwebrtc M150 does: 20 ms buckets, time in ticks, start at 80 ms, concealment by pitch
	// repetition. It exists to compare with.
	PolicyM150
	// PolicyLevels is PolicyM150 with libwebrtc's older comparison of the filtered buffer level with thresholds.
	PolicyLevels
	// PolicyNetwork derives the target from round trip and loss (SetNetwork) and ignores jitter.
	PolicyNetwork
	// PolicyFixed holds Config.FixedDelay.
	PolicyFixed
)

// delayPolicy turns what is seen of arrivals into a target delay.
type delayPolicy interface {
	// packet reports a packet's delay against the fastest recent one, and whether it was overtaken.
	packet(delay time.Duration, reordered bool, now time.Duration)
	// recovered reports that a lost packet could be had from redundancy that came delay after the packet was due.
	recovered(delay, now time.Duration)
	// target is the wanted delay before constraints.
	target() time.Duration
	reset()
}

// Settings of libwebrtc's delay manager (M150).
const (
	m150StartDelay     = 80 * time.Millisecond
	m150Bucket         = 20 * time.Millisecond
	m150Buckets        = 100
	m150Quantile       = 0.95
	m150Forget         = 0.983
	m150StartWeight    = 2
	m150Resample       = 500 * time.Millisecond
	m150ReorderForget  = 0.9993
	reorderLossCostMs  = 2000 // ms of delay accepted for avoiding all loss: 20 per percent
	networkStart       = 60 * time.Millisecond
	networkMin         = 40 * time.Millisecond
	networkMax         = 200 * time.Millisecond
	networkBase        = 50 * time.Millisecond
	networkLossPercent = 2 * time.Millisecond
)

// underrunOptimizer finds the delay that 95 % of the worst packets of every half second stay below.
type underrunOptimizer struct {
	hist     *histogram
	bucket   time.Duration
	interval time.Duration
	quantile int32
	started  bool
	since    time.Duration
	worst    time.Duration
	optimum  time.Duration // 0: none yet
}

func newUnderrunOptimizer() *underrunOptimizer {
	return &underrunOptimizer{hist: newHistogram(m150Buckets, m150Forget, m150StartWeight), bucket: m150Bucket,
		interval: m150Resample, quantile: q30(m150Quantile)}
}

func (u *underrunOptimizer) reset() {
	u.hist.reset()
	u.started, u.worst, u.optimum = false, 0, 0
}

func (u *underrunOptimizer) update(delay, now time.Duration) {
	if !u.started {
		u.started, u.since = true, now
	}
	if now-u.since > u.interval {
		if i := int(u.worst / u.bucket); i < len(u.hist.buckets) {
			u.hist.add(i)
		}
		u.since, u.worst = now, 0
		u.optimum = time.Duration(1+u.hist.quantile(u.quantile)) * u.bucket
	}
	u.worst = max(u.worst, delay)
}

// reorderOptimizer weighs the delay that waiting for overtaken packets costs against the loss it avoids.
type reorderOptimizer struct {
	hist    *histogram
	bucket  time.Duration
	optimum time.Duration
}

func newReorderOptimizer(buckets int, bucket time.Duration, forget, startWeight float64) *reorderOptimizer {
	return &reorderOptimizer{hist: newHistogram(buckets, forget, startWeight), bucket: bucket}
}

func (r *reorderOptimizer) reset() { r.hist.reset(); r.optimum = 0 }

func (r *reorderOptimizer) update(delay time.Duration, reordered bool, base time.Duration) {
	i := 0
	if reordered {
		i = int(delay / r.bucket)
	}
	r.hist.add(i)
	r.optimum = r.minimize(base)
}

// minimize returns the upper edge of the cheapest bucket.
func (r *reorderOptimizer) minimize(base time.Duration) time.Duration {
	bucketMs, baseMs := int64(r.bucket/time.Millisecond), int64(base/time.Millisecond)
	above := int64(1 << 30)
	best, bestCost := 0, int64(1)<<62
	for i, v := range r.hist.buckets {
		above -= int64(v)
		cost := max(0, bucketMs*int64(i)-baseMs)<<30 + reorderLossCostMs*above
		if cost < bestCost {
			best, bestCost = i, cost
		}
		if above == 0 {
			break
		}
	}
	return time.Duration(best+1) * r.bucket
}

// m150Policy is libwebrtc's delay manager.
type m150Policy struct {
	underrun *underrunOptimizer
	reorder  *reorderOptimizer
}

func newM150Policy() *m150Policy {
	return &m150Policy{underrun: newUnderrunOptimizer(),
		reorder: newReorderOptimizer(m150Buckets, m150Bucket, m150ReorderForget, m150StartWeight)}
}

func (p *m150Policy) packet(delay time.Duration, reordered bool, now time.Duration) {
	if !reordered {
		p.underrun.update(delay, now)
	}
	p.reorder.update(delay, reordered, p.underrun.optimum)
}

func (p *m150Policy) recovered(delay, now time.Duration) { p.packet(delay, false, now) }

func (p *m150Policy) target() time.Duration {
	t := p.underrun.optimum
	if t == 0 {
		t = m150StartDelay
	}
	return max(t, p.reorder.optimum)
}

func (p *m150Policy) reset() { p.underrun.reset(); p.reorder.reset() }

// networkPolicy follows base = 50 ms + RTT/2 + 2 ms per percent of loss, smoothed by 0.8.
type networkPolicy struct{ value float64 }

func newNetworkPolicy() *networkPolicy { return &networkPolicy{value: float64(networkStart)} }

func (p *networkPolicy) update(rtt time.Duration, lossPercent float64) {
	base := float64(networkBase) + float64(rtt)/2 + lossPercent*float64(networkLossPercent)
	p.value = max(float64(networkMin), min(float64(networkMax), 0.8*p.value+0.2*base))
}

func (p *networkPolicy) packet(time.Duration, bool, time.Duration) {}
func (p *networkPolicy) recovered(time.Duration, time.Duration)    {}
func (p *networkPolicy) target() time.Duration                     { return time.Duration(p.value) }
func (p *networkPolicy) reset()                                    {}

// fixedPolicy never moves.
type fixedPolicy time.Duration

func (p fixedPolicy) packet(time.Duration, bool, time.Duration) {}
func (p fixedPolicy) recovered(time.Duration, time.Duration)    {}
func (p fixedPolicy) target() time.Duration                     { return time.Duration(p) }
func (p fixedPolicy) reset()                                    {}
