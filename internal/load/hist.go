package load

import (
	"math"
	"time"
)

// hist counts durations in buckets of equal width up to a limit; what is beyond is in the last one. The zero value is not
// usable: newHist. Not safe for concurrent use.
type hist struct {
	step   time.Duration
	counts []uint64
	n      uint64
	max    time.Duration
}

// histStep and histLimit suit gaps, lateness and delays: 50 µs up to 2 s.
const (
	histStep  = 50 * time.Microsecond
	histLimit = 2 * time.Second
)

func newHist() *hist { return &hist{step: histStep, counts: make([]uint64, histLimit/histStep+1)} }

func (h *hist) add(d time.Duration) {
	h.n++
	h.max = max(h.max, d)
	h.counts[min(max(0, int(d/h.step)), len(h.counts)-1)]++
}

func (h *hist) merge(other *hist) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// quantile is the upper bound of the bucket that the share q of all durations does not exceed; 0 when there are none.
func (h *hist) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := uint64(math.Ceil(q * float64(h.n)))
	var sum uint64
	for i, c := range h.counts {
		if sum += c; sum >= want && c > 0 {
			if i == len(h.counts)-1 {
				return h.max
			}
			return min(time.Duration(i+1)*h.step, h.max)
		}
	}
	return h.max
}

// over counts the durations of d and more, to the width of a bucket.
func (h *hist) over(d time.Duration) (sum uint64) {
	for _, c := range h.counts[min(int(d/h.step), len(h.counts)-1):] {
		sum += c
	}
	return sum
}

// Quantiles is how durations are reported, in milliseconds.
type Quantiles struct {
	N    uint64  `json:"n"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (h *hist) quantiles() Quantiles {
	return Quantiles{h.n, ms(h.quantile(0.5)), ms(h.quantile(0.95)), ms(h.quantile(0.99)), ms(h.quantile(0.999)), ms(h.max)}
}

// ms is d in milliseconds, rounded to microseconds.
func ms(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Microsecond)) / 1000 }
