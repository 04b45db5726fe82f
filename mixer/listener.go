package mixer

import (
	"sync"
	"sync/atomic"
)

// Sink takes what one listener hears.
type Sink interface {
	// WriteFrame is called on a worker, for a listener on one at a time, and must not block. A sink that several listeners have
	// may be called on several at a time. f.Payload and f.Redundant are borrowed until it returns, and may
	// be shared with other listeners: they must not be changed.
	WriteFrame(f Frame)
}

// Frame is one encoded frame for one listener.
type Frame struct {
	Payload   []byte
	Timestamp uint32 // of its first sample, on the room's clock, 48 kHz, from a random start
	Samples   int    // per channel: 480, 960 or 1920
	Marker    bool   // first of a talk spurt (RFC 3551, section 4.1)
	Worker    int    // who hands it over; see Mixer.OnEndTick

	// Redundant is the payload of the frame before, which began RedundantOffset samples earlier and ended where this one begins;
	// nil: not to be sent. How it is framed (RFC 2198) is the sink's affair.
	Redundant       []byte
	RedundantOffset uint32
}

// ListenerConfig describes a listener to be added to a room.
type ListenerConfig struct {
	// Owner: sources with the same owner are not heard. Empty: everything is heard.
	Owner string
	Sink  Sink
	// Redundant: the sink can send every frame twice, and is to when packets get lost.
	Redundant bool
	// Codec of the frames. Those of others than Opus follow neither tier nor load.
	Codec Codec
}

// Listener is one stream out of a room.
type Listener struct {
	room      *Room
	config    ListenerConfig
	closed    atomic.Bool
	tier      atomic.Uint32 // wanted; the one it has is its bus's
	loss      atomic.Int32  // percent that its bus is to protect against
	redundant atomic.Bool   // frames are to be sent twice

	reporting sync.Mutex // guards the next
	quality   quality

	chosen *gains // as last set; guarded by Room.mu

	// The worker's own.
	owner  *owner
	gains  *gains
	bus    *bus // nil while none could be made
	index  int  // in its listeners
	joined bool
	gap    bool // frames were not sent: the next that is sent begins a talk spurt
}

// Owner returns the owner given in the configuration.
func (l *Listener) Owner() string { return l.config.Owner }

// SetReport tells how packets fare on their way to the listener, as its RTCP reports say. What it gets follows: a worse tier at once
// for a loss of 10 % or after two bad reports in a row, a better one, step by step, after 10 s of good ones; redundancy from 3 % loss on, where
// agreed. The in-band redundancy (FEC) of a bus follows its worst eighth of listeners.
// Any goroutine may call it. Without reports a listener is Excellent.
func (l *Listener) SetReport(report Report) {
	if l.config.Codec != Opus {
		return
	}
	l.reporting.Lock()
	changed := l.quality.take(report, l.room.mixer.Now())
	loss, redundant := l.quality.loss, l.config.Redundant && l.quality.redundant
	if redundant {
		loss = loss * loss / 100 // both packets are lost; more in-band redundancy would cost more than it saves
	}
	l.loss.Store(int32(loss))
	l.tier.Store(uint32(l.quality.tier))
	l.redundant.Store(redundant)
	l.reporting.Unlock()
	if changed {
		_ = l.room.post(command{kind: changeTier, listener: l}) // a closed room has no tiers
	}
}

// Tier is how the listener's connection is thought of. What it hears follows within 40 ms.
func (l *Listener) Tier() Tier {
	if t := Tier(l.tier.Load()); t <= Poor {
		return t
	}
	return Excellent
}

// Close takes the listener out of the room. It does not wait: when it returns, one last WriteFrame may be under way or
// about to begin on the room's worker. It may be called again.
func (l *Listener) Close() {
	if l.closed.CompareAndSwap(false, true) {
		l.room.removeListener(l)
	}
}
