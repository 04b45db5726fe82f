package mixer

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"parley/neteq"
)

// checkClock checks that what was sent is a stream of samples without overlap, and without a hole where it was never silent.
func (r *recorder) checkClock(t *testing.T, whole bool) {
	t.Helper()
	for i := 1; i < len(r.frames); i++ {
		last, f := r.frames[i-1], r.frames[i]
		step := int(int32(f.Timestamp - last.Timestamp))
		if step < last.Samples || whole && step != last.Samples {
			t.Fatalf("frame %d begins %d samples after one of %d", i, step, last.Samples)
		}
		if f.Samples != 480 && f.Samples != 960 && f.Samples != 1920 {
			t.Fatalf("frame %d has %d samples", i, f.Samples)
		}
	}
}

// lengths tells the runs of frame lengths that were sent, in ms.
func (r *recorder) lengths() string {
	var out []int
	for _, f := range r.frames {
		if ms := f.Samples / 48; len(out) == 0 || out[len(out)-1] != ms {
			out = append(out, ms)
		}
	}
	return fmt.Sprint(out)
}

func (r *recorder) encoder() *fakeEncoder {
	f := r.frames[len(r.frames)-1]
	return r.lab.encoders[uint32(f.Payload[0])<<24|uint32(f.Payload[1])<<16|uint32(f.Payload[2])<<8|uint32(f.Payload[3])]
}

// Down to frames of 40 ms and back again, from any tick: every stream goes on as if it had an encoder of its own.
func TestTiersLeaveStreamsUnbroken(t *testing.T) {
	for _, frameMs := range []int{10, 20} {
		for at := range 8 {
			l := newLab(t, 1)
			r := l.room(RoomConfig{FrameMs: frameMs, Encoder: &EncoderConfig{BitrateBps: 40000, FEC: true, Complexity: 5}})
			l.source(r, "A", &fakeBuffer{sound: noise(1, 0.4)})
			l.source(r, "B", &fakeBuffer{sound: noise(2, 0.9)}) // limited
			bad, rec := l.listener(r, "X")
			_, other := l.listener(r, "Y")
			l.ticks(50 + at)
			bad.SetReport(Report{Loss: 0.15})
			l.ticks(50)
			if got := [3]int{rec.encoder().bitrate, rec.encoder().loss, other.encoder().loss}; got != [3]int{16000, 25, 0} || other.encoder().bitrate != 40000 {
				t.Errorf("rate and protection %v", got)
			}
			for range 12 {
				bad.SetReport(Report{})
				l.ticks(100)
			}
			if bad.Tier() != Good || rec.encoder().bitrate != 24000 {
				t.Errorf("tier %v at %d bit/s after 12 s", bad.Tier(), rec.encoder().bitrate)
			}
			want := fmt.Sprintf("[%d 40 %d]", frameMs, frameMs)
			if got := rec.lengths(); got != want || other.lengths() != fmt.Sprintf("[%d]", frameMs) {
				t.Errorf("frames of %s and %s ms, want %s", got, other.lengths(), want)
			}
			rec.checkClock(t, true)
			other.checkClock(t, true)
			a, b := rec.heard(1), other.heard(1)
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("sample %d differs between tiers", i)
				}
			}
			private := &fakeEncoder{lab: l, cfg: EncoderConfig{Channels: 1}, hash: 14695981039346656037}
			out := make([]byte, maxPacket)
			for i, f := range rec.frames {
				private.Encode(rec.pcm[i], out)
				if string(out[8:16]) != string(f.Payload[8:16]) {
					t.Fatalf("frame %d is not what an encoder of its own yields", i)
				}
			}
			if st := l.m.Stats(); st.Forks != 1 || st.Joins != 0 || st.Buses != 2 || st.TierChanges != 2 {
				t.Errorf("%d forks, %d joins, %d buses, %d changes", st.Forks, st.Joins, st.Buses, st.TierChanges)
			}
		}
	}
}

