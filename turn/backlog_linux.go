package turn

import (
	"net"
	"syscall"
	"unsafe"
)

// backlog tells how many bytes wait in a TCP socket without having been sent once. Used by one goroutine.
type backlog struct {
	conn syscall.RawConn
	look func(fd uintptr)
	n    int32
}

// siocOutQNSD is SIOCOUTQNSD of linux/sockios.h.
const siocOutQNSD = 0x894B

// newBacklog returns nil for a connection that is not a TCP socket.
func newBacklog(conn net.Conn) *backlog {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	b := &backlog{conn: raw}
	b.look = func(fd uintptr) {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, siocOutQNSD, uintptr(unsafe.Pointer(&b.n))); e != 0 {
			b.n = 0
		}
	}
	return b
}

// unsent returns the number of bytes; 0 when it cannot be known.
func (b *backlog) unsent() int {
	if b == nil || b.conn.Control(b.look) != nil {
		return 0
	}
	return int(b.n)
}
