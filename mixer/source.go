package mixer

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/loudness"
	"parley/neteq"
)

const (
	// silentPeak is the highest sample of a frame that counts as silence: -80 dBFS, three steps of 16 bits.
	silentPeak = 1e-4
	// maxGain bounds Source.SetGain: +18 dB.
	maxGain = 8
	// skipTicks is how many missed ticks NetEq is made to skip one by one; more than a second is one jump for it anyway.
	skipTicks = 100
	// maxRequests bounds the packets that NetEq knows to be missing: two seconds of 20 ms packets.
	maxRequests = 100
	// passTicks is how long an unheard source is moved on after its last packet: longer than any packet waits.
	passTicks = 300
	// publishEvery is how often, in ticks, statistics are copied for readers.
	publishEvery = 10
)

// jitterBuffer is what a source needs of neteq.NetEq.
type jitterBuffer interface {
	Insert(p *neteq.Packet, arrival time.Duration) error
	Get(frame []float32, now time.Duration) neteq.Result
	Skip(now time.Duration)
	Forecast(p *neteq.Packet, now time.Duration) (neteq.Forecast, bool)
	DeclareGap()
	Stats() neteq.Stats
	NACKs(dst []uint16, now, rtt time.Duration) []uint16
}

// Requester asks the sender of a source for packets again (RFC 4585, section 6.2.1).
type Requester interface {
	// RequestPackets is called on the room's worker, at most once per tick, with RTP sequence numbers. It must not block;
	// the slice is borrowed until it returns.
	RequestPackets(sequences []uint16)
}

// SourceConfig describes a source to be added to a room.
type SourceConfig struct {
	// Owner names who is heard: listeners with the same owner do not hear this source.
	Owner string
	// Formats says what each payload type means. Opus, G.722, PCMU, PCMA get a decoder; red, CN and telephone-event
	// are NetEq's own business.
	Formats map[uint8]neteq.Format
	// Channels decoded: 1 (also for 0) or 2.
	Channels int
	// Requests is asked for packets that were lost and can still be played when they come a round trip later; nil when the
	// sender does not send again.
	Requests Requester
}

// Source is one stream of packets that a room mixes.
type Source struct {
	room     *Room
	config   SourceConfig
	channels int
	inbox    *inbox

	muted  atomic.Bool
	gain   atomic.Uint32 // bits of a float32
	rtt    atomic.Int64  // nanoseconds, 0 unknown
	closed atomic.Bool
	belief atomic.Uint32 // see outlook.belief
	meter  meter

	statsMu sync.Mutex
	stats   neteq.Stats

	insertErrors, badFrames, muzzlings atomic.Uint64

	// The worker's own.
	counted  NetEqTotals // what of this source is in the worker's totals
	owner    *owner
	buffer   jitterBuffer
	frame    []float32         // what NetEq yields, in its channels
	leveler  *loudness.Leveler // nil: the room takes sources as they are
	x        []float32         // what the room mixes, in the room's channels, after ramp and gain
	applied  float32           // gain at the end of the last tick
	heard    bool              // there was sound in this tick, chosen or not
	active   bool              // x is to be mixed
	decoded  bool              // NetEq was asked for sound in this tick
	chosen   bool              // one of the room's speakers; always, in a room without a limit
	since    int64             // tick at which chosen last changed
	missing  []uint16          // to ask for, scratch
	rank     float64           // dBov: level of what is about to be played, held for a while
	peak     float64           // what it will be when the hold ends
	held     int               // ticks of the hold so far
	calm     int               // ticks since anything but silence was about to be played
	ahead    float64           // rank without the hold
	present  float64           // of what is being played
	lead     float64           // by how much it has been louder than the quietest speaker for how long, dB times seconds
	audit    bool              // decoded unheard, to know its level
	audited  int64             // tick at which that ends, or ended
	outlook  outlook
	budget   budget
	quiet    bool // NetEq yields nothing and has nothing
	idle     int  // ticks without a packet
	gap      bool // NetEq was told that the sender stopped
	claimed  int  // loudest level claimed by packets since the last look, dBov; 1: none
	sequence int  // spreads publishing over ticks
}

