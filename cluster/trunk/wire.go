package trunk

import (
	"encoding/binary"
	"time"

	"parley/neteq"
)

// A datagram is a byte that tells its type, in the range that RFC 7983 leaves free beside STUN, DTLS, TURN and RTP, and what
// belongs to the type. All numbers are big endian.
const (
	typeHello  = 0xd0
	typeAnswer = 0xd1
	typeData   = 0xd2

	maxDatagram = 1200
	headerBytes = 1 + 4 + 8 // type, the receiver's index of the session, counter
	tagBytes    = 16
	maxPlain    = maxDatagram - headerBytes - tagBytes
	// MaxPayload is the longest payload that is carried, in bytes: whatever fits a datagram.
	MaxPayload = maxPlain - maxMediaHeader
	// maxMediaHeader is kind, stream, hold, sequence, timestamp, type, level, length.
	maxMediaHeader = 1 + 5 + 1 + 2 + 4 + 1 + 1 + 2
	announceHeader = 1 + 5
)

// Bounds on what a stream is described with.
const (
	maxID         = 255 // bytes of a room's or participant's id
	maxNode       = 64  // bytes of a node's name
	maxFormats    = 8
	maxFormatName = 16
)

// Plain text is a sequence of messages: a byte with the kind in its low four bits and flags above, and what belongs to it.
const (
	kindMedia = iota + 1
	kindAnnounce
	kindAnnounced
	kindWithdraw
	kindWithdrawn
	kindUnknown
	kindPing
	kindPong
	kindNack

	kindMask   = 0x0f
	flagMarker = 0x10
	flagLevel  = 0x20
	flagHeld   = 0x40
	flagDouble = 0x10 // of a ping: everything is sent twice now
)

// StreamInfo describes a stream: the packets of one participant from one of its senders.
type StreamInfo struct {
	Room        string // at most 255 bytes
	Participant string // the same
	// SourceEpoch grows whenever the participant's packets start over: a new connection, track or SSRC. Within one, RTP
	// sequence numbers and timestamps go on across pauses.
	SourceEpoch uint32
	// Formats says what payload types mean; at most 8, names of at most 16 bytes.
	Formats map[uint8]neteq.Format
	// Origin is the node the participant is connected to, and Hop how many trunks the stream came over: 1 when from there.
	// Both are filled in by this package.
	Origin string
	Hop    int
}

// message is one message, whatever kind. What is in it is valid as long as the datagram.
type message struct {
	kind   byte
	stream uint32
	packet neteq.Packet
	held   time.Duration
	info   StreamInfo
	double bool   // ping: the asker sends everything twice
	time   int64  // ping, pong: nanoseconds of the asker's clock
	loss   uint16 // ping: share of datagrams lost on the way to the asker, in 1/65535
	index  uint32 // nack: the session, by the index of the asker
	base   uint64 // nack: counter
	mask   uint64 // nack: those after base, the least bit is base itself
}

// parse takes one message off b.
func (m *message) parse(b []byte) (rest []byte, err error) {
	r := reader{b: b}
	head := r.byte()
	m.kind = head & kindMask
	switch m.kind {
	case kindMedia:
		m.stream = r.uvarint()
		m.held = 0
		if head&flagHeld != 0 {
			m.held = time.Duration(r.byte()) * time.Millisecond
		}
		m.packet = neteq.Packet{SequenceNumber: r.uint16(), Timestamp: r.uint32(), PayloadType: r.byte(), Marker: head&flagMarker != 0}
		if head&flagLevel != 0 {
			m.packet.AudioLevel, m.packet.HasAudioLevel = r.byte(), true
		}
		m.packet.Payload = r.bytes(int(r.uvarint()))
		if m.packet.PayloadType > 127 || m.packet.AudioLevel > 127 || len(m.packet.Payload) == 0 {
			return nil, errMalformed
		}
	case kindAnnounce:
		m.stream = r.uvarint()
		m.info = r.info()
	case kindAnnounced, kindWithdraw, kindWithdrawn, kindUnknown:
		m.stream = r.uvarint()
	case kindPing:
		m.time, m.loss, m.double = int64(r.uint64()), r.uint16(), head&flagDouble != 0
	case kindPong:
		m.time = int64(r.uint64())
	case kindNack:
		m.index, m.base, m.mask = r.uint32(), r.uint64(), r.uint64()
	default:
		return nil, errMalformed
	}
	if r.bad {
		return nil, errMalformed
	}
	return r.b, nil
}

