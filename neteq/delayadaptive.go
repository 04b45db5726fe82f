package neteq

import "time"

// Settings of PolicyAdaptive's delay estimate.
const (
	adaptiveBucket       = 5 * time.Millisecond
	adaptiveFirst        = 250 * time.Millisecond
	adaptiveInterval     = 500 * time.Millisecond
	adaptiveMemory       = 120 // intervals: a minute
	adaptiveRecent       = 18  // intervals: nine seconds. When they needed less than adaptiveLess of the target, it follows.
	adaptiveLess         = 0.5
	adaptiveBad          = 0.6  // of the target is a bad interval; after a calm of n between two, 1.5n are looked back
	adaptiveAfter        = 6    // intervals for which the delay that a single bad one made is kept
	adaptiveAfterMax     = 39   // buckets, 200 ms: up to there
	adaptiveAfterAgain   = 10   // and for so many
	adaptiveAfterMore    = 59   // up to 300 ms, when it was not the first
	adaptiveAgain        = 24   // in so many intervals
	adaptiveAfterLeast   = 20   // with so many buckets, 100 ms
	adaptiveRecentFar    = 32   // sixteen, and by a quarter, when they saw more than adaptiveFar: stalls come back rarely, but hurt
	adaptiveFar          = 40   // buckets, 200 ms
	adaptiveTrust        = 8    // intervals after which one bad one alone proves nothing
	adaptiveShare        = 0.02 // of the intervals may be worse than the target
	adaptiveDear         = 60   // buckets, 300 ms: beyond it twice as many may be worse
	adaptiveLearn        = 2 * time.Second
	adaptiveLearnFactor  = 1.5 // what was seen so far is multiplied by this while learning
	adaptiveStart        = 10 * time.Millisecond
	adaptiveEarly        = 5 * time.Second
	adaptiveEarlyMax     = 200 * time.Millisecond
	adaptiveDefaultMax   = 500 * time.Millisecond
	adaptiveReorderBound = 100 // buckets
)

// adaptivePolicy remembers the worst delay of every half second of the last minute. The target covers all of them but the
// few worst, so that one stall in a minute costs nobody delay for longer than a moment; and when the last seconds needed much
// less, it is what they needed, so that the end of a bad time is noticed soon.
type adaptivePolicy struct {
	worst    [adaptiveMemory]uint16 // ring, in buckets
	next     int
	count    int
	reorder  *reorderOptimizer
	begun    bool
	begin    time.Duration
	now      time.Duration
	since    time.Duration
	interval time.Duration
	current  time.Duration // worst of the running interval
	early    time.Duration // worst since the beginning, while it is young
	underrun time.Duration // 0: not known yet
	after    uint16        // buckets: what the last moments saw
}

func newAdaptivePolicy() *adaptivePolicy {
	return &adaptivePolicy{
		reorder:  newReorderOptimizer(adaptiveReorderBound, adaptiveBucket, m150ReorderForget, m150StartWeight),
		interval: adaptiveFirst,
	}
}

func (p *adaptivePolicy) reset() {
	r := p.reorder
	r.reset()
	*p = adaptivePolicy{reorder: r, interval: adaptiveFirst}
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
		p.current = max(p.current, delay)
		p.early = max(p.early, delay)
	}
	p.reorder.update(delay, reordered, max(p.underrun, time.Duration(1+p.after)*adaptiveBucket))
}

// close ends an interval and sets the target anew.
func (p *adaptivePolicy) close(now time.Duration) {
	p.worst[p.next] = uint16(min(p.current/adaptiveBucket, 1000))
	p.next = (p.next + 1) % adaptiveMemory
	p.count = min(p.count+1, adaptiveMemory)
	p.since, p.current, p.interval = now, 0, adaptiveInterval

	// The largest values of the minute, in falling order.
	rank := int(adaptiveShare * float64(p.count))
	if p.count >= adaptiveTrust {
		rank = max(1, rank)
	}
	var top [8]uint16
	for _, v := range p.worst[:p.count] {
		for k := range top[:2*rank+2] {
			if v > top[k] {
				v, top[k] = top[k], v
			}
		}
	}
	worst := top[rank]
	if worst > adaptiveDear { // so much delay is dearer than some more concealment
		worst = max(adaptiveDear, top[2*rank+1])
	}
	buckets := worst
	if r := p.recent(worst); float64(r) < adaptiveLess*float64(worst) {
		buckets = r
	}
	p.underrun = time.Duration(1+buckets) * adaptiveBucket
	p.after = p.aftershock()
}

// ago returns the worst delay of the i-th interval before now.
func (p *adaptivePolicy) ago(i int) uint16 {
	return p.worst[(p.next-1-i+2*adaptiveMemory)%adaptiveMemory]
}

// recent is the worst of the last seconds. When bad moments come back after longer calms, it looks back further than those.
func (p *adaptivePolicy) recent(worst uint16) uint16 {
	horizon, bad := adaptiveRecent, -1
	for i := range p.count {
		if v := p.ago(i); v > 0 && float64(v) >= adaptiveBad*float64(worst) {
			if bad >= 0 {
				horizon = max(horizon, min((i-bad)*3/2, adaptiveMemory/2))
			}
			bad = i
		}
	}
	var recent, before uint16
	for i := range min(p.count, max(horizon, adaptiveRecentFar)) {
		if i < horizon {
			recent = max(recent, p.ago(i))
		} else {
			before = max(before, p.ago(i))
		}
	}
	if before > adaptiveFar {
		recent = max(recent, before*3/4)
	}
	return recent
}

// aftershock is the worst of the last moments; more, and of more of them, when stalls come one after the other.
func (p *adaptivePolicy) aftershock() uint16 {
	stalls, bad, window, most := 0, false, adaptiveAfter, uint16(adaptiveAfterMax)
	for i := range min(p.count, adaptiveAgain) {
		b := p.ago(i) >= adaptiveAfterLeast
		if b && !bad {
			stalls++
		}
		bad = b
	}
	if stalls > 1 {
		window, most = adaptiveAfterAgain, adaptiveAfterMore
	}
	var w uint16
	for i := range min(p.count, window) {
		v := p.ago(i)
		if time.Duration(p.count-i)*adaptiveInterval <= adaptiveEarly+adaptiveInterval {
			v = min(v, uint16(adaptiveEarlyMax/adaptiveBucket)-1) // of the beginning
		}
		w = max(w, v)
	}
	return min(w, most)
}

func (p *adaptivePolicy) recovered(delay, now time.Duration) {
	p.reorder.update(delay, true, p.underrun)
}

// hold is the delay that is not to be given up yet: the target, or what the last moments needed, as a stall seldom comes alone.
func (p *adaptivePolicy) hold() time.Duration {
	t := p.target()
	if p.underrun == 0 {
		return t
	}
	after := max(p.after, uint16(min(p.current/adaptiveBucket, adaptiveAfterMax)))
	h := time.Duration(1+after) * adaptiveBucket
	if p.now-p.begin < adaptiveEarly+adaptiveInterval {
		h = min(h, adaptiveEarlyMax)
	}
	return max(t, h)
}

func (p *adaptivePolicy) target() time.Duration {
	t := p.underrun
	if t == 0 {
		t = max(adaptiveStart, p.current)
	}
	if p.now-p.begin < adaptiveLearn && p.early > adaptiveBucket {
		t = max(t, time.Duration(float64(p.early)*adaptiveLearnFactor))
	}
	t = max(t, p.reorder.optimum)
	if !p.begun || p.now-p.begin < adaptiveEarly+adaptiveInterval {
		t = min(t, adaptiveEarlyMax)
	}
	return t
}
