package neteq

import "time"

// Settings of PolicyAdaptive's delay estimate.
const (
	adaptiveBucket       = 5 * time.Millisecond
	adaptiveBuckets      = 400 // 2 s
	adaptiveFirst        = 250 * time.Millisecond
	adaptiveInterval     = 500 * time.Millisecond
	adaptiveQuantile     = 0.95
	adaptiveForget       = 0.983
	adaptiveForgetFast   = 0.9 // remembers about 5 s
	adaptiveCalm         = 5 * time.Second
	adaptiveCalmBelow    = 40 * time.Millisecond
	adaptiveStart        = 10 * time.Millisecond
	adaptiveEarly        = 5 * time.Second
	adaptiveEarlyMax     = 200 * time.Millisecond
	adaptiveDefaultMax   = 500 * time.Millisecond
	adaptiveReorderBound = 100 // buckets
)

// adaptivePolicy is libwebrtc's idea with finer time and two speeds of forgetting: when the last seconds were much calmer
// than the memory says, the memory is cut.
type adaptivePolicy struct {
	slow, fast *histogram
	reorder    *reorderOptimizer
	quantile   int32
	begun      bool
	begin      time.Duration
	since      time.Duration
	interval   time.Duration
	worst      time.Duration
	calmSince  time.Duration
	calm       bool
	underrun   time.Duration
	now        time.Duration
}

func newAdaptivePolicy() *adaptivePolicy {
	return &adaptivePolicy{
		slow:     newHistogram(adaptiveBuckets, adaptiveForget, m150StartWeight),
		fast:     newHistogram(adaptiveBuckets, adaptiveForgetFast, m150StartWeight),
		reorder:  newReorderOptimizer(adaptiveReorderBound, adaptiveBucket, m150ReorderForget, m150StartWeight),
		quantile: q30(adaptiveQuantile),
		interval: adaptiveFirst,
	}
}

func (p *adaptivePolicy) reset() {
	p.slow.reset()
	p.fast.reset()
	p.reorder.reset()
	p.begun, p.calm = false, false
	p.interval, p.underrun, p.worst = adaptiveFirst, 0, 0
}

func (p *adaptivePolicy) packet(delay time.Duration, reordered bool, now time.Duration) {
	p.now = now
	if !p.begun {
		p.begun, p.begin, p.since = true, now, now
	}
	if !reordered {
		if now-p.since > p.interval {
			p.close(now)
		}
		p.worst = max(p.worst, delay)
	}
	p.reorder.update(delay, reordered, p.underrun)
}

// close ends an interval: its worst delay enters both memories.
func (p *adaptivePolicy) close(now time.Duration) {
	i := int(p.worst / adaptiveBucket)
	p.slow.add(i)
	p.fast.add(i)
	p.since, p.worst, p.interval = now, 0, adaptiveInterval
	slow := time.Duration(1+p.slow.quantile(p.quantile)) * adaptiveBucket
	fast := time.Duration(1+p.fast.quantile(p.quantile)) * adaptiveBucket
	switch {
	case fast > slow-adaptiveCalmBelow:
		p.calm = false
	case !p.calm:
		p.calm, p.calmSince = true, now
	case now-p.calmSince >= adaptiveCalm:
		p.cut()
		slow = time.Duration(1+p.slow.quantile(p.quantile)) * adaptiveBucket
		p.calmSince = now
	}
	p.underrun = slow
}

// cut replaces the slow memory by the mean of both.
func (p *adaptivePolicy) cut() {
	sum := int32(0)
	for i := range p.slow.buckets {
		p.slow.buckets[i] = (p.slow.buckets[i] + p.fast.buckets[i]) / 2
		sum += p.slow.buckets[i]
	}
	p.slow.buckets[0] += 1<<30 - sum
}

func (p *adaptivePolicy) recovered(delay, now time.Duration) {
	p.reorder.update(delay, true, p.underrun)
}

func (p *adaptivePolicy) target() time.Duration {
	t := p.underrun
	if t == 0 {
		t = max(adaptiveStart, p.worst)
	}
	t = max(t, p.reorder.optimum)
	if !p.begun || p.now-p.begin < adaptiveEarly {
		t = min(t, adaptiveEarlyMax)
	}
	return t
}
