package sfu

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// vector is what sendmmsg reads of a batch.
type vector struct {
	headers [batchPackets]mmsghdr
	pieces  [batchPackets]unix.Iovec
	names   [batchPackets]unix.RawSockaddrInet6 // the largest; an IPv4 address lies at the beginning of one
	from    int                                 // what is to be sent next
	errno   syscall.Errno
	did     int
	call    func(fd uintptr)
}

// prepare sets what stays.
func (b *batch) prepare() {
	b.call = b.sendmmsg
	for i := range b.headers {
		h := &b.headers[i]
		h.Iov = &b.pieces[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
	}
}

// sendBatch sends the packets of b. A destination that the system refuses does not keep the others from being sent. When the
// socket's buffer is full it waits once, for a millisecond at most.
func (c *mediaConn) sendBatch(b *batch) (sent, bytes, calls int) {
	for i := range b.n {
		p := b.packet(i)
		b.pieces[i].Base = unsafe.SliceData(p)
		b.pieces[i].SetLen(len(p))
		b.headers[i].Namelen = putAddr(&b.names[i], b.to[i], c.is4)
	}
	waited := false
	for b.from = 0; b.from < b.n; {
		// Not RawConn.Write: that would have workers wait for each other, and for room in the buffer.
		if c.raw.Control(b.call) != nil {
			return sent, bytes, calls // closed
		}
		calls++
		switch b.errno {
		case 0:
			for i := b.from; i < b.from+b.did; i++ {
				bytes += len(b.packet(i))
			}
			sent += b.did
			b.from += b.did
		case unix.EINTR:
		case unix.EAGAIN:
			if waited {
				b.from++
				continue
			}
			waited = true
			_ = c.raw.Control(waitWritable)
		default:
			b.from++ // this one is refused; the others may not be
		}
	}
	return sent, bytes, calls
}

func (b *batch) sendmmsg(fd uintptr) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[b.from])), uintptr(b.n-b.from),
		unix.MSG_DONTWAIT, 0, 0)
	b.did, b.errno = int(n), errno
}

func waitWritable(fd uintptr) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1)
}

// putAddr writes an address as the system wants it, and returns its length.
func putAddr(name *unix.RawSockaddrInet6, to netip.AddrPort, is4 bool) uint32 {
	if is4 {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		a.Family = unix.AF_INET
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&a.Port))[:], to.Port())
		a.Addr = to.Addr().Unmap().As4()
		return unix.SizeofSockaddrInet4
	}
	name.Family = unix.AF_INET6
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], to.Port())
	name.Addr = to.Addr().As16()
	return unix.SizeofSockaddrInet6
}

// takeAddr reads an address as the system gives it.
func takeAddr(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), port)
}

// intake reads datagrams, as many as there are in one system call.
type intake struct {
	conn    *mediaConn
	headers [intakePackets]mmsghdr
	pieces  [intakePackets]unix.Iovec
	names   [intakePackets]unix.RawSockaddrInet6
	slots   [intakePackets]*datagram
	handle  func([]*datagram)
	errno   syscall.Errno
	call    func(fd uintptr) bool
}

func newIntake(c *mediaConn, handle func([]*datagram)) *intake {
	in := &intake{conn: c, handle: handle}
	in.call = in.recvmmsg
	return in
}

// read hands over what comes, and returns only with an error.
func (in *intake) read() error {
	in.errno = 0
	if err := in.conn.raw.Read(in.call); err != nil {
		return err
	}
	return &net.OpError{Op: "read", Net: "udp", Err: in.errno}
}

// recvmmsg is called when there may be something to read. It returns false to be called again, which saves the call that would
// only say that there is nothing more: a datagram that came since then makes for another event.
func (in *intake) recvmmsg(fd uintptr) bool {
	for {
		for i := range in.slots {
			h := &in.headers[i]
			if in.slots[i] == nil {
				in.slots[i] = in.conn.free.Get().(*datagram)
				in.pieces[i].Base = &in.slots[i].data[0]
				in.pieces[i].SetLen(maxDatagram)
				h.Iov = &in.pieces[i]
				h.SetIovlen(1)
				h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
			}
			h.Namelen = unix.SizeofSockaddrInet6
		}
		r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.headers[0])), intakePackets,
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			in.errno = errno
			return true
		}
		n := int(r)
		for i, d := range in.slots[:n] {
			d.n, d.from = int(in.headers[i].n), takeAddr(&in.names[i])
			if in.headers[i].Flags&unix.MSG_TRUNC != 0 {
				d.n = 0 // longer than anything we speak
			}
		}
		in.handle(in.slots[:n])
		if n < intakePackets {
			return false
		}
	}
}
