package mixer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"parley/neteq"
)

// However many listen, the same mix is encoded once, and all get the same bytes.
func TestEqualMixesAreEncodedOnce(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: noise(1, 0.1)})
	l.source(r, "B", &fakeBuffer{sound: noise(2, 0.1)})
	var recorders []*recorder
	for i := range 50 {
		_, rec := l.listener(r, fmt.Sprint("silent ", i))
		recorders = append(recorders, rec)
	}
	_, a := l.listener(r, "A")
	_, b := l.listener(r, "B")
	l.ticks(100)
	before := l.m.Stats()
	l.ticks(100)
	after := l.m.Stats()
	if n := after.Encodes - before.Encodes; n != 3*50 {
		t.Errorf("%d encodes in 50 frames for 52 listeners of 2 speakers, want 150", n)
	}
	if after.Buses != 3 {
		t.Errorf("%d buses, want 3", after.Buses)
	}
	if n := after.Frames - before.Frames; n != 52*50 {
		t.Errorf("%d frames, want %d", n, 52*50)
	}
	for i, rec := range recorders[1:] {
		for k := range rec.frames {
			if !bytes.Equal(rec.frames[k].Payload, recorders[0].frames[k].Payload) {
				t.Fatalf("listener %d: frame %d differs", i+1, k)
			}
		}
	}
	if bytes.Equal(a.frames[60].Payload, b.frames[60].Payload) || bytes.Equal(a.frames[60].Payload, recorders[0].frames[60].Payload) {
		t.Error("different mixes have equal payloads")
	}
}

// Timestamps run on in silence; a marker tells when speech begins; silence is sent as a sign of life only, and not
// encoded over and over.
func TestSilenceMarkersAndTimestamps(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	b := &fakeBuffer{sound: func(k int, frame []float32) {
		if k < 100 || (k >= 300 && k < 400) {
			constant(0.2)(k, frame)
		}
	}}
	l.source(r, "A", b)
	_, rec := l.listener(r, "X")
	l.ticks(500)
	first := rec.frames[0]
	if !first.Marker {
		t.Error("no marker on the first packet")
	}
	var markers, small []int
	for i, f := range rec.frames {
		at := int(f.Timestamp-first.Timestamp) / 960
		if (f.Timestamp-first.Timestamp)%960 != 0 || f.Samples != 960 {
			t.Errorf("packet %d: timestamp %d after the first, %d samples", i, f.Timestamp-first.Timestamp, f.Samples)
		}
		// The timestamp is that of the tick at which its frame began, at every moment.
		if sent := int((rec.tick[i] - rec.tick[0]) / (20 * time.Millisecond)); sent != at {
			t.Errorf("packet %d: sent in frame %d with the timestamp of frame %d", i, sent, at)
		}
		if f.Marker {
			markers = append(markers, at)
		}
		if len(f.Payload) <= 2 {
			small = append(small, at)
		}
	}
	if fmt.Sprint(markers) != "[0 150]" {
		t.Errorf("markers in frames %v, want 0 and 150 (3 s)", markers)
	}
	// 0–50 speech, ten frames of silence that the encoder wants sent, then one in 21; the same from frame 200 on.
	if fmt.Sprint(small) != "[81 102 123 144 231]" {
		t.Errorf("signs of life in frames %v", small)
	}
	st := l.m.Stats()
	if st.SilentFrames < 100 {
		t.Errorf("%d silent frames were not encoded, want over 100", st.SilentFrames)
	}
}

// Speech that begins right after a sign of life still has its marker.
func TestMarkerAfterRefresh(t *testing.T) {
	for onset := 140; onset < 165; onset++ {
		l := newLab(t, 1)
		r := l.room(RoomConfig{})
		l.source(r, "A", &fakeBuffer{sound: func(k int, frame []float32) {
			if k < 20 || k >= 2*onset {
				constant(0.2)(k, frame)
			}
		}})
		_, rec := l.listener(r, "X")
		l.ticks(400)
		marker, first := -1, -1
		for i, f := range rec.frames {
			at := int(f.Timestamp-rec.frames[0].Timestamp) / 960
			if i > 0 && f.Marker && marker < 0 {
				marker = at
			}
			if at > 40 && len(f.Payload) > 2 && first < 0 {
				first = at
			}
		}
		// Where speech begins in the very frame in which a sign of life is due, its second packet has the marker.
		if marker != first && marker != first+1 {
			t.Errorf("speech from frame %d: first packet %d, marker %d", onset, first, marker)
		}
	}
}

