package mixer

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"parley/neteq"
)

// Config holds what a Mixer needs.
type Config struct {
	// Workers is the number of goroutines that run rooms; 0: GOMAXPROCS.
	Workers int
	// NewDecoder makes a decoder of 48 kHz for a format and a number of channels. Required. Called on workers.
	NewDecoder func(f neteq.Format, channels int) (neteq.Decoder, error)
	// NewEncoder makes an encoder. Required. Called on workers.
	NewEncoder func(EncoderConfig) (Encoder, error)
	// NewTelephone makes an encoder of a codec that is not Opus, for sound of 1 or 2 channels. Its settings are never changed. nil: there
	// are no listeners but those of Opus. Called on workers.
	NewTelephone func(c Codec, channels int) (Encoder, error)
	// Encoder is how rooms encode that do not say it themselves; the zero value is DefaultEncoderConfig.
	Encoder EncoderConfig
	// Speakers is how many sources are heard at a time, the loudest, in rooms that do not say it themselves; 0: all, which
	// then are all decoded, always.
	Speakers int
	// KeyTones lets everybody hear the telephone keys that are pressed (RFC 4733). Otherwise they are silence.
	KeyTones bool
	// Clock is the time since any epoch, never decreasing; nil: the monotonic clock since New. With a clock of one's own the
	// rooms are run by Step instead of Run.
	Clock func() time.Duration
	// Log may be nil.
	Log *zap.Logger
}

// Mixer runs the rooms of a node.
type Mixer struct {
	encoding     EncoderConfig
	speakers     int
	newEncoder   func(EncoderConfig) (Encoder, error)
	newTelephone func(Codec, int) (Encoder, error)
	newBuffer    func(cfg SourceConfig, channels int) (jitterBuffer, error)
	clock        func() time.Duration
	log          *zap.Logger
	workers      []*worker
	endTick      []func(worker int)
	state        atomic.Int32 // idle, running, stopped

	rooms, sources, listeners, buses atomic.Int64

	mu     sync.Mutex // guards what follows
	placed [][phases]placement
}

// placement counts the rooms of one worker and phase, by the parity of their frames.
type placement [frameTicks]int

const (
	idle = iota
	running
	stopped
)

// New makes a mixer. It starts nothing; the clock of Now begins here.
func New(cfg Config) (*Mixer, error) {
	if cfg.NewDecoder == nil || cfg.NewEncoder == nil {
		return nil, fmt.Errorf("%w: no codecs", ErrConfig)
	}
	if cfg.Workers < 0 {
		return nil, fmt.Errorf("%w: %d workers", ErrConfig, cfg.Workers)
	}
	if cfg.Speakers < 0 {
		return nil, fmt.Errorf("%w: %d speakers", ErrConfig, cfg.Speakers)
	}
	if cfg.Encoder == (EncoderConfig{}) {
		cfg.Encoder = DefaultEncoderConfig()
	}
	if err := cfg.Encoder.check(); err != nil {
		return nil, err
	}
	n := cfg.Workers
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	log := cfg.Log
	if log == nil {
		log = zap.NewNop()
	}
	clock := cfg.Clock
	if clock == nil {
		start := time.Now()
		clock = func() time.Duration { return time.Since(start) }
	}
	m := &Mixer{
		encoding:     cfg.Encoder,
		speakers:     cfg.Speakers,
		newEncoder:   cfg.NewEncoder,
		newTelephone: cfg.NewTelephone,
		newBuffer: func(source SourceConfig, channels int) (jitterBuffer, error) {
			return newNetEq(source, channels, cfg.KeyTones, cfg.NewDecoder)
		},
		clock:  clock,
		log:    log.Named("mixer"),
		placed: make([][phases]placement, n),
	}
	for i := range n {
		m.workers = append(m.workers, newWorker(m, i))
	}
	return m, nil
}

// Workers is the number of workers.
func (m *Mixer) Workers() int { return len(m.workers) }

// OnEndTick has f called on a worker after it has handed out frames: at the end of their tick, or of several when they take no
// time, or when a part of a large room is done. So who collects what the sinks get, by Frame.Worker, can send it then. Workers
// call it at the same time, each with its own number, below Workers. To be called before Run.
func (m *Mixer) OnEndTick(f func(worker int)) { m.endTick = append(m.endTick, f) }

// Now is the time since New on the monotonic clock: the grid of ticks, and what packets are stamped with.
func (m *Mixer) Now() time.Duration { return m.clock() }

// Run runs the rooms until ctx ends, and returns nil when every worker has returned. Once.
func (m *Mixer) Run(ctx context.Context) error {
	if !m.state.CompareAndSwap(idle, running) {
		return ErrRunning
	}
	var wg sync.WaitGroup
	for _, w := range m.workers {
		wg.Go(func() { w.run(ctx) }) // waited for below
	}
	wg.Wait()
	m.state.Store(stopped)
	return nil
}

// Step runs on the caller's goroutine what is due by now, and returns. It is for virtual time, in tests and off line, and
// not to be called while Run runs.
func (m *Mixer) Step() {
	for _, w := range m.workers {
		for {
			if next, any := w.step(); !any || next > m.Now() {
				break
			}
		}
	}
}

// NewRoom makes a room. It costs nothing until it has sources or listeners. The id is for logs; it need not be unique.
func (m *Mixer) NewRoom(id string, cfg RoomConfig) (*Room, error) {
	if m.state.Load() == stopped {
		return nil, ErrStopped
	}
	r, err := newRoom(m, id, cfg)
	if err != nil {
		return nil, fmt.Errorf("room %q: %w", id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	least := -1
	for phase := range phases {
		for i, w := range m.workers {
			p := m.placed[i][phase]
			// Fewest rooms, and least overload before that.
			if n := p[0] + p[1] + int(w.published.Load())<<32; least < 0 || n < least {
				least = n
				r.worker, r.phase, r.parity = w, phase, 0
				if p[1] < p[0] {
					r.parity = 1
				}
			}
		}
	}
	m.placed[r.worker.index][r.phase][r.parity]++
	m.rooms.Add(1)
	return r, nil
}

// forget gives a closed room's place back.
func (m *Mixer) forget(r *Room) {
	m.mu.Lock()
	m.placed[r.worker.index][r.phase][r.parity]--
	m.mu.Unlock()
	m.rooms.Add(-1)
}
