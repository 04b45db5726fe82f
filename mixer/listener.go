package mixer

import "sync/atomic"

// Sink takes what one listener hears.
type Sink interface {
	// WriteFrame is called on the room's worker and must not block. f.Payload is borrowed until it returns, and may be
	// shared with other listeners: it must not be changed.
	WriteFrame(f Frame)
}

// Frame is one encoded frame for one listener.
type Frame struct {
	Payload   []byte
	Timestamp uint32 // of its first sample, on the room's clock, 48 kHz, from a random start
	Samples   int    // per channel: 960
	Marker    bool   // first of a talk spurt (RFC 3551, section 4.1)
}

// ListenerConfig describes a listener to be added to a room.
type ListenerConfig struct {
	// Owner: sources with the same owner are not heard. Empty: everything is heard.
	Owner string
	Sink  Sink
}

// Listener is one stream out of a room.
type Listener struct {
	room   *Room
	config ListenerConfig
	closed atomic.Bool
	loss   atomic.Int32 // percent, as last reported

	// The worker's own.
	owner  *owner
	joined bool
	gap    bool // frames were not sent: the next that is sent begins a talk spurt
}

// Owner returns the owner given in the configuration.
func (l *Listener) Owner() string { return l.config.Owner }

// SetLoss tells how much of the stream is lost on its way to the listener (0 to 1, from RTCP reports). The redundancy of
// a bus follows its worst eighth of listeners.
func (l *Listener) SetLoss(fraction float64) {
	if !(fraction > 0) {
		fraction = 0
	}
	l.loss.Store(int32(100 * min(fraction, 1)))
}

// Close takes the listener out of the room. It does not wait: when it returns, one last WriteFrame may be under way or
// about to begin on the room's worker. It may be called again.
func (l *Listener) Close() {
	if l.closed.CompareAndSwap(false, true) {
		l.room.removeListener(l)
	}
}
