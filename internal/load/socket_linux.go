package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connected UDP socket outside Go's own poller. Sends may come from any goroutine, as long as nobody closes it;
// receives are its loop's.
type socket int

// openSocket makes a socket that sends to remote and hears nobody else. The kernel stamps what arrives and counts what it
// had to drop.
func openSocket(remote netip.AddrPort) (socket, error) {
	family := unix.AF_INET6
	if remote.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a UDP socket: %w", err)
	}
	var to unix.Sockaddr
	if family == unix.AF_INET {
		to = &unix.SockaddrInet4{Port: int(remote.Port()), Addr: remote.Addr().As4()}
	} else {
		to = &unix.SockaddrInet6{Port: int(remote.Port()), Addr: remote.Addr().As16()}
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
		unix.Connect(fd, to))
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("open a UDP socket to %s: %w", remote, err)
	}
	return socket(fd), nil
}

func (s socket) close() { _ = unix.Close(int(s)) }

// send sends one datagram, or gives up at once.
func (s socket) send(b []byte) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// inbox is the memory that datagrams are received into, one at a time.
type inbox struct {
	buf     [2048]byte
	control [128]byte
	iov     unix.Iovec
	msg     unix.Msghdr
}

func newInbox() *inbox {
	in := new(inbox)
	in.iov.Base = &in.buf[0]
	in.iov.SetLen(len(in.buf))
	in.msg.Iov = &in.iov
	in.msg.SetIovlen(1)
	in.msg.Control = &in.control[0]
	return in
}

// datagram is valid until the next receive.
type datagram struct {
	data    []byte
	wall    time.Duration // arrival, since 1970; 0 unknown
	dropped uint32        // by the kernel on this socket so far, where it says so
}

// receive takes one datagram without waiting.
func (in *inbox) receive(s socket) (datagram, error) {
	in.msg.SetControllen(len(in.control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s), uintptr(unsafe.Pointer(&in.msg)), unix.MSG_DONTWAIT)
	if errno != 0 {
		return datagram{}, errno
	}
	d := datagram{data: in.buf[:n]}
	for c := in.control[:in.msg.Controllen]; len(c) >= unix.SizeofCmsghdr; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		if h.Len < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(c)) {
			break
		}
		value := c[unix.SizeofCmsghdr:h.Len]
		switch {
		case h.Level != unix.SOL_SOCKET:
		case h.Type == unix.SO_TIMESTAMPNS && len(value) >= 16:
			d.wall = time.Duration(binary.NativeEndian.Uint64(value))*time.Second + time.Duration(binary.NativeEndian.Uint64(value[8:]))
		case h.Type == unix.SO_RXQ_OVFL && len(value) >= 4:
			d.dropped = binary.NativeEndian.Uint32(value)
		}
		c = c[min(len(c), unix.CmsgSpace(int(h.Len)-unix.SizeofCmsghdr)):]
	}
	return d, nil
}
