package load

import (
	"context"
	"sync"
	"time"
)

// watch looks at a run each second: for whoever watches, and for seconds in which this process had too little of its cores.
type watch struct {
	run *run

	mu     sync.Mutex
	name   string
	of     time.Duration
	since  time.Time
	busy   int // seconds of this phase over the threshold
	before sample
}

type sample struct {
	at          time.Time
	cpu, server time.Duration
	in, out     uint64
	reset       bool // nothing to compare with
}

// phaseMeasuring is the phase that counts.
const phaseMeasuring = "measuring"

const busyShare = 0.9

func newWatch(r *run) *watch { return &watch{run: r, since: time.Now(), before: sample{reset: true}} }

// phase begins a part of the run.
func (w *watch) phase(name string, of time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.name, w.of, w.since, w.busy, w.before = name, of, time.Now(), 0, sample{reset: true}
}

func (w *watch) busySeconds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

func (w *watch) look() {
	counts := w.run.glance()
	if look := w.run.cfg.look; look != nil {
		w.mu.Lock()
		measuring := w.name == phaseMeasuring
		w.mu.Unlock()
		if measuring {
			look(counts)
		}
	}
	server, _ := w.run.server() // its end is noticed elsewhere
	s := sample{at: time.Now(), cpu: ownCPU(), server: server.cpu, in: counts.Packets, out: counts.Sent}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	p := Progress{Phase: w.name, Elapsed: now.Sub(w.since), Of: w.of, Lost: counts.lost, Missing: max(0, counts.Lost-int64(counts.DroppedIn)),
		Faults: counts.Missing + counts.Wrong + counts.Own + counts.Silent}
	if b := w.before; !b.reset && s.in >= b.in && s.out >= b.out {
		d := s.at.Sub(b.at).Seconds()
		p.PacketsIn, p.PacketsOut = float64(s.in-b.in)/d, float64(s.out-b.out)/d
		p.Busy = (s.cpu - b.cpu).Seconds() / d / float64(cores())
		p.ServerBusy = (s.server - b.server).Seconds() / d
		if p.Busy > busyShare {
			w.busy++
		}
	}
	w.before = s
	w.run.mu.Lock()
	p.Joined, p.Asked, p.Failed = w.run.joins.Joined-w.run.joins.Left, len(w.run.seats), w.run.joins.Failed
	w.run.mu.Unlock()
	if w.run.cfg.Progress != nil {
		w.run.cfg.Progress(p)
	}
}

func (w *watch) loop(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			w.look()
		case <-ctx.Done():
			return
		}
	}
}
