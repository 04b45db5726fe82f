package neteq

import "time"

// NackConfig says which missing packets are worth asking for.
type NackConfig struct {
	// PlayoutAware asks only for what can still be played (time to play > round trip + 10 ms). Without it everything
	// younger than a second less the round trip is asked for, as libwebrtc M150 does.
	PlayoutAware bool
	MaxEntries   int // 250 when 0
}

const (
	nackDefaultEntries = 250
	nackHorizon        = time.Second
	nackDefaultRTT     = 100 * time.Millisecond
	nackMaxPacket      = 120 * time.Millisecond // longer gaps between packets are DTX, not loss
	nackMargin         = 10 * time.Millisecond
	nackFirst          = 10 * time.Millisecond // where there is reordering, it gets this long
	nackMaxRequests    = 3
	nackShare          = 10 // one request per this many received packets at most
	nackLossForget     = 0.996
	nackLossRun        = 5   // more in a row are an outage, which asking does not help against
	nackReorderMemory  = 500 // packets after the last reordered one that reordering is reckoned with
)

// nackEntry is a packet that is missing.
type nackEntry struct {
	sequence  uint16
	timestamp uint32
	noticed   time.Duration
	asked     time.Duration
	requests  int
}

// NackTracker keeps the list of missing packets of one stream. It is separate from NetEq; its owner feeds both. Not safe
// for concurrent use; allocates nothing after its first packets.
type NackTracker struct {
	cfg       NackConfig
	clockRate int
	started   bool
	newestSeq uint16
	newestTS  uint32
	entries   []nackEntry // oldest first
	budget    int         // requests allowed, in tenths of a packet
	played    uint32
	hasPlayed bool
	loss      float64 // share of packets that did not come by themselves, of about the last 250
	patience  int     // packets for which reordering is still reckoned with
}

// NewNackTracker makes an empty tracker for a stream of the given RTP clock rate.
func NewNackTracker(cfg NackConfig, clockRateHz int) *NackTracker {
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = nackDefaultEntries
	}
	return &NackTracker{cfg: cfg, clockRate: max(1, clockRateHz), budget: 10 * nackShare, entries: make([]nackEntry, 0, cfg.MaxEntries+1)}
}

// Reset forgets everything.
func (t *NackTracker) Reset() {
	t.started, t.hasPlayed = false, false
	t.entries = t.entries[:0]
	t.budget = 10 * nackShare
	t.loss, t.patience = 0, 0
}

// Received reports a packet, first sent or retransmitted, with its RTP timestamp.
func (t *NackTracker) Received(sequence uint16, timestamp uint32, now time.Duration) {
	t.budget = min(t.budget+1, 10*nackShare)
	if !t.started {
		t.started, t.newestSeq, t.newestTS = true, sequence, timestamp
		return
	}
	t.patience = max(0, t.patience-1)
	for i := range t.entries {
		if t.entries[i].sequence == sequence {
			if t.entries[i].requests == 0 { // it was only late
				t.loss = max(0, t.loss-(1-nackLossForget))
				t.patience = nackReorderMemory
			}
			t.entries = append(t.entries[:i], t.entries[i+1:]...)
			break
		}
	}
	if !newer16(sequence, t.newestSeq) {
		return
	}
	missing := int(sequence-t.newestSeq) - 1
	t.loss *= nackLossForget
	if missing > 0 {
		per := timestamp - t.newestTS
		per /= uint32(missing + 1)
		if per > 0 && int64(per) <= int64(nackMaxPacket/time.Millisecond)*int64(t.clockRate)/1000 {
			for i := 1; i <= missing; i++ {
				if i <= nackLossRun {
					t.loss = nackLossForget*t.loss + 1 - nackLossForget
				}
				if missing-i >= t.cfg.MaxEntries {
					continue
				}
				t.entries = append(t.entries, nackEntry{sequence: t.newestSeq + uint16(i),
					timestamp: t.newestTS + uint32(i)*per, noticed: now})
				if len(t.entries) > t.cfg.MaxEntries {
					copy(t.entries, t.entries[1:])
					t.entries = t.entries[:t.cfg.MaxEntries]
				}
			}
		}
	}
	t.newestSeq, t.newestTS = sequence, timestamp
	oldest := sequence - uint16(t.cfg.MaxEntries) - 1
	for len(t.entries) > 0 && newer16(oldest, t.entries[0].sequence) {
		copy(t.entries, t.entries[1:])
		t.entries = t.entries[:len(t.entries)-1]
	}
}

// Played reports the RTP timestamp up to which sound was decoded or concealed: nothing before it is worth asking for.
func (t *NackTracker) Played(timestamp uint32) {
	t.played, t.hasPlayed = timestamp, true
	if !t.cfg.PlayoutAware {
		return
	}
	kept := t.entries[:0]
	for _, e := range t.entries {
		if newer32(e.timestamp, timestamp) || e.timestamp == timestamp {
			kept = append(kept, e)
		}
	}
	t.entries = kept
}

// Padding reports a packet without sound: its number is no gap.
func (t *NackTracker) Padding(sequence uint16) {
	if t.started && sequence == t.newestSeq+1 {
		t.newestSeq = sequence
		return
	}
	t.Recovered(sequence)
}

// Pause forgets what is missing, and that packets were expected: the sender stopped, or what it sent was not looked at.
func (t *NackTracker) Pause() {
	t.started, t.hasPlayed = false, false
	t.entries = t.entries[:0]
}

// Recovered reports that redundancy brought what a missing packet held: it need not be asked for.
func (t *NackTracker) Recovered(sequence uint16) {
	for i := range t.entries {
		if t.entries[i].sequence == sequence {
			t.entries = append(t.entries[:i], t.entries[i+1:]...)
			return
		}
	}
}

// Loss returns the share of packets that did not come by themselves, over about the last 250.
func (t *NackTracker) Loss() float64 { return t.loss }

// Missing returns the number of packets known to be missing.
func (t *NackTracker) Missing() int { return len(t.entries) }

// List appends to dst the sequence numbers to ask for now. rtt 0 is unknown and taken as 100 ms; slack is how much later
// than planned a packet could still be played, because the target delay can rise.
func (t *NackTracker) List(dst []uint16, now, rtt, slack time.Duration) []uint16 {
	if rtt <= 0 {
		rtt = nackDefaultRTT
	}
	for i := range t.entries {
		e := &t.entries[i]
		age := t.media(t.newestTS - e.timestamp)
		if !t.cfg.PlayoutAware {
			if age+rtt < nackHorizon {
				dst = append(dst, e.sequence)
			}
			continue
		}
		switch {
		case !t.hasPlayed || e.requests >= nackMaxRequests || t.budget < nackShare:
			continue
		case t.media(e.timestamp-t.played)+slack <= rtt+nackMargin:
			continue
		case e.requests == 0 && t.patience > 0 && now-e.noticed < nackFirst && t.newestSeq-e.sequence < 2:
			continue
		case e.requests > 0 && now-e.asked < rtt*3/2:
			continue
		}
		e.requests++
		e.asked = now
		t.budget -= nackShare
		dst = append(dst, e.sequence)
	}
	return dst
}

// media is the time of n RTP clock units.
func (t *NackTracker) media(n uint32) time.Duration {
	return time.Duration(int64(int32(n)) * int64(time.Second) / int64(t.clockRate))
}
