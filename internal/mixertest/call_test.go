package mixertest

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const frame = 960 // samples in 20 ms

func newMixer(t testing.TB, workers int, clock func() time.Duration) *mixer.Mixer {
	t.Helper()
	m, err := mixer.New(mixer.Config{
		Workers: workers,
		Clock:   clock,
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) {
			return opus.NewDecoder(channels)
		},
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) {
			return opus.NewEncoder(opus.EncoderConfig(c))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs a mixer and returns how to stop it.
func start(t testing.TB, m *mixer.Mixer) func() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func newRoom(t testing.TB, m *mixer.Mixer, cfg mixer.RoomConfig) *mixer.Room {
	t.Helper()
	r, err := m.NewRoom("r", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// talker encodes sound and pushes it, packet after packet.
type talker struct {
	t      testing.TB
	source *mixer.Source
	enc    *opus.Encoder
	sound  func(n int) float32 // sample n
	n      int
	packet neteq.Packet
	buf    [1275]byte
	pcm    [frame]float32
}

func newSource(t testing.TB, r *mixer.Room, owner string) *mixer.Source {
	t.Helper()
	s, err := r.AddSource(mixer.SourceConfig{Owner: owner, Formats: map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTalker(t testing.TB, r *mixer.Room, owner string, sound func(n int) float32) *talker {
	t.Helper()
	s := newSource(t, r, owner)
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: 40000, Complexity: 5, FEC: true})
	if err != nil {
		t.Fatal(err)
	}
	x := &talker{t: t, source: s, enc: e, sound: sound}
	x.packet = neteq.Packet{SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(), SSRC: rand.Uint32(), PayloadType: 111, Marker: true}
	return x
}

// next encodes 20 ms.
func (x *talker) next() {
	for i := range x.pcm {
		x.pcm[i] = x.sound(x.n + i)
	}
	x.n += frame
	n, err := x.enc.Encode(x.pcm[:], x.buf[:])
	if err != nil {
		x.t.Fatal(err)
	}
	x.packet.Payload = x.buf[:n]
	x.packet.SequenceNumber++
	x.packet.Timestamp += frame
}

func (x *talker) push(now time.Duration) { x.source.Push(&x.packet, now) }

// tone is a sine of an amplitude.
func tone(hz, amplitude float64) func(int) float32 {
	return func(n int) float32 { return float32(amplitude * math.Sin(2*math.Pi*hz*float64(n)/48000)) }
}

// ear decodes what one listener is sent, and conceals what is not.
type ear struct {
	t       testing.TB
	m       *mixer.Mixer
	mu      sync.Mutex
	dec     *opus.Decoder
	first   uint32
	next    uint32
	begun   bool
	pcm     []float32
	at      []time.Duration // when each 20 ms was written
	packets int
	small   int
	gaps    int // timestamps that do not follow one another
}

func newEar(t testing.TB, m *mixer.Mixer, r *mixer.Room, owner string) (*ear, *mixer.Listener) {
	t.Helper()
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{t: t, m: m, dec: d}
	l, err := r.AddListener(mixer.ListenerConfig{Owner: owner, Sink: e})
	if err != nil {
		t.Fatal(err)
	}
	return e, l
}

func (e *ear) WriteFrame(f mixer.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.begun {
		e.begun, e.first, e.next = true, f.Timestamp, f.Timestamp
	}
	if f.Timestamp != e.next {
		e.gaps++
	}
	var pcm [frame]float32
	for ; int32(f.Timestamp-e.next) >= frame; e.next += frame {
		e.dec.Conceal(pcm[:])
		e.pcm = append(e.pcm, pcm[:]...)
		e.at = append(e.at, 0)
	}
	n, err := e.dec.Decode(f.Payload, pcm[:])
	if err != nil || n != frame || f.Samples != frame {
		e.t.Errorf("packet at %d: %d samples, %v", f.Timestamp, n, err)
	}
	e.pcm = append(e.pcm, pcm[:]...)
	e.at = append(e.at, e.m.Now())
	e.next += frame
	e.packets++
	if len(f.Payload) <= 2 {
		e.small++
	}
}

func (e *ear) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pcm, e.at, e.packets, e.small, e.gaps = nil, nil, 0, 0, 0
	e.first = e.next
}

// levelDB is the level of one frequency in what was heard: 0 for a sine of full scale.
func (e *ear) levelDB(hz float64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var s, c float64
	x := e.pcm[:len(e.pcm)/4800*4800]
	for i, v := range x {
		w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(len(x)))
		p := 2 * math.Pi * hz * float64(i) / 48000
		s += w * float64(v) * math.Sin(p)
		c += w * float64(v) * math.Cos(p)
	}
	n := float64(len(x)) / 4 // half of the mean of the window, and of the sine
	return 10 * math.Log10((s*s+c*c)/n/n+1e-20)
}

func (e *ear) peak() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	top := 0.0
	for _, v := range e.pcm {
		top = max(top, math.Abs(float64(v)))
	}
	return top
}

// talk has everybody send for a while, each a little later than the one before.
func talk(m *mixer.Mixer, d time.Duration, talkers ...*talker) {
	for end := m.Now() + d; m.Now() < end; {
		begun := m.Now()
		for _, x := range talkers {
			x.next()
			x.push(m.Now())
			time.Sleep(700 * time.Microsecond)
		}
		time.Sleep(20*time.Millisecond - (m.Now() - begun))
	}
}

// Three people, three tones: each hears both others at their level and not itself; who only listens hears all three.
func TestCallOfThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 2, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{})
		tones := map[string]float64{"A": 440, "B": 1030, "C": 1870}
		ears := map[string]*ear{}
		var talkers []*talker
		for _, name := range []string{"A", "B", "C"} {
			talkers = append(talkers, newTalker(t, r, name, tone(tones[name], 0.2)))
			ears[name], _ = newEar(t, m, r, name)
		}
		ears["X"], _ = newEar(t, m, r, "X")
		talk(m, 2*time.Second, talkers...)
		for _, e := range ears {
			e.reset()
		}
		talk(m, 5*time.Second, talkers...)
		for listener, e := range ears {
			loudest := -200.0
			for name, hz := range tones {
				if name == listener {
					continue
				}
				level := e.levelDB(hz)
				loudest = max(loudest, level)
				if math.Abs(level+13.98) > 1.5 {
					t.Errorf("%s hears %s at %.1f dB, want -14", listener, name, level)
				}
			}
			if hz, ok := tones[listener]; ok {
				if own := e.levelDB(hz); own > loudest-40 {
					t.Errorf("%s hears itself at %.1f dB, the others at %.1f", listener, own, loudest)
				}
			}
			if e.gaps != 0 || e.packets < 249 || e.packets > 251 {
				t.Errorf("%s: %d packets in 5 s, %d gaps", listener, e.packets, e.gaps)
			}
		}
		for _, x := range talkers {
			st := x.source.Stats()
			if st.NetEq.ConcealedSamples != 0 || st.InboxFull+st.RateLimited+st.InsertErrors+st.BadFrames != 0 {
				t.Errorf("%+v", st)
			}
			if st.LevelDBov < -19 || st.LevelDBov > -15 || !st.Speaking {
				t.Errorf("level %d dBov, speaking %v; want -17", st.LevelDBov, st.Speaking)
			}
		}
		if st := m.Stats(); st.Buses != 4 {
			t.Errorf("%d buses, want 4", st.Buses)
		}
		stop()
	})
}