// SourceStats is a snapshot of one source.
type SourceStats struct {
	NetEq        neteq.Stats // at most 100 ms old
	InboxFull    uint64      // packets turned away because the room did not fetch them
	RateLimited  uint64      // packets turned away because there were more than 500 a second, or they were over-long
	InsertErrors uint64      // packets NetEq refused
	BadFrames    uint64      // frames that were not finite numbers, replaced by silence
	Muzzlings    uint64      // times it was silenced for a second because its sound took too long to decode
	LevelDBov    int         // see Level
	Speaking     bool
	Muted        bool
}

// newSource makes a source that is not yet in the room.
func newSource(r *Room, cfg SourceConfig) (*Source, error) {
	channels := cfg.Channels
	if channels == 0 {
		channels = 1
	}
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("%w: source with %d channels", ErrConfig, cfg.Channels)
	}
	if len(cfg.Formats) == 0 {
		return nil, fmt.Errorf("%w: source without formats", ErrConfig)
	}
	buffer, err := r.mixer.newBuffer(cfg, channels)
	if err != nil {
		return nil, err
	}
	s := &Source{
		room: r, config: cfg, channels: channels, inbox: newInbox(), buffer: buffer, claimed: 1,
		frame: make([]float32, frameSamples*channels), outlook: newOutlook(), budget: newBudget(), rank: silentDBov, peak: silentDBov,
	}
	s.x = s.frame
	if channels != r.channels {
		s.x = make([]float32, frameSamples*r.channels)
	}
	if r.leveling {
		s.leveler = loudness.NewLeveler(channels)
	}
	if cfg.Requests != nil {
		s.missing = make([]uint16, 0, maxRequests)
	}
	s.meter.init()
	s.belief.Store(s.outlook.belief())
	s.gain.Store(math.Float32bits(1))
	s.stats = buffer.Stats()
	return s, nil
}

// newNetEq makes a jitter buffer with a decoder for each format that needs one.
func newNetEq(cfg SourceConfig, channels int, keyTones bool,
	newDecoder func(neteq.Format, int) (neteq.Decoder, error)) (jitterBuffer, error) {
	c := neteq.Config{Channels: channels, PlayTones: keyTones}
	if cfg.Requests != nil {
		c.Nack = &neteq.NackConfig{PlayoutAware: true, MaxEntries: maxRequests}
	}
	n, err := neteq.New(c)
	if err != nil {
		return nil, fmt.Errorf("new source: %w", err)
	}
	for pt, f := range cfg.Formats {
		var decoder func() (neteq.Decoder, error)
		switch strings.ToLower(f.Name) {
		case "red", "cn", "telephone-event":
		default:
			decoder = func() (neteq.Decoder, error) { return newDecoder(f, channels) }
		}
		if err := n.Register(pt, f, decoder); err != nil {
			return nil, fmt.Errorf("new source: payload type %d: %w", pt, err)
		}
	}
	return n, nil
}

// Push hands over one packet. It copies, never blocks and never allocates. arrival is when the packet was read from the
// network, by Mixer.Now. It returns false when the packet was turned away, which is counted. One goroutine at a time.
func (s *Source) Push(p *neteq.Packet, arrival time.Duration) bool {
	if s.closed.Load() || s.room.closed.Load() || !s.inbox.push(p, arrival) {
		return false
	}
	if s.room.parked.Load() {
		s.room.wake()
	}
	return true
}

// Expect says how loud p, which was just pushed, is taken to be, in dBov: what it states, as far as the sender can be believed,
// or else what the packets before it told. It is known at once, long before p is played. Any goroutine may call it.
func (s *Source) Expect(p *neteq.Packet) int { return expect(s.belief.Load(), p) }

