package mixer

import (
	"fmt"
	"math"
	"testing"
	"time"

	"parley/neteq"
)

// voice is a source whose packets and sound a test sets by a level, tick by tick.
type voice struct {
	source *Source
	buffer *fakeBuffer
	claim  func(k int) int     // level that packet k states; nil: none
	guess  func(k int) int     // what its payload looks like; nil: speech
	level  func(k int) float64 // of the sound of packet k when decoded, in dBov
	k      int
	start  time.Duration
}

const voiceDelay = 30 * time.Millisecond

func sine(frame []float32, dBov float64) {
	a := math.Sqrt2 * math.Pow(10, dBov/20)
	if dBov <= silentDBov {
		a = 0
	}
	for i := range frame {
		frame[i] = float32(a * math.Sin(2*math.Pi*float64(i)/48))
	}
}

// voice adds a source whose packets are played voiceDelay after they came.
func (l *lab) voice(r *Room, owner string, claim, guess func(int) int, level func(int) float64) *voice {
	l.t.Helper()
	v := &voice{claim: claim, guess: guess, level: level, start: l.now}
	v.buffer = &fakeBuffer{delay: voiceDelay}
	v.buffer.atTime = func(now time.Duration, frame []float32) {
		if k := int((now - v.start - voiceDelay) / (20 * time.Millisecond)); now >= v.start+voiceDelay && v.level != nil {
			sine(frame, v.level(k))
		}
	}
	v.buffer.guess = func(p *neteq.Packet) int {
		if v.guess == nil {
			return -35
		}
		return v.guess(int(p.Timestamp / 960))
	}
	v.source = l.source(r, owner, v.buffer)
	return v
}

// push sends the packet of the next 20 ms.
func (v *voice) push(now time.Duration) {
	p := neteq.Packet{SequenceNumber: uint16(v.k), Timestamp: uint32(v.k) * 960, Payload: []byte{1}}
	if v.claim != nil {
		p.HasAudioLevel, p.AudioLevel = true, uint8(-v.claim(v.k))
	}
	v.k++
	v.source.Push(&p, now)
}

// talk runs for so many packets of 20 ms.
func (l *lab) talk(packets int, each func(k int), voices ...*voice) {
	for k := range packets {
		for _, v := range voices {
			v.push(l.now)
		}
		l.ticks(1)
		if each != nil {
			each(2 * k)
		}
		l.ticks(1)
		if each != nil {
			each(2*k + 1)
		}
	}
}

func steady(level int) func(int) int              { return func(int) int { return level } }
func steadySound(level float64) func(int) float64 { return func(int) float64 { return level } }

// from is quiet until packet k, then at a level.
func from(k, level int) func(int) int {
	return func(i int) int {
		if i < k {
			return -90
		}
		return level
	}
}

func asSound(f func(int) int) func(int) float64 { return func(k int) float64 { return float64(f(k)) } }

func chosen(voices []*voice) (names string) {
	for _, v := range voices {
		if v.source.chosen {
			names += v.source.config.Owner
		}
	}
	return names
}

// The loudest few are heard, the others are not decoded; who is louder takes the place of the quietest, and who stops gives
// it back.
func TestSpeakersLimit(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 2})
	levels := map[string]int{"A": -20, "B": -14, "C": -26, "D": -38}
	var voices []*voice
	for _, name := range []string{"A", "B", "C", "D"} {
		voices = append(voices, l.voice(r, name, steady(levels[name]), nil, steadySound(float64(levels[name]))))
	}
	e := func(k int) int {
		if k >= 100 && k < 200 {
			return -8
		}
		return -127
	}
	voices = append(voices, l.voice(r, "E", e, nil, asSound(e)))
	_, rec := l.listener(r, "X")
	l.talk(95, nil, voices...)
	if got := chosen(voices); got != "AB" {
		t.Errorf("%s are heard, want AB", got)
	}
	if n := voices[2].buffer.pulls + voices[3].buffer.pulls; n > 4 {
		t.Errorf("those not heard were decoded %d times", n)
	}
	if n := voices[3].buffer.skips; n < 180 {
		t.Errorf("one that is not heard was moved on %d times, want 190", n)
	}
	l.talk(50, nil, voices...)
	if got := chosen(voices); got != "BE" {
		t.Errorf("with a louder one, %s are heard, want BE", got)
	}
	l.talk(100, nil, voices...)
	if got := chosen(voices); got != "AB" {
		t.Errorf("when that one is silent again, %s are heard, want AB", got)
	}
	if len(rec.pcm) == 0 || peakOf(rec.pcm[len(rec.pcm)-1]) < 0.2 {
		t.Error("nothing is heard")
	}
	// Everybody has a level to show, heard or not.
	for _, lv := range r.Levels(nil) {
		if want, ok := levels[lv.Owner]; ok && (lv.LevelDBov < want-1 || lv.LevelDBov > want+1 || !lv.Speaking) {
			t.Errorf("%s is shown at %d dBov, speaking %v; want %d, true", lv.Owner, lv.LevelDBov, lv.Speaking, want)
		}
	}
	// A room of more places hears all but the silent one.
	r2 := l.room(RoomConfig{Speakers: 9})
	quiet := l.voice(r2, "A", steady(-80), steady(-80), steadySound(-80))
	loud := l.voice(r2, "B", steady(-40), nil, steadySound(-40))
	l.listener(r2, "X")
	l.talk(50, nil, quiet, loud)
	if !loud.source.chosen || quiet.source.chosen || quiet.buffer.pulls > 0 {
		t.Errorf("speaker is heard: %v, silence is heard: %v, %d times decoded", loud.source.chosen, quiet.source.chosen, quiet.buffer.pulls)
	}
}

