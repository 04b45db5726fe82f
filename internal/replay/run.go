package replay

import (
	"fmt"
	"syscall"
	"time"

	"parley/neteq"
)

const (
	sampleRate = 48000
	tick       = 10 * time.Millisecond
	tickFrames = sampleRate / 100
)

// Options says how to replay.
type Options struct {
	Name       string        // for the summary
	Phase      time.Duration // pulls happen at multiples of 10 ms plus this
	Config     neteq.Config
	Formats    map[uint8]neteq.Format // nil: DefaultFormats
	NewDecoder func(f neteq.Format, channels int) (neteq.Decoder, error)
	// Watch records what is decoded when, for Outcome.Units; it costs a little of the processor time that is measured.
	Watch bool
}

// Tick is what one pull made. Counters are cumulative.
type Tick struct {
	At     time.Duration
	Result neteq.Result
	Stats  neteq.Stats
}

// Outcome is the whole of a replay.
type Outcome struct {
	Name     string
	Phase    time.Duration
	Policy   neteq.Policy
	Formats  map[uint8]neteq.Format
	Channels int
	PCM      []float32 // interleaved
	Ticks    []Tick
	Packets  []Packet
	CPU      time.Duration // of Insert and Get, decoder included

	decoded []decoding // with Options.Watch
}

// Run plays a trace in virtual time: 10 ms are pulled at every multiple of 10 ms (plus the phase) from the first after the
// first arrival to the last arrival; before each pull all packets that arrived by then are inserted, each at its own time.
// Packets are in the order of their arrival.
func Run(packets []Packet, o Options) (*Outcome, error) {
	if len(packets) == 0 {
		return nil, fmt.Errorf("%w: no packets", ErrTrace)
	}
	if o.Config.Channels == 0 {
		o.Config.Channels = 1
	}
	if o.Formats == nil {
		o.Formats = DefaultFormats()
	}
	n, err := neteq.New(o.Config)
	if err != nil {
		return nil, err
	}
	var w *watch
	if o.Watch {
		w = &watch{}
	}
	for pt, f := range o.Formats {
		newDecoder := func() (neteq.Decoder, error) {
			d, err := o.NewDecoder(f, o.Config.Channels)
			if err != nil || d == nil || w == nil {
				return d, err
			}
			return &watched{d, w}, nil
		}
		if err := n.Register(pt, f, newDecoder); err != nil {
			return nil, fmt.Errorf("payload type %d: %w", pt, err)
		}
	}
	first, last := packets[0].Arrival, packets[len(packets)-1].Arrival
	at := firstPull(first, o.Phase)
	ticks := 0
	if at <= last {
		ticks = int((last-at)/tick) + 1
	}
	out := &Outcome{Name: o.Name, Phase: o.Phase, Policy: o.Config.Policy, Formats: o.Formats, Channels: o.Config.Channels,
		Packets: packets, Ticks: make([]Tick, 0, ticks), PCM: make([]float32, ticks*tickFrames*o.Config.Channels)}
	size := tickFrames * o.Config.Channels
	next := 0
	started := cpuTime()
	for i := range ticks {
		for next < len(packets) && packets[next].Arrival <= at {
			p := &packets[next]
			_ = n.Insert(&p.Packet, p.Arrival) // what it refuses is counted in its statistics
			next++
		}
		if w != nil {
			w.tick = i
		}
		r := n.Get(out.PCM[i*size:(i+1)*size], at)
		out.Ticks = append(out.Ticks, Tick{At: at, Result: r, Stats: n.Stats()})
		at += tick
	}
	out.CPU = cpuTime() - started
	if w != nil {
		out.decoded = w.log
	}
	return out, nil
}

// firstPull is the first multiple of 10 ms plus phase that is not before first.
func firstPull(first, phase time.Duration) time.Duration {
	at := (first-phase)/tick*tick + phase
	for at < first {
		at += tick
	}
	for at-tick >= first {
		at -= tick
	}
	return at
}

// last returns the statistics at the end, zero when nothing was pulled.
func (o *Outcome) last() neteq.Stats {
	if len(o.Ticks) == 0 {
		return neteq.Stats{}
	}
	return o.Ticks[len(o.Ticks)-1].Stats
}

// cpuTime is the processor time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
