package turn

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// limiter grants each source a number of events per second. Its memory is fixed: 2,048 sets of four sources; a flood of
// forged sources pushes the least recently seen out, and is then held by the limit on all sources together.
type limiter struct {
	mu   sync.Mutex
	seed maphash.Seed
	rate float64 // per second and source; also the burst
	all  bucket  // all sources together
	sets [limiterSets][limiterWays]sourceBucket
}

const (
	limiterSets = 2048
	limiterWays = 4
)

type sourceBucket struct {
	key    sourceKey
	used   bool
	bucket bucket
}

func newLimiter(perSource, total float64) *limiter {
	return &limiter{seed: maphash.MakeSeed(), rate: perSource, all: bucket{rate: total, burst: total, tokens: total}}
}

// allow takes one event of src at the monotonic time now.
func (l *limiter) allow(src sourceKey, now time.Duration) bool {
	set := &l.sets[maphash.Comparable(l.seed, src)%limiterSets]
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := 0
	for i := range set {
		e := &set[i]
		if e.used && e.key == src {
			return e.bucket.take(1, now) && l.all.take(1, now)
		}
		if !e.used || set[oldest].used && e.bucket.last < set[oldest].bucket.last {
			oldest = i
		}
	}
	set[oldest] = sourceBucket{key: src, used: true, bucket: bucket{rate: l.rate, burst: l.rate, tokens: l.rate, last: now}}
	return set[oldest].bucket.take(1, now) && l.all.take(1, now)
}

// bucket is a token bucket. Not safe for concurrent use.
type bucket struct {
	rate   float64 // tokens per second
	burst  float64
	tokens float64
	last   time.Duration
}

func (b *bucket) take(n float64, now time.Duration) bool {
	if now > b.last {
		b.tokens = math.Min(b.burst, b.tokens+b.rate*(now-b.last).Seconds())
		b.last = now
	}
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}
