package mixertest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"parley/mixer"
)

// memory is what the process holds that is in use, the codec's states (which lie in Go memory) included.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// idleRooms makes rooms in which nothing happens, and lets a minute pass.
func idleRooms(t testing.TB, rooms, participants int) (*stepped, []*mixer.Room) {
	st := newStepped(t)
	all := make([]*mixer.Room, rooms)
	for i := range all {
		all[i] = newRoom(t, st.m, mixer.RoomConfig{Speakers: 5})
		for k := range participants {
			newSource(t, all[i], fmt.Sprint(k))
			if _, err := all[i].AddListener(mixer.ListenerConfig{Owner: fmt.Sprint(k), Sink: &discard{}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 1500 {
		st.now += 10 * time.Millisecond
		st.m.Step()
	}
	return st, all
}

// TestIdleRoomsMemory: ten thousand rooms with nobody in them take less than 100 MiB, and rooms of silent people no more
// than is stated here.
func TestIdleRoomsMemory(t *testing.T) {
	for _, c := range []struct {
		rooms, participants int
		limitMiB            float64
	}{{10000, 0, 100}, {200, 2, 50}} {
		before := memory()
		st, all := idleRooms(t, c.rooms, c.participants)
		used := float64(memory()-before) / (1 << 20)
		t.Logf("%d rooms of %d: %.1f MiB, %.1f KiB a room", c.rooms, c.participants, used, used*1024/float64(c.rooms))
		if used > c.limitMiB {
			t.Errorf("%d rooms of %d take %.1f MiB, want at most %v", c.rooms, c.participants, used, c.limitMiB)
		}
		s := st.m.Stats()
		if s.ActiveRooms != 0 || s.Rooms != int64(c.rooms) {
			t.Errorf("%d of %d rooms are active", s.ActiveRooms, s.Rooms)
		}
		runtime.KeepAlive(all)
	}
}

// BenchmarkIdleRooms measures rooms in which nothing happens: one operation is 10 ms of all of them. CPU-ms/s is what they
// cost a core in real time.
func BenchmarkIdleRooms(b *testing.B) {
	for _, c := range []struct {
		name                string
		rooms, participants int
		sending             bool // somebody sends speech into every room, and nobody listens
	}{{"10000 rooms of nobody", 10000, 0, false}, {"1000 rooms of 4 silent", 1000, 4, false}, {"1000 rooms without listeners", 1000, 0, true}} {
		b.Run(c.name, func(b *testing.B) {
			st, all := idleRooms(b, c.rooms, c.participants)
			var scripts []*script
			if c.sending {
				one := newScript(b, all[0], "A", 1, 100)
				for i := range all {
					s := &script{source: newSource(b, all[i], "A"), payloads: one.payloads, levels: one.levels, packet: one.packet}
					scripts = append(scripts, s)
				}
			}
			n := 0
			spent := processorTime()
			b.ReportAllocs()
			for b.Loop() {
				if n++; n%2 == 0 {
					for _, s := range scripts {
						s.push(st.now)
					}
				}
				st.now += 10 * time.Millisecond
				st.m.Step()
			}
			b.ReportMetric((processorTime()-spent).Seconds()*1000/float64(b.N)*100, "CPU-ms/s")
		})
	}
}