// SetMuted makes the source silent, in 10 ms, and back. A muted source is not decoded.
func (s *Source) SetMuted(muted bool) { s.muted.Store(muted) }

// SetGain sets the source's volume for everybody: 1 is as sent, at most 8 (+18 dB). It is reached in 10 ms.
func (s *Source) SetGain(gain float32) {
	if !(gain >= 0) {
		gain = 0
	}
	s.gain.Store(math.Float32bits(min(gain, maxGain)))
}

// SetRTT tells the round trip time to the sender, by which it is decided what is worth asking for again; 0: unknown.
func (s *Source) SetRTT(rtt time.Duration) { s.rtt.Store(int64(rtt)) }

// Owner returns the owner given in the configuration.
func (s *Source) Owner() string { return s.config.Owner }

// Stats returns a snapshot. Any goroutine may call it.
func (s *Source) Stats() SourceStats {
	s.statsMu.Lock()
	st := SourceStats{NetEq: s.stats}
	s.statsMu.Unlock()
	st.InboxFull, st.RateLimited = s.inbox.full.Load(), s.inbox.limited.Load()
	st.InsertErrors, st.BadFrames, st.Muzzlings = s.insertErrors.Load(), s.badFrames.Load(), s.muzzlings.Load()
	st.LevelDBov, st.Speaking = s.meter.read()
	st.Muted = s.muted.Load()
	return st
}

// Close fades the source out and takes it out of the room. It does not wait, and may be called again.
func (s *Source) Close() {
	if s.closed.CompareAndSwap(false, true) {
		s.room.removeSource(s)
	}
}

// silenced tells whether nothing is to be heard of the source in tick n, whoever speaks.
func (s *Source) silenced(n int64) bool {
	return s.muted.Load() || s.closed.Load() || s.budget.exceeded(n)
}

// wanted returns the gain to reach by the end of tick n.
func (s *Source) wanted(n int64) float32 {
	if s.silenced(n) {
		return 0
	}
	return math.Float32frombits(s.gain.Load())
}

// drain moves what has come into NetEq and returns how many packets that were.
func (s *Source) drain(now time.Duration) int {
	n := 0
	for {
		p, arrival := s.inbox.peek()
		if p == nil {
			if n > 0 {
				s.belief.Store(s.outlook.belief())
			}
			return n
		}
		if p.HasAudioLevel && (s.claimed == 1 || -int(p.AudioLevel) > s.claimed) {
			s.claimed = -int(p.AudioLevel)
		}
		if s.buffer.Insert(p, arrival) != nil {
			s.insertErrors.Add(1)
		} else if f, ok := s.buffer.Forecast(p, now); ok {
			s.outlook.add(f, p)
		}
		if s.room.listeners > 0 {
			s.room.worker.stages[StageInsert].observe(max(0, now-arrival))
		}
		s.inbox.pop()
		n++
	}
}

// skip moves NetEq on by some ticks without decoding. One that has nothing has nothing to skip.
func (s *Source) skip(ticks int64, now time.Duration) {
	s.active, s.applied = false, 0
	for k := min(ticks, skipTicks) - 1; k >= 0; k-- {
		s.buffer.Skip(now - time.Duration(k)*tickDuration)
	}
}

// pull takes the 10 ms of tick n out of NetEq, measures them as they were sent, and brings them to the usual loudness. Muted and departed sources, and those that are neither heard
// nor audited, are not decoded.
func (s *Source) pull(n int64, now time.Duration) {
	s.active, s.heard, s.decoded = false, false, false
	if s.applied == 0 && s.wanted(n) == 0 {
		if !s.gap {
			s.gap = true
			s.buffer.DeclareGap()
		}
		s.buffer.Skip(now)
		s.quiet = true
		s.meter.mute()
		return
	}
	s.gap = false
	if !s.chosen && !s.audit && s.applied == 0 {
		s.pass(now)
		return
	}
	s.decoded = true
	before := s.room.mixer.clock()
	result := s.buffer.Get(s.frame, now)
	if s.budget.spend(s.room.mixer.clock()-before, n) {
		s.muzzlings.Add(1)
	}
	s.quiet = result.Muted
	peak, power := measure(s.frame)
	if !(power < 1e6) { // not a number, or beyond any
		s.badFrames.Add(1)
		peak, power = 0, 0
	}
	s.meter.observe(power)
	s.heard = peak >= silentPeak
	if result.Speech != neteq.Concealment && s.outlook.verify(power, now) {
		// A place that was got by a false claim is not kept for any time.
		s.since, s.rank, s.peak = n-speakerStayTicks, silentDBov, silentDBov
		s.room.worker.liars.Add(1)
	}
	if s.heard && s.leveler != nil {
		s.leveler.Process(s.frame)
	}
}

