package signaling

import "time"

// What a client may ask of the server. Where no other source is named, the figure is the project's secure default.
const (
	// MaxMessageBytes is the largest WebSocket message read; a larger one closes the socket with 1009.
	MaxMessageBytes = 64 << 10
	// MaxSDPBytes is the largest session description, over either transport.
	MaxSDPBytes = 64 << 10
	// MaxSDPLines, MaxSDPLineBytes, MaxSDPMedia, MaxSDPCandidates, MaxSDPPayloadTypes (per m-line) and MaxSDPRIDs (per
	// m-line) bound a session description before a parser with more appetite sees it.
	MaxSDPLines        = 1000
	MaxSDPLineBytes    = 4096
	MaxSDPMedia        = 16
	MaxSDPCandidates   = 32
	MaxSDPPayloadTypes = 64
	MaxSDPRIDs         = 3

	// MaxTokenBytes bounds a JWT before it is parsed; ours are about 300 bytes. The parser reads JSON before it checks the
	// signature, and deep nesting costs it some thirty times its length.
	MaxTokenBytes = 2048
	// MaxTokenLife is how far ahead a token's exp may lie.
	MaxTokenLife = 24 * time.Hour
	// MinSecretBytes is the shortest API secret: as long as the SHA-256 output it keys (RFC 7518 section 3.2).
	MinSecretBytes = 32
	// tokenLeeway is how far clocks may differ.
	tokenLeeway = 5 * time.Second

	// MaxRoomName, MaxName and MaxChat are in characters (runes).
	MaxRoomName = 64
	MaxName     = 64
	MaxChat     = 2000
	// maxIdentity is in bytes; identities are printable ASCII.
	maxIdentity = 64
	// maxCandidateBytes is several times the longest candidate line seen in browsers (about 200 bytes).
	maxCandidateBytes = 1024

	// maxRegionBytes and maxNodeBytes bound what a client says about nodes.
	maxRegionBytes = 64
	maxNodeBytes   = 256

	// ResumeTTL is how long a participant without a socket keeps its seat.
	ResumeTTL = 30 * time.Second
	// joinTimeout is how long a socket may stay open without a join.
	joinTimeout = 5 * time.Second
	// maxJoinAttempts bounds how often one socket may try a resume secret.
	maxJoinAttempts = 3
	// pingInterval and pongTimeout notice a dead socket within 15 s.
	pingInterval = 5 * time.Second
	pongTimeout  = 10 * time.Second
	// writeTimeout is for one message; a reader that takes none for so long is gone.
	writeTimeout = 10 * time.Second
	// messageTimeout is from the first frame of a message to its last.
	messageTimeout = 10 * time.Second
	// maxMessageReads is how many pieces a message may come in. One frame of 64 KiB takes under ten reads, and libraries
	// that fragment do it at 1 KiB or more.
	maxMessageReads = 256
	// operationTimeout bounds one call into Rooms. It is shorter than the HTTP server's WriteTimeout, so that who waited for
	// nothing is told so.
	operationTimeout = 8 * time.Second

	// messageRate and messageBurst are per socket, pings included.
	messageRate  = 50
	messageBurst = 100
	// offerRate and offerBurst are per session: a renegotiation costs milliseconds of CPU.
	offerRate  = 4
	offerBurst = 8
	// chatRate and chatBurst are per session: each line goes to everyone in the room.
	chatRate  = 5
	chatBurst = 10

	// maxQueueMessages and maxQueueBytes bound what waits for a slow socket; beyond, it is closed with 1013.
	maxQueueMessages = 256
	maxQueueBytes    = 1 << 20

	// maxSessionsPerSubject is how many WHIP and WHEP sessions one token identity may have at once.
	maxSessionsPerSubject = 4
	// retryAfter is what a refused client is told to wait.
	retryAfter = 5 * time.Second
	// janitorInterval is how often sessions whose resume time is over are looked for.
	janitorInterval = time.Second
)

// The WebSocket close codes that are not RFC 6455's (docs/protocol.md).
const (
	// CloseReplaced: another socket took this session, or the same identity joined again.
	CloseReplaced = 4001
	// CloseByServer: the participant was removed; the reason is in the text.
	CloseByServer = 4002
)
