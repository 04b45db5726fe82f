package mixer

import "errors"

var (
	// ErrConfig: a Config, RoomConfig, SourceConfig or ListenerConfig makes no sense; the text says which part.
	ErrConfig = errors.New("mixer: bad configuration")
	// ErrRunning: Run was called twice.
	ErrRunning = errors.New("mixer: already running")
	// ErrStopped: the mixer has been stopped.
	ErrStopped = errors.New("mixer: stopped")
	// ErrTooManyMixes: what a listener asks for would need one more mix than it, or its room, may have; see Listener.SetGain.
	ErrTooManyMixes = errors.New("mixer: too many different mixes")
	// ErrRoomClosed: the room has been closed.
	ErrRoomClosed = errors.New("mixer: room closed")
	// ErrRoomPanicked: the room was closed because its tick panicked; see Room.Err.
	ErrRoomPanicked = errors.New("mixer: room panicked")
)
