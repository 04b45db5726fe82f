package codec

import "errors"

var (
	// ErrFormat says that there is no decoder of that name and number of channels.
	ErrFormat = errors.New("codec: unknown format")
	// ErrPayload says that a payload is empty or does not fit where it is to be decoded to.
	ErrPayload = errors.New("codec: payload of a wrong length")
	// ErrNone says that the codec has no concealment and no redundancy.
	ErrNone = errors.New("codec: no concealment")
)
