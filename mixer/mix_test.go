package mixer

import (
	"fmt"
	"math"
	"testing"
)

// model is what a source contributes, by the rules: everything it plays, faded in over the first tick that has sound.
func model(b *fakeBuffer) []float32 {
	var out []float32
	entered := false
	for _, f := range b.played {
		x := append([]float32(nil), f...)
		switch {
		case peakOf(x) < silentPeak:
			clear(x)
		case !entered:
			entered = true
			ramp(x, 0, 1, max(1, b.channels))
		}
		out = append(out, x...)
	}
	return out
}

// Everybody hears exactly the others, to the last bit, through speech that begins and ends at odd moments, so through
// forks and joins, and nobody hears themselves.
func TestMixMinusIsExact(t *testing.T) {
	for _, channels := range []int{1, 2} {
		t.Run(fmt.Sprint(channels, " channels"), func(t *testing.T) {
			l := newLab(t, 1)
			r := l.room(RoomConfig{Channels: channels})
			const people, ticks = 4, 700
			var buffers []*fakeBuffer
			recorders := map[string]*recorder{}
			// A speaks all the time, B in the middle, C from an odd tick, D never; E and F only listen.
			sounds := []func(int, []float32){
				noise(1, 0.1), during(200, 500, noise(2, 0.2)), during(301, 440, noise(3, 0.15)), nil,
			}
			for i, f := range sounds {
				b := &fakeBuffer{sound: f, keep: true, channels: channels}
				buffers = append(buffers, b)
				l.source(r, string(rune('A'+i)), b)
			}
			for i := range people + 2 {
				name := string(rune('A' + i))
				_, recorders[name] = l.listener(r, name)
			}
			l.ticks(ticks)
			for name, rec := range recorders {
				got := rec.heard(channels)
				want := make([]float32, 0, len(got))
				sums := make([]float64, ticks*frameSamples*channels)
				for i, b := range buffers {
					if string(rune('A'+i)) == name {
						continue
					}
					for k, v := range model(b) {
						sums[k] += float64(v)
					}
				}
				for _, v := range sums {
					want = append(want, float32(v))
				}
				d := limiterLookahead * channels
				// What is received is placed by its timestamps; the first pull was that of tick 1.
				offset := d - (int(rec.frames[0].Timestamp-r.epoch)-frameSamples)*channels
				compared := 0
				for i := max(0, offset); i < len(got) && i-offset < len(want); i++ {
					if got[i] != want[i-offset] {
						t.Fatalf("%s: sample %d (tick %d) is %v, want %v", name, i, i/frameSamples/channels, got[i], want[i-offset])
					}
					if got[i] != 0 {
						compared++
					}
				}
				if compared < 290*frameSamples*channels {
					t.Errorf("%s: only %d samples of sound compared", name, compared)
				}
			}
			st := l.m.Stats()
			if st.Forks == 0 || st.Joins == 0 {
				t.Errorf("%d forks, %d joins: the test has not tested them", st.Forks, st.Joins)
			}
		})
	}
}

// A listener's payloads are, bit for bit, what an encoder of its own would have made, until it joins a shared bus.
func TestForkedStreamIsUnbroken(t *testing.T) {
	for _, onset := range []int{100, 101} { // between frames, and within one
		l := newLab(t, 1)
		r := l.room(RoomConfig{})
		var owners []string
		var buffers []*fakeBuffer
		for _, x := range []struct {
			owner string
			sound func(int, []float32)
		}{
			{"A", noise(1, 0.1)}, {"B", during(onset, math.MaxInt, noise(2, 0.1))},
			{"Z", noise(3, 0.6)}, {"Z", noise(4, 0.6)}, // so that limiters work
		} {
			b := &fakeBuffer{sound: x.sound, keep: true}
			l.source(r, x.owner, b)
			owners, buffers = append(owners, x.owner), append(buffers, b)
		}
		recorders := map[string]*recorder{}
		for _, name := range []string{"A", "B", "C", "D"} {
			_, recorders[name] = l.listener(r, name)
		}
		l.ticks(400)
		for name, rec := range recorders {
			private := &fakeEncoder{lab: l, cfg: EncoderConfig{Channels: 1}, hash: 14695981039346656037}
			out := make([]byte, maxPacket)
			for i, f := range rec.frames {
				if i > 0 && f.Timestamp != rec.frames[i-1].Timestamp+960 {
					t.Fatalf("%s: timestamp %d after %d", name, f.Timestamp, rec.frames[i-1].Timestamp)
				}
				private.Encode(rec.pcm[i], out)
				if got, want := fmt.Sprintf("%x", f.Payload[8:16]), fmt.Sprintf("%x", out[8:16]); got != want {
					t.Fatalf("%s: frame %d is %s, a private encoder yields %s", name, i, got, want)
				}
			}
		}
		// The samples, too, are those of a limiter of one's own.
		for name, rec := range recorders {
			sums := make([]float64, 400*frameSamples)
			for i, b := range buffers {
				if owners[i] != name {
					for k, v := range model(b) {
						sums[k] += float64(v)
					}
				}
			}
			mix := make([]float32, len(sums))
			for i, v := range sums {
				mix[i] = float32(v)
			}
			limit := newLimiter(1)
			want := runLimiter(&limit, mix)
			got := rec.heard(1)
			offset := limiterLookahead - (int(rec.frames[0].Timestamp-r.epoch) - frameSamples)
			for i := max(0, offset); i < len(got) && i-offset < len(want)-limiterLookahead; i++ {
				if got[i] != want[i-offset] {
					t.Fatalf("%s: sample %d (tick %d) is %v, want %v", name, i, i/frameSamples, got[i], want[i-offset])
				}
			}
		}
		if st := l.m.Stats(); st.Forks != 2 || st.Buses != 3 {
			t.Errorf("%d forks, %d buses, want 2 and 3", st.Forks, st.Buses)
		}
	}
}

