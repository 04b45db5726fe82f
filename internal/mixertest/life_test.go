package mixertest

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"parley/mixer"
)

// A room that slept because nobody spoke, and one that nobody listened to, come back at once and without delay.
func TestSoundAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{})
		x := newTalker(t, r, "A", tone(700, 0.5))
		e, l := newEar(t, m, r, "X")
		heard := func(what string) {
			t.Helper()
			talk(m, 300*time.Millisecond, x)
			e.reset()
			talk(m, 2*time.Second, x)
			if level := e.levelDB(700); math.Abs(level+6) > 1.5 {
				t.Errorf("%s: %.1f dB, want -6", what, level)
			}
			if st := x.source.Stats().NetEq; st.CurrentDelay > 80*time.Millisecond {
				t.Errorf("%s: delay of %v", what, st.CurrentDelay)
			}
		}
		heard("at first")
		// The sender stops for a minute, its clock going on; with DTX nothing comes at all.
		x.packet.Timestamp += 60 * 48000
		time.Sleep(60 * time.Second)
		if n := m.Stats().ActiveRooms; n != 0 {
			t.Errorf("%d rooms are active after a minute of silence", n)
		}
		heard("after a minute of nothing")
		// Its clock stands still while it is silent.
		time.Sleep(60 * time.Second)
		heard("after a minute in which the sender's clock stood still")
		// Nobody listens for a while.
		l.Close()
		talk(m, 5*time.Second, x)
		if n := m.Stats().ActiveRooms; n != 0 {
			t.Errorf("%d rooms are active without a listener", n)
		}
		e, l = newEar(t, m, r, "Y")
		heard("to somebody who comes later")
		l.Close()
		time.Sleep(3 * time.Second)
		x.packet.Timestamp += 3 * 48000
		e, _ = newEar(t, m, r, "Z")
		heard("to somebody who comes to a sleeping room")
		r.Close()
		stop()
	})
}

// The computer stops for a moment: up to 50 ms nothing is lost, half a second is one gap, and all is well after it.
func TestStalls(t *testing.T) {
	for _, stall := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		st := newStepped(t)
		r := newRoom(t, st.m, mixer.RoomConfig{})
		x := newTalker(t, r, "A", tone(700, 0.5))
		e, _ := newEar(t, st.m, r, "X")
		step := func(ticks int) {
			for range ticks {
				if st.now/(10*time.Millisecond)%2 == 0 {
					x.next()
					x.push(st.now)
				}
				st.now += 10 * time.Millisecond
				st.m.Step()
			}
		}
		step(300)
		for range stall / (20 * time.Millisecond) { // what came during the stall
			x.next()
			x.push(st.now)
			st.now += 20 * time.Millisecond
		}
		st.now += stall % (20 * time.Millisecond)
		st.m.Step()
		step(30)
		e.reset()
		step(200)
		if level := e.levelDB(700); math.Abs(level+6) > 1 {
			t.Errorf("after a stall of %v: %.1f dB, want -6", stall, level)
		}
		if e.gaps != 0 {
			t.Errorf("%d gaps long after a stall of %v", e.gaps, stall)
		}
		ne := x.source.Stats().NetEq
		if ne.CurrentDelay > 100*time.Millisecond {
			t.Errorf("delay of %v after a stall of %v", ne.CurrentDelay, stall)
		}
		s := st.m.Stats()
		if want := uint64(0); stall <= 50*time.Millisecond && s.Skipped != want {
			t.Errorf("stall of %v: %d ticks skipped", stall, s.Skipped)
		}
		if stall == 500*time.Millisecond && (s.Skipped < 49 || s.Skipped > 51) {
			t.Errorf("stall of %v: %d ticks skipped", stall, s.Skipped)
		}
	}
}
