package media

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"parley/cluster/trunk"
	"parley/neteq"
)

const (
	// keepIdle is how long the source of somebody whose streams have ended is kept. When they speak again its NetEq knows their
	// network already; a new one begins with 80 ms of delay.
	keepIdle = 10 * time.Minute
	sweepGap = 10 * time.Second
	// retryAfter is how long after a source was refused the next attempt is made.
	retryAfter = 250 * time.Millisecond
	// maxVoices is how many participants of other nodes are known at a time, and maxStreamsEach how many streams of each.
	maxVoices      = 20000
	maxStreamsEach = 8
)

// Source is what an inlet needs of *mixer.Source.
type Source interface {
	Push(p *neteq.Packet, arrival time.Duration) bool
	SetMuted(muted bool)
	Close()
}

// InletConfig holds what an Inlet needs.
type InletConfig struct {
	// AddSource adds a participant of another node to a room of this one, as Room.AddSource of package mixer does, with the
	// participant as owner. It returns an error while the room is not here. It is called on the trunks' goroutines.
	AddSource func(room, participant string, formats map[uint8]neteq.Format) (Source, error)
	// Now is the mixer's clock (*mixer.Mixer).Now.
	Now func() time.Duration
}

// Inlet makes sources of what comes over the trunks. Its methods may be called from any goroutine.
type Inlet struct {
	cfg InletConfig

	mu     sync.Mutex
	voices map[voiceKey]*voice
	stats  InletStats
	swept  time.Duration
}

// InletStats is a snapshot of an inlet. Counts are since it was made.
type InletStats struct {
	Voices    int    // participants of other nodes that are known
	Packets   uint64 // handed to sources
	NoRoom    uint64 // packets of rooms that are not here
	Doubles   uint64 // packets of streams whose participant is heard by another one
	Unknown   uint64 // packets of streams that are not known
	Full      uint64 // packets that the source turned away
	TooMany   uint64 // streams beyond the bounds
	Takeovers uint64 // times a participant was heard by another stream while the one before went on
}

type voiceKey struct{ room, participant string }

// voice is one participant of another node.
type voice struct {
	source  Source // nil: not yet
	formats map[uint8]neteq.Format
	streams []incoming
	heard   int           // which of them; -1: none
	idle    time.Duration // since when there is none
	retry   time.Duration
}

type incoming struct {
	from   string
	stream uint32
	epoch  uint32
	hop    int
	info   trunk.StreamInfo
}

// NewInlet makes one. Its Stream and Packet are what trunk.Config wants for OnStream and OnPacket.
func NewInlet(cfg InletConfig) (*Inlet, error) {
	if cfg.AddSource == nil || cfg.Now == nil {
		return nil, fmt.Errorf("%w: an inlet without mixer", ErrConfig)
	}
	return &Inlet{cfg: cfg, voices: map[voiceKey]*voice{}}, nil
}

// Stats returns a snapshot.
func (in *Inlet) Stats() InletStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.stats
	s.Voices = len(in.voices)
	return s
}

// Stream takes in that a stream begins or has ended.
func (in *Inlet) Stream(e trunk.StreamEvent) {
	now := in.cfg.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sweep(now)
	key := voiceKey{e.Info.Room, e.Info.Participant}
	v := in.voices[key]
	if e.Ended {
		if v != nil {
			v.remove(e.From, e.Stream)
			in.listen(key, v, now)
		}
		return
	}
	if v == nil {
		if len(in.voices) >= maxVoices {
			in.stats.TooMany++
			return
		}
		v = &voice{heard: -1}
		in.voices[key] = v
	}
	if len(v.streams) >= maxStreamsEach {
		in.stats.TooMany++
		return
	}
	v.streams = append(v.streams, incoming{e.From, e.Stream, e.Info.SourceEpoch, e.Info.Hop, e.Info})
	in.listen(key, v, now)
}

func (v *voice) remove(from string, stream uint32) {
	for i, s := range v.streams {
		if s.from != from || s.stream != stream {
			continue
		}
		v.streams = append(v.streams[:i], v.streams[i+1:]...)
		switch {
		case v.heard == i:
			v.heard = -1
		case v.heard > i:
			v.heard--
		}
		return
	}
}

// listen chooses, of the streams of a participant, the one that is heard: of the newest epoch the one that came over the
// fewest trunks, and of those the last to begin. All of one speaker's packets are the same, whichever way they come; hearing
// two of them would be an echo.
func (in *Inlet) listen(key voiceKey, v *voice, now time.Duration) {
	best := -1
	for i, s := range v.streams {
		if best < 0 || int32(s.epoch-v.streams[best].epoch) > 0 ||
			s.epoch == v.streams[best].epoch && s.hop <= v.streams[best].hop {
			best = i
		}
	}
	if v.heard >= 0 && best != v.heard {
		in.stats.Takeovers++
	}
	v.heard = best
	if best < 0 {
		v.idle = now
		if v.source != nil {
			v.source.SetMuted(true) // what comes next is not what follows what came last
		}
		return
	}
	formats := v.streams[best].info.Formats
	if v.source != nil && !maps.Equal(formats, v.formats) {
		v.source.Close()
		v.source = nil
	}
	v.formats = formats
	if v.source == nil {
		v.retry = now + retryAfter
		source, err := in.cfg.AddSource(key.room, key.participant, formats)
		if err != nil {
			return
		}
		v.source = source
	}
	v.source.SetMuted(false)
}

// Packet hands a packet to its participant's source, as of the time at which it would have come had it not been held back.
func (in *Inlet) Packet(p trunk.Packet) {
	now := in.cfg.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	v := in.voices[voiceKey{p.Room, p.Participant}]
	if v == nil {
		in.stats.Unknown++
		return
	}
	if v.heard < 0 || v.streams[v.heard].from != p.From || v.streams[v.heard].stream != p.Stream {
		in.stats.Doubles++
		return
	}
	if v.source == nil && now >= v.retry {
		in.listen(voiceKey{p.Room, p.Participant}, v, now)
	}
	switch {
	case v.source == nil:
		in.stats.NoRoom++
	case v.source.Push(&p.Packet, now-p.Held):
		in.stats.Packets++
	default:
		in.stats.Full++
	}
}

// Forget closes the source of a participant that has left the room, or of the whole room when participant is "". Streams
// that are still open make another, if there is a room to make it in.
func (in *Inlet) Forget(room, participant string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for key, v := range in.voices {
		if key.room != room || participant != "" && key.participant != participant {
			continue
		}
		if v.source != nil {
			v.source.Close()
			v.source = nil
		}
		if len(v.streams) == 0 {
			delete(in.voices, key)
		}
	}
}

// sweep closes sources that have been idle for long.
func (in *Inlet) sweep(now time.Duration) {
	if now-in.swept < sweepGap {
		return
	}
	in.swept = now
	for key, v := range in.voices {
		if len(v.streams) == 0 && now-v.idle >= keepIdle {
			if v.source != nil {
				v.source.Close()
			}
			delete(in.voices, key)
		}
	}
}