// The tiers of one mix share its samples, and no more is encoded than tiers times mixes.
func TestEncodesAreBoundedByTiers(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{Speakers: 2})
	for i := range 2 {
		l.source(r, fmt.Sprint(i), &fakeBuffer{sound: noise(uint64(i), 0.1)})
	}
	p := &neteq.Packet{Payload: []byte{1}, HasAudioLevel: true, AudioLevel: 20}
	for i := range 60 {
		x, _ := l.listener(r, fmt.Sprint(i%20)) // some speak themselves
		switch i % 3 {
		case 1:
			x.SetReport(Report{Loss: 0.05})
			x.SetReport(Report{Loss: 0.05})
		case 2:
			x.SetReport(Report{Loss: 0.2})
		}
	}
	run := func(ticks int) {
		for k := range ticks {
			if k%2 == 0 {
				for _, s := range r.sources {
					s.Push(p, l.now)
				}
			}
			l.tick()
		}
	}
	run(200)
	if st := l.m.Stats(); st.Buses != 9 || len(r.mixes) != 3 {
		t.Errorf("%d buses on %d mixes, want 9 on 3", st.Buses, len(r.mixes))
	}
	before := l.m.Stats().Encodes
	run(400)
	// 3 mixes: two tiers of 20 ms, one of 40.
	if n := l.m.Stats().Encodes - before; n != 3*(200+200+100) {
		t.Errorf("%d encodes in 4 s, want 1500", n)
	}
}

// A gain of one's own: exact, for oneself only, in 10 ms, and only while it makes a difference.
func TestPersonalGains(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	on, v := true, float32(0)
	l.source(r, "A", &fakeBuffer{busy: true, sound: func(_ int, frame []float32) {
		for i := range frame { // goes and comes softly
			if on {
				v = min(0.25, v+0.25/frameSamples)
			} else {
				v = max(0, v-0.25/frameSamples)
			}
			frame[i] = v
		}
	}})
	l.source(r, "B", &fakeBuffer{sound: constant(0.125)})
	x, rx := l.listener(r, "X")
	y, ry := l.listener(r, "Y")
	_, rz := l.listener(r, "Z")
	b, rb := l.listener(r, "B")
	level := func(rec *recorder) float32 {
		p := rec.pcm[len(rec.pcm)-1]
		if len(p) == 0 {
			return 0 // a sign of life
		}
		return p[len(p)-1]
	}
	is := func(what string, buses int, want ...float32) {
		t.Helper()
		for i, rec := range []*recorder{rx, ry, rz, rb} {
			if got := level(rec); math.Abs(float64(got-want[i])) > 1e-6 {
				t.Errorf("%s: %c hears %v, want %v", what, "XYZB"[i], got, want[i])
			}
		}
		if n := len(r.buses()); n != buses {
			t.Errorf("%s: %d buses, want %d", what, n, buses)
		}
	}
	set := func(l *Listener, owner string, gain float32) {
		t.Helper()
		if err := l.SetGain(owner, gain); err != nil {
			t.Fatal(err)
		}
	}
	l.ticks(41)
	is("before", 2, 0.375, 0.375, 0.375, 0.25)
	set(x, "A", 0.5)
	l.ticks(11)
	is("X has A at half", 3, 0.25, 0.375, 0.375, 0.25)
	set(y, "A", 0)
	set(b, "A", 2)
	set(b, "B", 8) // not heard anyway
	l.ticks(11)
	is("Y has muted A, B has A doubled", 4, 0.25, 0.125, 0.375, 0.5)
	set(y, "A", 0.5)
	l.ticks(151)
	is("X and Y want the same", 3, 0.25, 0.25, 0.375, 0.5)
	on = false
	l.ticks(11)
	is("A is silent", 3, 0.125, 0.125, 0.125, 0)
	l.ticks(151)
	is("for a while", 2, 0.125, 0.125, 0.125, 0)
	set(y, "A", 0)
	on = true
	l.ticks(11)
	is("A again", 4, 0.25, 0.125, 0.375, 0.5)
	for _, v := range ry.pcm[len(ry.pcm)-8:] {
		if peakOf(v) > 0.125 {
			t.Fatalf("Y hears %v of somebody muted", peakOf(v)-0.125)
		}
	}
	set(x, "A", 1)
	set(y, "A", 1)
	set(b, "A", 1)
	l.ticks(11)
	is("taken back", 4, 0.375, 0.375, 0.375, 0.25) // X and Y are on their way to Z
	l.ticks(151)
	is("in the end", 2, 0.375, 0.375, 0.375, 0.25)
	if len(r.gainLists)+len(r.personal) != 0 {
		t.Errorf("%d lists left", len(r.gainLists))
	}
	for _, rec := range []*recorder{rx, ry, rz} {
		rec.checkClock(t, true)
		heard := rec.heard(1)[2000:]
		for i := 1; i < len(heard); i++ {
			if d := math.Abs(float64(heard[i] - heard[i-1])); d > 0.25/frameSamples*1.01 {
				t.Fatalf("step of %v at sample %d", d, i)
			}
		}
	}
	private := &fakeEncoder{lab: l, cfg: EncoderConfig{Channels: 1}, hash: 14695981039346656037}
	out := make([]byte, maxPacket)
	for i, f := range rz.frames {
		private.Encode(rz.pcm[i], out)
		if string(out[8:16]) != string(f.Payload[8:16]) {
			t.Fatalf("frame %d of Z, who changed nothing, is not what an encoder of its own yields", i)
		}
	}
}

