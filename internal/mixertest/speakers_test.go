package mixertest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

// countingDecoder counts what the codec is asked for.
type countingDecoder struct {
	neteq.Decoder
	samples *int
	calls   *int
}

func (d countingDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	n, err := d.Decoder.Decode(payload, pcm)
	*d.calls++
	*d.samples += n
	return n, err
}

func (d countingDecoder) Conceal(pcm []float32) (int, error) {
	*d.calls++
	*d.samples += len(pcm)
	return d.Decoder.Conceal(pcm)
}

// newCounting is a stepped mixer that counts decoded samples and calls.
func newCounting(t testing.TB) (st *stepped, samples, calls *int) {
	st, samples, calls = &stepped{}, new(int), new(int)
	m, err := mixer.New(mixer.Config{
		Workers: 1, Clock: func() time.Duration { return st.now },
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) {
			d, err := opus.NewDecoder(channels)
			return countingDecoder{d, samples, calls}, err
		},
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	st.m = m
	return st, samples, calls
}

// 64 people who all talk at once cost as many decodes as the room has speakers, with the real codec and the real buffer.
func TestTalkersAreNotDecoded(t *testing.T) {
	st, samples, _ := newCounting(t)
	r := newRoom(t, st.m, mixer.RoomConfig{Speakers: 5})
	var scripts []*script
	for i := range 64 {
		scripts = append(scripts, newScript(t, r, fmt.Sprint(i), i, 100))
	}
	if _, err := r.AddListener(mixer.ListenerConfig{Owner: "X", Sink: &discard{}}); err != nil {
		t.Fatal(err)
	}
	const ticks = 1000
	for n := range ticks {
		for i, s := range scripts {
			if (n+i)%2 == 0 {
				s.push(st.now)
			}
		}
		st.now += 10 * time.Millisecond
		st.m.Step()
	}
	streams := float64(*samples) / (ticks * 480)
	s := st.m.Stats()
	t.Logf("%.2f streams decoded of 64, priming included; %d changes of speakers in 10 s, %d thought to lie", streams, s.Elections, s.Liars)
	if streams > 6 || streams < 4 {
		t.Errorf("%.2f streams decoded, want 5 and some for priming", streams)
	}
	if s.Liars != 0 {
		t.Errorf("%d honest senders are thought to lie", s.Liars)
	}
}

// Nobody is taken for a liar because of the network, DTX or pauses.
func TestHonestSendersAreBelieved(t *testing.T) {
	st := newStepped(t)
	r := newRoom(t, st.m, mixer.RoomConfig{Speakers: 3})
	rng := rand.New(rand.NewPCG(3, 4))
	var callers []*caller
	for i := range 6 {
		c := newCaller(t, r, fmt.Sprint(i), speech(i), true, i%2 == 0)
		c.delay = func() time.Duration {
			if rng.IntN(20) == 0 {
				return time.Hour // lost
			}
			return time.Duration(rng.ExpFloat64() * float64(5*time.Millisecond) * float64(i))
		}
		callers = append(callers, c)
	}
	newEar(t, st.m, r, "X")
	for n := range 4000 {
		for _, c := range callers {
			if n%2 == 0 {
				c.send(st.now)
			}
			c.arrive(st.now)
		}
		st.now += 10 * time.Millisecond
		st.m.Step()
	}
	if s := st.m.Stats(); s.Liars > 0 || s.Elections < 10 {
		t.Errorf("%d of 6 honest senders thought to lie in 40 s, %d changes of speakers", s.Liars, s.Elections)
	}
}

// A room that decodes only whom it hears allocates nothing either, while speakers come and go.
func TestChoosingDoesNotAllocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		r := newRoom(t, m, mixer.RoomConfig{Speakers: 2})
		var scripts []*script
		for i := range 8 {
			scripts = append(scripts, newScript(t, r, fmt.Sprint(i), i, 100))
			if _, err := r.AddListener(mixer.ListenerConfig{Owner: fmt.Sprint(i), Sink: &discard{}}); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		step := func() {
			if n++; n%2 == 0 {
				for _, s := range scripts {
					s.push(m.Now())
				}
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		for range 1500 {
			step()
		}
		before := m.Stats()
		if allocs := testing.AllocsPerRun(300, step); allocs != 0 {
			t.Errorf("%v allocations in 10 ms", allocs)
		}
		if after := m.Stats(); after.Elections-before.Elections < 3 {
			t.Errorf("%d changes of speakers were measured", after.Elections-before.Elections)
		}
		stop()
	})
}

// Two-byte packets of 120 ms, as many as the door lets in, make the tick decode no more than it plays, and a bit (M-04).
func TestExpandingPackets(t *testing.T) {
	for _, payload := range [][]byte{
		{11<<3 | 1, 0}, // two SILK frames of 60 ms in two bytes
		{0xFB, 6},      // six CELT frames of 20 ms without a byte
		{11<<3 | 1, 0x80, 0x80},
	} {
		st, samples, calls := newCounting(t)
		r := newRoom(t, st.m, mixer.RoomConfig{Speakers: 5})
		hostile := newSource(t, r, "A")
		friend := newCaller(t, r, "B", tone(440, 0.2), true, false)
		e, _ := newEar(t, st.m, r, "X")
		p := neteq.Packet{PayloadType: 111, SSRC: 1, Payload: payload, HasAudioLevel: true, AudioLevel: 0}
		worst, worstCalls, total := 0, 0, 0
		for n := range 500 {
			if n%2 == 0 {
				friend.send(st.now)
				friend.arrive(st.now)
			}
			for k := range 4 {
				p.SequenceNumber++
				p.Timestamp += 5760
				hostile.Push(&p, st.now+time.Duration(k)*2500*time.Microsecond)
			}
			*samples, *calls = 0, 0
			st.now += 10 * time.Millisecond
			st.m.Step()
			worst, worstCalls = max(worst, *samples), max(worstCalls, *calls)
			total += *samples
		}
		s := hostile.Stats()
		t.Logf("payload % x: at most %.0f ms in %d calls decoded per tick; %d packets in the buffer, %d bytes", payload, float64(worst)/48, worstCalls,
			s.NetEq.BufferedPackets, s.NetEq.BufferedBytes)
		if streams := float64(total) / (500 * 480); streams > 2.5 {
			t.Errorf("%.1f streams decoded for two sources", streams)
		}
		// One packet for priming, one to play and one to stretch, on top of the friend's five.
		if worst > 3*5760+5*960 || worstCalls > 11 {
			t.Errorf("%.0f ms decoded in %d calls in one tick", float64(worst)/48, worstCalls)
		}
		if level := e.levelDB(440); level < -16 || level > -12 {
			t.Errorf("the other speaker is heard at %.1f dB, want -14", level)
		}
		if s.NetEq.BufferedPackets > 200 {
			t.Errorf("%d packets kept", s.NetEq.BufferedPackets)
		}
	}
}
