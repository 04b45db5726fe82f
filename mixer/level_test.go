package mixer

import (
	"math"
	"testing"
)

func TestMeter(t *testing.T) {
	var m meter
	m.init()
	if db, speaking := m.read(); db != -127 || speaking {
		t.Errorf("at first: %d dBov, speaking %v", db, speaking)
	}
	observe := func(db float64, ticks int) {
		for range ticks {
			m.observe(math.Pow(10, db/10))
		}
	}
	for _, c := range []struct {
		name     string
		db       float64
		ticks    int
		level    int
		speaking bool
	}{
		{"a click is not speech", -20, 2, -20, false},
		{"silence", -127, 300, -127, false},
		{"speech begins after 30 ms", -20, 3, -20, true},
		{"louder at once", -3, 1, -3, true},
		{"a pause within it", -127, 39, -23, true},
		{"falls by 50 dB in a second", -127, 1, -23, false},
		{"between the thresholds nothing begins", -47, 100, -47, false},
		{"speech", -44, 3, -44, true},
		{"between the thresholds nothing ends", -49, 200, -49, true},
		{"hush", -51, 40, -51, false},
		{"full scale square", 0, 3, 0, true},
		{"over full scale", 6, 1, 0, true},
	} {
		observe(c.db, c.ticks)
		if level, speaking := m.read(); level != c.level || speaking != c.speaking {
			t.Errorf("%s: %d dBov, speaking %v; want %d, %v", c.name, level, speaking, c.level, c.speaking)
		}
	}
	m.mute()
	if db, speaking := m.read(); db != -127 || speaking {
		t.Errorf("muted: %d dBov, speaking %v", db, speaking)
	}
}

func TestLevelsOfARoom(t *testing.T) {
	l := newLab(t, 1)
	r := l.room(RoomConfig{})
	l.source(r, "A", &fakeBuffer{sound: constant(0.1)})
	l.source(r, "B", &fakeBuffer{})
	l.listener(r, "X")
	l.ticks(10)
	levels := r.Levels(make([]Level, 0, 4))
	if len(levels) != 2 || levels[0] != (Level{"A", -20, true}) || levels[1] != (Level{"B", -127, false}) {
		t.Errorf("%+v", levels)
	}
	buffer := levels
	if n := testing.AllocsPerRun(100, func() { buffer = r.Levels(buffer) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
