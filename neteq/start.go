package neteq

import "time"

// Settings of starts and restarts under PolicyAdaptive.
const (
	// startDelay is the least time the first packet waits: it tells a link without jitter from one with little, and keeps
	// the mean delay of a perfect link at 17 ms, below two ticks in any phase.
	startDelay = 12 * time.Millisecond
	// startDelayMax bounds that wait for what is known of the network.
	startDelayMax = 40 * time.Millisecond
	// cutExcess beyond the target is cut rather than played fast.
	cutExcess = time.Second
)

// start looks for a packet to begin with, at first or after silence.
func (n *NetEq) start() bool {
	h := n.buf.head()
	if h == nil {
		return n.startTone()
	}
	if n.cfg.Policy == PolicyAdaptive {
		wait := max(startDelay, min(n.target(), startDelayMax))
		if n.cons.effectiveMinimum() > wait {
			wait = n.cons.effectiveMinimum()
		}
		age := n.hist.lateness(h.timestamp, n.now)
		if n.hist.count == 0 {
			age = n.now - h.arrival
		}
		if age < wait {
			return false
		}
		n.trim(age)
		h = n.buf.head()
	} else if !n.fresh {
		level := samplesToTime(int64(n.buf.span(n.lastFrame)))
		if level < n.target()/2 && n.now-h.arrival < 200*time.Millisecond {
			return false
		}
	}
	n.st.endRun(false, n.pausedBefore(h))
	if n.fresh {
		n.settle.start(n.now)
	}
	n.endTS = h.timestamp
	n.gen = 0
	n.state = statePlaying
	n.fresh, n.declared, n.muted = false, false, false
	n.fade = 1
	n.tailOp = OpNormal
	n.rampLeft = startFade
	return true
}

// trim drops the oldest packets when playing from the head, whose delay would be age, would start too late by more than
// stretching should repair.
func (n *NetEq) trim(age time.Duration) {
	if age < n.target()+cutExcess {
		return
	}
	dropped := false
	for n.buf.len() > 1 {
		h, next := n.buf.head(), n.buf.at(1)
		step := samplesToTime(int64(int32(next.timestamp - h.timestamp)))
		if age-step < n.target() {
			break
		}
		age -= step
		n.discard(0)
		dropped = true
	}
	if dropped {
		n.st.s.BufferFlushes++
	}
}

// catchUp cuts when what is buffered lies so far behind that playing it fast would take many seconds: to the newest packets,
// with a cross-fade.
func (n *NetEq) catchUp() {
	if n.cfg.Policy != PolicyAdaptive || n.state != statePlaying {
		return
	}
	h := n.buf.head()
	if h == nil {
		return
	}
	age := n.hist.lateness(h.timestamp, n.now)
	if age < n.target()+cutExcess {
		return
	}
	before := n.buf.len()
	n.trim(age)
	if n.buf.len() == before {
		return
	}
	n.conceal(tickSamples)
	n.endTS = n.buf.head().timestamp
	n.gen = 0
}

// startTone begins with a telephone event when there is nothing else.
func (n *NetEq) startTone() bool {
	if n.events.count == 0 {
		return false
	}
	n.endTS = n.events.events[0].timestamp
	n.gen = 0
	n.state = statePlaying
	n.fresh, n.declared, n.muted = false, false, false
	n.fade = 1
	n.tailOp = OpNormal
	return true
}
