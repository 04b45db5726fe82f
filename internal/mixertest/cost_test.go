package mixertest

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parley/mixer"
	"parley/neteq"
)

// speech is something like a voice: harmonics of a gliding tone in syllables, a little noise, pauses.
func speech(seed int) func(int) float32 {
	state := uint32(seed)*2654435761 + 1
	phase := 0.0
	return func(n int) float32 {
		t := float64(n)/48000 + float64(seed)*1.7
		phase += 2 * math.Pi * (110 + 15*float64(seed%5) + 25*math.Sin(2*math.Pi*0.6*t)) / 48000
		syllable := math.Max(0, math.Sin(2*math.Pi*3.1*t))
		if math.Mod(t, 5) > 3.8 {
			syllable = 0
		}
		x := 0.0
		for h := 1; h <= 8; h++ {
			x += math.Sin(float64(h)*phase) / float64(h)
		}
		state = state*1664525 + 1013904223
		return float32(0.15*syllable*x) + float32(int32(state))*(0.002/(1<<31))
	}
}

// script is a stretch of packets made in advance, to be sent round and round.
type script struct {
	source   *mixer.Source
	payloads [][]byte
	levels   []uint8 // RFC 6464
	packet   neteq.Packet
	k        int
}

func newScript(t testing.TB, r *mixer.Room, owner string, seed, packets int) *script {
	return newScriptOf(t, r, owner, speech(seed), packets)
}

func newScriptOf(t testing.TB, r *mixer.Room, owner string, sound func(int) float32, packets int) *script {
	x := newTalker(t, r, owner, sound)
	s := &script{source: x.source, packet: x.packet}
	for range packets {
		x.next()
		s.payloads = append(s.payloads, append([]byte(nil), x.packet.Payload...))
		s.levels = append(s.levels, levelOf(x.pcm[:]))
	}
	return s
}

// levelOf is what a browser says about a packet (RFC 6464).
func levelOf(pcm []float32) uint8 {
	return uint8(min(127, max(0, -energyDB(pcm))))
}

func (s *script) push(now time.Duration) {
	s.packet.Payload = s.payloads[s.k%len(s.payloads)]
	s.packet.AudioLevel, s.packet.HasAudioLevel = s.levels[s.k%len(s.levels)], true
	s.packet.SequenceNumber++
	s.packet.Timestamp += frame
	s.k++
	s.source.Push(&s.packet, now)
}

type discard struct{ frames, bytes int }

func (d *discard) WriteFrame(f mixer.Frame) { d.frames++; d.bytes += len(f.Payload) }

