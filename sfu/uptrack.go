package sfu

import (
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"parley/mixer"
	"parley/neteq"
)

// trackIdle is how long the heard track must be silent before an older one of the same participant is heard again.
const trackIdle = 500 * time.Millisecond

// uplink is where a participant's audio enters the mixer: one source however often the stream's SSRC changes. The
// newest track is the one that is heard.
type uplink struct {
	mu      sync.Mutex
	source  *mixer.Source // nil while nobody is heard
	talker  Talker        // the same to other nodes; nil when there are none
	current *upTrack
	last    time.Duration // arrival of the last packet pushed
	muted   bool
	asking  atomic.Pointer[upTrack] // current, for the room's worker, which must not wait for mu
	asked   askedFor

	stats receiveStats
}

type pushResult uint8

const (
	pushed pushResult = iota
	pushFull
	pushMuted
	pushNotHeard // another track is heard, or none
)

// push hands a packet of t to the mixer, if t is the track that is heard.
func (u *uplink) push(t *upTrack, p *neteq.Packet, arrival time.Duration) pushResult {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.current != t || u.source == nil:
		return pushNotHeard
	case u.muted:
		u.last = arrival
		return pushMuted
	}
	u.last = arrival
	if !u.source.Push(p, arrival) {
		return pushFull
	}
	if u.talker != nil {
		u.talker.Push(p, arrival)
	}
	return pushed
}

// hear makes t the track that is heard, unless a newer one is. makeSource is called when there is no source yet, and
// makeTalker for every track, since packets count from anywhere. It reports whether t is heard now and whether a source was
// made.
func (u *uplink) hear(t *upTrack, arrival time.Duration, makeSource func() (*mixer.Source, error), makeTalker func(*mixer.Source) Talker) (heard, made bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.current; c != nil && c.serial > t.serial && arrival-u.last < trackIdle {
		return false, false, nil
	}
	if u.source == nil {
		s, err := makeSource()
		if err != nil {
			return false, false, err
		}
		s.SetMuted(u.muted)
		u.source, made = s, true
	}
	if u.current != t {
		u.quit()
		u.talker = makeTalker(u.source)
	}
	u.current, u.last = t, arrival
	u.asking.Store(t)
	return true, made, nil
}

// silence closes the source, if there is one, and reports whether there was.
func (u *uplink) silence() bool {
	u.mu.Lock()
	s := u.source
	u.source, u.current = nil, nil
	u.quit()
	u.asking.Store(nil)
	u.mu.Unlock()
	if s == nil {
		return false
	}
	s.Close()
	return true
}

// quit ends what is sent to other nodes. Under mu.
func (u *uplink) quit() {
	if u.talker != nil {
		u.talker.Close()
		u.talker = nil
	}
}

// setMuted makes the source silent or not, also one that is made later.
func (u *uplink) setMuted(muted bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.muted = muted
	if u.source != nil {
		u.source.SetMuted(muted)
	}
}

// setRTT tells the mixer how long a packet that is asked for again takes.
func (u *uplink) setRTT(rtt time.Duration) {
	u.asked.rtt.Store(int64(rtt))
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.source != nil {
		u.source.SetRTT(rtt)
	}
}

// sourceStats returns the mixer's figures of the source; ok is false without one.
func (u *uplink) sourceStats() (s mixer.SourceStats, ok bool) {
	u.mu.Lock()
	source := u.source
	u.mu.Unlock()
	if source == nil {
		return s, false
	}
	return source.Stats(), true
}

// receiveStats are the figures of RFC 3550, section 6.4.1, over all tracks of an uplink. One goroutine writes.
type receiveStats struct {
	packets   atomic.Uint64
	recovered atomic.Uint64 // of packets: lost on the way, and sent again when we asked
	bytes     atomic.Uint64
	expected  atomic.Int64
	jitter    atomic.Uint64 // float64 bits, 1/48000 s
	last      atomic.Int64  // arrival of the last packet, time.Duration
	format    atomic.Int32  // payload type of the last packet of speech
}

// receiver follows one RTP stream (RFC 3550, appendix A.1 and A.8).
type receiver struct {
	started     bool
	highest     uint16
	lastTransit uint32
	jitter      float64
}

// behind tells if a packet with a higher number has come before.
func (r *receiver) behind(seq uint16) bool { return r.started && int16(seq-r.highest) <= 0 }

// again counts one packet in that was sent again: what its time of arrival says is how long that took, not jitter.
func (r *receiver) again(s *receiveStats, size int, arrival time.Duration) {
	s.packets.Add(1)
	s.recovered.Add(1)
	s.bytes.Add(uint64(size))
	s.last.Store(int64(arrival))
}

