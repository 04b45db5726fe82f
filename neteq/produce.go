package neteq

import "time"

// maxHole is the longest gap between timestamps that is concealed to its end when packets wait behind it.
const maxHole = jumpSamples

// A hole of longHole is cut short, for at least holeGain, as soon as the sound behind it has waited for 1/holePart of the
// target.
const (
	longHole = 100 * millisecond
	holeGain = 60 * millisecond
	holePart = 5
)

// jointSamples is how long a concealment is faded into what comes after it.
const jointSamples = 5 * millisecond

// produce appends some sound to the sync buffer: the next packet, redundancy, noise or concealment.
func (n *NetEq) produce() {
	h := n.buf.head()
	if n.declared {
		if h == nil || !n.resumable(h) {
			n.fadeOut()
			return
		}
		n.declared = false
	}
	if (h == nil || h.timestamp != n.endTS) && n.produceTone(h) {
		return
	}
	if h == nil {
		n.produceNothing()
		return
	}
	leap := int(int32(h.timestamp - n.endTS))
	if n.contiguous(h, leap) {
		n.st.s.ToleratedTimestamps++
		n.endTS, leap = h.timestamp, 0
	}
	switch {
	case leap <= 0:
		if n.dtx && n.gen > 0 && !n.due(h) {
			n.comfortNoise(tickSamples)
			return
		}
		n.play(h, leap)
	case n.dtx:
		if n.due(h) {
			n.play(h, 0)
			return
		}
		n.comfortNoise(tickSamples)
	case n.gen == 0 && n.early(h) && n.codec != nil && n.codec.kind != codecOpus:
		n.conceal(tickSamples) // a hole is not closed without a joint; Opus makes its own
	case n.gen >= leap || n.early(h) || leap > maxHole:
		n.play(h, 0)
	case n.cutShort(h, leap):
		if fec := h.fecSamples; fec > 0 && leap-n.gen >= fec && n.playFEC(h, fec) {
			return
		}
		n.play(h, 0)
	default:
		n.fill(h, leap-n.gen)
	}
}

// resumable tells whether a packet belongs to the time after a declared gap.
func (n *NetEq) resumable(h *storedFrame) bool {
	return n.hist.count > 0 && n.now-h.arrival < time.Second
}

// contiguous tells whether h is the next packet in sequence with a slightly wrong timestamp.
func (n *NetEq) contiguous(h *storedFrame, leap int) bool {
	return leap != 0 && leap >= -tolerance && leap <= tolerance && n.gen == 0 && !n.dtx &&
		n.cfg.Policy == PolicyAdaptive && h.redLevel == 0 && h.sequence == n.lastSeq+1
}

// due tells whether h, after an announced silence, has waited for the target delay: the best place to set the delay right.
func (n *NetEq) due(h *storedFrame) bool {
	if n.cfg.Policy != PolicyAdaptive {
		leap := int(int32(h.timestamp - n.endTS))
		return n.gen >= leap || n.early(h)
	}
	wait := n.now - h.arrival
	if n.hist.count > 0 {
		wait = n.hist.lateness(h.timestamp, n.now)
	}
	wait += time.Duration(max(0, n.left())/tickSamples) * tickDuration
	return wait >= max(startDelay, n.target())
}

// early tells whether so much is buffered behind a hole that it should be cut short.
func (n *NetEq) early(h *storedFrame) bool {
	span := samplesToTime(int64(int32(n.buf.newest().timestamp-h.timestamp))) + n.now - n.buf.newest().arrival
	return span > n.target()+50*time.Millisecond
}

// cutShort tells whether a long hole is to end at once with h: more concealment helps nobody. What delay it costs comes back.
func (n *NetEq) cutShort(h *storedFrame, leap int) bool {
	if n.cfg.Policy != PolicyAdaptive || n.gen < longHole || leap-n.gen < holeGain {
		return false
	}
	at := h.timestamp
	if h.fecSamples > 0 {
		at -= uint32(h.fecSamples)
	}
	return n.hist.lateness(at, n.now)+time.Duration(max(0, n.left())/tickSamples)*tickDuration >= max(startDelay, n.target()/holePart)
}