// Who begins to speak is chosen before the packet with the onset is played, and heard at full gain from its first sample.
func TestChosenBeforeTheOnset(t *testing.T) {
	for phase := range 2 {
		l := newLab(t, 1)
		r := l.room(RoomConfig{Speakers: 2})
		l.tick()
		onset := from(50, -20)
		voices := []*voice{
			l.voice(r, "A", steady(-30), nil, steadySound(-30)),
			l.voice(r, "B", onset, asSoundGuess(onset), asSound(onset)),
			l.voice(r, "C", steady(-90), steady(-90), steadySound(-90)),
		}
		if phase == 1 {
			l.tick()
		}
		l.listener(r, "X")
		b := voices[1]
		due := b.start + 50*20*time.Millisecond + voiceDelay
		l.talk(80, func(int) {
			switch {
			case l.now < due-horizon-20*time.Millisecond && b.source.chosen:
				t.Fatalf("phase %d: chosen %v before the onset is due", phase, due-l.now)
			case l.now >= due && !b.source.chosen:
				t.Fatalf("phase %d: not chosen %v after the onset was due", phase, l.now-due)
			case l.now >= due && l.now < due+tickDuration && (b.source.applied != 1 || !b.source.active):
				t.Fatalf("phase %d: onset at a gain of %v", phase, b.source.applied)
			}
			if l.now >= due && l.now < due+tickDuration {
				want := make([]float32, frameSamples)
				sine(want, -20)
				for i, v := range b.source.x {
					if v != want[i] {
						t.Fatalf("phase %d: sample %d of the onset is %v, want %v", phase, i, v, want[i])
					}
				}
			}
		}, voices...)
	}
}

func asSoundGuess(f func(int) int) func(int) int {
	return func(k int) int {
		if f(k) < -60 {
			return -75
		}
		return -35
	}
}

// A challenger needs 3 dB for 40 ms, and a winner stays for half a second.
func TestChallenger(t *testing.T) {
	for _, c := range []struct {
		name      string
		challenge func(k int) int
		want      bool
	}{
		{"2 dB louder", from(60, -28), false},
		{"4 dB louder", from(60, -26), true},
		{"4 dB louder for 20 ms", func(k int) int {
			if k == 60 {
				return -26
			}
			return -90
		}, false},
	} {
		l := newLab(t, 1)
		r := l.room(RoomConfig{Speakers: 1})
		a := l.voice(r, "A", steady(-30), nil, steadySound(-30))
		b := l.voice(r, "B", c.challenge, asSoundGuess(c.challenge), asSound(c.challenge))
		l.listener(r, "X")
		was := false
		l.talk(100, func(int) {
			was = was || b.source.chosen
			if a.source.chosen && b.source.chosen {
				t.Errorf("%s: both are heard", c.name)
			}
		}, a, b)
		if was != c.want {
			t.Errorf("%s: heard %v, want %v", c.name, was, c.want)
		}
	}
	// Two that take turns in being louder, every 100 ms, do not take turns in being heard.
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 1})
	turns := func(odd int) func(int) int {
		return func(k int) int {
			if k/5%2 == odd {
				return -20
			}
			return -30
		}
	}
	a := l.voice(r, "A", turns(0), nil, asSound(turns(0)))
	b := l.voice(r, "B", turns(1), nil, asSound(turns(1)))
	l.listener(r, "X")
	last, since, changes := "", time.Duration(0), 0
	l.talk(200, func(int) {
		now := chosen([]*voice{a, b})
		if now != last && last != "" {
			if changes > 0 && l.now-since < speakerStayTicks*tickDuration {
				t.Errorf("%s was heard for %v only", last, l.now-since)
			}
			changes++
			since = l.now
		}
		last = now
	}, a, b)
	if changes > 8 {
		t.Errorf("%d changes in 4 s", changes)
	}
}

