package neteq

import (
	"fmt"
	"math"
	"time"
)

const (
	// eventExtrapolation is how long a tone goes on whose end was not seen: 70 ms.
	eventExtrapolation = 70 * millisecond
	// eventLimit is the longest tone that is played, against senders that never end one.
	eventLimit = 6 * sampleRate
	maxEvents  = 8
	// eventsPerSecond may begin; faster than that nobody presses keys.
	eventsPerSecond = 20
	// toneAmplitude of the upper sine at volume 0 is half of full scale: both together stay 1.4 dB below it.
	toneAmplitude = 16141.0 / 32768
	// toneFade is the end of a tone that is faded out.
	toneFade = 2 * millisecond
)

// toneEvent is a telephone event (RFC 4733, section 2.3).
type toneEvent struct {
	timestamp uint32 // 48 kHz
	event     uint8  // 0 to 15: 0-9, *, #, A-D
	volume    uint8  // 0 to 63, -dBm0
	samples   int    // duration so far, 48 kHz
	ended     bool
}

// parseEvent reads the payload of a telephone event; scale is 48 kHz over the RTP clock.
func parseEvent(ts uint32, payload []byte, scale int) (toneEvent, error) {
	if len(payload) < 4 {
		return toneEvent{}, fmt.Errorf("%w: telephone event of %d bytes", ErrMalformed, len(payload))
	}
	e := toneEvent{timestamp: ts, event: payload[0], ended: payload[1]&0x80 != 0, volume: payload[1] & 0x3f,
		samples: (int(payload[2])<<8 | int(payload[3])) * scale}
	if e.event > 15 || e.samples == 0 {
		return toneEvent{}, fmt.Errorf("%w: telephone event %d of %d samples", ErrMalformed, e.event, e.samples)
	}
	return e, nil
}

// eventBuffer keeps the events to come, in order of time.
type eventBuffer struct {
	events  [maxEvents]toneEvent
	count   int
	done    toneEvent // the last one that is over
	hasDone bool
}

// insert adds an event or prolongs the one it continues. It returns whether the event is new.
func (b *eventBuffer) insert(e toneEvent) bool {
	e.samples = min(e.samples, eventLimit)
	if d := &b.done; b.hasDone && d.timestamp == e.timestamp && d.event == e.event && (e.ended || e.samples <= d.samples) {
		return false // the end of an event is sent three times (RFC 4733, section 2.5.1.4)
	}
	if old := b.find(e); old != nil {
		if !old.ended {
			old.samples = max(old.samples, e.samples)
		}
		old.ended = old.ended || e.ended
		return false
	}
	if b.count == maxEvents {
		copy(b.events[:], b.events[1:])
		b.count--
	}
	i := b.count
	for i > 0 && (newer32(b.events[i-1].timestamp, e.timestamp) ||
		b.events[i-1].timestamp == e.timestamp && b.events[i-1].event > e.event) {
		b.events[i] = b.events[i-1]
		i--
	}
	b.events[i] = e
	b.count++
	return true
}

// find returns the event that e continues, nil when there is none.
func (b *eventBuffer) find(e toneEvent) *toneEvent {
	for i := range b.events[:b.count] {
		if old := &b.events[i]; old.timestamp == e.timestamp && old.event == e.event {
			return old
		}
	}
	return nil
}

// known tells whether e is about an event that is waiting, sounding, or the last one that did.
func (b *eventBuffer) known(e toneEvent) bool {
	return b.find(e) != nil || b.hasDone && b.done.timestamp == e.timestamp && b.done.event == e.event
}

// at returns the event that sounds at ts and for how many samples more it does, and forgets those that are over.
func (b *eventBuffer) at(ts uint32) (e toneEvent, left int, ok bool) {
	for i := 0; i < b.count; {
		e := &b.events[i]
		end := e.timestamp + uint32(e.samples)
		if !e.ended {
			end += eventExtrapolation
			if i+1 < b.count && newer32(end, b.events[i+1].timestamp) {
				end = b.events[i+1].timestamp
			}
		}
		if !newer32(end, ts) {
			b.done, b.hasDone = *e, true
			copy(b.events[i:], b.events[i+1:b.count])
			b.count--
			continue
		}
		if !newer32(e.timestamp, ts) {
			return *e, int(int32(end - ts)), true
		}
		i++
	}
	return toneEvent{}, 0, false
}

func (b *eventBuffer) reset() { b.count, b.hasDone = 0, false }

// eventPace bounds how many events begin in any second.
type eventPace struct {
	begun [eventsPerSecond]time.Duration // ring, when full
	count int
}

// allow notes an event that begins at now, unless there were too many in the second before.
func (p *eventPace) allow(now time.Duration) bool {
	oldest := &p.begun[p.count%eventsPerSecond]
	if p.count >= eventsPerSecond && now-*oldest < time.Second {
		return false
	}
	*oldest = now
	p.count++
	return true
}

// The frequencies of the rows and columns of a telephone keypad (ITU-T Q.23), in Hz.
var (
	toneRows    = [4]float64{697, 770, 852, 941}
	toneColumns = [4]float64{1209, 1336, 1477, 1633}
	// toneKeys gives row and column of an event.
	toneKeys = [16][2]uint8{{3, 1}, {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}, {3, 0}, {3, 2},
		{0, 3}, {1, 3}, {2, 3}, {3, 3}}
)

// toneGenerator makes the two sines of an event. What it makes depends on the time since the event began and on nothing
// else, so that it goes on without a break from call to call.
type toneGenerator struct {
	active    bool
	event     uint8
	volume    uint8
	n         int // samples since the start
	amplitude float64
	low, high float64 // radians per sample
}

// start sets the generator to an event, going on when it is the same.
func (g *toneGenerator) start(event, volume uint8, rate float64) error {
	if event > 15 || volume > 63 {
		return fmt.Errorf("%w: tone %d at volume %d", ErrMalformed, event, volume)
	}
	if g.active && g.event == event && g.volume == volume {
		return nil
	}
	key := toneKeys[event]
	*g = toneGenerator{active: true, event: event, volume: volume,
		amplitude: toneAmplitude * math.Pow(10, -float64(volume)/20),
		low:       2 * math.Pi * toneRows[key[0]] / rate, high: 2 * math.Pi * toneColumns[key[1]] / rate}
	return nil
}

// fill writes the tone into x. Before start it is an error.
func (g *toneGenerator) fill(x []float32) error {
	if !g.active {
		return fmt.Errorf("%w: tone generator not started", ErrMalformed)
	}
	for i := range x {
		g.n++
		t := float64(-g.n) // so does libwebrtc's recursion run
		x[i] = float32(g.amplitude * (math.Sqrt2/2*math.Sin(g.low*t) + math.Sin(g.high*t)))
	}
	return nil
}

func (g *toneGenerator) stop() { g.active = false }
