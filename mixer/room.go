package mixer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
)

// Everybody is how many are heard in a room without a limit, whatever Config says.
const Everybody = -1

// RoomConfig describes a room.
type RoomConfig struct {
	Speakers int            // how many sources are heard at a time, the loudest; 0: as in Config; Everybody
	Channels int            // of the mix: 1 (also for 0) or 2. Voices of one channel each get a direction of their own then
	Encoder  *EncoderConfig // nil: as in Config
	FrameMs  int            // of a packet: 10 or 20 (also for 0); poor connections get 40
	Leveling bool           // every voice is slowly brought to -23 LUFS
	Music    bool           // for any sound: nothing is levelled or panned, and encoded as music is
}

// Room mixes its sources for its listeners.
type Room struct {
	id       string
	mixer    *Mixer
	worker   *worker
	phase    int
	parity   int64 // of the ticks at which frames of 20 ms begin
	shift    int64 // 0 or 2: which of these frames of 40 ms begin at
	speakers int
	channels int
	leveling bool
	panned   bool // voices of one channel have directions
	frame    int  // ticks of it, for connections that are not poor
	encoding EncoderConfig
	epoch    uint32 // of the RTP clock

	mu        sync.Mutex // guards the next five
	pending   []command
	members   []*Source
	audience  int      // open listeners
	gainLists []*gains // in use, all different
	err       error

	mail   atomic.Bool // pending is not empty
	parked atomic.Bool // not on the worker's list
	dozing atomic.Bool // on its list of those without listeners
	closed atomic.Bool
	done   chan struct{}
	next   *Room // in the worker's list of rooms to be woken

	// The worker's own.
	mailbox    []command // the other half of pending
	sources    []*Source
	owners     map[string]*owner
	hearers    []*owner // those with listeners
	personal   []*gains // those with listeners
	listeners  int
	mixes      []*mix
	spareMixes []*mix
	spare      []*bus
	step       step
	waiting    []*Listener // those whose bus could not be made
	changing   []*Listener // those whose tier has changed
	long       bool        // frames of 40 ms for all, since the last that began
	started    bool
	asleep     bool  // on the list of those without listeners
	pulled     int64 // last tick to which the sources were moved on
	mixed      int64 // ticks that were mixed
	eventful   int64 // last tick in which something came or was heard
}

// owner ties the sources and listeners of one participant together.
type owner struct {
	name       string
	sources    []*Source
	listeners  []*Listener
	apart      bool  // heard, or was a moment ago: it is left out of what its listeners hear
	lastActive int64 // when it was heard last, as Room.mixed was then
	mentioned  int   // lists of gains that name it

	seat        seat // where it is heard from in a stereo room
	left, right float32
}

type command struct {
	kind     commandKind
	source   *Source
	listener *Listener
	gains    *gains
}

type commandKind uint8

const (
	addSource commandKind = iota
	dropSource
	addListener
	dropListener
	changeTier
	changeGains
)

// never is a tick before any other.
const never = math.MinInt64 / 2

func newRoom(m *Mixer, id string, cfg RoomConfig) (*Room, error) {
	encoding := m.encoding
	if cfg.Encoder != nil {
		encoding = *cfg.Encoder
	}
	if err := encoding.check(); err != nil {
		return nil, err
	}
	channels := max(1, cfg.Channels)
	if cfg.Channels < 0 || channels > 2 {
		return nil, fmt.Errorf("%w: room with %d channels", ErrConfig, cfg.Channels)
	}
	switch {
	case cfg.Speakers < Everybody:
		return nil, fmt.Errorf("%w: %d speakers", ErrConfig, cfg.Speakers)
	case cfg.Speakers == Everybody:
		cfg.Speakers = 0
	case cfg.Speakers == 0:
		cfg.Speakers = m.speakers
	}
	if cfg.FrameMs == 0 {
		cfg.FrameMs = 20
	}
	if cfg.FrameMs != 10 && cfg.FrameMs != 20 {
		return nil, fmt.Errorf("%w: frames of %d ms", ErrConfig, cfg.FrameMs)
	}
	encoding.Channels, encoding.Music = channels, cfg.Music
	if cfg.Music {
		// Soft sounds are no background noise; and libopus has redundancy for voice alone, for which it would give up the rest.
		encoding.DTX, encoding.FEC = false, false
	}
	r := &Room{
		leveling: cfg.Leveling && !cfg.Music, panned: channels == 2 && !cfg.Music,
		id: id, mixer: m, speakers: cfg.Speakers, channels: channels, encoding: encoding, epoch: rand.Uint32(),
		frame: cfg.FrameMs / 10, done: make(chan struct{}), owners: map[string]*owner{},
		shift: 2 * (m.rooms.Load() / int64(2*phases*len(m.workers)) & 1), // as rooms are placed, half of each kind
	}
	r.prepare()
	r.parked.Store(true)
	return r, nil
}

