package mixer

import "time"

const (
	// challengerLeadDB is how much louder than the quietest speaker somebody must be to take the place, and challengerLead
	// how long, in dB times seconds: 3 dB for 40 ms, 12 dB for 10 ms. What lies in the buffer counts.
	challengerLeadDB = 3
	challengerLead   = 3 * 0.040
	// speakerStayTicks is how long a place is kept at least, so that nobody is cut off within a word.
	speakerStayTicks = 50
	// A speaker counts for the loudest of the last 150 to 300 ms, so that a pause between two syllables is none. One that has been
	// quiet for calmTicks, longer than such a pause, counts for what it is.
	holdTicks = 15
	calmTicks = 15
	// enterDBov is the level from which somebody is heard at all, 20 dB below the quietest speech, and leaveDBov that below
	// which the place is given up.
	enterDBov = -65
	leaveDBov = -70
	// auditTicks is how long a source whose level cannot be told is decoded to find it out; recheckTicks how long one whose
	// claims have proved right is left alone.
	auditTicks   = 30
	recheckTicks = 1000
)

// limit is how many sources are heard at a time; 0: all.
func (r *Room) limit() int {
	if r.worker.rung >= rungSpeakers && (r.speakers == 0 || r.speakers > fewestSpeakers) {
		return fewestSpeakers
	}
	return r.speakers
}

// choose marks the sources that are mixed in tick n: all of them, or the loudest few where the room has a limit. It goes by
// the packets that are still to be played, so who begins to speak is chosen, and its decoder brought into step, before the
// first syllable is due. Nobody is decoded to be chosen, but for those of whom nothing else can tell the level.
func (r *Room) choose(n int64, now time.Duration) {
	limit := r.limit()
	if limit == 0 {
		for _, s := range r.sources {
			s.chosen, s.audit = true, false
			s.outlook.pass(now)
		}
		return
	}
	places := limit
	for _, s := range r.sources {
		s.look(now)
		if s.chosen && (s.silenced(n) || (s.rank < leaveDBov && n-s.since >= speakerStayTicks)) {
			s.chosen, s.since = false, n
		}
		if s.chosen {
			places--
		}
	}
	for ; places < 0; places++ { // the limit was lowered
		s := r.quietest(n, 0)
		s.chosen, s.since = false, n
	}
	for next := r.loudest(n); next != nil; next = r.loudest(n) {
		if places <= 0 {
			weakest := r.quietest(n, speakerStayTicks)
			if weakest == nil || !next.beats(weakest, now) {
				break
			}
			weakest.chosen, weakest.since = false, n
			places++
		}
		next.chosen, next.since = true, n
		places--
		r.worker.elections.Add(1)
	}
	if weakest := r.quietest(n, speakerStayTicks); weakest != nil {
		standing := weakest.standing()
		for _, s := range r.sources {
			if !s.chosen && s.present >= standing+challengerLeadDB {
				s.lead += (s.present - standing) * tickDuration.Seconds()
			} else {
				s.lead = 0
			}
		}
	}
	r.audit(n, now, places)
}

// look brings the rank up to what is about to be played.
func (s *Source) look(now time.Duration) {
	s.outlook.pass(now)
	s.present, s.ahead = s.outlook.now(), s.outlook.ahead(now)
	if s.decoded && !s.outlook.believed() {
		s.present = max(s.present, s.meter.now)
		s.ahead = max(s.ahead, s.meter.now)
	}
	s.peak = max(s.peak, s.ahead)
	if s.held++; s.ahead >= s.rank || s.held >= holdTicks {
		s.rank, s.peak, s.held = s.peak, s.ahead, 0
	}
	if s.calm++; s.ahead >= hushBelowDBov {
		s.calm = 0
	}
}

// standing is what a speaker's place is defended with.
func (s *Source) standing() float64 {
	if s.calm >= calmTicks {
		return s.ahead
	}
	return s.rank
}

// beats tells whether s may take the place of a speaker. One who has stopped speaking gives way at once.
func (s *Source) beats(speaker *Source, now time.Duration) bool {
	standing := speaker.standing()
	if s.ahead < standing+challengerLeadDB {
		return false
	}
	return speaker.calm >= calmTicks || s.lead+s.outlook.lead(standing, challengerLeadDB, now) >= challengerLead
}

// loudest returns the loudest source that waits for a place.
func (r *Room) loudest(n int64) *Source {
	var best *Source
	for _, s := range r.sources {
		if !s.chosen && s.ahead >= enterDBov && (best == nil || s.ahead > best.ahead) && !s.silenced(n) {
			best = s
		}
	}
	return best
}

// quietest returns, of those chosen for some ticks at least, the one that loses its place first.
func (r *Room) quietest(n, stay int64) *Source {
	var best *Source
	for _, s := range r.sources {
		if s.chosen && n-s.since >= stay && (best == nil || s.standing() < best.standing()) {
			best = s
		}
	}
	return best
}

// audit picks the sources that are decoded without being heard, because nothing else tells their level: senders that do not
// state it, or were found to lie. As many as there are places to spare, which is all of them in a small room; in a full one
// a single one at a time, and only if its payload looks like speech.
func (r *Room) audit(n int64, now time.Duration, free int) {
	places := max(1, free)
	for _, s := range r.sources {
		if s.audit && (s.chosen || n >= s.audited || !s.outlook.waiting(now)) {
			s.audit, s.audited = false, n
		}
		if s.audit {
			places--
		}
	}
	for ; places > 0; places-- {
		var next *Source
		for _, s := range r.sources {
			if s.chosen || s.audit || !s.outlook.waiting(now) || !s.outlook.doubtful() || s.silenced(n) ||
				(next != nil && s.audited >= next.audited) {
				continue
			}
			if (s.outlook.believed() && n-s.audited < recheckTicks) || (free <= 0 && !s.outlook.active()) {
				continue
			}
			next = s
		}
		if next == nil {
			return
		}
		next.audit, next.audited = true, n+auditTicks
	}
}
