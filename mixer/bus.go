package mixer

import "fmt"

// All in ticks, because frames differ.
const (
	// refreshTicks is how long frames are kept back before one is sent whatever it holds: 400 ms, as libopus does in DTX.
	refreshTicks = 40
	// sleepTicks is how long silence is encoded at most before the bus stops: an encoder without DTX never says so itself.
	sleepTicks = 50
	// lossTicks is how often the redundancy follows the listeners' reports: once a second.
	lossTicks = 100
)

const (
	// leastBitrate is the least that libopus takes for voice (RFC 6716, section 2.1.1).
	leastBitrate = 6000
	// maxPacket is the longest Opus frame (RFC 6716, section 3.2.1); a packet of 40 ms may hold two, and their lengths.
	maxPacket = 2*1275 + 7
)

// bus is an encoder on a mix, for the listeners of one tier.
type bus struct {
	mix       *mix
	tier      Tier
	encoder   Encoder
	listeners []*Listener
	out       [2][]byte // the payload of the last frame, and of the one before
	ready     outgoing
	busState
}

// busState is what a fork copies beside the encoder.
type busState struct {
	ticks     int     // per frame
	asleep    bool    // the encoder has said that silence need not be sent
	silent    int     // ticks of silence encoded in a row
	unsent    int     // ticks kept back in a row
	sinceLoss int     // ticks since the loss was looked at
	loss      int     // percent the encoder protects against
	newcomer  bool    // a listener has had no packet yet
	set       setting // of the encoder
	gaps      bool    // every listener knows that a frame was kept back
	next      int     // index in out of the payload to be written
	before    sent
}

// setting is what the encoder's settings are made from.
type setting struct {
	rung int // of the overload ladder
	tier Tier
}

// sent is the frame that was sent last.
type sent struct {
	timestamp, samples uint32
	size               int // of its payload; 0: none
}

// outgoing is what encode has made for deliver. Payloads are valid until the bus has encoded twice more.
type outgoing struct {
	frame   Frame // without payload: nothing is to be sent
	refresh bool  // a mere sign of life in silence
}

// encode ends the frame of ticks that ends at a place, and puts into ready what is to be sent.
func (b *bus) encode(place int, timestamp uint32, c *counters) {
	b.ready = outgoing{}
	pcm, loud := b.mix.frame(b.ticks, place)
	due := b.unsent >= refreshTicks || b.newcomer
	if !loud && b.asleep && !due {
		b.unsent += b.ticks
		c.silentFrames.Add(1)
		return
	}
	n, err := b.encoder.Encode(pcm, b.out[b.next])
	c.encodes.Add(1)
	if err != nil || n <= 0 || n > len(b.out[b.next]) {
		c.encodeErrors.Add(1)
		b.unsent += b.ticks
		return
	}
	if loud {
		b.silent = 0
	} else {
		b.silent += b.ticks
	}
	b.asleep = !loud && (n <= 2 || b.silent >= sleepTicks)
	if n <= 2 && !due {
		b.unsent += b.ticks
		return
	}
	f := Frame{Payload: b.out[b.next][:n], Timestamp: timestamp, Samples: b.ticks * frameSamples}
	if p := b.before; p.size > 2 && p.timestamp+p.samples == timestamp {
		f.Redundant, f.RedundantOffset = b.out[1-b.next][:p.size], p.samples
	}
	b.ready = outgoing{f, b.unsent >= refreshTicks || n <= 2}
	b.before = sent{timestamp, uint32(f.Samples), n}
	b.next = 1 - b.next
	b.unsent, b.newcomer = 0, false
}

// pause notes that encode has made nothing to be sent.
func (b *bus) pause() {
	if b.gaps {
		return
	}
	for _, l := range b.listeners {
		l.gap = true
	}
	b.gaps = true
}