// ID returns the name given at creation.
func (r *Room) ID() string { return r.id }

// Done is closed when the room is closed, by Close or by a panic in its tick.
func (r *Room) Done() <-chan struct{} { return r.done }

// Err says why the room is closed: ErrRoomClosed or ErrRoomPanicked; nil while it is open.
func (r *Room) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// AddSource adds a source; it is heard from the next tick on that has sound of it.
func (r *Room) AddSource(cfg SourceConfig) (*Source, error) {
	s, err := newSource(r, cfg)
	if err != nil {
		return nil, fmt.Errorf("room %q: %w", r.id, err)
	}
	if err := r.post(command{kind: addSource, source: s}); err != nil {
		return nil, err
	}
	return s, nil
}

// AddListener adds a listener. Its sink gets its first frame within 30 ms, silent or not; 50 where overload has made frames longer.
func (r *Room) AddListener(cfg ListenerConfig) (*Listener, error) {
	if cfg.Sink == nil {
		return nil, fmt.Errorf("room %q: %w: listener without sink", r.id, ErrConfig)
	}
	if !r.mixer.Encodes(cfg.Codec) {
		return nil, fmt.Errorf("room %q: %w: listener of %v", r.id, ErrConfig, cfg.Codec)
	}
	l := &Listener{room: r, config: cfg, gap: true}
	l.tier.Store(uint32(cfg.Codec.lane()))
	if err := r.post(command{kind: addListener, listener: l}); err != nil {
		return nil, err
	}
	return l, nil
}

// Levels appends the level of every source to dst[:0] and returns it. Any goroutine may call it.
func (r *Room) Levels(dst []Level) []Level {
	dst = dst[:0]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.members {
		l := Level{Owner: s.config.Owner}
		l.LevelDBov, l.Speaking = s.meter.read()
		dst = append(dst, l)
	}
	return dst
}

// Close ends the room. It does not wait: when it returns, one last WriteFrame per listener may be under way or about to
// begin. It may be called again.
func (r *Room) Close() { r.end(ErrRoomClosed) }

func (r *Room) end(reason error) {
	r.mu.Lock()
	if r.closed.Load() {
		r.mu.Unlock()
		return
	}
	r.err = reason
	r.closed.Store(true)
	r.mixer.sources.Add(-int64(len(r.members)))
	r.mixer.listeners.Add(-int64(r.audience))
	r.members, r.audience = nil, 0
	r.mu.Unlock()
	close(r.done)
	r.mixer.forget(r)
	r.wake()
}

// post puts a command into the mailbox and makes sure that somebody looks into it.
func (r *Room) post(c command) error {
	r.mu.Lock()
	if r.closed.Load() {
		err := r.err
		r.mu.Unlock()
		return fmt.Errorf("room %q: %w", r.id, err)
	}
	r.postLocked(c)
	r.mu.Unlock()
	r.wake()
	return nil
}

// postLocked does the same for who has the lock and wakes the room afterwards.
func (r *Room) postLocked(c command) {
	r.pending = append(r.pending, c)
	r.mail.Store(true)
	switch c.kind {
	case addSource:
		r.members = append(r.members, c.source)
		r.mixer.sources.Add(1)
	case dropSource:
		if i := slices.Index(r.members, c.source); i >= 0 {
			r.members = slices.Delete(r.members, i, i+1)
			r.mixer.sources.Add(-1)
		}
	case addListener:
		r.audience++
		r.mixer.listeners.Add(1)
	case dropListener:
		r.useGainsLocked(c.listener, nil)
		r.audience--
		r.mixer.listeners.Add(-1)
	}
}

