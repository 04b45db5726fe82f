//go:build !linux

package turn

import "net"

// backlog is known on Linux only; elsewhere a write that blocks for too long ends the connection.
type backlog struct{}

func newBacklog(net.Conn) *backlog { return nil }

func (*backlog) unsent() int { return 0 }