// The first packet comes at once, even if it is silent; a room that everybody is silent in stops after ten seconds, and a packet or a
// command wakes it.
func TestIdleRoomsAreParked(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	b := &fakeBuffer{}
	s := l.source(r, "A", b)
	_, rec := l.listener(r, "X")
	l.ticks(3)
	if rec.count == 0 {
		t.Error("no packet within 30 ms")
	}
	l.ticks(1100)
	st := l.m.Stats()
	if st.ActiveRooms != 0 {
		t.Fatalf("room is active after 11 s of nothing")
	}
	sent, pulls := rec.count, b.pulls
	l.ticks(500)
	if now := l.m.Stats(); now.Ticks != st.Ticks || rec.count != sent || b.pulls != pulls {
		t.Errorf("a parked room worked: %d ticks, %d packets, %d pulls", now.Ticks-st.Ticks, rec.count-sent, b.pulls-pulls)
	}
	b.sound = constant(0.3)
	if !s.Push(&neteq.Packet{SequenceNumber: 7, Payload: []byte{1, 2, 3}}, l.now) {
		t.Fatal("packet refused")
	}
	l.ticks(4)
	if len(b.inserted) != 1 || b.inserted[0] != 7 {
		t.Errorf("inserted %v", b.inserted)
	}
	last := len(rec.frames) - 1
	if rec.count == sent {
		t.Fatal("no sound after the room was woken")
	}
	if f := rec.frames[last]; !f.Marker && !rec.frames[last-1].Marker {
		t.Error("no marker when speech begins")
	}
	// The RTP clock went on while the room was parked.
	parked := rec.frames[sent-1]
	elapsed := rec.tick[sent] - rec.tick[sent-1]
	if got, want := time.Duration(rec.frames[sent].Timestamp-parked.Timestamp)*time.Second/48000, elapsed; got != want {
		t.Errorf("the clock moved by %v in %v", got, want)
	}
	// Idle again, and woken by a command.
	b.sound = nil
	l.ticks(1200)
	if l.m.Stats().ActiveRooms != 0 {
		t.Fatal("not parked again")
	}
	_, rec2 := l.listener(r, "Y")
	l.ticks(3)
	if rec2.count == 0 {
		t.Error("a listener that came to a parked room hears nothing for 30 ms")
	}
}

// Without listeners nothing is decoded, mixed or encoded, but NetEq is kept in time and shows levels.
func TestRoomWithoutListenersCostsNothing(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	b := &fakeBuffer{sound: constant(0.3)}
	s := l.source(r, "A", b)
	for k := range 100 {
		s.Push(&neteq.Packet{SequenceNumber: uint16(k), Payload: []byte{1}, HasAudioLevel: true, AudioLevel: 20}, l.now)
		l.ticks(2)
	}
	if b.pulls != 0 || len(l.encoders) != 0 {
		t.Errorf("%d pulls, %d encoders without listeners", b.pulls, len(l.encoders))
	}
	if len(b.inserted) < 90 || b.skips < 190 || b.skips > 200 {
		t.Errorf("%d packets inserted, %d ticks skipped; want 100 and 200, but for the last 100 ms", len(b.inserted), b.skips)
	}
	if levels := r.Levels(nil); len(levels) != 1 || levels[0].LevelDBov != -20 || !levels[0].Speaking || levels[0].Owner != "A" {
		t.Errorf("levels %+v", levels)
	}
	// Somebody comes, and goes.
	x, rec := l.listener(r, "X")
	l.ticks(10)
	if rec.count == 0 || peakOf(rec.pcm[len(rec.pcm)-1]) != 0.3 {
		t.Errorf("the listener hears nothing")
	}
	if p := rec.pcm[0]; p[limiterLookahead] > 0.01 {
		t.Errorf("first sample %v: no ramp", p[limiterLookahead])
	}
	x.Close()
	l.ticks(1)
	pulls, encodes := b.pulls, l.m.Stats().Encodes
	l.ticks(90)
	if b.pulls != pulls || l.m.Stats().Encodes != encodes || l.m.Stats().Buses != 0 {
		t.Error("work for a listener that has gone")
	}
	l.ticks(100)
	if l.m.Stats().ActiveRooms != 0 {
		t.Error("not parked a second after the last packet")
	}
}

