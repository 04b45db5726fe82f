package mixer

import "time"

const (
	// decodeShare is what decoding one source may take of every tick on the long run: eighty times what voice takes.
	decodeShare = 2 * time.Millisecond
	// decodeBurst is what it may take at once: an operating system that lends the core to others is not the sender's fault.
	decodeBurst = 50 * time.Millisecond
	// muzzleTicks is how long a source is silent that took more.
	muzzleTicks = 100
)

// budget bounds the time that decoding one source takes, so that a hostile stream cannot eat its room's tick.
type budget struct {
	credit time.Duration
	last   int64 // tick
	until  int64 // tick at which the source may be heard again
}

func newBudget() budget { return budget{credit: decodeBurst, last: never, until: never} }

// spend takes the cost of tick n off and returns true when the source is to be silent from the next tick on.
func (b *budget) spend(cost time.Duration, n int64) bool {
	b.credit = min(decodeBurst, b.credit+decodeShare*time.Duration(min(n-b.last, int64(decodeBurst/decodeShare))))
	b.last = n
	if b.credit -= cost; b.credit >= 0 {
		return false
	}
	b.credit, b.until = decodeBurst, n+1+muzzleTicks
	return true
}

// exceeded tells whether the source is silent in tick n.
func (b *budget) exceeded(n int64) bool { return n < b.until }