// play decodes the head packet onto the end of the sync buffer. skip < 0 tells how much of it was played already.
func (n *NetEq) play(h *storedFrame, leap int) {
	if h.kind == kindNoise {
		n.describeSilence(h)
		return
	}
	concealed := n.gen
	wasDTX := n.dtx
	late := leap == 0 && concealed > 0 && h.timestamp == n.endTS
	paused := n.pausedBefore(h)
	before := n.codec
	joint := n.rewound(late)
	decoded := n.decode(h)
	n.emitted(h, h.samples)
	n.lastFrame = h.samples
	if h.redLevel > 0 {
		n.st.s.REDPacketsUsed++
	} else if h.fecSamples > 0 && !n.fecUsed(h) {
		n.st.s.FECPacketsDiscarded++
		n.st.s.RedundancyUnused++
	}
	n.lastSeq = h.sequence
	n.dtx, n.sid = h.isDTX, false
	n.endTS = h.timestamp + uint32(h.samples)
	n.gen = 0
	n.buf.drop(0)
	if decoded == 0 {
		// A packet that does not decode is a lost one.
		n.endTS -= uint32(h.samples)
		n.gen = 0
		n.concealLost(h.samples)
		return
	}
	if !n.st.counted {
		n.st.counted = true
	}
	x, k := n.dec, decoded
	if leap < 0 {
		for c := range n.channels {
			x[c] = x[c][min(-leap, k):]
		}
		k -= min(-leap, k)
	}
	op := OpNormal
	if n.dtx {
		op = OpCodecCNG
	}
	if joint {
		n.join(&x, k)
	}
	switch {
	case k == 0:
	case n.expanded && !wasDTX && late:
		normalAfter(n.sync, n.exp, &n.bg, &x, k)
		n.sync.append(&x, k)
	case n.expanded && !wasDTX:
		n.st.correct(merge(n.sync, n.exp, n.background(), &x, k))
		op = OpMerge
	case n.tailOp == OpRFC3389CNG || before != nil && before != n.codec || leap < 0 || n.plc && !late && concealed == 0:
		n.sync.appendCrossfade(&x, k, overlapSamples)
	default:
		n.sync.append(&x, k)
	}
	n.st.endRun(late, paused)
	n.exp.reset()
	n.expanded, n.plc = false, false
	n.fade = 1
	n.made(op)
}

// pausedBefore tells whether the time before h, the next packet in sequence, is one in which nothing was sent: its
// timestamp accounts for what was concealed.
func (n *NetEq) pausedBefore(h *storedFrame) bool {
	return h.redLevel == 0 && h.sequence == n.lastSeq+1 && 2*int(int32(h.timestamp-n.endTS)) >= n.gen
}

// made notes how the end of the sync buffer came about.
func (n *NetEq) made(op Operation) {
	n.tailOp = op
	if op != OpNormal || n.tickOp == OpSilence {
		n.tickOp = op
	}
}

// background is the noise that concealment sinks into; libwebrtc has none.
func (n *NetEq) background() *[2]backgroundNoise {
	if n.cfg.Policy == PolicyM150 || n.cfg.Policy == PolicyLevels {
		return nil
	}
	return &n.bg
}

func (n *NetEq) fecUsed(h *storedFrame) bool { return h.fecSamples < 0 }

// fill bridges missing samples before h, which is there: with h's redundancy for its part, with concealment for the rest.
func (n *NetEq) fill(h *storedFrame, missing int) {
	if fec := h.fecSamples; fec > 0 && missing <= fec {
		if n.playFEC(h, fec) {
			return
		}
	} else if fec > 0 {
		missing -= fec
	}
	if n.bridgeable(h, missing) {
		n.bridge(h, missing)
		return
	}
	n.concealLost(missing)
}