func TestSeveralSourcesOfOneOwner(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.1)})
	l.source(r, "A", &fakeBuffer{sound: constant(0.2)})
	l.source(r, "B", &fakeBuffer{sound: constant(0.4)})
	l.source(r, "", &fakeBuffer{sound: constant(0.05)})
	for _, c := range []struct {
		owner string
		want  float32
	}{{"A", 0.45}, {"B", 0.35}, {"C", 0.75}, {"", 0.75}} {
		_, rec := l.listener(r, c.owner)
		l.ticks(20)
		got := rec.pcm[len(rec.pcm)-1]
		for i, v := range got {
			if math.Abs(float64(v-c.want)) > 1e-6 {
				t.Fatalf("listener %q: sample %d is %v, want %v", c.owner, i, v, c.want)
			}
		}
	}
}

func TestThreeTalkersAtFullScaleDoNotClip(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	for i, hz := range []float64{200, 313, 457} {
		l.source(r, string(rune('A'+i)), &fakeBuffer{sound: func(k int, frame []float32) {
			for j := range frame {
				frame[j] = float32(math.Sin(2 * math.Pi * hz * float64(k*frameSamples+j) / 48000))
			}
		}})
	}
	_, rec := l.listener(r, "X")
	l.ticks(400)
	flat, previous := 0, float32(0)
	for i, v := range rec.heard(1) {
		if v > limiterCeiling || v < -limiterCeiling {
			t.Fatalf("sample %d is %v", i, v)
		}
		if v == previous && (v > 0.9 || v < -0.9) {
			flat++ // a clipped wave stays at the ceiling
		}
		previous = v
	}
	if flat > 20 {
		t.Errorf("%d samples lie flat at the ceiling", flat)
	}
}

// Not a number, infinite, absurd: replaced by silence, counted, and gone with the frame.
func TestBadFramesAreSilence(t *testing.T) {
	for name, bad := range map[string]float32{"NaN": float32(math.NaN()), "infinite": float32(math.Inf(-1)), "absurd": 1e30} {
		l := newLab(t, 1)
		r := l.room(RoomConfig{})
		s := l.source(r, "A", &fakeBuffer{sound: func(k int, frame []float32) {
			constant(0.1)(k, frame)
			if k == 10 {
				frame[77] = bad
			}
		}})
		_, rec := l.listener(r, "X")
		l.ticks(40)
		for i, v := range rec.heard(1)[2000:] {
			if !(v == 0 || v == 0.1) {
				t.Fatalf("%s: sample %d is %v", name, i, v)
			}
		}
		if n := s.Stats().BadFrames; n != 1 {
			t.Errorf("%s: %d bad frames counted", name, n)
		}
	}
}

