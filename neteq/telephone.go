package neteq

// produceTone makes a tick of a telephone event where there is no sound; h is the head packet or nil. It returns false when
// there is nothing for it to do.
func (n *NetEq) produceTone(h *storedFrame) bool {
	if n.events.count == 0 && n.tailOp != OpDTMF {
		return false
	}
	e, left, ok := n.events.at(n.endTS + uint32(n.gen))
	if !ok {
		return n.endTone(h)
	}
	n.toneTick(e, left)
	return true
}

// endTone bridges the time between a tone and what comes next: with silence, because concealment would let the tone ring on.
func (n *NetEq) endTone(h *storedFrame) bool {
	n.tone.stop()
	switch {
	case n.tailOp != OpDTMF:
		return false
	case h == nil && n.events.count == 0: // a sender that has nothing to say
		n.restart(false)
		n.declared = true
		n.made(OpSilence)
		return true
	case h != nil && (n.due(h) || !newer32(h.timestamp, n.endTS)):
		return false
	}
	n.toneTick(toneEvent{}, 0)
	return true
}

// toneTick appends 10 ms that begin with left samples of e and end in silence.
func (n *NetEq) toneTick(e toneEvent, left int) {
	n.reserve(tickSamples)
	if n.channels == 1 {
		n.dec[0] = n.pcm
	}
	x := n.dec[0][:tickSamples]
	clear(x)
	n.sing(x, e, left, n.endTS+uint32(n.gen))
	if n.channels == 2 {
		copy(n.dec[1], x)
	}
	n.sync.append(&n.dec, tickSamples)
	n.endTS += uint32(n.gen) + tickSamples
	n.gen = 0
	n.st.endRun(false, true)
	n.st.counted = true
	n.exp.reset()
	n.expanded, n.plc, n.dtx, n.sid = false, false, false, false
	n.made(OpDTMF)
}

// sing adds up to left samples of e, which sounds at media time at, to mono x.
func (n *NetEq) sing(x []float32, e toneEvent, left int, at uint32) {
	if left <= 0 || !n.cfg.PlayTones || n.tone.start(e.event, e.volume, sampleRate) != nil {
		return
	}
	n.tone.n = int(int32(at - e.timestamp))
	var tone [tickSamples]float32
	y := tone[:min(len(x), left)]
	_ = n.tone.fill(y) // cannot fail: it was started
	for i, v := range y {
		if remaining := left - i; e.ended && remaining < toneFade {
			v *= float32(remaining) / toneFade
		}
		x[i] += v
	}
}

// overdub adds a tone to a frame of other sound that begins at media time at: some senders go on talking.
func (n *NetEq) overdub(frame []float32, at uint32) {
	if n.events.count == 0 {
		n.tone.stop()
		return
	}
	if n.tailOp == OpDTMF || n.state != statePlaying {
		return
	}
	e, left, ok := n.events.at(at)
	if !ok {
		n.tone.stop()
		return
	}
	var tone [tickSamples]float32
	n.sing(tone[:], e, left, at)
	for i, v := range tone {
		for c := range n.channels {
			frame[i*n.channels+c] += v
		}
	}
}