// packet counts one packet in, of a format with the given RTP clock rate, which divides 48000.
func (r *receiver) packet(s *receiveStats, h *rtp.Header, clockHz, size int, arrival time.Duration) {
	s.packets.Add(1)
	s.bytes.Add(uint64(size))
	s.last.Store(int64(arrival))
	transit := uint32(arrival*48/time.Millisecond) - h.Timestamp*uint32(48000/clockHz)
	if !r.started {
		r.started, r.highest, r.lastTransit = true, h.SequenceNumber, transit
		s.expected.Add(1)
		return
	}
	r.advance(s, h.SequenceNumber)
	d := math.Abs(float64(int32(transit - r.lastTransit)))
	r.lastTransit = transit
	if d < jitterReset {
		r.jitter += (d - r.jitter) / 16
		s.jitter.Store(math.Float64bits(r.jitter))
	}
}

// padding counts one packet without payload in: it has a sequence number, and so is not lost, but its timestamp is that of
// the packet before it and says nothing about jitter. Before the first packet with payload there is nothing to count.
func (r *receiver) padding(s *receiveStats, h *rtp.Header) {
	if r.started {
		s.packets.Add(1)
		r.advance(s, h.SequenceNumber)
	}
}

// advance notes that a sequence number has come.
func (r *receiver) advance(s *receiveStats, seq uint16) {
	if ahead := int16(seq - r.highest); ahead > 0 {
		if ahead > maxDropout {
			ahead = 1 // the sender has jumped; nothing is known of what lies between
		}
		s.expected.Add(int64(ahead))
		r.highest = seq
	}
}

const (
	maxDropout  = 3000  // RFC 3550, appendix A.1, MAX_DROPOUT
	jitterReset = 48000 // 1 s in timestamp units: a pause or a new clock, not jitter
)

// upTrack reads one incoming RTP stream. Its buffer and packets are reused for ever.
type upTrack struct {
	p      *peer
	serial uint64 // tracks of a node are numbered as they come
	remote *webrtc.TrackRemote
	buf    [receiveMTU]byte
	rtp    rtp.Packet
	packet neteq.Packet
	stream receiver
}

// run reads until the track ends. The goroutine is pion's; peer.close waits for it.
func (t *upTrack) run() {
	n := t.p.node
	for {
		size, _, err := t.remote.Read(t.buf[:])
		if err != nil {
			if errors.Is(err, webrtc.ErrCodecNotFound) || errors.Is(err, io.ErrShortBuffer) {
				n.counters.droppedCodec.Add(1) // a payload type that was not agreed, or larger than an MTU
				continue
			}
			return
		}
		arrival := n.cfg.Mixer.Now()
		if err := t.rtp.Unmarshal(t.buf[:size]); err != nil {
			n.counters.droppedMalformed.Add(1)
			continue
		}
		t.receive(arrival)
	}
}

// receive takes the packet in t.rtp.
func (t *upTrack) receive(arrival time.Duration) {
	n, part, h := t.p.node, t.p.participant, &t.rtp.Header
	r := t.p.understood.Load()
	clockHz, speech := r.clock(h.PayloadType)
	if clockHz == 0 {
		n.counters.droppedCodec.Add(1)
		return
	}
	if len(t.rtp.Payload) == 0 {
		n.counters.droppedEmpty.Add(1) // padding only: a bandwidth probe
		t.stream.padding(&part.uplink.stats, h)
		if !r.nack {
			return
		}
	} else if t.stream.behind(h.SequenceNumber) && part.uplink.asked.brought(h.SequenceNumber, arrival) {
		n.counters.recovered.Add(1)
		t.stream.again(&part.uplink.stats, len(t.rtp.Payload), arrival)
	} else if speech {
		part.uplink.stats.format.Store(int32(h.PayloadType))
		t.stream.packet(&part.uplink.stats, h, clockHz, len(t.rtp.Payload), arrival)
	} else {
		t.stream.padding(&part.uplink.stats, h)
	}
	n.counters.rtpIn.Add(1)
	if !t.p.mayPublish.Load() {
		n.counters.droppedForbidden.Add(1)
		return
	}
	p := &t.packet
	p.SequenceNumber, p.Timestamp, p.SSRC = h.SequenceNumber, h.Timestamp, h.SSRC
	p.PayloadType, p.Marker, p.Payload = h.PayloadType, h.Marker, t.rtp.Payload
	p.HasAudioLevel = false
	if r.level != 0 && h.Extension {
		if e := h.GetExtension(r.level); len(e) > 0 {
			p.AudioLevel, p.HasAudioLevel = e[0]&0x7f, true
		}
	}
	result := part.uplink.push(t, p, arrival)
	if result == pushNotHeard && part.hear(t, arrival) {
		result = part.uplink.push(t, p, arrival)
	}
	switch result {
	case pushFull:
		n.counters.droppedInbox.Add(1)
	case pushMuted:
		n.counters.droppedMuted.Add(1)
	case pushNotHeard:
		n.counters.droppedTrack.Add(1)
	}
}