// All changes by command take 10 ms, in a straight line.
func TestRampsHaveNoStep(t *testing.T) {
	const v = 0.35
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	s := l.source(r, "A", &fakeBuffer{sound: constant(v)})
	other := l.source(r, "B", &fakeBuffer{sound: constant(0.1)})
	_, rec := l.listener(r, "X")
	steps := []func(){
		func() { s.SetMuted(true) }, func() { s.SetMuted(false) }, func() { s.SetGain(2) }, func() { s.SetGain(0) },
		func() { s.SetGain(0.5) }, func() { other.Close() }, func() { s.Close() },
	}
	levels := []float32{0.45, 0.1, 0.45, 0.8, 0.1, 0.275, 0.175, 0}
	for k := range levels {
		l.ticks(11) // odd: in the middle of a frame every other time
		heard := rec.heard(1)
		if got := heard[len(heard)-1]; k < len(levels)-1 && math.Abs(float64(got-levels[k])) > 1e-6 {
			t.Errorf("after %d changes: %v, want %v", k, got, levels[k])
		}
		if k < len(steps) {
			steps[k]()
		}
	}
	l.ticks(20)
	heard := rec.heard(1)
	if got := heard[len(heard)-1]; got != 0 {
		t.Errorf("in the end: %v", got)
	}
	for i := 1; i < len(heard); i++ {
		if d := math.Abs(float64(heard[i] - heard[i-1])); d > (2*v+0.1)/frameSamples*1.01 {
			t.Fatalf("step of %v at sample %d (from %v to %v)", d, i, heard[i-1], heard[i])
		}
	}
	if st := l.m.Stats(); st.Sources != 0 {
		t.Errorf("%d sources left", st.Sources)
	}
}

// Muted is silent, to the last bit, is not decoded, and NetEq is told and kept in time.
func TestMuteIsRealSilence(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	b := &fakeBuffer{sound: noise(1, 0.3)}
	s := l.source(r, "A", b)
	_, rec := l.listener(r, "X")
	l.ticks(50)
	s.SetMuted(true)
	l.ticks(4)
	pulls, skips := b.pulls, b.skips
	rec.reset()
	l.ticks(100)
	for _, pcm := range rec.pcm {
		if p := peakOf(pcm); p != 0 {
			t.Fatalf("peak of %v while muted", p)
		}
	}
	if b.pulls != pulls || b.skips != skips+100 || b.gaps != 1 {
		t.Errorf("while muted: %d pulls, %d skips, %d gaps declared; want 0, 100, 1", b.pulls-pulls, b.skips-skips, b.gaps)
	}
	if st := s.Stats(); st.LevelDBov != -127 || st.Speaking || !st.Muted {
		t.Errorf("stats of a muted source: %+v", st)
	}
	s.SetMuted(false)
	l.ticks(10)
	if p := peakOf(rec.pcm[len(rec.pcm)-1]); p < 0.2 {
		t.Errorf("after unmute: peak %v", p)
	}
}

func TestGainIsBounded(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	s := l.source(r, "A", &fakeBuffer{sound: constant(0.01)})
	_, rec := l.listener(r, "X")
	for _, c := range []struct{ set, want float32 }{{1000, 0.08}, {-1, 0}, {1, 0.01}, {float32(math.NaN()), 0}, {float32(math.Inf(1)), 0.08}} {
		s.SetGain(c.set)
		l.ticks(10)
		if got := rec.pcm[len(rec.pcm)-1]; math.Abs(float64(got[959]-c.want)) > 1e-7 {
			t.Errorf("gain %v: %v, want %v", c.set, got[959], c.want)
		}
	}
}

func TestStereoAndMonoSources(t *testing.T) {
	l := newLab(t, 1)
	stereo := func(k int, frame []float32) {
		for i := 0; i < len(frame); i += 2 {
			frame[i], frame[i+1] = 0.1, 0.3
		}
	}
	for _, c := range []struct {
		room, source int
		sound        func(int, []float32)
		left, right  float32
	}{{1, 2, stereo, 0.2, 0.2}, {2, 2, stereo, 0.1, 0.3}, {2, 1, constant(0.25), 0.25, 0.25}, {1, 1, constant(0.25), 0.25, 0.25}} {
		r := l.room(RoomConfig{Channels: c.room, Music: true}) // pan_test.go has the voices
		l.source(r, "A", &fakeBuffer{sound: c.sound, channels: c.source})
		_, rec := l.listener(r, "X")
		l.ticks(20)
		pcm := rec.pcm[len(rec.pcm)-1]
		if len(pcm) != 960*c.room {
			t.Fatalf("%d samples in a frame of %d channels", len(pcm), c.room)
		}
		if left, right := pcm[500*c.room], pcm[501*c.room-1]; math.Abs(float64(left-c.left))+math.Abs(float64(right-c.right)) > 1e-6 {
			t.Errorf("source of %d in a room of %d: %v and %v, want %v and %v", c.source, c.room, left, right, c.left, c.right)
		}
		r.Close()
	}
}
