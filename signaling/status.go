package signaling

import (
	"context"
	"errors"
	"net/http"

	"parley/sfu"
)

// problem is what a client is told about an error: the HTTP status, the stable code and a sentence.
type problem struct {
	status  int
	code    Code
	message string
}

// retryable reports whether the same request may succeed later; the answer then carries Retry-After.
func (p problem) retryable() bool { return p.status == http.StatusServiceUnavailable }

// statusOf maps every error that can reach a client to what the client is told. It is the only such map; /ws uses its
// code and message, HTTP all of it. An error it does not know is internal, and its text stays here.
func statusOf(err error) problem {
	var e *Error
	if errors.As(err, &e) {
		return problem{codeStatus(e.Code), e.Code, e.Message}
	}
	var limit *LimitError
	if errors.As(err, &limit) {
		return problem{codeStatus(limit.Code), limit.Code, limit.Error()}
	}
	for _, s := range sfuErrors {
		if errors.Is(err, s.err) {
			return problem{codeStatus(s.code), s.code, s.err.Error()}
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return problem{http.StatusServiceUnavailable, CodeInternal, "it took too long"}
	}
	return problem{http.StatusInternalServerError, CodeInternal, "internal error"}
}

// sfuErrors gives the sentinels of package sfu their codes.
var sfuErrors = [...]struct {
	err  error
	code Code
}{
	{sfu.ErrNoParticipant, CodeNotFound},
	{sfu.ErrClosed, CodeNotFound},
	{sfu.ErrRoomFull, CodeRoomFull},
	{sfu.ErrServerFull, CodeServerFull},
	{sfu.ErrDraining, CodeDraining},
	{sfu.ErrForbidden, CodeForbidden},
	{sfu.ErrTooManyMixes, CodeTooManyVolumes},
	{sfu.ErrNoAudio, CodeNoAudio},
	{sfu.ErrNoCommonCodec, CodeNoCommonCodec},
	{sfu.ErrTooManyCandidates, CodeTooManyCandidates},
	{sfu.ErrBadCandidate, CodeBadCandidate},
	{sfu.ErrGlare, CodeGlare},
	{sfu.ErrNoOffer, CodeBadSDP},
	{sfu.ErrSDPTooLarge, CodeSDPTooLarge}, // these five are ErrBadSDP too, so they come first
	{sfu.ErrTooManyLines, CodeTooManyLines},
	{sfu.ErrTooManyMedia, CodeTooManyMedia},
	{sfu.ErrTooManyCodecs, CodeTooManyCodecs},
	{sfu.ErrTooManyRIDs, CodeTooManyRIDs},
	{sfu.ErrBadSDP, CodeBadSDP},
}

// codeStatus is the HTTP status of a code. WHIP's choices are RFC 9725's section 4 where it makes one.
func codeStatus(c Code) int {
	switch c {
	case CodeBadMessage, CodeUnknownType, CodeNotJoined, CodeAlreadyJoined, CodeBadRoom, CodeBadName, CodeBadSDP,
		CodeBadRequest, CodeBadCandidate, CodeResumeFailed:
		return http.StatusBadRequest
	case CodeBadToken, CodeTokenExpired:
		return http.StatusUnauthorized
	case CodeForbidden, CodeBadOrigin:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeGlare, CodeNoCommonCodec, CodeNotAcceptable:
		return http.StatusNotAcceptable
	case CodeJoinTimeout:
		return http.StatusRequestTimeout
	case CodeTooManySessions:
		return http.StatusConflict
	case CodePreconditionFailed:
		return http.StatusPreconditionFailed
	case CodePreconditionRequired:
		return http.StatusPreconditionRequired
	case CodeSDPTooLarge, CodeMessageTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case CodeTooManyLines, CodeTooManyMedia, CodeTooManyCandidates, CodeTooManyCodecs, CodeTooManyRIDs, CodeNoAudio, CodeTooManyVolumes:
		return http.StatusUnprocessableEntity
	case CodeUpgradeRequired:
		return http.StatusUpgradeRequired
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeRoomFull, CodeServerFull, CodeDraining, CodeNotReady:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
