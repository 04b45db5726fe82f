package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func notifySocket(t *testing.T) (string, *net.UnixConn) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return name, conn
}

func environ(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotify(t *testing.T) {
	name, conn := notifySocket(t)
	n := newNotifier(environ(map[string]string{"NOTIFY_SOCKET": name}))
	if err := n.send("READY=1"); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, conn); got != "READY=1" {
		t.Errorf("systemd got %q", got)
	}
}

func TestNotifyAbstractSocket(t *testing.T) {
	name := "@parley-test-" + strconv.Itoa(os.Getpid())
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "\x00" + name[1:], Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := newNotifier(environ(map[string]string{"NOTIFY_SOCKET": name})).send("STOPPING=1"); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, conn); got != "STOPPING=1" {
		t.Errorf("systemd got %q", got)
	}
}

func TestNotifyWithoutSystemd(t *testing.T) {
	if err := newNotifier(environ(nil)).send("READY=1"); err != nil {
		t.Error(err)
	}
	gone := newNotifier(environ(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}))
	if err := gone.send("READY=1"); err == nil {
		t.Error("a socket that is not there gave no error")
	}
}

func TestWatchdogSettings(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		want time.Duration
	}{
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000"}, 30 * time.Second},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}, 30 * time.Second},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "x"}, 0},
		{map[string]string{"WATCHDOG_USEC": "30000000"}, 0},
	} {
		if got := newNotifier(environ(tc.env)).watchdog; got != tc.want {
			t.Errorf("%v: %v, want %v", tc.env, got, tc.want)
		}
	}
}

// The watchdog asks at half its period, in virtual time, and stops with its context.
func TestWatchdogAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := notifier{watchdog: 10 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 32*time.Second)
		defer cancel()
		var asked atomic.Int32
		if err := n.runWatchdog(ctx, func() bool { asked.Add(1); return false }); err != nil {
			t.Fatal(err)
		}
		if asked.Load() != 6 {
			t.Errorf("asked %d times in 32 s, want 6", asked.Load())
		}
	})
}

// Only a living process pets the watchdog.
func TestWatchdogPets(t *testing.T) {
	name, conn := notifySocket(t)
	n := notifier{socket: name, watchdog: 2 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.runWatchdog(ctx, func() bool { return true }) }()
	if got := receive(t, conn); got != "WATCHDOG=1" {
		t.Errorf("systemd got %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