// pass moves on a source that is not heard, by a tick, and shows the level that its packets tell.
func (s *Source) pass(now time.Duration) {
	if s.idle++; s.idle <= passTicks {
		s.buffer.Skip(now)
	}
	s.quiet = s.idle > passTicks
	s.meter.observeDB(s.outlook.now(), 1)
}

// request asks for what is missing, if it is to be heard.
func (s *Source) request(now time.Duration) {
	if s.config.Requests == nil || s.quiet || !s.decoded {
		return
	}
	s.missing = s.buffer.NACKs(s.missing[:0], now, time.Duration(s.rtt.Load()))
	if len(s.missing) > 0 {
		s.config.Requests.RequestPackets(s.missing)
	}
}

// shape makes x of what was pulled, on its way from the gain of the last tick to the one wanted now, and says by active
// whether there is anything to hear in it.
func (s *Source) shape(n int64) {
	from, to := s.applied, float32(0)
	if s.chosen {
		to = s.wanted(n)
	}
	if !s.heard {
		if to == 0 || s.room.speakers > 0 {
			s.applied = to // nobody hears a ramp of silence, and the first sound shall be whole
		}
		return
	}
	s.applied = to
	if from == 0 && to == 0 {
		return
	}
	if s.room.panned && s.channels == 1 && s.owner != nil {
		if s.owner.seat == 0 || s.room.mixed-s.owner.lastActive > joinAfterTicks {
			s.owner.sit(s.room.seatOf(s.owner))
		}
		pan(s.x, s.frame, s.owner.left, s.owner.right)
	} else {
		remix(s.x, s.frame, s.channels, s.room.channels)
	}
	ramp(s.x, from, to, s.room.channels)
	s.active = true
}

// publish copies statistics for readers. It does not wait for one that is just reading.
func (s *Source) publish() {
	now := s.buffer.Stats()
	before := s.counted
	s.counted = s.room.worker.neteq.add(before, &now)
	s.room.worker.waited(before, &s.counted)
	if s.statsMu.TryLock() {
		s.stats = now
		s.statsMu.Unlock()
	}
}

// measure returns the highest absolute value and the mean square.
func measure(x []float32) (peak float32, power float64) {
	var sum float32
	for _, v := range x {
		sum += v * v
	}
	return peakOf(x), float64(sum) / float64(len(x))
}

// remix copies a frame from one channel layout into another: mono to both sides, both sides to their mean.
func remix(dst, src []float32, from, to int) {
	switch {
	case from == to:
		// dst is src.
	case to == 2:
		for i, v := range src {
			dst[2*i], dst[2*i+1] = v, v
		}
	default:
		for i := range dst {
			dst[i] = (src[2*i] + src[2*i+1]) / 2
		}
	}
}

// ramp applies a gain that goes from one value to the other in a straight line, and arrives with the last sample.
func ramp(x []float32, from, to float32, channels int) {
	if from == to {
		if to != 1 {
			for i := range x {
				x[i] *= to
			}
		}
		return
	}
	step := (to - from) / frameSamples
	for i := range frameSamples {
		g := from + step*float32(i+1)
		for c := range channels {
			x[i*channels+c] *= g
		}
	}
}
