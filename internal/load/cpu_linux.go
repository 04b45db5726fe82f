package load

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownCPU is the processor time this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// process is what /proc tells of another process.
type process struct {
	cpu     time.Duration
	rss     uint64 // bytes
	threads int
}

// tick is the unit of /proc/PID/stat: 1/100 s on every Linux (USER_HZ).
const tick = 10 * time.Millisecond

func readProcess(pid int) (process, error) {
	var p process
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, fmt.Errorf("read the server's processor time: %w", err)
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 22 {
		return p, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	user, err1 := strconv.ParseUint(f[11], 10, 64) // utime, the 14th
	system, err2 := strconv.ParseUint(f[12], 10, 64)
	threads, err3 := strconv.Atoi(f[17])
	pages, err4 := strconv.ParseUint(f[21], 10, 64)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return p, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	return process{time.Duration(user+system) * tick, pages * uint64(os.Getpagesize()), threads}, nil
}

// Pin keeps this process on the given cores, all threads there are and will be.
func Pin(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	// Twice: a thread begun by one not pinned yet is found the second time.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("pin to cores: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pin to cores %v: %w", cpus, err)
			}
		}
	}
	// One more than cores: a loop that comes back from waiting must not wait for those that join.
	runtime.GOMAXPROCS(len(cpus) + 1)
	return nil
}

// cores is how many cores this process may use.
func cores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return runtime.NumCPU()
	}
	return max(1, set.Count())
}
