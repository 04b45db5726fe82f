package neteq

import (
	"fmt"
	"time"
)

const (
	tickDuration      = 10 * time.Millisecond
	defaultMaxPackets = 200
	// maxSpan and maxBytes bound what is kept besides the number of packets.
	maxSpan  = 2 * sampleRate
	maxBytes = 256 << 10
	// maxPayload is more than any RTP packet over UDP carries.
	maxPayload = 65535
)

// Config says what a NetEq is to be. The zero value is a mono buffer with the defaults.
type Config struct {
	Channels   int           // 1 (default) or 2
	MaxPackets int           // packets kept at most; 200 when 0
	MinDelay   time.Duration // least target delay; 0: none
	MaxDelay   time.Duration // largest target delay; 0: the policy's own
	Policy     Policy
	FixedDelay time.Duration // target of PolicyFixed
	// DisableStretching keeps the speed of the sound as it is (music); delay then changes only where sound is missing.
	DisableStretching bool
	// DisableCodecConcealment conceals by pitch repetition even when the codec has something better.
	DisableCodecConcealment bool
	// Nack makes NetEq keep a list of packets to ask for again, see NACKs; nil: none.
	Nack *NackConfig
	// PlayTones makes telephone events audible; otherwise they are silence.
	PlayTones bool
}

// playState says whether there is a play position.
type playState uint8

const (
	stateWaiting playState = iota // for a packet to start with: at first, after a flush, after fading out
	statePlaying
)

// NetEq is the jitter buffer of one stream. See the package comment.
type NetEq struct {
	cfg      Config
	channels int
	reg      registry
	buf      *packetBuffer
	hist     *arrivalHistory
	policy   delayPolicy
	cons     delayConstraints
	level    bufferLevelFilter
	sync     *syncBuffer
	exp      *expander
	bg       [2]backgroundNoise
	st       statistics
	scaler   timestampScaler
	nack     *NackTracker // nil without
	// nackFloor is what the target is not to fall below, so that packets sent again are in time.
	nackFloor time.Duration
	blocks    [redMaxBlocks]redBlock

	pcm []float32    // decoder output, interleaved
	dec [2][]float32 // the same per channel

	// Time
	now   time.Duration // of the current tick
	ticks uint64

	// Network side
	ssrc        uint32
	haveSSRC    bool
	newestSeq   uint16
	newestTS    uint32
	newestAt    time.Duration
	haveNewest  bool
	firstTS     uint32 // of the first primary since the last start
	stranger    stranger
	stall       stallWatch
	burst       int           // packets inserted since the last tick
	lastArrival time.Duration // of any packet
	reordered   bool          // a packet came after a later one
	reorderedAt time.Duration // when, the last time

	// Playing
	state playState
	fresh bool   // nothing was heard since New, Flush or a change of SSRC
	endTS uint32 // media time of the end of the sync buffer
	gen   int    // samples invented since, while endTS stands still
	codec *codec // that decoded last
	// monoStream says that both channels of what the codec makes are to be equal: libopus 1.3 lets them drift apart when
	// it conceals a mono stream in stereo.
	monoStream bool
	dtx        bool // the last payload announced silence
	sid        bool // it was a silence description of RFC 3389
	cn         *comfortNoise
	events     eventBuffer
	eventPace  eventPace
	tone       toneGenerator
	declared   bool // the sender said it stops
	plc        bool // the end of the sync buffer is the codec's concealment
	expanded   bool // the end of the sync buffer is Expand's
	// rewind is the decoder that was marked before the codec's concealment at the end of the sync buffer; nil: none.
	rewind Rewinder
	joint  [2][jointSamples]float32 // that concealment, continued
	// bridged is how much of the future is a hole with what follows it behind.
	bridged   int
	fade      float32
	rampLeft  int // samples of fade-in that are left to do
	lastFrame int // samples of the last decoded packet
	lastSeq   uint16
	countdown int
	loudness  [2]float64
	played    [2]float64 // mean square of the last tick
	settle    settling
	urgent    bool // much delay is to be lost
	stretched int  // net samples removed since the last level update
	tickOp    Operation
	tailOp    Operation // that made the end of the sync buffer
	muted     bool
	skip      skipState
}

