package mixer

import (
	"errors"
	"slices"
	"testing"
)

// telephones lets the lab's mixer make encoders of other codecs, and tells which.
func (l *lab) telephones() (made map[int]Codec) {
	made = map[int]Codec{}
	l.m.newTelephone = func(c Codec, channels int) (Encoder, error) {
		made[len(l.encoders)] = c
		return l.newEncoder(EncoderConfig{Channels: channels})
	}
	return made
}

// Listeners of other codecs hear what those of Opus hear, in frames of 20 ms whatever room, connection and load are, and from encoders
// of their own codec, one for each that is listened to.
func TestOtherCodecs(t *testing.T) {
	l := newLab(t, 1)
	made := l.telephones()
	r := l.room(RoomConfig{FrameMs: 10})
	l.source(r, "A", &fakeBuffer{sound: noise(3, 0.3)})
	recs := map[Codec][]*recorder{}
	var old []*Listener
	for _, c := range []Codec{Opus, PCMU, PCMA, G722, PCMU} {
		rec := &recorder{lab: l}
		x, err := r.AddListener(ListenerConfig{Sink: rec, Codec: c, Redundant: true})
		if err != nil {
			t.Fatal(err)
		}
		recs[c] = append(recs[c], rec)
		if c != Opus {
			old = append(old, x)
		}
	}
	l.ticks(20)
	for _, x := range old {
		for range 3 {
			x.SetReport(Report{Loss: 0.3})
		}
		if x.Tier() != Excellent {
			t.Errorf("%v is in tier %v", x.config.Codec, x.Tier())
		}
	}
	r.worker.set(rungLong)
	l.ticks(20)
	// The same 300 ms of everybody, by timestamp.
	from := recs[Opus][0].frames[0].Timestamp + 2*frameSamples
	common := func(rec *recorder) []float32 { return rec.heard(1)[from-rec.frames[0].Timestamp:][:30*frameSamples] }
	want := common(recs[Opus][0])
	for c, all := range recs {
		for _, rec := range all {
			if !slices.Equal(common(rec), want) {
				t.Errorf("%v does not hear what Opus hears", c)
			}
			for _, f := range rec.frames {
				if c != Opus && (f.Samples != 960 || len(f.Redundant) > 0) {
					t.Fatalf("%v: a frame of %d samples, redundant %d bytes", c, f.Samples, len(f.Redundant))
				}
			}
		}
	}
	count := map[Codec]int{}
	for _, c := range made {
		count[c]++
	}
	if count[PCMU] != 1 || count[PCMA] != 1 || count[G722] != 1 {
		t.Errorf("encoders made: %v", count)
	}
	for _, x := range old {
		x.Close()
	}
	l.ticks(10)
	if len(r.spare) != 0 || len(r.buses()) != 1 {
		t.Errorf("%d buses, %d spare ones", len(r.buses()), len(r.spare))
	}
}

// Who has another codec does not hear itself, and its encoder goes on as one when it begins to speak and when it ends.
func TestOtherCodecsWithoutOneself(t *testing.T) {
	l := newLab(t, 1)
	made := l.telephones()
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: noise(3, 0.3)})
	l.source(r, "B", &fakeBuffer{sound: during(50, 100, noise(4, 0.3))})
	var recs []*recorder
	for _, owner := range []string{"B", "X"} {
		rec := &recorder{lab: l}
		if _, err := r.AddListener(ListenerConfig{Owner: owner, Sink: rec, Codec: PCMA}); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
	alone := newLab(t, 1)
	alone.telephones()
	r2 := alone.room(RoomConfig{})
	alone.source(r2, "A", &fakeBuffer{sound: noise(3, 0.3)})
	want := &recorder{lab: alone}
	if _, err := r2.AddListener(ListenerConfig{Sink: want, Codec: PCMA}); err != nil {
		t.Fatal(err)
	}
	l.ticks(400)
	alone.ticks(400)
	if !slices.Equal(recs[0].heard(1), want.heard(1)) {
		t.Error("B does not hear A alone")
	}
	if slices.Equal(recs[1].heard(1), want.heard(1)) {
		t.Error("X hears A alone")
	}
	if st := l.m.Stats(); st.Forks != 1 || st.Joins != 1 || len(made) != 2 {
		t.Errorf("%d forks, %d joins, %d encoders", st.Forks, st.Joins, len(made))
	}
}

func TestOtherCodecsThatAreNotThere(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	if _, err := r.AddListener(ListenerConfig{Sink: &recorder{lab: l}, Codec: G722}); !errors.Is(err, ErrConfig) {
		t.Errorf("G.722 without an encoder: %v", err)
	}
	l.telephones()
	if _, err := r.AddListener(ListenerConfig{Sink: &recorder{lab: l}, Codec: Codec(9)}); !errors.Is(err, ErrConfig) {
		t.Errorf("an unknown codec: %v", err)
	}
	if !l.m.Encodes(PCMU) || l.m.Encodes(Codec(codecs)) {
		t.Error("what can be encoded is not what Encodes says")
	}
}
