package mixer

import "time"

// Tier is how well a listener's connection is thought of, and so how its sound is encoded: at what rate, and in what frames.
type Tier uint8

const (
	// Excellent: all of EncoderConfig.BitrateBps, 40 kb/s unless said otherwise, in the room's own frames.
	Excellent Tier = iota
	// Good: three fifths of that, 24 kb/s, in the room's own frames.
	Good
	// Poor: two fifths, 16 kb/s, in frames of 40 ms: with 40 bytes of IPv4, UDP and SRTP overhead per packet the link carries
	// 26 kb/s, where an excellent one carries 60.
	Poor

	// Tiers is their number.
	Tiers = int(Poor) + 1
)

// String is the name that metrics show.
func (t Tier) String() string {
	switch t {
	case Excellent:
		return "excellent"
	case Good:
		return "good"
	}
	return "poor"
}

// Report is what is known of the way to a listener, since the report before (RFC 3550, section 6.4.1).
type Report struct {
	Loss   float64       // share of the packets, 0 to 1
	Jitter time.Duration // of their arrival
	RTT    time.Duration // 0: unknown
}

// tierBounds are the reports from which a connection is at best good, or poor.
//
// Loss: concealment is noticed from about 1 % and annoys from 5 % (ITU-T G.1028); from 3 % on redundancy has to be paid for,
// out of a lower rate, and one report of one packet in fifty (2 %) is still chance. From 10 % on every second is damaged, and
// fewer, smaller packets are what helps where the loss is one's own doing.
//
// Jitter and round trip rise first where a queue fills up, before anything is lost: 30 ms of jitter is more than Wi-Fi has that
// works, 80 ms is that of a link that is full. A round trip of 800 ms is the limit of ITU-T G.114 (400 ms one way), and one of 500 ms
// is longer than any cable: what is beyond lies in queues, or goes by satellite, where packets are dear.
var tierBounds = [Tiers]Report{
	Good: {Loss: 0.03, Jitter: 30 * time.Millisecond, RTT: 500 * time.Millisecond},
	Poor: {Loss: 0.10, Jitter: 80 * time.Millisecond, RTT: 800 * time.Millisecond},
}

const (
	// betterShare is what a report must be below, of the bounds, to speak for the next better tier.
	betterShare = 0.7
	// badReports in a row are a fall by chance seldom enough; a loss of Poor is none at all, and counts at once.
	badReports = 2
	// A tier is left upwards after good reports for leastRise; when that proves wrong within the same time, the next rise waits twice as
	// long: a link that is too narrow for the better tier would be filled over and over.
	leastRise   = 10 * time.Second
	longestRise = 160 * time.Second
	// Redundancy (RED) begins above redLoss, and ends when no report has been above redEnough for leastRise.
	redLoss   = 0.03
	redEnough = 0.01
)

// within tells whether a report stays below a share of bounds.
func (r Report) within(b Report, share float64) bool {
	return r.Loss < b.Loss*share && float64(r.Jitter) < float64(b.Jitter)*share && float64(r.RTT) < float64(b.RTT)*share
}

// worst is the tier that one report alone speaks for.
func (r Report) worst() Tier {
	t := Excellent
	for t < Poor && !r.within(tierBounds[t+1], 1) {
		t++
	}
	return t
}

// quality follows the reports of one listener.
type quality struct {
	tier Tier
	bad  int           // reports in a row that speak for a worse one
	rise time.Duration // how long good reports must last
	good time.Duration // since when they do
	rose time.Duration // when the tier was last left upwards
	up   bool          // that was the last change

	redundant bool
	spotless  time.Duration // since when hardly anything has been lost
	loss      int           // percent that the encoder is to protect against
}

// take notes a report that came at now, and returns whether the tier has changed.
func (q *quality) take(r Report, now time.Duration) bool {
	r.Loss = max(0, min(1, r.Loss))
	if r.Loss != r.Loss {
		r.Loss = 0
	}
	if q.rise == 0 {
		q.rise, q.good, q.spotless = leastRise, now, now
	}
	q.follow(r.Loss, now)
	before := q.tier
	switch worst := r.worst(); {
	case worst > q.tier:
		q.good = now
		if q.bad++; q.bad >= badReports || r.Loss >= tierBounds[Poor].Loss {
			if q.up && now-q.rose <= 2*q.rise {
				q.rise = min(longestRise, 2*q.rise)
			}
			q.tier, q.bad, q.up = worst, 0, false
		}
	case q.tier > Excellent && r.within(tierBounds[q.tier], betterShare):
		q.bad = 0
		if now-q.good >= q.rise {
			q.tier, q.up, q.rose, q.good = q.tier-1, true, now, now
		}
	default:
		q.bad, q.good = 0, now
		if q.tier == Excellent && now-q.rose > 4*q.rise {
			q.rise = leastRise
		}
	}
	if q.bad == 0 { // else it may be about to go, and should not trouble those it leaves behind
		q.loss = int(100*r.Loss + 0.5)
	}
	return q.tier != before
}

// follow decides about redundancy.
func (q *quality) follow(loss float64, now time.Duration) {
	if loss > redEnough {
		q.spotless = now
	}
	switch {
	case loss > redLoss:
		q.redundant = true
	case q.redundant && now-q.spotless >= leastRise:
		q.redundant = false
	}
}

// leastMusicBitrate is the least of a tier with music, if the room has as much: stereo at full bandwidth (RFC 7587, section 3.1.1,
// recommends 64 to 128 kb/s; below 48 libopus begins to take the ends of the spectrum away).
const leastMusicBitrate = 48000

// bitrate is what a tier gets of the configured rate: 40, 24 and 16 kb/s of 40; 40, 36 and 24 in stereo.
func (c *EncoderConfig) bitrate(t Tier) int {
	least := leastBitrate
	if c.Music {
		least = min(leastMusicBitrate, c.BitrateBps)
	}
	rate := c.BitrateBps
	switch t {
	case Good:
		rate = rate * 3 / 5
	case Poor:
		rate = rate * 2 / 5
	}
	if c.Channels == 2 && !c.Music {
		// libopus narrows the space between voices below 32 kb/s, and has none left at 16.
		rate = min(rate*3/2, c.BitrateBps)
	}
	return max(least, rate)
}
