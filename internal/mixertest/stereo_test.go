package mixertest

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
)

// stereoEar decodes both sides of what one listener is sent.
type stereoEar struct {
	t           testing.TB
	dec         *opus.Decoder
	mu          sync.Mutex
	left, right []float32
	bytes       int
}

func newStereoEar(t testing.TB) *stereoEar {
	t.Helper()
	d, err := opus.NewDecoder(2)
	if err != nil {
		t.Fatal(err)
	}
	return &stereoEar{t: t, dec: d}
}

func (e *stereoEar) WriteFrame(f mixer.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var pcm [2 * 1920]float32
	n, err := e.dec.Decode(f.Payload, pcm[:])
	if err != nil || n != f.Samples {
		e.t.Errorf("frame of %d samples: %d, %v", f.Samples, n, err)
	}
	for i := range n {
		e.left, e.right = append(e.left, pcm[2*i]), append(e.right, pcm[2*i+1])
	}
	e.bytes += len(f.Payload)
}

// levels are those of a frequency on both sides, and the bit rate, since the last call.
func (e *stereoEar) take() (left, right *ear, bps float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	left, right = &ear{t: e.t, pcm: e.left}, &ear{t: e.t, pcm: e.right}
	bps = 8 * float64(e.bytes) / float64(max(1, len(e.left))) * 48000
	e.left, e.right, e.bytes = nil, nil, 0
	return left, right, bps
}

// A stereo source in a room for music: each side arrives on its side, at its level, loud or soft, also over a bad connection.
func TestMusicHasTwoSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMixer(t, 1, nil)
		stop := start(t, m)
		defer stop()
		r := newRoom(t, m, mixer.RoomConfig{Channels: 2, Music: true, Leveling: true, Encoder: &mixer.EncoderConfig{BitrateBps: 128000, FEC: true, DTX: true, Complexity: 9}})
		s, err := r.AddSource(mixer.SourceConfig{Owner: "A", Channels: 2,
			Formats: map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}})
		if err != nil {
			t.Fatal(err)
		}
		enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 2, BitrateBps: 128000, Complexity: 9, Music: true})
		if err != nil {
			t.Fatal(err)
		}
		good, bad := newStereoEar(t), newStereoEar(t)
		var listeners []*mixer.Listener
		for _, e := range []*stereoEar{good, bad} {
			l, err := r.AddListener(mixer.ListenerConfig{Sink: e})
			if err != nil {
				t.Fatal(err)
			}
			listeners = append(listeners, l)
		}
		for range 2 {
			listeners[1].SetReport(mixer.Report{Loss: 0.3})
		}
		packet := neteq.Packet{SSRC: 5, PayloadType: 111, Marker: true}
		play := func(amplitude float64, d time.Duration) {
			left, right := tone(440, amplitude), tone(1030, amplitude/2)
			var pcm [2 * frame]float32
			var buf [1275]byte
			for end := m.Now() + d; m.Now() < end; time.Sleep(20 * time.Millisecond) {
				for i := range frame {
					pcm[2*i], pcm[2*i+1] = left(int(packet.Timestamp)+i), right(int(packet.Timestamp)+i)
				}
				n, err := enc.Encode(pcm[:], buf[:])
				if err != nil {
					t.Fatal(err)
				}
				packet.Payload = buf[:n]
				s.Push(&packet, m.Now())
				packet.SequenceNumber++
				packet.Timestamp += frame
			}
		}
		for _, amplitude := range []float64{0.5, 0.005} { // -6 and -46 dBFS
			play(amplitude, time.Second)
			good.take()
			bad.take()
			play(amplitude, 3*time.Second)
			want := 20 * math.Log10(amplitude)
			for name, e := range map[string]*stereoEar{"good": good, "bad": bad} {
				left, right, bps := e.take()
				t.Logf("%s connection, %.0f dBFS: %.0f bit/s; left %.1f and %.1f, right %.1f and %.1f dBFS", name, want, bps,
					left.levelDB(440), left.levelDB(1030), right.levelDB(440), right.levelDB(1030))
				if l, r := left.levelDB(440), right.levelDB(1030); math.Abs(l-want) > 0.5 || math.Abs(r-want+6) > 0.5 {
					t.Errorf("%s connection: %.1f dBFS on the left, %.1f on the right, want %.1f and %.1f", name, l, r, want, want-6)
				}
				if l, r := left.levelDB(1030), right.levelDB(440); l > want-6-25 || r > want-25 {
					t.Errorf("%s connection: the other side at %.1f and %.1f dBFS, want 25 dB less than %.1f", name, l, r, want)
				}
				if seconds := float64(len(left.pcm)) / 48000; seconds < 2.9 {
					t.Errorf("%s connection: %.2f s of 3: something was kept back", name, seconds)
				}
			}
		}
	})
}
