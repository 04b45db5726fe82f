package replay

import (
	"sort"
	"strings"
	"time"
)

// Fate says what became of a sequence number.
type Fate uint8

const (
	FatePlayed    Fate = iota // arrived in order and was played
	FateReordered             // arrived after a later one, and was played
	FateLate                  // arrived and was not played: too late, or dropped to catch up
	FateRecovered             // never arrived, or too late; its sound was played from redundancy
	FateLost                  // never arrived
)

var fateNames = [...]string{"played", "reordered", "late", "recovered", "lost"}

// String returns "played", "reordered", "late", "recovered" or "lost".
func (f Fate) String() string { return fateNames[f] }

// Unit is one sequence number of a stream and its fate.
type Unit struct {
	Segment  int   // counts restarts: another SSRC, a leap of sequence numbers or of timestamps
	Sequence int64 // unwrapped within the segment
	Arrived  bool
	Copies   int           // arrivals beyond the first
	Arrival  time.Duration // of the first; when it did not arrive, when it would have without delay
	Delay    time.Duration // on the way, beyond the fastest packet of the segment; 0 when it did not arrive
	Played   bool          // PlayedAt is known
	PlayedAt time.Duration // the tick that took it for decoding
	Fate     Fate

	media  time.Duration // timestamp, unwrapped within the segment
	silent bool          // nothing a decoder would be asked for
}

const (
	leapSequence = 1000            // RFC 3550, appendix A.1, has 3000 and 100
	leapTransit  = 3 * time.Second // a leap of timestamps against arrivals
)

// Units tells the fate of every sequence number, in order. It needs Options.Watch.
func (o *Outcome) Units() []Unit {
	u := unitMaker{o: o, payloads: map[uint64][]source{}}
	start := 0
	for i := 1; i <= len(o.Packets); i++ {
		if i == len(o.Packets) || u.leap(&o.Packets[i-1], &o.Packets[i]) {
			u.segment(o.Packets[start:i])
			start = i
		}
	}
	u.match()
	return u.units
}

// source is where a payload can be found.
type source struct {
	unit int  // index
	copy bool // in RED, beside another packet's own sound
}

type unitMaker struct {
	o        *Outcome
	units    []Unit
	segments int
	payloads map[uint64][]source
}

// clock is the length of a timestamp unit.
func (u *unitMaker) clock(p *Packet) float64 {
	if f, ok := u.o.Formats[p.PayloadType]; ok && f.ClockRateHz > 0 {
		return float64(time.Second) / float64(f.ClockRateHz)
	}
	return float64(time.Second) / sampleRate
}

func (u *unitMaker) leap(a, b *Packet) bool {
	ds := int(int16(b.SequenceNumber - a.SequenceNumber))
	dt := time.Duration(float64(int32(b.Timestamp-a.Timestamp)) * u.clock(b))
	transit := b.Arrival - a.Arrival - dt
	return a.SSRC != b.SSRC || ds > leapSequence || ds < -leapSequence || transit > leapTransit || transit < -leapTransit
}

// segment makes the units of packets without a leap.
func (u *unitMaker) segment(packets []Packet) {
	type arrival struct {
		seq   int64
		media time.Duration
		p     *Packet
	}
	seq, ts := int64(packets[0].SequenceNumber), int64(packets[0].Timestamp)
	low, high := seq, seq
	list := make([]arrival, len(packets))
	fastest := time.Duration(1<<63 - 1)
	firstTS := ts
	for i := range packets {
		p := &packets[i]
		seq += int64(int16(p.SequenceNumber - uint16(seq)))
		ts += int64(int32(p.Timestamp - uint32(ts)))
		low, high = min(low, seq), max(high, seq)
		list[i] = arrival{seq, time.Duration(float64(ts-firstTS) * u.clock(p)), p}
		fastest = min(fastest, p.Arrival-list[i].media)
	}
	base := len(u.units)
	u.units = append(u.units, make([]Unit, high-low+1)...)
	units := u.units[base:]
	newest := low - 1
	for _, a := range list {
		x := &units[a.seq-low]
		if x.Arrived {
			x.Copies++
			continue
		}
		*x = Unit{Segment: u.segments, Sequence: a.seq, Arrived: true, Arrival: a.p.Arrival, Delay: a.p.Arrival - a.media - fastest, media: a.media}
		if a.seq < newest {
			x.Fate = FateReordered
		}
		newest = max(newest, a.seq)
	}
	fillGaps(units, low, u.segments, fastest)
	for _, a := range list {
		u.note(a.p, base, int(a.seq-low), a.media)
	}
	u.segments++
}

