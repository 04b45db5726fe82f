package neteq

import "time"

// settling tells whether the network has settled, so that delay above the target is of no more use, and whether enough of it
// has stood for long enough to be taken out of speech.
type settling struct {
	begin        time.Duration // of the stream
	last, before time.Duration // a packet last came later than the target allows; and in the disturbance before
	count        int           // disturbances
	smallAt      time.Duration // the excess was last within its band
	mediumAt     time.Duration // and within twice the band
	releasing    bool
}

// start begins a stream.
func (s *settling) start(now time.Duration) {
	*s = settling{begin: now, smallAt: now, mediumAt: now}
}

// packet notes how late a packet was.
func (s *settling) packet(delay, target, now time.Duration) {
	if delay <= target+quietExcess {
		return
	}
	if s.count == 0 || now-s.last > settleTime {
		s.before = s.last
		s.count++
	}
	s.last = now
}

// disturbed tells whether a packet as late as the last ones must still be expected.
func (s *settling) disturbed(now time.Duration) bool {
	if s.count == 0 {
		return false
	}
	wait := settleTime
	if s.count > 1 && s.last-s.before < recurTime {
		wait = settleAgain
	}
	return now-s.last < wait
}

// follow looks at the delay in every tick. It returns the excess that is to stand in silence and sets releasing.
func (s *settling) follow(now, delay, target time.Duration) time.Duration {
	excess, band := delay-target, max(quietExcess, target/quietPart)
	if excess <= 2*band {
		s.mediumAt = now
	}
	if excess <= band {
		s.smallAt, s.releasing = now, false
	}
	early := now-s.begin < settleStart
	disturbed := s.disturbed(now)
	switch {
	case early || disturbed:
		s.releasing = false
	case now-s.smallAt > settlePatience || now-s.mediumAt > settleTime:
		s.releasing = true
	}
	switch {
	case early:
		return 2 * quietExcess
	case disturbed && delay < urgentDelay:
		return disturbedExcess
	}
	return band
}
