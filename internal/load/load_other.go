//go:build !linux

package load

import (
	"context"
	"errors"
)

// errPlatform: the loops stand on epoll, timerfd and the kernel's time stamps.
var errPlatform = errors.New("a crowd needs Linux")

type (
	run   struct{}
	total struct{}
)

// Measure fails here.
func Measure(context.Context, Config) (*Report, error) { return nil, errPlatform }

// Pin fails here, unless there is nothing to do.
func Pin(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	return errPlatform
}
