package trunk

import "errors"

var (
	// ErrConfig is a setting that makes no sense.
	ErrConfig = errors.New("trunk: invalid configuration")
	// ErrStream is a stream whose description is too long, or means nothing.
	ErrStream = errors.New("trunk: invalid stream")
	// ErrHops is a stream that has come as far as it may (loops are made of such).
	ErrHops = errors.New("trunk: stream of another node goes no further")

	errMalformed = errors.New("malformed message")
)
