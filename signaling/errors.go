package signaling

import (
	"errors"
	"fmt"
)

// Code is a stable name of an error on the wire; docs/protocol.md lists them.
type Code string

// Codes of the error message on /ws and of HTTP error bodies.
const (
	CodeBadMessage        Code = "bad_message"
	CodeUnknownType       Code = "unknown_type"
	CodeNotJoined         Code = "not_joined"
	CodeAlreadyJoined     Code = "already_joined"
	CodeBadRoom           Code = "bad_room"
	CodeBadName           Code = "bad_name"
	CodeBadToken          Code = "bad_token"
	CodeTokenExpired      Code = "token_expired"
	CodeForbidden         Code = "forbidden"
	CodeRoomFull          Code = "room_full"
	CodeServerFull        Code = "server_full"
	CodeDraining          Code = "draining"
	CodeBadSDP            Code = "bad_sdp"
	CodeSDPTooLarge       Code = "sdp_too_large"
	CodeTooManyLines      Code = "too_many_lines"
	CodeTooManyMedia      Code = "too_many_media"
	CodeTooManyCandidates Code = "too_many_candidates"
	CodeTooManyCodecs     Code = "too_many_codecs"
	CodeTooManyRIDs       Code = "too_many_rids"
	CodeNoAudio           Code = "no_audio"
	CodeNoCommonCodec     Code = "no_common_codec"
	CodeBadCandidate      Code = "bad_candidate"
	CodeRateLimited       Code = "rate_limited"
	CodeMessageTooLarge   Code = "message_too_large"
	CodeResumeFailed      Code = "resume_failed"
	CodeJoinTimeout       Code = "join_timeout"
	CodeTooManyVolumes    Code = "too_many_volumes"
	CodeInternal          Code = "internal"
)

// Codes of HTTP error bodies only.
const (
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeBadRequest           Code = "bad_request"
	CodeBadOrigin            Code = "bad_origin"
	CodeUpgradeRequired      Code = "upgrade_required"
	CodeNotAcceptable        Code = "not_acceptable"
	CodeGlare                Code = "glare"
	CodeTooManySessions      Code = "too_many_sessions"
	CodePreconditionFailed   Code = "precondition_failed"
	CodePreconditionRequired Code = "precondition_required"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeNotReady             Code = "not_ready"
)

// Error is a refusal with its stable code and a sentence for a person. The sentence never holds a token, a credential
// or anything else the other side sent, other than numbers and names of limits.
type Error struct {
	Code    Code
	Message string
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is reports that errors with the same code are alike, so that errors.Is(err, &Error{Code: CodeBadRoom}) works.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// LimitError says that a session description is over one of the limits in limits.go.
type LimitError struct {
	Code  Code
	Limit string // the name of the limit, as in limits.go
	Max   int
	Got   int // at least; counting stops at the limit
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: limit %s is %d, got %d or more", e.Code, e.Limit, e.Max, e.Got)
}