// deliver hands what encode has made to some of the listeners, on any worker.
func (b *bus) deliver(w *worker, from, to int) {
	f := b.ready.frame
	f.Worker = w.index
	refresh, redundant := b.ready.refresh, f.Redundant
	repeated := 0
	for _, l := range b.listeners[from:to] {
		f.Marker = l.gap && !refresh
		l.gap = l.gap && refresh
		f.Redundant = nil
		if redundant != nil && l.redundant.Load() {
			f.Redundant = redundant
			repeated++
		}
		if !l.closed.Load() {
			l.config.Sink.WriteFrame(f)
		}
	}
	w.handed = true
	w.frames.Add(uint64(to - from))
	if repeated > 0 {
		w.repeated.Add(uint64(repeated))
	}
}

// follow sets the encoder to what the tier, the load of the worker and the losses of the listeners ask for.
func (b *bus) follow(rung int, encoding *EncoderConfig) {
	if b.tier > Poor {
		return
	}
	if want := (setting{rung, b.tier}); want != b.set {
		b.apply(want, encoding)
	}
	if rung < rungFEC {
		b.followLoss(encoding.LossPercent)
	}
}

// apply brings the encoder to a tier and a rung of the overload ladder, and returns whether it could.
func (b *bus) apply(want setting, encoding *EncoderConfig) bool {
	loss := encoding.LossPercent
	if want.rung >= rungFEC {
		loss = 0 // no loss expected, no redundancy
	}
	if b.encoder.SetComplexity(complexityAt(want.rung, encoding.Complexity)) != nil ||
		b.encoder.SetBitrate(encoding.bitrate(want.tier)) != nil || b.encoder.SetPacketLoss(loss) != nil {
		return false // again with the next frame
	}
	b.loss, b.sinceLoss, b.set = loss, lossTicks, want
	return true
}

// followLoss sets the redundancy to what the worst eighth of the listeners loses, once a second. Who is on the way to another
// tier does not count, and who gets every frame twice only with what is lost of both.
func (b *bus) followLoss(least int) {
	if b.sinceLoss += b.ticks; b.sinceLoss < lossTicks {
		return
	}
	b.sinceLoss = 0
	var histogram [101]int
	counted := 0
	for _, l := range b.listeners {
		if Tier(l.tier.Load()) == b.tier {
			histogram[l.loss.Load()]++
			counted++
		}
	}
	left, loss := (counted+7)/8, 0
	for p := 100; p > 0 && left > 0; p-- {
		if left -= histogram[p]; left <= 0 {
			loss = p
		}
	}
	loss = max(least, protection(b.tier, loss))
	if d := loss - b.loss; d >= 2 || d <= -2 || (loss == least && d != 0) {
		if b.encoder.SetPacketLoss(loss) == nil {
			b.loss = loss
		}
	}
}

// protection is what loss the encoder is to be told, in percent, so that it does what helps most at a tier's rate. libopus leaves the
// redundancy out where it finds the rate too low for the loss that it is told, and beyond that point, the more loss it is told, the more it
// takes from the voice. PESQ-WB of speech through 15 % of loss: at 24 kb/s 2.68 told 6 % and 2.28 told 20; at 16 kb/s in frames of 40 ms 1.56
// told 20 or less (no redundancy at all), 1.97 told 25 and 1.95 told 30. At 5 % of loss the latter are even.
func protection(t Tier, loss int) int {
	switch {
	case t == Good && loss >= 3:
		return 6
	case t == Poor && loss > 5:
		return 25
	}
	return min(loss, 5)
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
	copy(b.out[1-b.next], from.out[1-b.next][:b.before.size])
	return nil
}

// add puts a listener on the bus.
func (b *bus) add(l *Listener) {
	l.bus, l.index = b, len(b.listeners)
	b.listeners = append(b.listeners, l)
	b.gaps = false
}

// remove takes one off.
func (b *bus) remove(l *Listener) {
	last := len(b.listeners) - 1
	moved := b.listeners[last]
	b.listeners[l.index], moved.index = moved, l.index
	b.listeners[last] = nil
	b.listeners = b.listeners[:last]
	l.bus = nil
}
