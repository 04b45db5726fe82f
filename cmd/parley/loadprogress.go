package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"parley/internal/load"
)

// loadProgress shows how a run stands: one line that is written over on a terminal, a line every ten seconds elsewhere.
type loadProgress struct {
	w        io.Writer
	terminal bool
	shown    bool
	phase    string
	last     time.Time
}

const quietInterval = 10 * time.Second

func progressTo(w io.Writer) *loadProgress {
	p := &loadProgress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *loadProgress) update(s load.Progress) {
	now := time.Now()
	if !p.terminal && s.Phase == p.phase && now.Sub(p.last) < quietInterval {
		return
	}
	p.phase, p.last = s.Phase, now
	line := progressLine(s)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// end leaves the line for what comes after it.
func (p *loadProgress) end() {
	if p.shown {
		fmt.Fprintln(p.w)
		p.shown = false
	}
}

func progressLine(s load.Progress) string {
	phase := s.Phase + " " + s.Elapsed.Round(time.Second).String()
	if s.Of > 0 {
		phase += " of " + s.Of.String()
	}
	line := fmt.Sprintf("%s: %d of %d there, %d failed, %d lost; %.0f packets/s in, %.0f out, %d missing, %d faults heard; crowd %.0f %%",
		phase, s.Joined, s.Asked, s.Failed, s.Lost, s.PacketsIn, s.PacketsOut, s.Missing, s.Faults, 100*s.Busy)
	if s.ServerBusy > 0 {
		line += fmt.Sprintf(", server %.2f cores", s.ServerBusy)
	}
	return line
}
