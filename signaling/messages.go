package signaling

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"parley/sfu"
)

// Message is one of the types below; on the wire it is a JSON object with the field "type" and the fields of the struct.
type Message interface {
	// MessageType is the value of the field "type".
	MessageType() string
}

// Messages of both directions.
type (
	// Offer is an SDP offer (RFC 9429).
	Offer struct {
		SDP string `json:"sdp"`
	}
	// Answer is the SDP answer to the other side's last offer.
	Answer struct {
		SDP string `json:"sdp"`
	}
	// Candidate is a trickled ICE candidate, as RTCIceCandidate.toJSON() writes it. An empty candidate ends them.
	Candidate struct {
		Candidate        string  `json:"candidate"`
		SDPMid           *string `json:"sdpMid"`
		SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
		UsernameFragment *string `json:"usernameFragment"`
	}
)

// Messages from client to server.
type (
	// Join asks for a seat, or with Resume for the seat it had.
	Join struct {
		Room   string `json:"room"`
		Name   string `json:"name"`
		Token  string `json:"token,omitempty"`
		Resume string `json:"resume,omitempty"`
		// Of clusters: the client's region, the node it has just lost, and whether another node sent it here.
		Region     string `json:"region,omitempty"`
		Failed     string `json:"failed,omitempty"`
		Redirected bool   `json:"redirected,omitempty"`
	}
	// MuteRequest mutes or unmutes the sender, or with Participant somebody else (admins only; nobody's own mute is undone).
	MuteRequest struct {
		Muted       bool   `json:"muted"`
		Participant string `json:"participant,omitempty"`
	}
	// VolumeRequest sets how loud the sender hears somebody else, for itself alone: 1 as everybody does, 0 not at all, at most
	// sfu.MaxVolume.
	VolumeRequest struct {
		Participant string  `json:"participant"`
		Volume      float64 `json:"volume"`
	}
	// ChatRequest sends a line of text to everyone in the room.
	ChatRequest struct {
		Text string `json:"text"`
	}
	// Leave ends the session.
	Leave struct{}
	// Ping asks for a Pong with the same T, a number of the client's choice.
	Ping struct {
		T float64 `json:"t"`
	}
)