// A room with nobody listening does not tick: it fetches its packets ten times a second, until somebody comes.
func TestRoomWithoutListenersDozes(t *testing.T) {
	l := newLab(t, 1)
	r, other := l.room(RoomConfig{}), l.room(RoomConfig{})
	b := &fakeBuffer{sound: constant(0.3)}
	s := l.source(r, "A", b)
	p := &neteq.Packet{Payload: []byte{1}}
	send := func(ticks int) {
		for k := range ticks {
			if k%2 == 0 {
				s.Push(p, l.now)
			}
			l.tick()
		}
	}
	send(100)
	before := l.m.Stats()
	send(200)
	if n := l.m.Stats().Ticks - before.Ticks; n < 19 || n > 21 {
		t.Errorf("%d ticks in two seconds without a listener, want 20", n)
	}
	if len(b.inserted) < 140 || s.Stats().InboxFull > 0 {
		t.Errorf("%d packets were fetched, %d turned away", len(b.inserted), s.Stats().InboxFull)
	}
	for k := range 12 { // at every distance from the next look
		x, rec := l.listener(r, "X")
		send(3)
		if rec.count == 0 {
			t.Fatalf("join %d: nothing heard in 30 ms", k)
		}
		send(10 + k)
		x.Close()
		send(20)
		before = l.m.Stats()
		send(100)
		if n := l.m.Stats().Ticks - before.Ticks; n < 9 || n > 11 {
			t.Fatalf("join %d: %d ticks in a second after the listener left, want 10", k, n)
		}
	}
	// Rooms of the same phase do not disturb one another; closing works in the doze.
	l.listener(other, "Y")
	send(50)
	r.Close()
	l.ticks(20)
	if st := l.m.Stats(); st.ActiveRooms != 1 || st.Rooms != 1 {
		t.Errorf("%d rooms active of %d", st.ActiveRooms, st.Rooms)
	}
}

func TestJoinAndLeave(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	a := l.source(r, "A", &fakeBuffer{sound: constant(0.1)})
	l.source(r, "B", &fakeBuffer{sound: constant(0.2)})
	la, ra := l.listener(r, "A")
	_, rb := l.listener(r, "B")
	l.ticks(20)
	lc, rc := l.listener(r, "C")
	l.ticks(20)
	level := func(rec *recorder) float32 { return rec.pcm[len(rec.pcm)-1][959] }
	if level(ra) != 0.2 || level(rb) != 0.1 || level(rc) < 0.299 || level(rc) > 0.301 {
		t.Errorf("A hears %v, B %v, C %v; want 0.2, 0.1, 0.3", level(ra), level(rb), level(rc))
	}
	// A leaves altogether.
	la.Close()
	a.Close()
	la.Close()
	a.Close()
	l.ticks(1)
	heard := ra.count
	l.ticks(20)
	if ra.count != heard {
		t.Error("a frame for a listener that left")
	}
	if level(rc) != 0.2 {
		t.Errorf("C hears %v after A left, want 0.2", level(rc))
	}
	if a.Push(&neteq.Packet{Payload: []byte{1}}, l.now) {
		t.Error("a packet for a source that left was taken")
	}
	if got := r.Levels(nil); len(got) != 1 || got[0].Owner != "B" {
		t.Errorf("levels %+v", got)
	}
	lc.Close()
	b := l.source(r, "C", &fakeBuffer{})
	r.Close()
	r.Close()
	if b.Push(&neteq.Packet{Payload: []byte{1}}, l.now) {
		t.Error("a packet for a closed room was taken")
	}
	l.ticks(2)
	count := rb.count
	l.ticks(20)
	if rb.count != count {
		t.Error("a frame from a closed room")
	}
	if _, err := r.AddSource(SourceConfig{Owner: "Z", Formats: map[uint8]neteq.Format{0: {Name: "PCMU"}}}); !errors.Is(err, ErrRoomClosed) {
		t.Errorf("source into a closed room: %v", err)
	}
	if _, err := r.AddListener(ListenerConfig{Sink: rb}); !errors.Is(err, ErrRoomClosed) {
		t.Errorf("listener into a closed room: %v", err)
	}
	select {
	case <-r.Done():
	default:
		t.Error("not done")
	}
	if st := l.m.Stats(); st.Rooms != 0 || st.ActiveRooms != 0 || st.Buses != 0 {
		t.Errorf("left over: %+v", st)
	}
}

// A listener that comes while its own voice is being mixed must not begin on a bus that has that voice in it.
func TestLateListenerNeverHearsItself(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.5)})
	_, other := l.listener(r, "X")
	l.ticks(51)
	_, rec := l.listener(r, "A")
	l.ticks(50)
	for i, pcm := range rec.pcm {
		if p := peakOf(pcm); p != 0 {
			t.Fatalf("frame %d: A hears %v", i, p)
		}
	}
	if peakOf(other.pcm[40]) != 0.5 {
		t.Error("X hears nothing")
	}
}

