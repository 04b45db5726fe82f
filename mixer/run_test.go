package mixer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/neteq"
)

type counter struct{ n, bytes atomic.Int64 }

func (c *counter) WriteFrame(f Frame) { c.n.Add(1); c.bytes.Add(int64(len(f.Payload))) }

// runLab is a mixer that runs by itself, on the clock of the bubble.
func runLab(t *testing.T, workers int) (*lab, func()) {
	l := newLab(t, workers)
	l.record = false
	start := time.Now()
	l.m.clock = func() time.Duration { return time.Since(start) }
	l.m.newEncoder = func(cfg EncoderConfig) (Encoder, error) {
		return &fakeEncoder{lab: l, cfg: cfg}, nil
	}
	l.m.newBuffer = func(_ SourceConfig, channels int) (jitterBuffer, error) {
		return &fakeBuffer{channels: channels, sound: constant(0.2)}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return l, func() { cancel(); wg.Wait() }
}

var opusOnly = map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}

func TestRunKeepsTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := runLab(t, 2)
		var counters [10]counter
		for i := range counters {
			r := l.room(RoomConfig{})
			if _, err := r.AddSource(SourceConfig{Owner: "A", Formats: opusOnly}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.AddListener(ListenerConfig{Owner: "X", Sink: &counters[i]}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		for i := range counters {
			if n := counters[i].n.Load(); n < 199 || n > 201 {
				t.Errorf("room %d sent %d frames in 4 s, want 200", i, n)
			}
		}
		st := l.m.Stats()
		if st.Late+st.CaughtUp+st.Skipped != 0 || st.Lateness.Sum != 0 || st.Ticks < 3990 || st.Ticks > 4010 || st.ActiveRooms != 10 {
			t.Errorf("%+v", st)
		}
		stop()
		if err := l.m.Run(context.Background()); !errors.Is(err, ErrRunning) {
			t.Errorf("run again: %v", err)
		}
		if _, err := l.m.NewRoom("x", RoomConfig{}); !errors.Is(err, ErrStopped) {
			t.Errorf("room in a stopped mixer: %v", err)
		}
	})
}

// An idle mixer does nothing at all: a day passes in no time, and in no tick.
func TestIdleMixerSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := runLab(t, 1)
		for range 1000 {
			l.room(RoomConfig{})
		}
		r := l.room(RoomConfig{})
		s, err := r.AddSource(SourceConfig{Owner: "A", Formats: opusOnly})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		ticks := l.m.Stats().Ticks
		if ticks > 120 {
			t.Errorf("%d ticks of a room without listeners", ticks)
		}
		time.Sleep(24 * time.Hour)
		if st := l.m.Stats(); st.Ticks != ticks || st.ActiveRooms != 0 || st.Rooms != 1001 {
			t.Errorf("%d ticks in a day of nothing, %d rooms active", st.Ticks-ticks, st.ActiveRooms)
		}
		// And it wakes.
		s.Push(&neteq.Packet{Payload: []byte{1}}, l.m.Now())
		var c counter
		if _, err := r.AddListener(ListenerConfig{Sink: &c}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := c.n.Load(); n < 49 || n > 51 {
			t.Errorf("%d frames in the second after", n)
		}
		stop()
	})
}

// Everybody does everything at once.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := runLab(t, 3)
		var rooms []*Room
		for range 7 {
			rooms = append(rooms, l.room(RoomConfig{}))
		}
		var sink counter
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				for k := range 30 {
					r := rooms[rng.IntN(len(rooms))]
					if g == 0 && k%10 == 9 {
						r.Close()
					}
					owner := fmt.Sprint(rng.IntN(4))
					s, err := r.AddSource(SourceConfig{Owner: owner, Formats: opusOnly, Channels: 1 + rng.IntN(2)})
					x, err2 := r.AddListener(ListenerConfig{Owner: owner, Sink: &sink})
					if (err != nil && !errors.Is(err, ErrRoomClosed)) || (err2 != nil && !errors.Is(err2, ErrRoomClosed)) {
						t.Errorf("%v, %v", err, err2)
					}
					var levels []Level
					for range rng.IntN(30) {
						if s != nil {
							s.Push(&neteq.Packet{Payload: []byte{1, 2, 3}}, l.m.Now())
							s.SetMuted(rng.IntN(3) == 0)
							s.SetGain(rng.Float32())
							s.Stats()
						}
						levels = r.Levels(levels)
						l.m.Stats()
						time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
					}
					if s != nil && rng.IntN(4) > 0 {
						s.Close()
						s.Close()
					}
					if x != nil {
						x.SetReport(Report{Loss: rng.Float64(), Jitter: time.Duration(rng.IntN(1e8))})
						x.Close()
					}
				}
			})
		}
		wg.Wait()
		for _, r := range rooms {
			r.Close()
		}
		time.Sleep(20 * time.Millisecond)
		st := l.m.Stats()
		if st.Rooms != 0 || st.ActiveRooms != 0 || st.Buses != 0 || st.Listeners != 0 || st.Sources != 0 {
			t.Errorf("left over: %d rooms, %d active, %d buses, %d listeners, %d sources", st.Rooms, st.ActiveRooms, st.Buses, st.Listeners, st.Sources)
		}
		if sink.n.Load() == 0 {
			t.Error("nothing was sent")
		}
		stop()
	})
}
