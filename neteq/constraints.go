package neteq

import "time"

// maxDelayBound is the largest delay anybody may ask for.
const maxDelayBound = 10 * time.Second

// delayConstraints clamps the target delay to what the owner asked for and the buffer can hold.
type delayConstraints struct {
	minimum, maximum, base time.Duration // maximum 0: none
	packet                 time.Duration // 0: unknown
	capacity               int           // packets
}

// upper is the largest minimum delay that makes sense.
func (c *delayConstraints) upper() time.Duration {
	u := maxDelayBound
	if c.maximum > 0 {
		u = c.maximum
	}
	if c.packet > 0 {
		u = min(u, c.bufferBound())
	}
	return u
}

// bufferBound is three quarters of what the packet buffer holds.
func (c *delayConstraints) bufferBound() time.Duration {
	return time.Duration(c.capacity) * c.packet * 3 / 4
}

func (c *delayConstraints) setPacketLength(d time.Duration) bool {
	if d <= 0 {
		return false
	}
	c.packet = d
	return true
}

func (c *delayConstraints) setMinimum(d time.Duration) bool {
	if d < 0 || d > c.upper() {
		return false
	}
	c.minimum = d
	return true
}

func (c *delayConstraints) setMaximum(d time.Duration) bool {
	if d < 0 || d > maxDelayBound || (d > 0 && d < c.minimum) {
		return false
	}
	c.maximum = d
	return true
}

func (c *delayConstraints) setBase(d time.Duration) bool {
	if d < 0 || d > maxDelayBound {
		return false
	}
	c.base = d
	return true
}

// effectiveMinimum joins both minima; both are remembered, so that lowering one brings the other back.
func (c *delayConstraints) effectiveMinimum() time.Duration {
	return max(c.minimum, max(0, min(c.base, c.upper())))
}

func (c *delayConstraints) clamp(target time.Duration) time.Duration {
	target = max(target, c.effectiveMinimum())
	if c.maximum > 0 {
		target = min(target, c.maximum)
	}
	if c.packet > 0 {
		target = min(target, c.bufferBound())
	}
	return target
}