// Nor must one whose source has just gone, nor one who was last heard before the computer stood still.
func TestOwnVoiceDoesNotLingerInTheBus(t *testing.T) {
	for parity := range 2 {
		l := newLab(t, 1)
		r := l.room(RoomConfig{})
		a := l.source(r, "A", &fakeBuffer{sound: constant(0.5)})
		l.listener(r, "X")
		l.ticks(50 + parity)
		a.Close()
		l.ticks(1)
		l.listener(r, "Y") // a command, at which A might be forgotten
		l.ticks(1)
		_, rec := l.listener(r, "A")
		l.ticks(1)
		on := true
		l.source(r, "A", &fakeBuffer{sound: func(k int, frame []float32) {
			if on {
				constant(0.5)(k, frame)
			}
		}})
		l.ticks(50)
		on = false
		l.advance(3 * time.Second) // the last sound is still in the limiter
		l.ticks(50)
		for i, pcm := range rec.pcm {
			if p := peakOf(pcm); p != 0 {
				t.Fatalf("frame %d: A hears %v", i, p)
			}
		}
		if rec.count == 0 {
			t.Error("A got nothing at all")
		}
	}
}

// The last listener on the shared bus takes it along instead of encoding twice; alone in a room nothing is encoded.
func TestAloneInARoom(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: noise(1, 0.3)})
	_, rec := l.listener(r, "A")
	l.ticks(100)
	before := l.m.Stats()
	n := rec.count
	l.ticks(210)
	after := l.m.Stats()
	if d := after.Encodes - before.Encodes; d > 6 {
		t.Errorf("%d encodes in 2.1 s for somebody who hears nothing", d)
	}
	if d := rec.count - n; d < 4 || d > 6 {
		t.Errorf("%d signs of life in 2.1 s, want 5", d)
	}
	if after.Buses != 1 || len(l.encoders) != 1 {
		t.Errorf("%d buses, %d encoders", after.Buses, len(l.encoders))
	}
}

func TestPanicClosesOneRoomOnly(t *testing.T) {
	l := newLab(t, 1)
	l.panics = 1
	good, bad := l.room(RoomConfig{}), l.room(RoomConfig{})
	l.source(good, "A", &fakeBuffer{sound: constant(0.1)})
	l.source(bad, "A", &fakeBuffer{sound: constant(0.1)})
	_, goodRec := l.listener(good, "X")
	_, badRec := l.listener(bad, "X")
	l.ticks(20)
	badRec.fail = true
	l.ticks(2)
	count := goodRec.count
	l.ticks(20)
	if goodRec.count != count+10 {
		t.Errorf("the other room sent %d frames in 200 ms", goodRec.count-count)
	}
	select {
	case <-bad.Done():
	default:
		t.Error("the room is still open")
	}
	if err := bad.Err(); !errors.Is(err, ErrRoomPanicked) || !strings.Contains(err.Error(), "sink") {
		t.Errorf("error %v", err)
	}
	if _, err := bad.AddListener(ListenerConfig{Sink: goodRec}); !errors.Is(err, ErrRoomPanicked) {
		t.Errorf("listener into the room: %v", err)
	}
	bad.Close()
	st := l.m.Stats()
	if st.Panics != 1 || st.Rooms != 1 || st.ActiveRooms != 1 || st.Buses != 1 {
		t.Errorf("%+v", st)
	}
}

// No encoder, no sound for whom it is missing, and another try within a second; nobody hears themselves meanwhile.
func TestEncoderThatCannotBeMade(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: during(50, 1<<30, constant(0.3))})
	l.source(r, "B", &fakeBuffer{sound: constant(0.1)})
	_, ra := l.listener(r, "A")
	_, rx := l.listener(r, "X")
	l.ticks(30)
	l.refuse = true
	ra.reset()
	l.ticks(100)
	for _, pcm := range ra.pcm {
		if p := peakOf(pcm); p > 0.1 {
			t.Fatalf("A hears %v", p)
		}
	}
	if got := peakOf(rx.pcm[len(rx.pcm)-1]); got != 0.4 {
		t.Errorf("X hears %v, want 0.4", got)
	}
	if l.m.Stats().EncodeErrors == 0 {
		t.Error("not counted")
	}
	l.refuse = false
	l.ticks(120)
	if got := peakOf(ra.pcm[len(ra.pcm)-1]); got != 0.1 {
		t.Errorf("A hears %v when there are encoders again, want 0.1", got)
	}
}

