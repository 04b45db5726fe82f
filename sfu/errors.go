package sfu

import (
	"errors"
	"fmt"
)

// Sentinels that a caller may want to tell apart. Errors returned by Node wrap one of these; anything else is internal.
var (
	ErrNoParticipant     = errors.New("no such participant")
	ErrRoomFull          = errors.New("room is full")
	ErrServerFull        = errors.New("server is full")
	ErrDraining          = errors.New("server is shutting down")
	ErrClosed            = errors.New("participant has left")
	ErrForbidden         = errors.New("not allowed")
	ErrBadSDP            = errors.New("bad SDP")
	ErrNoAudio           = errors.New("no audio section in the offer")
	ErrNoCommonCodec     = errors.New("no codec in common")
	ErrTooManyCandidates = errors.New("too many candidates")
	ErrBadCandidate      = errors.New("bad candidate")
	ErrGlare             = errors.New("offer collides with one of the server's")
	ErrNoOffer           = errors.New("no offer is waiting for an answer")
	ErrTooManyMixes      = errors.New("too many personal volumes")
)

// Limits of an SDP. Each also matches ErrBadSDP.
var (
	ErrSDPTooLarge   = fmt.Errorf("%w: larger than 64 KiB", ErrBadSDP)
	ErrTooManyLines  = fmt.Errorf("%w: more than 1000 lines", ErrBadSDP)
	ErrTooManyMedia  = fmt.Errorf("%w: more than 16 media sections", ErrBadSDP)
	ErrTooManyCodecs = fmt.Errorf("%w: more than 64 payload types in a media section", ErrBadSDP)
	ErrTooManyRIDs   = fmt.Errorf("%w: more than 3 rids in a media section", ErrBadSDP)
)