// Messages from server to client.
type (
	// Joined says that the client has its seat.
	Joined struct {
		Participant        string        `json:"participant"`
		Room               string        `json:"room"`
		Name               string        `json:"name"`
		Resume             string        `json:"resume"`    // the session's secret
		ResumeTTL          int           `json:"resumeTtl"` // seconds
		Resumed            bool          `json:"resumed"`
		ICEServers         []ICEServer   `json:"iceServers"`
		ICETransportPolicy string        `json:"iceTransportPolicy"` // "all" or "relay"
		Participants       []Participant `json:"participants"`
		CanPublish         bool          `json:"canPublish"`
		CanSubscribe       bool          `json:"canSubscribe"`
		Admin              bool          `json:"admin"`
		Mode               string        `json:"mode"`   // of the room: "voice" or "music"
		Stereo             bool          `json:"stereo"` // what is heard has two sides
		Version            string        `json:"version"`
		Nodes              []string      `json:"nodes,omitempty"` // see the message nodes
	}
	// Participant is an entry of the roster.
	Participant struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Kind       string `json:"kind"` // "browser", "whip" or "whep"
		Muted      bool   `json:"muted"`
		Speaking   bool   `json:"speaking"`
		Publishing bool   `json:"publishing"`
	}
	// ParticipantChange says that somebody joined, left or changed.
	ParticipantChange struct {
		Event       string      `json:"event"` // "joined", "left" or "updated"
		Participant Participant `json:"participant"`
		Reason      string      `json:"reason,omitempty"` // of leaving
	}
	// Levels holds how loud everyone is, at most ten times a second.
	Levels struct {
		Levels []Level `json:"levels"`
	}
	// Level is one participant's: dBov, -127 to 0.
	Level struct {
		ID       string  `json:"id"`
		Level    float64 `json:"level"`
		Speaking bool    `json:"speaking"`
	}
	// Muted says what the client's own mute state now is, and who set it: "self", "server" or a participant's id.
	Muted struct {
		Muted bool   `json:"muted"`
		By    string `json:"by"`
	}
	// Quality holds connection qualities that changed.
	Quality struct {
		Qualities []QualityScore `json:"qualities"`
	}
	// QualityScore is one participant's: 1 bad, 2 poor, 3 good, 4 excellent.
	QualityScore struct {
		ID    string `json:"id"`
		Score int    `json:"score"`
	}
	// MediaStats is what the server sees of the client's media, once a second. Fractions are 0 to 1, of the last interval.
	MediaStats struct {
		Transport TransportStats `json:"transport"`
		Up        UpStats        `json:"up"`
		Down      DownStats      `json:"down"`
	}
	// TransportStats describes the selected candidate pair, as the server sees it.
	TransportStats struct {
		RTTMs         float64 `json:"rttMs"`
		LocalAddress  string  `json:"localAddress"`
		RemoteAddress string  `json:"remoteAddress"`
		Protocol      string  `json:"protocol"`
		CandidateType string  `json:"candidateType"`
	}
	// UpStats is about media from the client.
	UpStats struct {
		Codec               string  `json:"codec"`
		PacketsReceived     uint64  `json:"packetsReceived"`
		PacketsLost         int64   `json:"packetsLost"`
		PacketsRecovered    uint64  `json:"packetsRecovered"`
		LossFraction        float64 `json:"lossFraction"`
		JitterMs            float64 `json:"jitterMs"`
		BufferMs            float64 `json:"bufferMs"`
		TargetMs            float64 `json:"targetMs"`
		ConcealedFraction   float64 `json:"concealedFraction"`
		AcceleratedFraction float64 `json:"acceleratedFraction"`
		DeceleratedFraction float64 `json:"deceleratedFraction"`
		FECPacketsReceived  uint64  `json:"fecPacketsReceived"`
	}
	// DownStats is about media to the client.
	DownStats struct {
		Codec        string  `json:"codec"`
		PacketsSent  uint64  `json:"packetsSent"`
		BytesSent    uint64  `json:"bytesSent"`
		PacketsLost  int64   `json:"packetsLost"`
		PacketsAsked uint64  `json:"packetsAsked"`
		LossFraction float64 `json:"lossFraction"`
		JitterMs     float64 `json:"jitterMs"`
	}
	// ChatLine is a line of text from somebody in the room, the sender included.
	ChatLine struct {
		From string    `json:"from"`
		Name string    `json:"name"`
		Text string    `json:"text"`
		At   time.Time `json:"at"`
	}
	// Failure is the message "error". A fatal one is followed by the close of the socket.
	Failure struct {
		Code    Code   `json:"code"`
		Message string `json:"message"`
		Re      string `json:"re,omitempty"` // the type of the message it is about
		Fatal   bool   `json:"fatal"`
	}
	// Nodes are those to try, in this order, when this one does not answer.
	Nodes struct {
		Nodes []string `json:"nodes"`
	}
	// Redirect says that the client belongs on another node; the socket is closed after it.
	Redirect struct {
		URL string `json:"url"`
	}
	// Move asks the client to take a seat on another node, at a time of its choice within so long, and then to leave here.
	Move struct {
		Nodes    []string `json:"nodes"`
		WithinMs int      `json:"withinMs"`
	}
	// Bye is the last message before the server closes the socket of a participant that has left or was removed.
	Bye struct {
		Reason       string `json:"reason"`
		RetryAfterMs int    `json:"retryAfterMs,omitempty"`
	}
	// Pong answers a Ping.
	Pong struct {
		T float64 `json:"t"`
	}
)

func (Offer) MessageType() string             { return "offer" }
func (Answer) MessageType() string            { return "answer" }
func (Candidate) MessageType() string         { return "candidate" }
func (Join) MessageType() string              { return "join" }
func (MuteRequest) MessageType() string       { return "mute" }
func (VolumeRequest) MessageType() string     { return "volume" }
func (ChatRequest) MessageType() string       { return "chat" }
func (Leave) MessageType() string             { return "leave" }
func (Ping) MessageType() string              { return "ping" }
func (Joined) MessageType() string            { return "joined" }
func (ParticipantChange) MessageType() string { return "participant" }
func (Levels) MessageType() string            { return "levels" }
func (Muted) MessageType() string             { return "mute" }
func (Quality) MessageType() string           { return "quality" }
func (MediaStats) MessageType() string        { return "stats" }
func (ChatLine) MessageType() string          { return "chat" }
func (Failure) MessageType() string           { return "error" }
func (Bye) MessageType() string               { return "bye" }
func (Nodes) MessageType() string             { return "nodes" }
func (Redirect) MessageType() string          { return "redirect" }
func (Move) MessageType() string              { return "move" }
func (Pong) MessageType() string              { return "pong" }

