package mixer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Sixteen voices, each alone on every sixteenth sample: whatever ramps and limiters do to their height, it can be read
// from a sample whose voice is in it.
const comb = 16

func combVoice(id int, on *bool, height float32) func(int, []float32) {
	return func(_ int, frame []float32) {
		if *on {
			for i := id; i < len(frame); i += comb { // 480 is a multiple of 16
				frame[i] = height
			}
		}
	}
}

// combEar hears who is in each frame.
type combEar struct {
	lab  *lab
	seen [comb]bool // in the last frame
	ever [comb]bool
	n    int
	end  uint32 // of the last packet
}

func (e *combEar) WriteFrame(f Frame) {
	if e.n++; e.n > 1 && int32(f.Timestamp-e.end) < 0 {
		e.lab.t.Errorf("a packet begins %d samples before the last one ended", e.end-f.Timestamp)
	}
	e.end = f.Timestamp + uint32(f.Samples)
	e.seen = [comb]bool{}
	if len(f.Payload) != fakePayload {
		return
	}
	for i, v := range e.lab.encoders[binary.BigEndian.Uint32(f.Payload)].last {
		if v != 0 {
			id := (i + comb - limiterLookahead%comb) % comb
			e.seen[id], e.ever[id] = true, true
		}
	}
}

// Four rooms of four, in which people come, go, speak, stop, are muted and turned up, by all or by one, and lose packets at random, for
// 5,000 ticks: nobody ever hears themselves or another room, to the last bit, and everybody who has been speaking for a while is
// heard by all that have not muted them. Every packet begins where the one before it ended, or later. PARLEY_TICKS makes it last longer.
func TestRandomLifeOfRooms(t *testing.T) {
	for seed := range 2 {
		randomLife(t, uint64(seed))
	}
}

func randomLife(t *testing.T, seed uint64) {
	l := newLab(t, 2)
	l.record = false
	rng := rand.New(rand.NewPCG(seed, 11))
	type person struct {
		room     *Room
		id       int
		on       bool
		source   *Source
		listener *Listener
		ear      *combEar
		stable   int // ticks since the source was last touched
		here     int // ticks since the listener came, or changed a gain
		muted    [comb]bool
	}
	var rooms []*Room
	people := make([]*person, comb)
	for i := range people {
		if i%4 == 0 {
			rooms = append(rooms, l.room(RoomConfig{FrameMs: 10 * (1 + i/4%2)}))
		}
		people[i] = &person{room: rooms[i/4], id: i}
	}
	checked := 0
	ticks := 5000
	if n, err := strconv.Atoi(os.Getenv("PARLEY_TICKS")); err == nil {
		ticks = n
	}
	for tick := range ticks {
		for _, p := range people {
			p.stable++
			p.here++
			owner := fmt.Sprint("p", p.id)
			if rng.IntN(120) == 0 {
				p.stable = 0
				switch {
				case p.source == nil:
					p.source = l.source(p.room, owner, &fakeBuffer{sound: combVoice(p.id, &p.on, 0.2+0.8*rng.Float32()), busy: true})
				case rng.IntN(4) == 0:
					p.source.Close()
					p.source = nil
				case rng.IntN(3) == 0:
					p.source.SetMuted(rng.IntN(2) == 0)
				case rng.IntN(3) == 0:
					p.source.SetGain([]float32{0, 0.3, 1, 8}[rng.IntN(4)])
				default:
					p.on = !p.on
				}
			}
			if rng.IntN(300) == 0 {
				if p.listener == nil {
					p.ear, p.here = &combEar{lab: l}, 0
					x, err := p.room.AddListener(ListenerConfig{Owner: owner, Sink: p.ear})
					if err != nil {
						t.Fatal(err)
					}
					p.listener, p.muted = x, [comb]bool{}
				} else {
					p.listener.Close()
					p.listener = nil
				}
			}
		}
		if x := people[rng.IntN(comb)]; x.listener != nil && rng.IntN(10) == 0 {
			x.listener.SetReport(Report{Loss: rng.Float64() * 0.2 * float64(rng.IntN(2))})
		}
		if x := people[rng.IntN(comb)]; x.listener != nil && rng.IntN(20) == 0 {
			other, gain := x.id/4*4+rng.IntN(4), []float32{0, 0.5, 1, 1, 1}[rng.IntN(5)]
			if err := x.listener.SetGain(fmt.Sprint("p", other), gain); err != nil {
				t.Fatal(err)
			}
			x.here, x.muted[other] = 0, gain == 0
		}
		if rng.IntN(1000) == 0 {
			l.advance(tickDuration * (1 + 10*12)) // a stall
		}
		l.tick()
		for _, p := range people {
			if p.listener == nil {
				continue
			}
			for id, other := range people {
				heard := p.ear.seen[id]
				switch {
				case heard && id == p.id:
					t.Fatalf("tick %d: %d hears itself; source touched %d ticks ago, listener here for %d, frame %d", tick, id, p.stable, p.here, p.ear.n)
				case heard && other.room != p.room:
					t.Fatalf("tick %d: %d hears %d, who is in another room", tick, p.id, id)
				case other.room == p.room && id != p.id && other.stable > 10 && p.here > 10:
					g := float32(0)
					if other.source != nil && other.on && !other.source.muted.Load() && !p.muted[id] {
						g = other.source.wanted(0)
					}
					if heard != (g > 0) {
						t.Fatalf("tick %d: %d hears %d: %v, gain %v; muted %v, touched %d and %d ticks ago, frame %d", tick, p.id, id, heard, g, p.muted[id], other.stable, p.here, p.ear.n)
					}
					checked++
				}
			}
		}
	}
	if st := l.m.Stats(); checked < 50000 || st.Forks < 10 || st.Joins < 8 || st.TierChanges < 20 || st.Skipped == 0 {
		t.Errorf("%d checks, %d forks, %d joins, %d changes of tiers, %d skipped", checked, st.Forks, st.Joins, st.TierChanges, st.Skipped)
	}
}
