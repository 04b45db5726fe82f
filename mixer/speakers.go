package mixer

const (
	// challengerLeadDB is how much louder than the quietest speaker somebody must be to take the place.
	challengerLeadDB = 3
	// speakerStayTicks is how long a place is kept at least, so that nobody is cut off within a word.
	speakerStayTicks = 50
)

// choose marks the sources that are mixed this tick: all of them, or the loudest few where the room has a limit. It works
// on sound that has been pulled but not yet mixed, so a first syllable loses nothing but its ramp.
func (r *Room) choose(n int64) {
	if r.speakers == 0 {
		for _, s := range r.sources {
			s.chosen = true
		}
		return
	}
	places := r.speakers
	for _, s := range r.sources {
		if s.chosen && (s.closed.Load() || (s.meter.db < hushBelowDBov && n-s.since >= speakerStayTicks)) {
			s.chosen, s.since = false, n
		}
		if s.chosen {
			places--
		}
	}
	for {
		next := r.loudest(false, n)
		if next == nil {
			return
		}
		if places <= 0 {
			weakest := r.loudest(true, n)
			if weakest == nil || next.meter.db < weakest.meter.db+challengerLeadDB {
				return
			}
			weakest.chosen, weakest.since = false, n
			places++
		}
		next.chosen, next.since = true, n
		places--
	}
}

// loudest returns the loudest source that waits for a place, or of those chosen the quietest that may lose it.
func (r *Room) loudest(chosen bool, n int64) *Source {
	var best *Source
	for _, s := range r.sources {
		if s.chosen != chosen {
			continue
		}
		if chosen {
			if n-s.since >= speakerStayTicks && (best == nil || s.meter.db < best.meter.db) {
				best = s
			}
		} else if s.heard && !s.closed.Load() && (best == nil || s.meter.db > best.meter.db) {
			best = s
		}
	}
	return best
}