// New makes a NetEq. It is ready for Register.
func New(cfg Config) (*NetEq, error) {
	if cfg.Channels == 0 {
		cfg.Channels = 1
	}
	if cfg.Channels < 1 || cfg.Channels > 2 {
		return nil, fmt.Errorf("%w: %d channels", ErrConfig, cfg.Channels)
	}
	if cfg.MaxPackets == 0 {
		cfg.MaxPackets = defaultMaxPackets
	}
	if cfg.MaxPackets < 2 || cfg.MaxPackets > 10000 {
		return nil, fmt.Errorf("%w: room for %d packets", ErrConfig, cfg.MaxPackets)
	}
	n := &NetEq{
		cfg:      cfg,
		channels: cfg.Channels,
		buf:      newPacketBuffer(cfg.MaxPackets),
		hist:     newArrivalHistory(defaultWindow),
		cons:     delayConstraints{capacity: cfg.MaxPackets},
		level:    newBufferLevelFilter(),
		sync:     newSyncBuffer(cfg.Channels),
		exp:      newExpander(cfg.Channels),
	}
	if cfg.Nack != nil {
		n.nack = NewNackTracker(*cfg.Nack, sampleRate)
	}
	switch cfg.Policy {
	case PolicyAdaptive:
		n.policy = newAdaptivePolicy()
		n.cons.maximum = adaptiveDefaultMax
	case PolicyM150, PolicyLevels:
		n.policy = newM150Policy()
	case PolicyNetwork:
		n.policy = newNetworkPolicy()
	case PolicyFixed:
		n.policy = fixedPolicy(cfg.FixedDelay)
	default:
		return nil, fmt.Errorf("%w: policy %d", ErrConfig, cfg.Policy)
	}
	if cfg.MinDelay != 0 || cfg.MaxDelay != 0 {
		if err := n.SetDelayBounds(cfg.MinDelay, cfg.MaxDelay); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	n.restart(true)
	return n, nil
}

// Register says what payload type pt means. newDecoder makes the decoder, for 48 kHz and the channels of the Config, when
// the first payload of that type is decoded, and again when the source was skipped for a minute; it is nil for "red", "CN" and "telephone-event".
func (n *NetEq) Register(pt uint8, f Format, newDecoder func() (Decoder, error)) error {
	return n.reg.add(pt, f, newDecoder)
}

// SetDelayBounds sets the least and the largest target delay; max 0 returns to the policy's own. It changes nothing and
// fails when min > max or either is out of 0..10 s or more than the packet buffer can hold.
func (n *NetEq) SetDelayBounds(minDelay, maxDelay time.Duration) error {
	c := n.cons
	c.minimum, c.maximum = 0, 0
	if !c.setMaximum(maxDelay) || !c.setMinimum(minDelay) {
		return fmt.Errorf("%w: %v to %v", ErrDelayBounds, minDelay, maxDelay)
	}
	if maxDelay == 0 && n.cfg.Policy == PolicyAdaptive {
		c.maximum = max(adaptiveDefaultMax, minDelay)
	}
	n.cons = c
	return nil
}

// SetBaseDelay sets a least delay beside that of SetDelayBounds; the larger one holds. It fails outside 0..10 s.
func (n *NetEq) SetBaseDelay(d time.Duration) error {
	if !n.cons.setBase(d) {
		return fmt.Errorf("%w: base %v", ErrDelayBounds, d)
	}
	return nil
}

// SetNetwork tells PolicyNetwork the round trip time and loss, once per RTCP report. Other policies ignore it.
func (n *NetEq) SetNetwork(rtt time.Duration, lossPercent float64) {
	if p, ok := n.policy.(*networkPolicy); ok {
		p.update(rtt, lossPercent)
	}
}

// DeclareGap says that the sender announced silence (mute, BYE): what is heard fades out within 20 ms, and the silence until
// the next packet is no concealment.
func (n *NetEq) DeclareGap() {
	n.declared = true
	if n.state == stateWaiting {
		n.st.endRun(false, true)
	}
	if n.nack != nil {
		n.nack.Pause()
	}
}

// Flush forgets packets and play position; the next packet is as the first one. What was learnt about the network stays, and
// so do the counters.
func (n *NetEq) Flush() {
	n.dropAll()
	n.sync.reset()
	n.played = [2]float64{}
	n.restart(true)
	n.declared = true // the owner's silence, not the network's
}

// restart gives up the play position. fresh tells that what comes next has nothing to do with what was heard.
func (n *NetEq) restart(fresh bool) {
	n.state = stateWaiting
	n.gen, n.dtx, n.sid, n.plc, n.expanded, n.muted = 0, false, false, false, false, false
	n.bridged = 0
	n.fade = 1
	n.exp.reset()
	n.countdown = 6
	if fresh {
		n.fresh = true
		n.haveNewest = false
		n.stranger = stranger{}
		n.stall = stallWatch{}
		n.reordered = false
		n.events.reset()
		n.tone.stop()
		n.scaler = timestampScaler{}
		if n.nack != nil {
			n.nack.Reset()
			n.nackFloor = 0
		}
		n.hist.reset()
		n.st.endRun(false, true)
		for c := range n.bg {
			n.bg[c].reset()
		}
	}
	if f := n.sync.future(); f < overlapSamples {
		n.sync.appendZeros(overlapSamples - f)
	}
}

// dropAll discards every packet.
func (n *NetEq) dropAll() {
	for n.buf.len() > 0 {
		n.discard(0)
	}
	n.skip.release(n.buf)
}

// discard drops the i-th packet because it is in the way.
func (n *NetEq) discard(i int) {
	f := n.buf.at(i)
	n.countFlushed(f)
	n.buf.drop(i)
}

func (n *NetEq) countFlushed(f *storedFrame) {
	if f.redLevel > 0 {
		n.st.s.RedundancyUnused++
		return
	}
	n.st.s.PacketsDiscarded++
	n.st.s.FlushedPackets++
	if f.fecSamples > 0 {
		n.st.s.FECPacketsDiscarded++
		n.st.s.RedundancyUnused++
	}
}

// target is the wanted delay within bounds.
func (n *NetEq) target() time.Duration {
	t := n.policy.target()
	if p, ok := n.policy.(*adaptivePolicy); ok {
		t = p.hold()
	}
	return n.cons.clamp(max(t, n.nackFloor))
}

// build is the delay below which some is added; target may lie above it for a while, and is then only held.
func (n *NetEq) build() time.Duration {
	return n.cons.clamp(max(n.policy.target(), n.nackFloor))
}

// left is the sound that can still be played.
func (n *NetEq) left() int { return n.sync.future() - overlapSamples }

// slack is how long a packet that travels as fast as the fastest waits before it is needed.
func (n *NetEq) slack() time.Duration {
	ahead := max(0, n.left()) / tickSamples
	return n.hist.lateness(n.endTS, n.now) + time.Duration(ahead)*tickDuration
}

// Stats returns the counters and the present state.
func (n *NetEq) Stats() Stats {
	s := n.st.s
	s.NetworkConcealedSamples = s.ConcealedSamples - min(s.ConcealedSamples, s.PausedSamples+uint64(n.st.beyond()))
	s.TargetDelay = n.target()
	buffered := 0
	for i := range n.buf.order {
		if f := n.buf.at(i); f.redLevel == 0 {
			if f.samples > 0 {
				buffered += f.samples
			} else {
				buffered += n.lastFrame
			}
		}
	}
	s.CurrentDelay = samplesToTime(int64(buffered + n.sync.future()))
	if n.state == statePlaying {
		s.PlayoutDelay = max(0, n.slack())
		if n.dtx && n.gen > 0 { // nothing waits; the next word is played when it has waited for this long
			s.PlayoutDelay = min(s.PlayoutDelay, max(startDelay, s.TargetDelay))
		}
	}
	s.FilteredDelay = samplesToTime(int64(n.level.level) + int64(n.sync.future()))
	s.BufferedPackets, s.BufferedBytes = n.buf.len(), n.buf.bytes
	return s
}
