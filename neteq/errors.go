package neteq

import "errors"

// What Insert, Register and the setters may answer. A late, duplicate or lost packet is the network being the network: it is
// counted in [Stats], not reported as an error.
var (
	// ErrEmptyPayload reports a packet without payload (padding only), which tells nothing without Config.Nack.
	ErrEmptyPayload = errors.New("neteq: empty payload")
	// ErrUnknownPayloadType reports a payload type nobody registered, alone or inside RED.
	ErrUnknownPayloadType = errors.New("neteq: unknown payload type")
	// ErrMalformed reports a RED, telephone-event or comfort noise payload that breaks its format.
	ErrMalformed = errors.New("neteq: malformed payload")
	// ErrTooMany reports telephone events that begin faster than anybody presses keys.
	ErrTooMany = errors.New("neteq: too many")
	// ErrPayloadTooLarge reports a payload no RTP packet over UDP can carry.
	ErrPayloadTooLarge = errors.New("neteq: payload too large")
	// ErrRegistered reports that a payload type is registered already.
	ErrRegistered = errors.New("neteq: payload type already registered")
	// ErrFormat reports a format this package cannot handle.
	ErrFormat = errors.New("neteq: format not supported")
	// ErrDelayBounds reports delay bounds outside what the buffer can hold.
	ErrDelayBounds = errors.New("neteq: delay bounds out of range")
	// ErrConfig reports an impossible Config.
	ErrConfig = errors.New("neteq: bad configuration")
	// ErrNoConcealment is what a Decoder's Conceal or DecodeFEC returns when the codec has none; NetEq then uses its own.
	ErrNoConcealment = errors.New("neteq: codec has no concealment")
)
