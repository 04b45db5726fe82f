//go:build e2e || bench

package rig

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree lists a process and all its descendants.
func tree(t testing.TB, pid int) []int {
	t.Helper()
	children := make(map[int][]int)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		text := string(data)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		child, err1 := strconv.Atoi(text[:strings.IndexByte(text, ' ')])
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// Signal sends sig to Chromium's whole process tree.
func (b *Browser) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	for _, pid := range tree(t, b.PID) {
		_ = syscall.Kill(pid, sig)
	}
}