// When one stops and another, not as loud, begins in a full room, nothing of the second is lost, though the first was heard
// until just now.
func TestTakingTurns(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 1})
	until := func(k int) int {
		if k < 60 {
			return -20
		}
		return -90
	}
	onset := from(72, -32)
	a := l.voice(r, "A", until, asSoundGuess(until), asSound(until))
	b := l.voice(r, "B", onset, asSoundGuess(onset), asSound(onset))
	l.listener(r, "X")
	due := b.start + 72*20*time.Millisecond + voiceDelay
	l.talk(100, func(int) {
		if l.now >= due && !b.source.chosen {
			t.Fatalf("not heard %v after it began", l.now-due)
		}
	}, a, b)
	// In a pause between two syllables the place is kept against somebody who is quieter.
	syllables := func(k int) int {
		if k%12 < 7 {
			return -20
		}
		return -60
	}
	l = newLab(t, 1)
	r = l.room(RoomConfig{Speakers: 1})
	a = l.voice(r, "A", syllables, asSoundGuess(syllables), asSound(syllables))
	b = l.voice(r, "B", steady(-32), nil, steadySound(-32))
	l.listener(r, "X")
	l.talk(60, nil, a, b)
	l.talk(200, func(int) {
		if !a.source.chosen {
			t.Fatal("lost the place between two syllables")
		}
	}, a, b)
}

// 64 who talk at once cost as many decodes as there are places.
func TestManyTalkersCostFewDecodes(t *testing.T) {
	l := newLab(t, 1)
	l.record = false
	r := l.room(RoomConfig{Speakers: 5})
	var voices []*voice
	for i := range 64 {
		f := func(k int) int { return -20 - (k*7+i*13)%20 } // everybody up and down
		voices = append(voices, l.voice(r, fmt.Sprint(i), f, nil, asSound(f)))
	}
	l.listener(r, "X")
	l.talk(100, nil, voices...)
	before, worst := l.m.Stats().Decodes, uint64(0)
	l.talk(500, func(int) {
		now := l.m.Stats().Decodes
		worst = max(worst, now-before)
		before = now
	}, voices...)
	// One more per change of speakers: who leaves is faded out.
	if worst > 10 {
		t.Errorf("%d decodes in one tick", worst)
	}
	st := l.m.Stats()
	perTick := float64(st.Decodes) / 1200
	t.Logf("%.2f decodes per tick, %d changes of speakers in 12 s", perTick, st.Elections)
	if perTick > 5.3 || perTick < 4.9 {
		t.Errorf("%.2f decodes per tick for 64 talkers, want 5 and few more", perTick)
	}
}

// Who states levels that are not true gains nothing by it, for long (M-11), and loses nothing either.
func TestLevelLies(t *testing.T) {
	for _, c := range []struct {
		name   string
		claim  func(int) int
		guess  func(int) int
		level  func(int) float64
		within int // ticks after which it must be as wanted
		heard  bool
	}{
		{"claims -20, sends silence", steady(-20), steady(-127), steadySound(-127), 40, false},
		{"claims 0, sends silence that looks like speech", steady(0), nil, steadySound(-127), 40, false},
		{"claims 0, whispers", steady(0), nil, steadySound(-52), 100, false},
		{"claims 14 dB too much", steady(-20), nil, steadySound(-34), 300, false},
		{"claims silence, speaks", steady(-127), nil, steadySound(-15), 400, true},
		{"no level, silence that looks like speech", nil, nil, steadySound(-127), 60, false},
		{"no level, speaks", nil, nil, steadySound(-15), 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1)
			r := l.room(RoomConfig{Speakers: 2})
			x := l.voice(r, "X", c.claim, c.guess, c.level)
			voices := []*voice{
				l.voice(r, "A", steady(-24), nil, steadySound(-24)),
				l.voice(r, "B", steady(-28), nil, steadySound(-28)),
				x,
			}
			l.listener(r, "Y")
			l.talk(c.within/2, nil, voices...)
			wrong := 0
			l.talk(1000, func(int) {
				if x.source.chosen != c.heard {
					wrong++
				}
			}, voices...)
			if wrong > 40 {
				t.Errorf("heard: %v; for %d of 2000 ticks not as it should be", x.source.chosen, wrong)
			}
			if !c.heard && (!voices[0].source.chosen || !voices[1].source.chosen) {
				t.Error("honest speakers are shut out")
			}
			for _, lv := range r.Levels(nil) {
				if lv.Owner != "X" {
					continue
				}
				if c.heard && !lv.Speaking {
					t.Errorf("heard and not shown: %d dBov", lv.LevelDBov)
				}
				if c.heard != lv.Speaking && c.level(0) < -60 {
					t.Errorf("shown at %d dBov, speaking %v", lv.LevelDBov, lv.Speaking)
				}
			}
		})
	}
}