// Encode returns the message as it goes over the wire.
func Encode(m Message) ([]byte, error) {
	fields, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.MessageType(), err)
	}
	out := make([]byte, 0, len(fields)+len(`{"type":"",`)+16)
	out = append(out, `{"type":"`...)
	out = append(out, m.MessageType()...)
	out = append(out, '"')
	if len(fields) > 2 { // more than {}
		out = append(out, ',')
	}
	return append(out, fields[1:]...), nil
}

// The following turn what the node says into what the wire says.

func participantOf(p sfu.ParticipantInfo) Participant {
	return Participant{ID: p.ID, Name: p.Name, Kind: kindOf(p.Kind), Muted: p.Muted, Speaking: p.Speaking, Publishing: p.Publish}
}

func participantsOf(list []sfu.ParticipantInfo) []Participant {
	out := make([]Participant, len(list))
	for i, p := range list {
		out[i] = participantOf(p)
	}
	return out
}

func kindOf(k sfu.Kind) string {
	switch k {
	case sfu.KindWHIP:
		return "whip"
	case sfu.KindWHEP:
		return "whep"
	default:
		return "browser"
	}
}

func modeOf(music bool) string {
	if music {
		return "music"
	}
	return "voice"
}

func changeOf(e sfu.ParticipantEvent) ParticipantChange {
	m := ParticipantChange{Participant: participantOf(e.Participant), Reason: e.Reason}
	switch e.Change {
	case sfu.ChangeJoined:
		m.Event = "joined"
	case sfu.ChangeLeft:
		m.Event = "left"
	default:
		m.Event = "updated"
	}
	return m
}

func levelsOf(e sfu.LevelsEvent) Levels {
	out := make([]Level, len(e.Levels))
	for i, l := range e.Levels {
		out[i] = Level{ID: l.Participant, Level: decibel(l.LevelDBov), Speaking: l.Speaking}
	}
	return Levels{Levels: out}
}

// decibel bounds a level to what RFC 6464 can say and rounds it to a tenth, which is all a meter shows.
func decibel(level float64) float64 {
	if !(level > -127) { // NaN too
		return -127
	}
	return math.Round(min(level, 0)*10) / 10
}

// finite makes a figure fit for JSON, which has no NaN and no infinity.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return math.Round(x*1e4) / 1e4
}

func qualityOf(e sfu.QualityEvent) Quality {
	out := make([]QualityScore, len(e.Qualities))
	for i, q := range e.Qualities {
		out[i] = QualityScore{ID: q.Participant, Score: q.Score}
	}
	return Quality{Qualities: out}
}

func statsOf(s *sfu.Stats) MediaStats {
	return MediaStats{
		Transport: TransportStats{
			RTTMs: finite(s.Transport.RTTMs), LocalAddress: s.Transport.LocalAddress, RemoteAddress: s.Transport.RemoteAddress,
			Protocol: s.Transport.Protocol, CandidateType: s.Transport.CandidateType,
		},
		Up: UpStats{
			Codec: s.Up.Codec, PacketsReceived: s.Up.PacketsReceived, PacketsLost: s.Up.PacketsLost,
			PacketsRecovered: s.Up.PacketsRecovered,
			LossFraction:     finite(s.Up.LossFraction), JitterMs: finite(s.Up.JitterMs), BufferMs: finite(s.Up.BufferMs),
			TargetMs: finite(s.Up.TargetMs), ConcealedFraction: finite(s.Up.ConcealedFraction),
			AcceleratedFraction: finite(s.Up.AcceleratedFraction), DeceleratedFraction: finite(s.Up.DeceleratedFraction),
			FECPacketsReceived: s.Up.FECPacketsReceived,
		},
		Down: DownStats{
			Codec: s.Down.Codec, PacketsSent: s.Down.PacketsSent, BytesSent: s.Down.BytesSent,
			PacketsLost: s.Down.PacketsLost, PacketsAsked: s.Down.PacketsAsked,
			LossFraction: finite(s.Down.LossFraction), JitterMs: finite(s.Down.JitterMs),
		},
	}
}

func candidateOf(c sfu.Candidate) Candidate {
	return Candidate{Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex, UsernameFragment: c.UsernameFragment}
}
