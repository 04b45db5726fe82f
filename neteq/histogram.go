package neteq

// histogram is a forgetful distribution over equal buckets. The sum of the buckets is always exactly 2^30.
type histogram struct {
	buckets []int32 // Q30
	base    int32   // forget factor in the long run, Q15
	factor  int32   // forget factor now, Q15
	weight  float64 // start weight: sample k enters with weight/k at first
	count   int
}

func newHistogram(buckets int, forget float64, startWeight float64) *histogram {
	h := &histogram{buckets: make([]int32, buckets), base: int32(forget * (1 << 15)), weight: startWeight}
	h.reset()
	return h
}

// reset returns to the exponential distribution that the first sample replaces whole.
func (h *histogram) reset() {
	p := int32(0x4002)
	for i := range h.buckets {
		p >>= 1
		h.buckets[i] = p << 16
	}
	h.factor, h.count = 0, 0
}

// add moves mass 1-factor to bucket i.
func (h *histogram) add(i int) {
	i = max(0, min(i, len(h.buckets)-1))
	sum := int64(0)
	f := int64(h.factor)
	for k, v := range h.buckets {
		v = int32(int64(v) * f >> 15)
		h.buckets[k] = v
		sum += int64(v)
	}
	h.buckets[i] += int32((1<<15 - f) << 15)
	sum += (1<<15 - f) << 15
	// Truncation leaves a small error: spread it, at most a sixteenth of each bucket, from the front.
	diff := sum - 1<<30
	for k := 0; diff != 0 && k < len(h.buckets); k++ {
		c := min(int64(h.buckets[k])/16, max(diff, -diff))
		if diff > 0 {
			h.buckets[k] -= int32(c)
			diff -= c
		} else {
			h.buckets[k] += int32(c)
			diff += c
		}
	}
	if diff != 0 { // all buckets too small for their share: the one just raised takes it
		h.buckets[i] -= int32(diff)
	}
	h.count++
	if h.weight > 0 {
		h.factor = int32((1 - h.weight/float64(h.count+1)) * (1 << 15))
		h.factor = max(0, min(h.factor, h.base))
	} else {
		h.factor += (h.base - h.factor + 3) >> 2
	}
}

// quantile is the smallest bucket above which lies at most 1-p (Q30) of the mass.
func (h *histogram) quantile(p int32) int {
	inverse := int32(1<<30) - p
	sum := int32(1 << 30)
	for i, v := range h.buckets {
		if sum -= v; sum <= inverse {
			return i
		}
	}
	return len(h.buckets) - 1
}

// q30 turns a probability into the scale of the buckets.
func q30(p float64) int32 { return int32(p * (1 << 30)) }