func TestEncoderThatCannotBeForked(t *testing.T) {
	l := newLab(t, 1)
	l.noCopy = true
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: during(51, 150, constant(0.3))})
	l.source(r, "B", &fakeBuffer{sound: constant(0.1)})
	_, ra := l.listener(r, "A")
	_, rx := l.listener(r, "X")
	l.ticks(400)
	for i := 1; i < len(ra.frames); i++ {
		if ra.frames[i].Timestamp != ra.frames[i-1].Timestamp+960 {
			t.Fatalf("gap at frame %d", i)
		}
	}
	for i, pcm := range ra.pcm {
		if p := peakOf(pcm); p > 0.1 {
			t.Fatalf("frame %d: A hears %v", i, p)
		}
	}
	if peakOf(rx.pcm[50]) < 0.39 {
		t.Error("X hears no sum")
	}
}

func TestLossOfListenersSetsRedundancy(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.3)})
	var listeners []*Listener
	for i := range 16 {
		x, _ := l.listener(r, fmt.Sprint(i))
		listeners = append(listeners, x)
	}
	l.ticks(110)
	e := l.encoders[0]
	if e.loss != 0 {
		t.Errorf("loss %d without reports", e.loss)
	}
	listeners[3].SetReport(Report{Loss: 0.029})
	l.ticks(110)
	if e.loss != 0 {
		t.Errorf("loss %d for one of sixteen", e.loss)
	}
	listeners[4].SetReport(Report{Loss: 0.021})
	l.ticks(110)
	if e.loss != 2 {
		t.Errorf("loss %d, want the 2 of the second worst of sixteen", e.loss)
	}
	listeners[4].SetReport(Report{Loss: math.NaN()})
	l.ticks(110)
	if e.loss != 0 {
		t.Errorf("loss %d after it has gone", e.loss)
	}
	// Those that lose much are protected, and the others not burdened with it.
	for _, x := range listeners[:4] {
		x.SetReport(Report{Loss: 0.5})
	}
	l.ticks(110)
	if len(l.encoders) != 2 || e.loss != 0 || l.encoders[1].loss != 25 {
		t.Errorf("%d encoders; loss %d of the good, %d of the bad, want 0 and 25", len(l.encoders), e.loss, l.encoders[1].loss)
	}
	// As a loss of both copies counts what those lose that get frames twice.
	for _, x := range listeners[:4] {
		x.config.Redundant = true
		x.SetReport(Report{Loss: 0.2})
	}
	l.ticks(110)
	if got := l.encoders[1].loss; got != 4 {
		t.Errorf("loss %d, want 4", got)
	}
}

func TestProtection(t *testing.T) {
	for _, c := range []struct {
		tier       Tier
		loss, want int
	}{
		{Excellent, 0, 0}, {Excellent, 2, 2}, {Excellent, 90, 5}, {Good, 0, 0}, {Good, 2, 2}, {Good, 3, 6}, {Good, 25, 6},
		{Poor, 0, 0}, {Poor, 5, 5}, {Poor, 6, 25}, {Poor, 50, 25},
	} {
		if got := protection(c.tier, c.loss); got != c.want {
			t.Errorf("%v at %d %%: %d, want %d", c.tier, c.loss, got, c.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	formats := map[uint8]neteq.Format{111: {Name: "opus"}}
	check := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := New(Config{})
	check("no codecs", err)
	_, err = New(Config{NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) { return nil, nil }, NewEncoder: l.newEncoder, Workers: -1})
	check("workers", err)
	_, err = New(Config{NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) { return nil, nil }, NewEncoder: l.newEncoder, Encoder: EncoderConfig{BitrateBps: 1}})
	check("bitrate", err)
	_, err = r.AddListener(ListenerConfig{})
	check("no sink", err)
	_, err = r.AddSource(SourceConfig{})
	check("no formats", err)
	_, err = r.AddSource(SourceConfig{Formats: formats, Channels: 3})
	check("channels", err)
	_, err = l.m.NewRoom("x", RoomConfig{Channels: 3})
	check("room channels", err)
	_, err = l.m.NewRoom("x", RoomConfig{Encoder: &EncoderConfig{BitrateBps: 32000, Complexity: 11}})
	check("complexity", err)
	_, err = l.m.NewRoom("x", RoomConfig{Encoder: &EncoderConfig{BitrateBps: 32000, LossPercent: 101}})
	check("loss", err)
	_, err = l.m.NewRoom("x", RoomConfig{Speakers: -2})
	check("speakers of a room", err)
	_, err = l.m.NewRoom("x", RoomConfig{FrameMs: 40})
	check("frames of 40 ms for all", err)
	_, err = New(Config{NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) { return nil, nil }, NewEncoder: l.newEncoder, Speakers: -1})
	check("speakers", err)
}
