package sfu

import (
	"errors"
	"sync/atomic"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"parley/mixer"
)

// downTrack is the one stream that a participant hears: a webrtc.TrackLocal for pion, a mixer.Sink for the mixer.
// Sequence numbers have no gaps, timestamps follow the room clock. WriteFrame does not wait: UDP takes a packet or
// refuses it, ICE-TCP sits behind the bounded buffer of the mux. It allocates nothing.
type downTrack struct {
	payloadType uint8
	codec       mixer.Codec
	writer      atomic.Pointer[webrtc.TrackLocalWriter]
	live        atomic.Bool  // the path is up; a packet written before would wait inside ICE
	red         atomic.Int32 // payload type under which a frame may come with the one before, 0: none was agreed

	lane     lane
	outboxes []*outbox // of the mixer's workers; none: packets are sent one by one

	// used by the room's worker only
	header rtp.Header
	offset uint32 // between the room clock and our timestamps (RFC 3550, section 5.1: random)
	clock  slowClock
	gap    bool   // frames were left out: the next starts a talk spurt
	block  []byte // of frame and frame before, made when first needed

	packets, bytes, errors, repeated atomic.Uint64
}

func newDownTrack(payloadType uint8) *downTrack {
	return &downTrack{
		payloadType: payloadType,
		header:      rtp.Header{Version: 2, PayloadType: payloadType, SequenceNumber: uint16(randomUint32())},
		offset:      randomUint32(),
		gap:         true,
	}
}

// WriteFrame sends one frame. The payload is borrowed until it returns.
func (d *downTrack) WriteFrame(f mixer.Frame) {
	w := d.writer.Load()
	if w == nil || !d.live.Load() {
		d.gap = true
		return
	}
	d.header.Marker = f.Marker || d.gap
	d.header.Timestamp = f.Timestamp + d.offset
	if d.codec != mixer.Opus {
		d.header.Timestamp = d.clock.at(f.Timestamp) + d.offset
	}
	d.gap = false
	payload := d.payload(f)
	if f.Worker < len(d.outboxes) {
		d.lane.outbox.Store(d.outboxes[f.Worker])
	}
	_, err := (*w).WriteRTP(&d.header, payload)
	d.lane.outbox.Store(nil)
	d.header.SequenceNumber++ // also after an error: a number is never encrypted twice
	if err != nil {
		d.errors.Add(1)
		return
	}
	d.packets.Add(1)
	d.bytes.Add(uint64(len(payload)))
}

// slowClock is the room's clock divided by six: the codecs beside Opus all have an RTP clock of 8 kHz, G.722 by a mistake of old (RFC
// 3551, section 4.5.2). It goes on where the room's wraps.
type slowClock struct{ room, own uint32 }

const slowClockRatio = 48000 / 8000

func (c *slowClock) at(room uint32) uint32 {
	c.own += uint32(int32(room-c.room) / slowClockRatio)
	c.room = room
	return c.own
}

// payload returns what to send of a frame, and sets the payload type.
func (d *downTrack) payload(f mixer.Frame) []byte {
	d.header.PayloadType = d.payloadType
	red := d.red.Load()
	if f.Redundant == nil || red == 0 {
		return f.Payload
	}
	if d.block == nil {
		d.block = make([]byte, redMTU)
	}
	n := redPayload(d.block, d.payloadType, f.Redundant, f.RedundantOffset, f.Payload)
	if n == 0 {
		return f.Payload
	}
	d.header.PayloadType = uint8(red)
	d.repeated.Add(1)
	return d.block[:n]
}

// agree notes under which payload type the client takes redundancy, if it does. A client that offers or answers RED for both
// directions is ready to receive it (RFC 3264, section 5.1).
func (d *downTrack) agree(r *remote) {
	d.red.Store(int32(max(0, r.red)))
}

var errPayloadTypeGone = errors.New("our payload type is not in the negotiated set")

// Bind gives the track its writer once negotiation is done.
func (d *downTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, c := range ctx.CodecParameters() {
		if c.PayloadType == webrtc.PayloadType(d.payloadType) {
			d.header.SSRC = uint32(ctx.SSRC()) // before the writer is seen by the worker
			w := ctx.WriteStream()
			d.writer.Store(&w)
			return c, nil
		}
	}
	return webrtc.RTPCodecParameters{}, errPayloadTypeGone
}

// Unbind takes the writer away.
func (d *downTrack) Unbind(webrtc.TrackLocalContext) error {
	d.writer.Store(nil)
	return nil
}

// ID, RID, StreamID and Kind are what pion asks of a track; the SDP that clients see is written elsewhere.
func (d *downTrack) ID() string                { return "mix" }
func (d *downTrack) RID() string               { return "" }
func (d *downTrack) StreamID() string          { return "parley" }
func (d *downTrack) Kind() webrtc.RTPCodecType { return webrtc.RTPCodecTypeAudio }