// Whole rooms with the real NetEq and the real codec allocate nothing once they run: sources, mixes, encodes, sends.
func TestRealTickDoesNotAllocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		var scripts []*script
		for room := range 2 {
			r := newRoom(t, m, mixer.RoomConfig{})
			for i := range 3 {
				owner := fmt.Sprint(room, i)
				scripts = append(scripts, newScript(t, r, owner, 10*room+i, 100))
				if _, err := r.AddListener(mixer.ListenerConfig{Owner: owner, Sink: &discard{}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.AddListener(mixer.ListenerConfig{Owner: "X", Sink: &discard{}}); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		step := func() {
			if n++; n%2 == 0 {
				for i, s := range scripts {
					// Some are lost and concealed.
					if (n/2+i*7)%50 == 0 {
						s.k++
						s.packet.SequenceNumber++
						s.packet.Timestamp += frame
						continue
					}
					s.push(m.Now())
				}
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		for range 600 {
			step()
		}
		before := m.Stats()
		if allocs := testing.AllocsPerRun(300, step); allocs != 0 {
			t.Errorf("%v allocations in 10 ms of two rooms of four", allocs)
		}
		after := m.Stats()
		if after.Ticks-before.Ticks < 600 || after.Encodes-before.Encodes < 1000 {
			t.Errorf("only %d ticks, %d encodes were measured", after.Ticks-before.Ticks, after.Encodes-before.Encodes)
		}
		stop()
	})
}

// stepped is a mixer in virtual time that a benchmark drives.
type stepped struct {
	m   *mixer.Mixer
	now time.Duration
}

func newStepped(t testing.TB) *stepped {
	s := &stepped{}
	s.m = newMixer(t, 1, func() time.Duration { return s.now })
	return s
}

// processorTime is what the process has used, which other processes do not disturb as they do the clock.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRooms measures whole rooms, from Source.Push to Sink.WriteFrame: one operation is 10 ms of all rooms, in which
// half the talkers send a packet. CPU-ms/s is what they cost a core in real time. Senders of noise are at -75 dBov.
func BenchmarkRooms(b *testing.B) {
	for _, c := range []struct {
		rooms, talkers, noise, listeners, speakers, complexity int
		fec                                                    bool
	}{
		{10, 4, 0, 4, 0, 9, true}, {10, 4, 0, 4, 0, 5, false}, {25, 1, 0, 4, 0, 9, true}, {25, 1, 0, 4, 0, 5, false},
		{25, 1, 0, 4, 5, 9, true}, {25, 1, 0, 4, 5, 5, false}, {25, 1, 3, 4, 0, 5, false}, {25, 1, 3, 4, 5, 5, false},
		{1, 3, 0, 1000, 0, 9, true}, {1, 3, 0, 1000, 5, 9, true}, {1, 3, 200, 200, 0, 9, true}, {1, 3, 200, 200, 5, 9, true},
		{1, 10, 0, 10, 0, 9, true}, {1, 10, 0, 10, 5, 9, true}, {1, 64, 0, 64, 0, 9, true}, {1, 64, 0, 64, 5, 9, true},
	} {
		name := fmt.Sprintf("%d_rooms/%d_talkers/%d_noise/%d_listeners/%d_speakers/complexity_%d", c.rooms, c.talkers, c.noise, c.listeners, c.speakers, c.complexity)
		b.Run(name, func(b *testing.B) {
			st := newStepped(b)
			encoder := mixer.DefaultEncoderConfig()
			encoder.Complexity, encoder.FEC = c.complexity, c.fec
			var scripts []*script
			var noise script
			if c.noise > 0 {
				hiss := rand.New(rand.NewPCG(1, 2))
				noise = *newScriptOf(b, newRoom(b, st.m, mixer.RoomConfig{}), "", func(int) float32 { return 0.0003 * (2*hiss.Float32() - 1) }, 250)
			}
			for room := range c.rooms {
				r := newRoom(b, st.m, mixer.RoomConfig{Encoder: &encoder, Speakers: c.speakers})
				for i := range c.talkers {
					scripts = append(scripts, newScript(b, r, fmt.Sprint(i), room*100+i, 250))
				}
				for i := range c.noise {
					x := noise
					x.source, x.k = newSource(b, r, fmt.Sprint(c.talkers+i)), i
					scripts = append(scripts, &x)
				}
				for i := range c.listeners {
					if _, err := r.AddListener(mixer.ListenerConfig{Owner: fmt.Sprint(i), Sink: &discard{}}); err != nil {
						b.Fatal(err)
					}
				}
			}
			n := 0
			step := func() {
				n++
				for i, s := range scripts {
					if (n+i)%2 == 0 {
						s.push(st.now)
					}
				}
				st.now += 10 * time.Millisecond
				st.m.Step()
			}
			for range 300 {
				step()
			}
			before, spent := st.m.Stats(), processorTime()
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			after, ticks := st.m.Stats(), float64(b.N)
			b.ReportMetric((processorTime()-spent).Seconds()*1000/ticks*100, "CPU-ms/s")
			b.ReportMetric(float64(after.Decodes-before.Decodes)/ticks*100, "decodes/s")
			b.ReportMetric(float64(after.Encodes-before.Encodes)/ticks*100, "encodes/s")
			b.ReportMetric(float64(after.Frames-before.Frames)/ticks*100, "frames/s")
		})
	}
}

var latenessSeconds = flag.Int("lateness", 0, "run TestLateness for this many seconds")

// TestLateness runs rooms on the real clock and reports how late their ticks are:
//
//	go test -tags nolibopusfile ./internal/mixertest -run Lateness -v -lateness 30
//
// It asserts nothing about time, which belongs to the machine.
func TestLateness(t *testing.T) {
	seconds := *latenessSeconds
	if seconds == 0 {
		t.Skip("-lateness is not set")
	}
	m := newMixer(t, 0, nil)
	var scripts []*script
	for room := range 10 {
		r := newRoom(t, m, mixer.RoomConfig{})
		for i := range 4 {
			scripts = append(scripts, newScript(t, r, fmt.Sprint(i), room*100+i, 250))
			if _, err := r.AddListener(mixer.ListenerConfig{Owner: fmt.Sprint(i), Sink: &discard{}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := start(t, m)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for n := range seconds * 100 {
		<-ticker.C
		for i, s := range scripts {
			if (n+i)%2 == 0 {
				s.push(m.Now())
			}
		}
	}
	stop()
	st := m.Stats()
	t.Logf("10 rooms of 4 talkers, %d s: %d ticks, lateness median ≤ %v, p99 ≤ %v, p99.9 ≤ %v, mean %v; %d late, %d caught up, %d skipped",
		seconds, st.Ticks, st.Lateness.Quantile(0.5), st.Lateness.Quantile(0.99), st.Lateness.Quantile(0.999),
		st.Lateness.Sum/time.Duration(st.Lateness.Count), st.Late, st.CaughtUp, st.Skipped)
	t.Logf("tick duration median ≤ %v, p99 ≤ %v, mean %v", st.Duration.Quantile(0.5), st.Duration.Quantile(0.99), st.Duration.Sum/time.Duration(st.Duration.Count))
}