// playFEC decodes h's redundancy about the time just before it.
func (n *NetEq) playFEC(h *storedFrame, fec int) bool {
	c := n.reg.get(h.payload)
	if c == nil {
		return false
	}
	d := c.open()
	if d == nil {
		return false
	}
	n.use(c)
	n.reserve(fec)
	size := fec * n.channels
	if _, err := d.DecodeFEC(h.data, n.pcm[:size:size]); err != nil {
		h.fecSamples = 0
		return false
	}
	h.fecSamples = -fec // used
	n.rewind = nil
	k := n.split(fec)
	n.st.s.FECPacketsUsed++
	if n.expanded {
		n.st.correct(merge(n.sync, n.exp, n.background(), &n.dec, k))
	} else {
		n.sync.append(&n.dec, k)
	}
	n.emitted(h, k)
	n.st.endRun(false, false)
	n.exp.reset()
	n.expanded, n.plc = false, false
	n.endTS = h.timestamp
	n.gen = 0
	n.made(OpFEC)
	return true
}

// produceNothing answers an empty packet buffer.
func (n *NetEq) produceNothing() {
	if n.dtx {
		if n.cfg.Policy == PolicyAdaptive || n.gen < sampleRate {
			n.comfortNoise(tickSamples)
			return
		}
		n.dtx = false
	}
	n.conceal(tickSamples)
}

// describeSilence takes the head packet, a silence description.
func (n *NetEq) describeSilence(h *storedFrame) {
	n.noteNoise(h)
	if !n.sid {
		n.cn.restart()
	}
	n.lastSeq = h.sequence
	n.endTS = h.timestamp
	n.gen = 0
	n.buf.drop(0)
	n.dtx, n.sid, n.plc, n.expanded = true, true, false, false
	n.st.endRun(false, false)
	n.st.counted = true
	n.exp.reset()
	if next := n.buf.head(); next != nil && n.due(next) {
		return // what follows waits already
	}
	n.comfortNoise(tickSamples)
}

// noteNoise takes what h, a silence description, says.
func (n *NetEq) noteNoise(h *storedFrame) {
	if c := n.reg.get(h.payload); n.cn == nil || n.cn.factor != int(c.scale) {
		n.cn = newComfortNoise(int(c.scale))
	}
	n.cn.update(h.data)
}

// comfortNoise makes the noise of an announced silence: as described, or as the codec has it.
func (n *NetEq) comfortNoise(k int) {
	if n.sid {
		n.describedNoise(k)
		return
	}
	if !n.codecConceal(k) {
		n.dtx = false
		n.conceal(k)
		return
	}
	n.gen += k
	n.st.s.GeneratedNoiseSamples += uint64(k)
	n.made(OpCodecCNG)
}

// describedNoise appends k samples of RFC 3389 noise; the first of a period are faded in.
func (n *NetEq) describedNoise(k int) {
	n.reserve(k + overlapSamples)
	if n.channels == 1 {
		n.dec[0] = n.pcm
	}
	fade := 0
	if n.tailOp != OpRFC3389CNG {
		fade = overlapSamples
	}
	x := n.dec[0][:k+fade]
	n.cn.generate(x)
	if n.channels == 2 {
		copy(n.dec[1], x)
	}
	n.sync.appendCrossfade(&n.dec, k+fade, fade)
	n.gen += k
	n.st.s.GeneratedNoiseSamples += uint64(k)
	n.made(OpRFC3389CNG)
}

// concealLost conceals up to missing samples that are known not to come, a packet's length at a time at most.
func (n *NetEq) concealLost(missing int) {
	if n.lastFrame > 0 {
		missing = min(missing, n.lastFrame)
	}
	n.conceal(missing)
}