func TestGainsAreBounded(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.1)})
	x, _ := l.listener(r, "X")
	for i := range maxGains {
		if err := x.SetGain(fmt.Sprint("owner ", i), 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.SetGain("one more", 0); !errors.Is(err, ErrTooManyMixes) {
		t.Errorf("65th gain: %v", err)
	}
	if err := x.SetGain("owner 3", 1); err != nil {
		t.Error(err)
	}
	if err := x.SetGain("one more", 0); err != nil {
		t.Errorf("after one was taken back: %v", err)
	}
	for _, g := range []float32{-1, 8.01, float32(math.NaN()), float32(math.Inf(1))} {
		if err := x.SetGain("A", g); !errors.Is(err, ErrConfig) {
			t.Errorf("gain %v: %v", g, err)
		}
	}
	if err := x.SetGain("", 2); !errors.Is(err, ErrConfig) {
		t.Errorf("gain for nobody: %v", err)
	}
	l.ticks(10)
	// One list is X's. Fifteen more, however many listeners have them.
	var others []*Listener
	for i := range 3 * maxGainLists {
		o, _ := l.listener(r, fmt.Sprint("listener ", i))
		others = append(others, o)
		if err := o.SetGain("A", float32(i%(maxGainLists-1))*0.03); err != nil {
			t.Fatal(err)
		}
	}
	l.ticks(joinAfterTicks + 50)
	if err := others[0].SetGain("A", 0.01); !errors.Is(err, ErrTooManyMixes) {
		t.Errorf("17th list: %v", err)
	}
	others[maxGainLists-1].Close()
	others[2*(maxGainLists-1)].Close()
	others[3*(maxGainLists-1)].Close()
	if err := others[0].SetGain("A", 0.01); err != nil {
		t.Errorf("a list for the one that nobody else has: %v", err)
	}
	if n := len(r.gainLists); n != maxGainLists {
		t.Errorf("%d lists", n)
	}
	l.ticks(400)
	if n := len(r.buses()); n > maxGainLists+1 {
		t.Errorf("%d buses", n)
	}
	for _, o := range append(others, x) {
		o.Close()
	}
	if err := others[0].SetGain("A", 0.7); err != nil {
		t.Errorf("gain of one who left: %v", err)
	}
	l.ticks(2)
	if len(r.gainLists)+len(r.personal)+len(r.mixes) != 0 {
		t.Errorf("%d lists, %d in use, %d mixes left", len(r.gainLists), len(r.personal), len(r.mixes))
	}
	l.ticks(200)
	_ = r.post(command{kind: changeTier, listener: x}) // any command
	l.ticks(20)
	if len(r.owners) != 1 {
		t.Errorf("%d owners remembered, want A alone", len(r.owners))
	}
	r.Close()
	if err := x.SetGain("A", 0.7); err == nil {
		t.Error("a gain in a closed room")
	}
}

// A hundred who turn the same person down in one tick do not make a hundred encoders.
func TestManyGainsAtOnce(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: noise(1, 0.4)})
	var listeners []*Listener
	var recorders []*recorder
	for i := range 100 {
		x, rec := l.listener(r, fmt.Sprint(i))
		listeners, recorders = append(listeners, x), append(recorders, rec)
	}
	l.ticks(51)
	for i, x := range listeners {
		if err := x.SetGain("A", 0.5); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			l.tick()
			if n := len(r.buses()); n > 2+maxMerging {
				t.Fatalf("%d buses after %d changes", n, i+1)
			}
		}
	}
	l.ticks(200)
	if n := len(r.buses()); n != 1 {
		t.Errorf("%d buses in the end", n)
	}
	for _, rec := range recorders {
		rec.checkClock(t, true)
	}
}

