package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"
)

// notifier tells systemd about the service's state (sd_notify(3)): one datagram to the socket in $NOTIFY_SOCKET. The
// zero notifier, for a process that systemd did not start, does nothing.
type notifier struct {
	socket   string
	watchdog time.Duration // systemd's limit; 0: none
}

// newNotifier reads what systemd put into the environment.
func newNotifier(getenv func(string) string) notifier {
	n := notifier{socket: getenv("NOTIFY_SOCKET")}
	if n.socket == "" {
		return n
	}
	if n.socket[0] == '@' {
		n.socket = "\x00" + n.socket[1:] // abstract namespace
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n // meant for another process
	}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// send passes a state such as "READY=1"; lines are separated by \n.
func (n notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}

// runWatchdog pets systemd's watchdog at half its period for as long as alive says so; when it no longer does, systemd
// restarts the service. It returns when ctx ends.
func (n notifier) runWatchdog(ctx context.Context, alive func() bool) error {
	if n.watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if alive() {
				_ = n.send("WATCHDOG=1") // a lost one is made up by the next
			}
		}
	}
}