func (r *Room) removeSource(s *Source) {
	_ = r.post(command{kind: dropSource, source: s}) // a closed room has dropped it already
}

func (r *Room) removeListener(l *Listener) {
	_ = r.post(command{kind: dropListener, listener: l})
}

// wake puts a parked or dozing room back on its worker's list.
func (r *Room) wake() {
	if r.parked.CompareAndSwap(true, false) || r.dozing.CompareAndSwap(true, false) {
		r.worker.admit(r)
	}
}

// apply does what the mailbox says.
func (r *Room) apply() {
	r.mu.Lock()
	r.pending, r.mailbox = r.mailbox[:0], r.pending
	r.mail.Store(false)
	r.mu.Unlock()
	for _, c := range r.mailbox {
		switch c.kind {
		case addSource:
			r.enter(c.source)
		case dropSource:
			// Source.closed makes it fade out; the tick removes it then.
		case addListener:
			r.listen(c.listener)
		case dropListener:
			r.unlisten(c.listener)
		case changeTier:
			r.setTier(c.listener)
		case changeGains:
			r.regain(c.listener, c.gains)
		}
	}
	clear(r.mailbox)
	r.purge()
}

func (r *Room) owner(name string) *owner {
	if name == "" {
		return nil
	}
	o := r.owners[name]
	if o == nil {
		o = &owner{name: name, lastActive: never}
		r.owners[name] = o
	}
	return o
}

// purge forgets owners that have nothing here any more. Not before their last sound is out of every limiter and frame: who
// comes back as a listener at once must not hear it.
func (r *Room) purge() {
	for name, o := range r.owners {
		if len(o.sources)+len(o.listeners)+o.mentioned == 0 && r.mixed-o.lastActive >= joinAfterTicks {
			delete(r.owners, name)
		}
	}
}

func (r *Room) enter(s *Source) {
	s.owner = r.owner(s.config.Owner)
	if s.owner != nil {
		s.owner.sources = append(s.owner.sources, s)
	}
	s.since, s.audited = never, never
	s.sequence = len(r.sources)
	r.sources = append(r.sources, s)
}

// leave takes out the sources that have faded.
func (r *Room) leave() {
	for i := 0; i < len(r.sources); {
		s := r.sources[i]
		if !s.closed.Load() || s.applied != 0 {
			i++
			continue
		}
		r.sources = slices.Delete(r.sources, i, i+1)
		s.meter.mute()
		s.publish()
		if o := s.owner; o != nil {
			o.sources = slices.DeleteFunc(o.sources, func(x *Source) bool { return x == s })
		}
	}
}

func (r *Room) listen(l *Listener) {
	if l.closed.Load() {
		return // its drop follows
	}
	l.owner = r.owner(l.config.Owner)
	l.joined = true
	r.listeners++
	if o := l.owner; o != nil {
		o.listeners = append(o.listeners, l)
		if len(o.listeners) == 1 {
			o.apart = r.mixed-o.lastActive < joinAfterTicks
			r.hearers = append(r.hearers, o)
		}
	}
	r.place(l)
}

func (r *Room) unlisten(l *Listener) {
	if !l.joined {
		return
	}
	l.joined = false
	r.listeners--
	is := func(x *Listener) bool { return x == l }
	r.waiting = slices.DeleteFunc(r.waiting, is)
	r.changing = slices.DeleteFunc(r.changing, is)
	r.setGains(l, nil)
	if b := l.bus; b != nil {
		b.remove(l)
		r.tidy(b)
	}
	o := l.owner
	if o == nil {
		return
	}
	o.listeners = slices.DeleteFunc(o.listeners, is)
	if len(o.listeners) == 0 {
		r.hearers = slices.DeleteFunc(r.hearers, func(x *owner) bool { return x == o })
	}
}
