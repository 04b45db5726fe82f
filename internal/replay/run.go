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
	Formats    map[uint8]neteq.Format // nil: 111 is Opus, 63 is RED
	NewDecoder func(f neteq.Format, channels int) (neteq.Decoder, error)
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
	Channels int
	PCM      []float32 // interleaved
	Ticks    []Tick
	Packets  []Packet
	CPU      time.Duration // of Insert and Get, decoder included
}

// DefaultFormats are the payload types of our traces.
func DefaultFormats() map[uint8]neteq.Format {
	return map[uint8]neteq.Format{
		111: {Name: "opus", ClockRateHz: sampleRate, Channels: 2},
		63:  {Name: "red", ClockRateHz: sampleRate, Channels: 2},
	}
}

// Run plays a trace in virtual time: 10 ms are pulled at every multiple of 10 ms (plus the phase) from the first after the
// first arrival to the last arrival; before each pull all packets that arrived by then are inserted, each at its own time.
func Run(packets []Packet, o Options) (*Outcome, error) {
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
	for pt, f := range o.Formats {
		newDecoder := func() (neteq.Decoder, error) { return o.NewDecoder(f, o.Config.Channels) }
		if err := n.Register(pt, f, newDecoder); err != nil {
			return nil, fmt.Errorf("payload type %d: %w", pt, err)
		}
	}
	first, last := packets[0].Arrival, packets[len(packets)-1].Arrival
	at := (first-o.Phase)/tick*tick + o.Phase
	for at < first || at-tick >= first {
		if at < first {
			at += tick
		} else {
			at -= tick
		}
	}
	ticks := int((last-at)/tick) + 1
	out := &Outcome{Name: o.Name, Channels: o.Config.Channels, Packets: packets, Ticks: make([]Tick, 0, ticks),
		PCM: make([]float32, max(0, ticks)*tickFrames*o.Config.Channels)}
	size := tickFrames * o.Config.Channels
	next := 0
	started := cpuTime()
	for i := 0; at <= last; i++ {
		for next < len(packets) && packets[next].Arrival <= at {
			p := &packets[next]
			_ = n.Insert(&p.Packet, p.Arrival) // what it refuses is counted in its statistics
			next++
		}
		r := n.Get(out.PCM[i*size:(i+1)*size], at)
		out.Ticks = append(out.Ticks, Tick{At: at, Result: r, Stats: n.Stats()})
		at += tick
	}
	out.CPU = cpuTime() - started
	return out, nil
}

// cpuTime is the processor time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