// fillGaps estimates the media times of what did not arrive from its neighbours.
func fillGaps(units []Unit, low int64, segment int, fastest time.Duration) {
	for i := 0; i < len(units); i++ {
		if units[i].Arrived {
			continue
		}
		next := i
		for !units[next].Arrived { // the last unit did arrive
			next++
		}
		before := units[i-1] // and so did the first
		step := (units[next].media - before.media) / time.Duration(next-i+1)
		for ; i < next; i++ {
			media := before.media + step*time.Duration(int64(i)+low-before.Sequence)
			units[i] = Unit{Segment: segment, Sequence: low + int64(i), Arrival: media + fastest, Fate: FateLost, media: media}
		}
	}
}

// note remembers what a packet carries: of RED, each block at its own place.
func (u *unitMaker) note(p *Packet, base, index int, media time.Duration) {
	own := p.Payload
	format := u.o.Formats[p.PayloadType]
	if strings.EqualFold(format.Name, "red") {
		blocks := splitRED(p.Payload)
		if blocks == nil {
			return
		}
		own = blocks[len(blocks)-1].payload
		units := u.units[base:]
		for _, b := range blocks[:len(blocks)-1] {
			at := media - time.Duration(float64(b.offset)*u.clock(p))
			k := sort.Search(index, func(i int) bool { return units[i].media >= at-time.Millisecond })
			if k < index && units[k].media <= at+time.Millisecond && len(b.payload) > 0 {
				h := hash(b.payload)
				u.payloads[h] = append(u.payloads[h], source{base + k, true})
			}
		}
	}
	opus := strings.EqualFold(format.Name, "opus") || strings.EqualFold(format.Name, "red")
	if opus && len(own) <= 2 || strings.EqualFold(format.Name, "CN") || strings.EqualFold(format.Name, "telephone-event") {
		u.units[base+index].silent = true
	}
	h := hash(own)
	u.payloads[h] = append(u.payloads[h], source{base + index, false})
}

// match goes through what was decoded and finds the units it belongs to. Equal payloads (G.711 silence) are taken in order.
func (u *unitMaker) match() {
	played := func(i int, at time.Duration, redundant bool) {
		x := &u.units[i]
		x.Played, x.PlayedAt = true, at
		if redundant {
			x.Fate = FateRecovered
		}
	}
	for _, d := range u.o.decoded {
		at := u.o.Ticks[d.tick].At
		best := -1
		var from source
		for _, s := range u.candidates(d.hash) {
			i := s.unit
			if d.fec {
				i--
			}
			if i < 0 || u.units[i].Played || d.fec && u.units[i].Segment != u.units[s.unit].Segment {
				continue
			}
			if best < 0 || i < best {
				best, from = i, s
			}
		}
		if best < 0 {
			continue
		}
		x := &u.units[best]
		primaryHere := x.Arrived && x.Arrival <= at
		if !d.fec && !from.copy && !primaryHere {
			continue // of a payload that came again later
		}
		played(best, at, d.fec || !primaryHere)
	}
	for i := range u.units {
		if x := &u.units[i]; x.Arrived && !x.Played && !x.silent {
			x.Fate = FateLate
		}
	}
	u.ending()
}

// candidates are the places of a payload, the nearest future ones when there are many: what was played with its predecessor
// is forgotten.
func (u *unitMaker) candidates(hash uint64) []source {
	const enough = 64
	list := u.payloads[hash]
	for len(list) > 1 && u.units[list[0].unit].Played && (list[0].unit == 0 || u.units[list[0].unit-1].Played) {
		list = list[1:]
	}
	u.payloads[hash] = list
	return list[:min(len(list), enough)]
}

// ending takes back the verdict on packets that were waiting for their time when the trace ended.
func (u *unitMaker) ending() {
	last := len(u.units)
	for last > 0 && !u.units[last-1].Played {
		last--
	}
	for i := last; i < len(u.units); i++ {
		if u.units[i].Fate == FateLate {
			u.units[i].Fate = FatePlayed
		}
	}
}
