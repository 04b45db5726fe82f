package mixer

import (
	"fmt"
	"math"
	"testing"

	"parley/neteq"
)

// sides are the samples in the middle of the last frame.
func (r *recorder) sides() (left, right float64) {
	pcm := r.pcm[len(r.pcm)-1]
	return float64(pcm[len(pcm)/2]), float64(pcm[len(pcm)/2+1])
}

func TestSeatsAreEquallyLoudAndApart(t *testing.T) {
	before := -1.0
	for s := seat(1); s <= seats; s++ {
		left, right := s.gains()
		if power := left*left + right*right; math.Abs(float64(power)-1) > 1e-6 {
			t.Errorf("seat %d has a power of %v", s, power)
		}
		balance := 20 * math.Log10(float64(right/left))
		if s > 1 && balance < before+3 {
			t.Errorf("seat %d is %.1f dB to the right, the one before %.1f", s, balance, before)
		}
		mirrorL, mirrorR := (seats + 1 - s).gains()
		if math.Abs(float64(left-mirrorR)) > 1e-6 || math.Abs(float64(right-mirrorL)) > 1e-6 {
			t.Errorf("seat %d has no mirror image", s)
		}
		before = balance
	}
	if left, right := seat(0).gains(); left != right {
		t.Errorf("no seat is not the middle: %v and %v", left, right)
	}
}

// As many as there are seats speak, one after the other: each comes from somewhere else, stays there whoever comes and goes, and is
// there again when it comes back.
func TestVoicesKeepTheirDirections(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Channels: 2})
	_, rec := l.listener(r, "X")
	var sources []*Source
	hear := func(i int) string {
		sources[i].SetMuted(false)
		l.ticks(10)
		left, right := rec.sides()
		if power := left*left + right*right; math.Abs(power-0.01) > 1e-6 {
			t.Fatalf("voice %d has a power of %v, want 0.01", i, power)
		}
		sources[i].SetMuted(true)
		l.ticks(200)
		return fmt.Sprintf("%.3f", left/right)
	}
	at := map[string]int{}
	var places []string
	for i := range seats {
		sources = append(sources, l.source(r, fmt.Sprintf("someone%d", i), &fakeBuffer{sound: constant(0.1)}))
		place := hear(i)
		if other, taken := at[place]; taken {
			t.Errorf("%d and %d come from the same place", i, other)
		}
		at[place] = i
		places = append(places, place)
	}
	sources[3].Close()
	l.ticks(10)
	for _, i := range []int{5, 0, 6, 1, 2, 4} {
		if place := hear(i); place != places[i] {
			t.Errorf("%d has moved from %s to %s", i, places[i], place)
		}
	}
	// More than there are places share them, and the one that came back has its own, which is free.
	sources[3] = l.source(r, "someone3", &fakeBuffer{sound: constant(0.1)})
	if place := hear(3); place != places[3] {
		t.Errorf("who came back sits at %s, not at %s", place, places[3])
	}
	sources = append(sources, l.source(r, "one too many", &fakeBuffer{sound: constant(0.1)}))
	if _, known := at[hear(seats)]; !known {
		t.Error("the eighth has a place that does not exist")
	}
}

// A speaker hears the others from where they are, and of itself nothing on either side.
func TestOwnVoiceIsOnNeitherSide(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Channels: 2})
	l.source(r, "A", &fakeBuffer{sound: noise(1, 0.3)})
	l.source(r, "B", &fakeBuffer{sound: noise(2, 0.3)})
	_, hearsB := l.listener(r, "A")
	alone := newLab(t, 1)
	r2 := alone.room(RoomConfig{Channels: 2})
	alone.source(r2, "B", &fakeBuffer{sound: noise(2, 0.3)})
	_, want := alone.listener(r2, "X")
	l.ticks(100)
	alone.ticks(100)
	got, expected := hearsB.heard(2), want.heard(2)
	for i := range got {
		if got[i] != expected[i] {
			t.Fatalf("sample %d is %v, want %v", i, got[i], expected[i])
		}
	}
}

