package netsim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Conditions describe one direction of a path. The zero value is a perfect network.
type Conditions struct {
	Loss float64 // share of packets lost, 0..1
	// Burst is the mean length, in packets, of a run of losses (Gilbert 1960); 0 and 1 mean that losses are independent.
	Burst     float64
	Delay     time.Duration // one way
	Jitter    time.Duration // added to Delay, uniform in ±Jitter; packets may overtake each other unless InOrder
	InOrder   bool          // a packet waits for the one before it, as on a single queue
	Reorder   float64       // share of packets that skip Delay and so overtake others
	Duplicate float64       // share of packets that arrive twice, the second with a delay of its own
	RateBps   int           // bits per second including 28 bytes of IP and UDP headers per packet; 0: no limit
	Queue     time.Duration // longest wait for RateBps before packets are dropped; 0: 200 ms
}

// Validate reports a value that means nothing.
func (c Conditions) Validate() error {
	for name, share := range map[string]float64{"loss": c.Loss, "reorder": c.Reorder, "duplicate": c.Duplicate} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%s is a share between 0 and 1, not %v", name, share)
		}
	}
	if c.Burst < 0 || c.Delay < 0 || c.Jitter < 0 || c.RateBps < 0 || c.Queue < 0 {
		return fmt.Errorf("negative value in %+v", c)
	}
	if c.Burst > 1 && c.Loss == 1 {
		return fmt.Errorf("bursts of %v packets with everything lost", c.Burst)
	}
	return nil
}

// headerBytes are the IPv4 and UDP headers that count against RateBps.
const headerBytes = 28

// Link decides the fate of each packet of one direction. Not safe for concurrent use.
type Link struct {
	c      Conditions
	random *rand.Rand
	lost   bool          // the last packet was lost: the Gilbert model's bad state
	idle   time.Duration // when the rate-limited line is free again
	last   time.Duration // latest delivery promised, for InOrder
}

// NewLink makes a link whose decisions depend on seed and the packets only.
func NewLink(c Conditions, seed uint64) *Link {
	return &Link{c: c, random: rand.New(rand.NewPCG(seed, 0x6e657473696d))}
}

// Set changes the conditions for the packets to come.
func (l *Link) Set(c Conditions) { l.c = c }

// Send puts one packet of size payload bytes on the link at now (monotonic, any epoch). It returns when the packet arrives
// at the other end, and when its duplicate does; a negative time means not at all.
func (l *Link) Send(now time.Duration, size int) (first, second time.Duration) {
	if l.lose() {
		return -1, -1
	}
	start := now
	if l.c.RateBps > 0 {
		queue := l.c.Queue
		if queue == 0 {
			queue = 200 * time.Millisecond
		}
		l.idle = max(l.idle, now)
		if l.idle-now > queue {
			return -1, -1
		}
		l.idle += time.Duration(int64(size+headerBytes) * 8 * int64(time.Second) / int64(l.c.RateBps))
		start = l.idle
	}
	first, second = l.arrival(start), -1
	if l.c.Duplicate > 0 && l.random.Float64() < l.c.Duplicate {
		second = l.arrival(start)
	}
	return first, second
}

// lose advances the two-state model: from good to bad with p, from bad to good with 1/Burst, so that the share of bad
// packets is Loss and their runs have the mean length Burst.
func (l *Link) lose() bool {
	c := l.c
	if c.Loss <= 0 {
		l.lost = false
		return false
	}
	p := c.Loss
	if c.Burst > 1 {
		if l.lost {
			p = 1 - 1/c.Burst
		} else {
			p = min(1, c.Loss/((1-c.Loss)*c.Burst))
		}
	}
	l.lost = l.random.Float64() < p
	return l.lost
}

func (l *Link) arrival(start time.Duration) time.Duration {
	at := start
	if l.c.Reorder == 0 || l.random.Float64() >= l.c.Reorder {
		at += l.c.Delay
		if l.c.Jitter > 0 {
			at += time.Duration((2*l.random.Float64() - 1) * float64(l.c.Jitter))
		}
		at = max(at, start)
		if l.c.InOrder {
			at = max(at, l.last)
			l.last = at
		}
	}
	return at
}
