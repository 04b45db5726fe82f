package signaling

import (
	"context"
	"time"

	"parley/sfu"
)

// Rooms is what signaling wants of the node. Participants are named by the id that Join gave. Methods may be called
// from any goroutine; errors wrap the sentinels of package sfu. *sfu.Node satisfies it.
type Rooms interface {
	Join(ctx context.Context, req sfu.JoinRequest) (sfu.Joined, error)
	Offer(ctx context.Context, participant, sdp string) (answer string, err error)
	Answer(ctx context.Context, participant, sdp string) error
	AddCandidate(ctx context.Context, participant string, c sfu.Candidate) error
	ICERestart(ctx context.Context, participant, ufrag, pwd string, candidates []sfu.Candidate) (sdpfrag string, err error)
	SetMuted(ctx context.Context, by, participant string, muted bool) error
	SetVolume(ctx context.Context, participant, other string, volume float64) error
	Chat(ctx context.Context, participant, text string) error
	SetAttached(participant string, attached bool)
	Roster(participant string) ([]sfu.ParticipantInfo, error)
	Leave(ctx context.Context, participant, reason string) error
}

// ICEServer is one entry of RTCConfiguration.iceServers.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// ICEServers says which STUN and TURN servers a client shall use. Participant is whom the credentials are minted for;
// host is what the client used in its Host header, without the port, "" when that was not a plain name or address.
// The duration is how long the credentials are good for; 0 when there are none.
type ICEServers interface {
	ICEServers(participant, host string) ([]ICEServer, time.Duration)
}