// All at full scale: nothing above full scale comes out of a decoder that knows nothing of it, and all can be heard.
func TestAllAtFullScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{})
		hz := []float64{440, 1030, 1870}
		var talkers []*talker
		for i, f := range hz {
			talkers = append(talkers, newTalker(t, r, string(rune('A'+i)), tone(f, 0.99)))
		}
		e, _ := newEar(t, m, r, "X")
		talk(m, time.Second, talkers...)
		e.reset()
		talk(m, 3*time.Second, talkers...)
		for _, f := range hz {
			if level := e.levelDB(f); level < -14 || level > -6 {
				t.Errorf("%v Hz at %.1f dB, want about -10", f, level)
			}
		}
		clipped := 0
		for _, v := range e.pcm {
			if v >= 1 || v <= -1 {
				clipped++
			}
		}
		if share := float64(clipped) / float64(len(e.pcm)); share > 1e-3 {
			t.Errorf("%.2f %% of the samples at full scale", 100*share)
		}
		stop()
	})
}

// Speakers take turns: the streams of all others stay whole, and of nobody's own voice anything is heard.
func TestTurnsOfSpeaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{})
		tones := []float64{500, 1100, 1700}
		var talkers []*talker
		var ears []*ear
		for i, hz := range tones {
			on := tone(hz, 0.3)
			// 1.9 s on, 3.8 s off, in turn, with soft edges.
			talkers = append(talkers, newTalker(t, r, string(rune('A'+i)), func(n int) float32 {
				const turn = 91200
				at := (n + (3-i)*turn) % (3 * turn)
				if at >= turn {
					return 0
				}
				edge := min(1, float32(min(at, turn-at))/960)
				return edge * on(n)
			}))
			e, _ := newEar(t, m, r, string(rune('A'+i)))
			ears = append(ears, e)
		}
		talk(m, 12*time.Second, talkers...)
		for i, e := range ears {
			for k, hz := range tones {
				level := e.levelDB(hz)
				if i == k && level > -60 {
					t.Errorf("listener %d hears itself at %.1f dB", i, level)
				}
				if i != k && (level < -30 || level > -15) {
					t.Errorf("listener %d hears %d at %.1f dB, want about -20 for a third of the time", i, k, level)
				}
			}
			if p := e.peak(); p > 0.4 {
				t.Errorf("listener %d: peak of %.2f for tones of 0.3: a click", i, p)
			}
		}
		if st := m.Stats(); st.Forks == 0 || st.Joins == 0 {
			t.Errorf("%d forks, %d joins", st.Forks, st.Joins)
		}
		stop()
	})
}

func TestMutedSourceIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{})
		x := newTalker(t, r, "A", tone(700, 0.5))
		e, _ := newEar(t, m, r, "X")
		talk(m, 2*time.Second, x)
		x.source.SetMuted(true)
		talk(m, time.Second, x)
		e.reset()
		talk(m, 4*time.Second, x)
		if p := e.peak(); p > 1e-3 {
			t.Errorf("peak of %v while muted", p)
		}
		if e.packets > 12 {
			t.Errorf("%d packets in 4 s of silence", e.packets)
		}
		before := x.source.Stats()
		x.source.SetMuted(false)
		talk(m, 500*time.Millisecond, x)
		e.reset()
		talk(m, 2*time.Second, x)
		if level := e.levelDB(700); math.Abs(level+6) > 1.5 {
			t.Errorf("%.1f dB after unmute, want -6", level)
		}
		if st := x.source.Stats(); st.NetEq.CurrentDelay > 100*time.Millisecond {
			t.Errorf("delay of %v after a mute, before it %v", st.NetEq.CurrentDelay, before.NetEq.CurrentDelay)
		}
		stop()
	})
}
