package sfu

import "time"

// Kind tells how a participant joined.
type Kind uint8

const (
	KindWebSocket Kind = iota // signaling over /ws: the server may renegotiate and trickle
	KindWHIP                  // one HTTP request; publishes, and hears the mix when the offer is sendrecv
	KindWHEP                  // one HTTP request; listens only
)

// JoinRequest asks for a seat in a room. The room is made when it does not exist.
type JoinRequest struct {
	Room        string // checked by the caller
	Participant string // identity, unique on the node; empty: the node makes a random 128-bit one
	Name        string // for people, checked by the caller
	Kind        Kind
	Publish     bool // may send audio
	Subscribe   bool // may hear the mix
	Admin       bool // may mute others
	Back        bool // comes from another node, where its seat may still be counted
	// Observer receives this participant's events; nil drops them.
	Observer Observer
}

// Joined is the room as it was when the participant took its seat.
type Joined struct {
	Participant  string
	Participants []ParticipantInfo // everybody, the new one included
	Stereo       bool              // what one hears has two sides
	Music        bool              // send the sound as it is: no noise suppression, no gain control
}

// ParticipantInfo is what a room shows of a participant.
type ParticipantInfo struct {
	ID       string
	Name     string
	Kind     Kind
	Muted    bool
	Speaking bool
	Publish  bool // has an incoming audio track
}

// Candidate is a trickled ICE candidate (W3C RTCIceCandidateInit). An empty Candidate ends the candidates.
type Candidate struct {
	Candidate        string
	SDPMid           *string
	SDPMLineIndex    *uint16
	UsernameFragment *string
}

// Observer is told what happens to one participant and its room. Calls for one participant come one after the other,
// in order, from the node's goroutines; Event must not block and must not call back into the node.
type Observer interface {
	Event(Event)
}

// Event is one of the *Event structs below.
type Event interface{ event() }

type (
	// OfferEvent carries an SDP offer of the server's; it wants Node.Answer.
	OfferEvent struct{ SDP string }
	// CandidateEvent is a server candidate found after the SDP was sent.
	CandidateEvent struct{ Candidate Candidate }
	// ParticipantEvent says that somebody else joined, left or changed.
	ParticipantEvent struct {
		Change      Change
		Participant ParticipantInfo
		Reason      string // of leaving
	}
	// LevelsEvent holds the levels of everyone who sends audio; at most ten a second. Shared between observers: read only.
	LevelsEvent struct{ Levels []Level }
	// MuteEvent says that this participant's own mute state is now this.
	MuteEvent struct {
		Muted bool
		By    string // "self" or the id of the participant (or "server") that did it
	}
	// QualityEvent holds connection quality; sent when something changed. Shared between observers: read only.
	QualityEvent struct{ Qualities []Quality }
	// StatsEvent is this participant's own view, once a second.
	StatsEvent struct{ Stats Stats }
	// ChatEvent is a line of text to the room.
	ChatEvent struct {
		From string
		Text string
		At   time.Time
	}
	// ClosedEvent is the last event: the participant is gone from the node.
	ClosedEvent struct{ Reason string }
)

func (OfferEvent) event()       {}
func (CandidateEvent) event()   {}
func (ParticipantEvent) event() {}
func (LevelsEvent) event()      {}
func (MuteEvent) event()        {}
func (QualityEvent) event()     {}
func (StatsEvent) event()       {}
func (ChatEvent) event()        {}
func (ClosedEvent) event()      {}

// Change is what happened to a participant.
type Change uint8

const (
	ChangeJoined Change = iota
	ChangeLeft
	ChangeUpdated
)

// Level is how loud a participant is: dBov, -127 (silence) to 0 (full scale).
type Level struct {
	Participant string
	LevelDBov   float64
	Speaking    bool
}

// Quality is a participant's connection: 1 bad, 2 poor, 3 good, 4 excellent.
type Quality struct {
	Participant string
	Score       int
}

// Reasons of ParticipantEvent and ClosedEvent.
const (
	ReasonLeft      = "left"       // asked to leave
	ReasonTimeout   = "timeout"    // media and signaling are gone
	ReasonReplaced  = "replaced"   // the same identity joined again
	ReasonKicked    = "kicked"     //
	ReasonDraining  = "draining"   // the server stops
	ReasonRoomError = "room_error" // the room failed
	ReasonNodeLost  = "node_lost"  // the node it was on is gone
)

// Stats is what the server knows about one participant's media. Up is from the participant to the server.
type Stats struct {
	Transport struct {
		RTTMs         float64 // round trip from RTCP (RFC 3550 section 6.4.1) or ICE; 0 unknown
		LocalAddress  string  // of the selected candidate pair, ip:port
		RemoteAddress string
		Protocol      string // "udp" or "tcp"
		CandidateType string // of the remote candidate: host, srflx, prflx, relay
	}
	Up struct {
		Codec                 string
		PacketsReceived       uint64  // once each, however often it was sent
		PacketsLost           int64   // never came, also not when it was asked for again
		PacketsRecovered      uint64  // of PacketsReceived: the network lost them, and they were sent again
		LossFraction          float64 // 0..1, last interval
		JitterMs              float64
		BufferMs              float64 // mean NetEq delay, last interval
		TargetMs              float64
		ConcealedFraction     float64 // 0..1, last interval, without pauses of the sender
		AcceleratedFraction   float64
		DeceleratedFraction   float64
		FECPacketsReceived    uint64
		TotalConcealedSamples uint64
		TotalSamples          uint64
	}
	Down struct {
		Codec        string
		PacketsSent  uint64
		BytesSent    uint64
		PacketsLost  int64   // as the client reports it (RFC 3550, section 6.4.1): packets sent again and received are none
		PacketsAsked uint64  // that the client asked to be sent again
		LossFraction float64 // as the client reports it, 0..1
		JitterMs     float64
	}
}