// Five liars cannot shut out one honest speaker, and one who has lied is believed again when it tells the truth.
func TestLiarsDoNotShutOut(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 5})
	var voices []*voice
	for i := range 8 {
		voices = append(voices, l.voice(r, fmt.Sprint(i), steady(-10), nil, steadySound(-127)))
	}
	honest := l.voice(r, "H", from(25, -40), asSoundGuess(from(25, -40)), asSound(from(25, -40)))
	l.listener(r, "X")
	voices = append(voices, honest)
	deaf, n := 0, 0
	l.talk(1000, func(int) {
		if n++; n > 150 && !honest.source.chosen {
			deaf++
		}
	}, voices...)
	if deaf > 0 {
		t.Errorf("the honest speaker was not heard for %d ticks", deaf)
	}
	if st := l.m.Stats(); st.Liars < 8 {
		t.Errorf("%d liars found, want 8", st.Liars)
	}
	// The first reforms: from now on it speaks.
	voices[0].level = steadySound(-10)
	l.talk(100, nil, voices...)
	if !voices[0].source.chosen {
		t.Error("a liar that speaks now is not heard")
	}
	l.talk(500, nil, voices...)
	if voices[0].source.outlook.debt != 0 {
		t.Errorf("still %d windows to go until it is believed", voices[0].source.outlook.debt)
	}
}

// A sender without levels is heard like the others, in a room that has a place for it from its first sound that can be
// decoded.
func TestSenderWithoutLevels(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 3})
	onset := func(k int) float64 {
		if k < 50 {
			return -127
		}
		return -20
	}
	v := l.voice(r, "A", nil, steady(-35), onset) // the payload tells nothing
	l.listener(r, "X")
	due := v.start + 50*20*time.Millisecond + voiceDelay
	l.talk(100, func(int) {
		if l.now >= due+tickDuration && !v.source.active {
			t.Fatalf("not heard %v after the onset", l.now-due)
		}
	}, v)
	// And when it stops, its place is free within a second.
	v.level = steadySound(-127)
	l.talk(50, nil, v)
	if v.source.chosen {
		t.Error("silence has a place")
	}
}

// A stream that takes too long to decode is silent for a second, and the others are not disturbed.
func TestDecodeBudget(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	slow := &fakeBuffer{sound: constant(0.3), busy: true}
	cost := 5 * time.Millisecond
	slow.onGet = func(time.Duration) { l.now += cost }
	s := l.source(r, "A", slow)
	good := l.source(r, "B", &fakeBuffer{sound: constant(0.1)})
	l.listener(r, "X")
	step := func() { l.advance(due(int64(l.now/tickDuration)+1, r.phase) - l.now) }
	for range 30 {
		step()
	}
	if st := s.Stats(); st.Muzzlings != 1 {
		t.Fatalf("silenced %d times, want 1", st.Muzzlings)
	}
	pulls := slow.pulls
	for range 60 {
		step()
		if s.active {
			t.Fatal("heard while it is to be silent")
		}
	}
	if slow.pulls > pulls {
		t.Errorf("decoded %d times while it is to be silent", slow.pulls-pulls)
	}
	cost = 100 * time.Microsecond
	for range 60 {
		step()
	}
	if !s.active || !good.active || s.Stats().Muzzlings != 1 || good.Stats().Muzzlings != 0 {
		t.Errorf("a second later: %v, %v, silenced %d and %d times", s.active, good.active, s.Stats().Muzzlings, good.Stats().Muzzlings)
	}
}
