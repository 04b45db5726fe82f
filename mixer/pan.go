package mixer

import "math"

const (
	// seats is how many directions voices come from in a stereo room: a few more than there are speakers, as far apart as can be told.
	seats = 7
	// panDegrees is how far to the side the outermost is, of 90 that only one ear hears: there voices would tire, and be lost to who
	// has one earphone.
	panDegrees = 60
	// seatTicks is how long a direction is kept for who has spoken: a minute. People learn where somebody sits.
	seatTicks = 6000
)

// seat is where an owner's voice comes from: 0 is none yet, 1 to seats from the left to the right.
type seat int

// gains are those of both sides: equal power, so that a voice is as loud from everywhere, and no sample larger than it was.
func (s seat) gains() (left, right float32) {
	degrees := 0.0
	if s > 0 {
		degrees = panDegrees * (2*float64(s-1)/(seats-1) - 1)
	}
	angle := (degrees + 90) / 180 * math.Pi / 2
	return float32(math.Cos(angle)), float32(math.Sin(angle))
}

// sit makes an owner be heard from a seat.
func (o *owner) sit(s seat) {
	o.seat = s
	o.left, o.right = s.gains()
}

// usualSeat is the one that a name gets where it is free: so it is the same after a pause, and on other nodes.
func usualSeat(owner string) seat {
	h := uint32(2166136261) // FNV-1a
	for i := range len(owner) {
		h = (h ^ uint32(owner[i])) * 16777619
	}
	return seat(1 + h%seats)
}

// seatOf gives an owner, who begins to be heard, a direction that nobody else has had of late: its own of before, else its usual
// one if nobody sits beside it, else the one farthest from all that are taken.
func (r *Room) seatOf(o *owner) seat {
	var taken [seats + 1]bool
	for _, s := range r.sources {
		if x := s.owner; x != nil && x != o && r.mixed-x.lastActive < seatTicks {
			taken[x.seat] = true
		}
	}
	if o.seat != 0 && !taken[o.seat] {
		return o.seat
	}
	room := func(s seat) seat { // to the nearest neighbour
		nearest := seat(seats)
		for t := seat(1); t <= seats; t++ {
			if taken[t] {
				nearest = min(nearest, max(s-t, t-s))
			}
		}
		return nearest
	}
	best := usualSeat(o.name)
	if room(best) >= 2 {
		return best
	}
	for s := seat(1); s <= seats; s++ {
		if room(s) > room(best) {
			best = s
		}
	}
	return best
}

// pan copies mono into stereo.
func pan(dst, src []float32, left, right float32) {
	for i, v := range src {
		dst[2*i], dst[2*i+1] = left*v, right*v
	}
}
