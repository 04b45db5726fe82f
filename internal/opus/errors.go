package opus

import "errors"

var (
	// ErrPayload: the payload is empty, longer than an Opus packet can be, or corrupt.
	ErrPayload = errors.New("opus: bad payload")
	// ErrLength: the PCM slice has a length the codec cannot fill or read.
	ErrLength = errors.New("opus: bad PCM length")
	// ErrState: the codec state cannot be copied (another binding, another channel count).
	ErrState = errors.New("opus: state cannot be copied")
)