// Music is left as it is: nobody is put aside, nothing is amplified, and below full scale the limiter does nothing.
func TestMusicIsLeftAlone(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Channels: 2, Music: true, Leveling: true})
	sound := noise(7, 0.88)
	b := &fakeBuffer{sound: sound, channels: 2, keep: true}
	l.source(r, "A", b)
	l.source(r, "M", &fakeBuffer{sound: func(k int, frame []float32) {}})
	_, rec := l.listener(r, "X")
	l.ticks(300)
	got := rec.heard(2)
	played := make([]float32, 0, len(got))
	for _, f := range b.played {
		played = append(played, f...)
	}
	// The first tick is a ramp, and may be the second of its frame; 1.5 ms is the limiter's look-ahead.
	begin := 2*limiterLookahead + 4*frameSamples
	for got[begin] != played[4*frameSamples] {
		if begin += 2 * frameSamples; begin > 8*frameSamples {
			t.Fatal("not what was sent")
		}
	}
	for i, v := range got[begin : len(got)-2*frameSamples] {
		if want := played[4*frameSamples+i]; v != want {
			t.Fatalf("sample %d is %v, was %v", begin+i, v, want)
		}
	}
	if cfg := l.encoders[0].cfg; !cfg.Music || cfg.DTX || cfg.FEC || cfg.Channels != 2 {
		t.Errorf("encoded as %+v", cfg)
	}
}

func TestVoicesInStereoGetMore(t *testing.T) {
	e := EncoderConfig{BitrateBps: 40000, Channels: 2}
	for tier, want := range [Tiers]int{40000, 36000, 24000} {
		if got := e.bitrate(Tier(tier)); got != want {
			t.Errorf("%v: %d, want %d", Tier(tier), got, want)
		}
	}
}

func TestMusicIsNeverNarrow(t *testing.T) {
	for _, c := range []struct {
		rate int
		want [Tiers]int
	}{{128000, [Tiers]int{128000, 76800, 51200}}, {96000, [Tiers]int{96000, 57600, 48000}}, {40000, [Tiers]int{40000, 40000, 40000}}} {
		e := EncoderConfig{BitrateBps: c.rate, Music: true}
		for tier, want := range c.want {
			if got := e.bitrate(Tier(tier)); got != want {
				t.Errorf("%v of %d: %d, want %d", Tier(tier), c.rate, got, want)
			}
		}
	}
}

// Levelling, directions and other codecs allocate nothing either, with voices that come and go.
func TestStereoTickDoesNotAllocate(t *testing.T) {
	l := newLab(t, 1)
	l.record = false
	l.telephones()
	r := l.room(RoomConfig{Channels: 2, Leveling: true, Speakers: 3})
	for i := range 9 {
		name := fmt.Sprint("someone", i)
		l.source(r, name, &fakeBuffer{sound: func(k int, frame []float32) {
			if (k/150+i)%3 == 0 {
				constant(0.2)(k, frame)
			}
		}, guess: func(*neteq.Packet) int { return -30 }})
		if _, err := r.AddListener(ListenerConfig{Owner: name, Sink: &recorder{lab: l}, Codec: Codec(i % codecs)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range r.members {
		s.buffer.(*fakeBuffer).inserted = make([]uint16, 0, 1<<16)
	}
	p := &neteq.Packet{Payload: make([]byte, 80)}
	k := 0
	step := func() {
		k++
		for i, s := range r.sources {
			if k%2 == 0 && (k/150+i)%3 == 0 {
				s.Push(p, l.now)
			}
		}
		l.tick()
	}
	for range 3000 {
		step()
	}
	before := l.m.Stats()
	if n := testing.AllocsPerRun(3000, step); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
	if after := l.m.Stats(); after.Elections-before.Elections < 20 {
		t.Errorf("%d elections", after.Elections-before.Elections)
	}
}