// Overload makes the frames of all longer, and gives them back.
func TestLongFramesUnderOverload(t *testing.T) {
	for at := range 4 {
		l := newLab(t, 1)
		r := l.room(RoomConfig{})
		l.source(r, "A", &fakeBuffer{sound: noise(1, 0.1), keep: true})
		_, rec := l.listener(r, "X")
		_, own := l.listener(r, "A")
		l.m.workers[0].ladder.hold = time.Hour
		l.ticks(40 + at)
		l.m.workers[0].ladder.set(rungLong)
		l.ticks(100)
		_, late := l.listener(r, "Y")
		l.ticks(7)
		if late.count == 0 {
			t.Error("nothing heard in 70 ms")
		}
		l.m.workers[0].ladder.set(rungNone)
		l.ticks(60)
		if rec.lengths() != "[20 40 20]" || late.lengths() != "[40 20]" {
			t.Errorf("frames of %s and %s ms", rec.lengths(), late.lengths())
		}
		rec.checkClock(t, true)
		own.checkClock(t, false)
	}
}

// Ticks that were missed are silence, true to time, whatever the lengths of frames, and no sample is sent twice.
func TestMissedTicksAndFrameLengths(t *testing.T) {
	for missed := range 13 {
		for at := range 4 {
			l := newLab(t, 1)
			r := l.room(RoomConfig{FrameMs: 10 * (1 + missed%2)})
			l.source(r, "A", &fakeBuffer{sound: constant(0.25), busy: true})
			_, excellent := l.listener(r, "X")
			x, poor := l.listener(r, "Y")
			x.SetReport(Report{Loss: 0.3})
			l.ticks(40 + at)
			l.advance(tickDuration * time.Duration(1+maxCatchUp+1+missed)) // too far behind to be made up
			l.ticks(40)
			if st := l.m.Stats(); st.Skipped == 0 {
				t.Fatal("nothing was skipped")
			}
			for _, rec := range []*recorder{excellent, poor} {
				rec.checkClock(t, false)
				if d := rec.frames[len(rec.frames)-1].Timestamp - rec.frames[0].Timestamp; d != uint32((rec.tick[len(rec.tick)-1]-rec.tick[0])*48000/time.Second) {
					t.Errorf("missed %d at %d: the clock has moved by %d samples in %v", missed, at, d, rec.tick[len(rec.tick)-1]-rec.tick[0])
				}
			}
			a, b := excellent.heard(1), poor.heard(1)
			offset := int(int32(excellent.frames[0].Timestamp - poor.frames[0].Timestamp))
			different := 0
			for i := range a {
				if k := i + offset; k >= 0 && k < len(b) && a[i] != b[k] {
					different++
				}
			}
			// What was not sent at all to one may have been filled up with silence to the other: the look-ahead of the limiter.
			if different > limiterLookahead {
				t.Errorf("missed %d at %d: %d samples differ between the tiers", missed, at, different)
			}
		}
	}
}

// Who loses packets gets every frame twice, if that was agreed; not where the frame before was kept back.
func TestRedundantFrames(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: func(k int, frame []float32) {
		if k < 200 || k > 300 {
			constant(0.1)(k, frame)
		}
	}})
	recorders := make([]*recorder, 3)
	for i := range recorders {
		recorders[i] = &recorder{lab: l}
		x, err := r.AddListener(ListenerConfig{Owner: fmt.Sprint(i), Sink: recorders[i], Redundant: i != 1})
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			x.SetReport(Report{Loss: 0.15}) // the first packets come as 20 ms: a room without anybody poor
		}
	}
	l.ticks(400)
	for i, rec := range recorders {
		redundant := 0
		for k, f := range rec.frames {
			if f.Redundant == nil {
				continue
			}
			redundant++
			last := rec.frames[k-1]
			if f.RedundantOffset != f.Timestamp-last.Timestamp || int(f.RedundantOffset) != last.Samples {
				t.Fatalf("listener %d, frame %d: offset %d after a frame of %d", i, k, f.RedundantOffset, last.Samples)
			}
			if f.Marker {
				t.Errorf("listener %d, frame %d: begins a talk spurt, and has a frame before it", i, k)
			}
		}
		if i == 0 && redundant < 60 || i > 0 && redundant > 0 {
			t.Errorf("listener %d: %d of %d frames with redundancy", i, redundant, len(rec.frames))
		}
		rec.checkClock(t, false)
	}
	for k := 1; k < len(recorders[0].frames); k++ {
		if f := recorders[0].frames[k]; f.Redundant != nil && string(f.Redundant) != string(recorders[0].frames[k-1].Payload) {
			t.Fatalf("frame %d: not the payload of the frame before", k)
		}
	}
	if st := l.m.Stats(); st.Repeated < 60 {
		t.Errorf("%d counted", st.Repeated)
	}
}
