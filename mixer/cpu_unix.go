//go:build unix

package mixer

import (
	"syscall"
	"time"
)

// processCPU is the time that this process has had on processors, in user and in system mode.
func processCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // cannot happen: the arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
