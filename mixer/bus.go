package mixer

import "fmt"

const (
	// refreshFrames is how many frames in a row are kept back before one is sent whatever it holds: 400 ms, as libopus
	// does in DTX.
	refreshFrames = 20
	// sleepFrames is how long silence is encoded at most before the bus stops: an encoder without DTX never says so itself.
	sleepFrames = 25
	// lossEvery is how often, in frames, the redundancy follows the listeners' reports: once a second.
	lossEvery = 50
	// maxPacket is the longest Opus frame (RFC 6716, section 3.2.1).
	maxPacket = 1275
)

// bus is one distinct mix: a limiter, the frame being filled, an encoder, and whoever hears it.
type bus struct {
	encoder   Encoder
	listeners []*Listener
	excluded  *owner    // whose sources are not in it; nil: the whole mix
	pcm       []float32 // one frame: two ticks
	out       []byte
	busState
}

// busState is what a fork copies beside the encoder.
type busState struct {
	limiter   limiter
	loud      bool // the frame being filled has sound
	asleep    bool // the encoder has said that silence need not be sent
	silent    int  // frames of silence encoded in a row
	unsent    int  // frames kept back in a row
	sinceLoss int  // frames since the loss was looked at
	loss      int  // percent the encoder protects against
	newcomer  bool // a listener has had no packet yet
	rung      int  // of the overload ladder, as the encoder is set
	gaps      bool // every listener knows that a frame was kept back
}

// mixTick takes 10 ms into the first or second half of the frame. src nil is silence.
func (b *bus) mixTick(src []float32, half int) {
	n := len(b.pcm) / frameTicks
	dst := b.pcm[half*n : (half+1)*n]
	if src == nil && b.limiter.idle() {
		clear(dst)
		return
	}
	if b.limiter.process(dst, src) >= silentPeak {
		b.loud = true
	}
}

// encode ends the frame. It returns what to send, nil for nothing, and whether that is a mere sign of life in silence.
func (b *bus) encode(c *counters) (payload []byte, refresh bool) {
	silent := !b.loud
	b.loud = false
	due := b.unsent >= refreshFrames || b.newcomer
	if silent && b.asleep && !due {
		b.unsent++
		c.silentFrames.Add(1)
		return nil, false
	}
	n, err := b.encoder.Encode(b.pcm, b.out)
	c.encodes.Add(1)
	if err != nil || n <= 0 || n > len(b.out) {
		c.encodeErrors.Add(1)
		b.unsent++
		return nil, false
	}
	if silent {
		b.silent++
	} else {
		b.silent = 0
	}
	b.asleep = silent && (n <= 2 || b.silent >= sleepFrames)
	if n <= 2 && !due {
		b.unsent++
		return nil, false
	}
	refresh = b.unsent >= refreshFrames || n <= 2
	b.unsent, b.newcomer = 0, false
	return b.out[:n], refresh
}

// deliver hands the frame to every listener, or notes that there was none.
func (b *bus) deliver(payload []byte, refresh bool, timestamp uint32, c *counters) {
	if payload == nil {
		if !b.gaps {
			for _, l := range b.listeners {
				l.gap = true
			}
			b.gaps = true
		}
		return
	}
	f := Frame{Payload: payload, Timestamp: timestamp, Samples: frameSamples * frameTicks}
	for _, l := range b.listeners {
		f.Marker = l.gap && !refresh
		l.gap = l.gap && refresh
		if !l.closed.Load() {
			l.config.Sink.WriteFrame(f)
		}
	}
	b.gaps = false
	c.frames.Add(uint64(len(b.listeners)))
}

// follow sets the encoder to what the load of the worker and the losses of the listeners ask for.
func (b *bus) follow(rung int, encoding *EncoderConfig) {
	if rung != b.rung {
		b.set(rung, encoding)
	}
	if rung < rungFEC {
		b.followLoss(encoding.LossPercent)
	}
}

// set brings the encoder to a rung of the overload ladder.
func (b *bus) set(rung int, encoding *EncoderConfig) {
	if b.encoder.SetComplexity(complexityAt(rung, encoding.Complexity)) != nil {
		return // again with the next frame
	}
	loss := encoding.LossPercent
	if rung >= rungFEC {
		loss = 0 // no loss expected, no redundancy
	}
	if b.encoder.SetPacketLoss(loss) != nil {
		return
	}
	b.loss, b.sinceLoss, b.rung = loss, lossEvery, rung
}

// followLoss sets the redundancy to what the worst eighth of the listeners loses, once a second.
func (b *bus) followLoss(least int) {
	if b.sinceLoss++; b.sinceLoss < lossEvery {
		return
	}
	b.sinceLoss = 0
	var histogram [101]int
	for _, l := range b.listeners {
		histogram[l.loss.Load()]++
	}
	left, loss := (len(b.listeners)+7)/8, 100
	for ; loss > 0; loss-- {
		if left -= histogram[loss]; left <= 0 {
			break
		}
	}
	// Beyond 30 % redundancy eats the voice it protects.
	loss = max(least, min(loss, 30))
	if d := loss - b.loss; d >= 2 || d <= -2 || (loss == least && d != 0) {
		if b.encoder.SetPacketLoss(loss) == nil {
			b.loss = loss
		}
	}
}

// forkFrom makes b go on exactly where from is.
func (b *bus) forkFrom(from *bus) error {
	c, ok := b.encoder.(stateCopier)
	if !ok {
		return fmt.Errorf("fork bus: %T cannot copy its state", b.encoder)
	}
	if err := c.CopyState(from.encoder); err != nil {
		return fmt.Errorf("fork bus: %w", err)
	}
	b.busState = from.busState
	copy(b.pcm, from.pcm)
	return nil
}

// add puts a listener on the bus.
func (b *bus) add(l *Listener) {
	b.listeners = append(b.listeners, l)
	b.gaps = false
}

// remove takes one listener off.
func (b *bus) remove(l *Listener) {
	for i, x := range b.listeners {
		if x == l {
			last := len(b.listeners) - 1
			b.listeners[i], b.listeners[last] = b.listeners[last], nil
			b.listeners = b.listeners[:last]
			return
		}
	}
}

// move puts the listeners of one owner on another bus.
func move(o *owner, from, to *bus) {
	kept := from.listeners[:0]
	for _, l := range from.listeners {
		if l.owner != o {
			kept = append(kept, l)
		}
	}
	clear(from.listeners[len(kept):])
	from.listeners = kept
	for _, l := range o.listeners {
		to.add(l)
	}
	o.bus = to
}