// appendMedia appends a packet. The caller has seen to its length.
func appendMedia(b []byte, stream uint32, p *neteq.Packet, held time.Duration) []byte {
	head := byte(kindMedia)
	if p.Marker {
		head |= flagMarker
	}
	if p.HasAudioLevel {
		head |= flagLevel
	}
	if held >= time.Millisecond {
		head |= flagHeld
	}
	b = binary.AppendUvarint(append(b, head), uint64(stream))
	if head&flagHeld != 0 {
		b = append(b, byte(min(255, held/time.Millisecond)))
	}
	b = binary.BigEndian.AppendUint16(b, p.SequenceNumber)
	b = binary.BigEndian.AppendUint32(b, p.Timestamp)
	b = append(b, p.PayloadType&0x7f)
	if p.HasAudioLevel {
		b = append(b, p.AudioLevel&0x7f)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Payload)))
	return append(b, p.Payload...)
}

// appendInfo appends the description of a stream, which has been checked: what follows kind and id.
func appendInfo(b []byte, info *StreamInfo) []byte {
	b = binary.BigEndian.AppendUint32(b, info.SourceEpoch)
	b = append(b, byte(info.Hop))
	b = appendString(b, info.Origin)
	b = appendString(b, info.Room)
	b = appendString(b, info.Participant)
	b = append(b, byte(len(info.Formats)))
	for pt, f := range info.Formats {
		b = append(b, pt, byte(f.Channels))
		b = binary.BigEndian.AppendUint32(b, uint32(f.ClockRateHz))
		b = appendString(b, f.Name)
	}
	return b
}

func appendID(b []byte, kind byte, stream uint32) []byte {
	return binary.AppendUvarint(append(b, kind), uint64(stream))
}

func appendPing(b []byte, now int64, loss float64, double bool) []byte {
	head := byte(kindPing)
	if double {
		head |= flagDouble
	}
	b = binary.BigEndian.AppendUint64(append(b, head), uint64(now))
	return binary.BigEndian.AppendUint16(b, uint16(max(0, min(1, loss))*65535))
}

func appendPong(b []byte, echo int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindPong), uint64(echo))
}

func appendNack(b []byte, index uint32, base, mask uint64) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kindNack), index)
	b = binary.BigEndian.AppendUint64(b, base)
	return binary.BigEndian.AppendUint64(b, mask)
}

func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// check says what is wrong with a description.
func (i *StreamInfo) check() bool {
	if i.Room == "" || len(i.Room) > maxID || i.Participant == "" || len(i.Participant) > maxID ||
		i.Origin == "" || len(i.Origin) > maxNode || len(i.Formats) == 0 || len(i.Formats) > maxFormats || i.Hop < 1 || i.Hop > 255 {
		return false
	}
	for pt, f := range i.Formats {
		if pt > 127 || f.Name == "" || len(f.Name) > maxFormatName || f.ClockRateHz < 1 || f.ClockRateHz > 1<<20 ||
			f.Channels < 0 || f.Channels > 8 {
			return false
		}
	}
	return true
}

// reader takes numbers off a slice. Once it was too short, bad stays and all numbers are 0.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

func (r *reader) string() string { return string(r.bytes(int(r.byte()))) }

func (r *reader) info() StreamInfo {
	i := StreamInfo{SourceEpoch: r.uint32(), Hop: int(r.byte()), Origin: r.string(), Room: r.string(), Participant: r.string()}
	n := int(r.byte())
	if n > maxFormats {
		r.bad = true
		return i
	}
	i.Formats = make(map[uint8]neteq.Format, n)
	for range n {
		pt, channels := r.byte(), r.byte()
		i.Formats[pt] = neteq.Format{ClockRateHz: int(r.uint32()), Channels: int(channels), Name: r.string()}
	}
	if !r.bad && !i.check() {
		r.bad = true
	}
	return i
}