// conceal invents about k samples; the codec makes whole 2.5 ms, Expand whole periods.
func (n *NetEq) conceal(k int) {
	made := 0
	if n.useCodecPLC() && !n.plc {
		n.mark()
	}
	if n.useCodecPLC() && n.codecConceal((k+119)/120*120) {
		made = (k + 119) / 120 * 120
		if over := made - k; over > 0 {
			n.sync.truncate(n.sync.future() - over)
			made = k
		}
		n.plc = true
		n.made(OpCodecPLC)
	} else {
		made = n.exp.process(n.sync, n.background())
		n.sync.append(&n.exp.out, made)
		n.expanded = true
		n.made(OpExpand)
	}
	silent := n.expanded && n.exp.muted() && n.background() == nil
	n.st.conceal(made, silent)
	n.gen += made
	n.fadeLong(made, silent)
}

func (n *NetEq) useCodecPLC() bool {
	return !n.cfg.DisableCodecConcealment && !n.expanded && n.cfg.Policy != PolicyM150 && n.cfg.Policy != PolicyLevels
}

// codecConceal appends k samples of the codec's concealment, or comfort noise when it is in DTX.
func (n *NetEq) codecConceal(k int) bool {
	if n.codec == nil || n.codec.decoder == nil {
		return false
	}
	n.reserve(k)
	size := k * n.channels
	if _, err := n.codec.decoder.Conceal(n.pcm[:size:size]); err != nil {
		return false
	}
	n.sync.append(&n.dec, n.split(k))
	return true
}

// mark remembers the decoder's state before it conceals.
func (n *NetEq) mark() {
	n.rewind = nil
	if n.codec != nil && n.codec.decoder != nil && n.cfg.Policy == PolicyAdaptive {
		if r, ok := n.codec.decoder.(Rewinder); ok {
			n.rewind = r
			r.Mark()
		}
	}
}

// rewound takes the decoder back to before the concealment, whose continuation is kept to be joined with what follows.
func (n *NetEq) rewound(late bool) bool {
	r := n.rewind
	n.rewind = nil
	if r == nil || !n.plc || !late || n.codec == nil || any(n.codec.decoder) != any(r) {
		return false
	}
	n.reserve(jointSamples)
	size := jointSamples * n.channels
	if _, err := n.codec.decoder.Conceal(n.pcm[:size:size]); err != nil {
		return false
	}
	n.split(jointSamples)
	for c := range n.channels {
		copy(n.joint[c][:], n.dec[c])
	}
	r.Rewind()
	return true
}

// join fades from the continued concealment to the k samples in x.
func (n *NetEq) join(x *[2][]float32, k int) {
	k = min(k, jointSamples)
	for c := range n.channels {
		t := n.joint[c][:k]
		crossfade(t, x[c][:k])
		copy(x[c][:k], t)
	}
}

// fadeLong ends a concealment that has gone on for seconds.
func (n *NetEq) fadeLong(made int, silent bool) {
	if silent && n.buf.len() == 0 {
		n.mute()
		return
	}
	if n.gen < concealHold {
		return
	}
	after := max(0, 1-float32(n.gen-concealHold)/concealFade)
	for c := range n.channels {
		x := n.sync.ch[c][n.sync.end()-made:]
		ramp(x, n.fade, (after-n.fade)/float32(made))
	}
	n.fade = after
	if after == 0 && n.buf.len() == 0 {
		n.mute()
	}
}

// mute gives up the play position after everything faded.
func (n *NetEq) mute() {
	gen := n.gen
	n.restart(false)
	n.gen = gen
	n.muted = true
}

// fadeOut ends what is heard within this tick, because the sender said that it stops.
func (n *NetEq) fadeOut() {
	n.st.endRun(false, true)
	if !n.codecConceal(tickSamples) {
		for n.left() < tickSamples {
			n.sync.append(&n.exp.out, n.exp.process(n.sync, n.background()))
		}
	}
	n.sync.truncate(tickSamples)
	for c := range n.channels {
		ramp(n.sync.ch[c][n.sync.read:], 1, -1.0/tickSamples)
	}
	n.sync.appendZeros(overlapSamples)
	n.restart(false)
	n.declared = true
	n.made(OpSilence)
}
