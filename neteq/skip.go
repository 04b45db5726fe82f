package neteq

import "time"

// primePackets are decoded unheard before a source is heard again: 80 ms bring an Opus decoder back into step (RFC 7845,
// section 4.6).
const (
	primePackets = 4
	primeSamples = 80 * millisecond
	// releaseTicks without being heard, a minute, give the decoders back: they are most of what a source costs in memory.
	releaseTicks = 6000
)

// skipState holds what a source that is not heard keeps for its return.
type skipState struct {
	active bool
	ticks  int                  // since it became active
	slots  [primePackets]uint16 // newest packets passed, oldest first; their slots stay taken
	count  int
	// The newest thing passed was a silence description, with this timestamp: what goes on is its noise.
	noise   bool
	noiseTS uint32
}

// keep takes over a slot, giving back the oldest when there are too many.
func (s *skipState) keep(b *packetBuffer, slot uint16) {
	if s.count == primePackets {
		b.release(s.slots[0])
		copy(s.slots[:], s.slots[1:])
		s.count--
	}
	s.slots[s.count] = slot
	s.count++
}

func (s *skipState) release(b *packetBuffer) {
	for _, slot := range s.slots[:s.count] {
		b.release(slot)
	}
	s.count, s.noise = 0, false
}

// Skip moves on by one tick without decoding: for a source nobody hears. Packets whose time passes are dropped, but for the
// newest four, which bring the decoder back into step when Get is called again. The play position is kept exactly at the
// target delay, which costs nothing while nobody listens. After a minute the decoders are forgotten; they are made again when the
// source is heard again.
func (n *NetEq) Skip(now time.Duration) {
	n.ticks++
	n.now = now
	n.burst = 0
	n.st.s.SkippedSamples += tickSamples
	n.st.s.Operations[OpSkipped]++
	if !n.skip.active {
		n.skip.active, n.skip.ticks = true, 0
		n.skip.noise, n.skip.noiseTS = n.sid, n.endTS
		n.st.endRun(false, true)
		n.sync.clearFuture()
		n.sync.appendZeros(overlapSamples)
		n.restart(false)
	}
	if n.skip.ticks++; n.skip.ticks == releaseTicks {
		n.reg.release()
	}
	if n.declared && n.buf.len() > 0 {
		n.declared = false
	}
	if n.hist.count == 0 {
		return
	}
	n.pass(n.skipDue())
}

// skipDelay is the delay kept in skip mode: the target, but no less than what a tick and its phase need.
func (n *NetEq) skipDelay() time.Duration { return max(startDelay, n.target()) }

// skipDue is where the play position is in skip mode.
func (n *NetEq) skipDue() uint32 {
	return n.newestTS + uint32(timeToSamples(n.hist.lateness(n.newestTS, n.now)-n.skipDelay()))
}

// pass drops the packets that end before due, but for the newest four.
func (n *NetEq) pass(due uint32) {
	for h := n.buf.head(); h != nil && !newer32(h.timestamp+uint32(h.samples), due); h = n.buf.head() {
		if h.kind == kindSpeech && (h.redLevel == 0 || n.skip.count == 0 || n.buf.slots[n.skip.slots[n.skip.count-1]].timestamp != h.timestamp) {
			n.skip.noise = false
			n.skip.keep(n.buf, n.buf.take())
			continue
		}
		if h.kind == kindNoise {
			n.skip.noise, n.skip.noiseTS = true, h.timestamp
			n.noteNoise(h)
		}
		n.buf.drop(0)
	}
}

// prime ends skip mode: the kept packets go through the decoder, and what comes out is heard by nobody but becomes the
// history that concealment needs. Playing goes on where it would be, in the middle of a packet if need be, or in the noise that
// the sender described last. When nothing is due, as in a pause of the sender, the next packet is one to start with.
func (n *NetEq) prime() {
	n.skip.active = false
	due, known := uint32(0), n.hist.count > 0
	if known {
		due = n.skipDue()
		n.pass(due)
	}
	// Long packets: only as many as are needed.
	from := n.skip.count
	for k := 0; from > 0 && k < primeSamples; from-- {
		k += n.buf.slots[n.skip.slots[from-1]].samples
	}
	primed := false
	for i, slot := range n.skip.slots[from:n.skip.count] {
		f := &n.buf.slots[slot]
		if i == 0 && n.skip.count < primePackets {
			if c := n.reg.get(f.payload); c != nil && c.decoder != nil {
				_ = c.decoder.Reset() // a decoder that cannot be reset is still better than none
			}
		}
		if k := n.decode(f); k > 0 {
			n.sync.append(&n.dec, k)
			n.sync.read += k
			n.lastSeq, n.lastFrame = f.sequence, f.samples
			primed = true
		}
	}
	if primed {
		n.measurePlayed()
		// What was decoded last lies just before the play position: keep the overlap unplayed, as silence to fade in from.
		n.sync.clearFuture()
		n.sync.appendZeros(overlapSamples)
		n.gen = 0
		if h := n.buf.head(); known && h != nil && h.kind == kindSpeech && !newer32(h.timestamp, due) {
			n.endTS = due
			n.state = statePlaying
		}
	}
	if n.skip.noise && known && n.state == stateWaiting {
		n.cn.restart()
		n.endTS, n.gen = n.skip.noiseTS, max(0, int(int32(due-n.skip.noiseTS)))
		n.dtx, n.sid = true, true
		n.state = statePlaying
	}
	n.skip.release(n.buf)
	n.rampLeft = tickSamples
	if n.state == stateWaiting {
		n.declared = true // what nobody heard is not missed
	}
}
