package cluster

import "errors"

var (
	// ErrConfig marks a configuration that cannot work or would not be safe; the text names the key to set.
	ErrConfig = errors.New("cluster configuration")
	// ErrUnavailable says that the store did not answer: no NATS server, or no majority of the store's replicas.
	// Nothing was acknowledged. Rooms are not affected.
	ErrUnavailable = errors.New("cluster store unavailable")
	// ErrConflict says that the record has changed since the revision that the caller has seen.
	ErrConflict = errors.New("record changed meanwhile")
	// ErrTooLarge says that a value, or a room's state, is larger than one message or the room's limit allows.
	ErrTooLarge = errors.New("too large for the cluster")
	// ErrBadName says that a name is empty or longer than the limit.
	ErrBadName = errors.New("bad name")
	// ErrNoNode says that no node of that name is known.
	ErrNoNode = errors.New("no such node")
	// ErrLeft says that the room handle was closed by Leave.
	ErrLeft = errors.New("room was left")
)
