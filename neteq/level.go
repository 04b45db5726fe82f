package neteq

import "time"

// bufferLevelFilter smooths the buffered span, for reporting and for the policy by level thresholds.
type bufferLevelFilter struct {
	level float64 // samples
	f     float64
}

func newBufferLevelFilter() bufferLevelFilter { return bufferLevelFilter{f: 253.0 / 256} }

// setTarget chooses the time constant: short delays are followed faster.
func (b *bufferLevelFilter) setTarget(target time.Duration) {
	switch {
	case target <= 20*time.Millisecond:
		b.f = 251.0 / 256
	case target <= 60*time.Millisecond:
		b.f = 252.0 / 256
	case target <= 140*time.Millisecond:
		b.f = 253.0 / 256
	default:
		b.f = 254.0 / 256
	}
}

// update takes the span of this tick and the samples that stretching removed (positive) or added (negative) since the last.
func (b *bufferLevelFilter) update(span, stretched int) {
	b.level = max(0, b.f*b.level+(1-b.f)*float64(span)-float64(stretched))
}

func (b *bufferLevelFilter) set(span int) { b.level = float64(span) }
