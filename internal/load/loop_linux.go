package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

const (
	slotTime     = time.Millisecond
	lookEvery    = 2  // slots: how often sockets are read; the kernel's stamps say when packets came
	housekeep    = 10 // slots: how often peers are looked at
	wheelSlots   = int(consentInterval / (housekeep * slotTime))
	mostBehind   = 2000 // slots that are made up for; more is given up
	eventsAtOnce = 256
)

// loopCounts is everything a loop counts.
type loopCounts struct {
	streamCounts
	earCounts
	Sent, SentBytes       uint64
	SendErrors            uint64
	DroppedOut, DroppedIn uint64 // on purpose
	Decrypted             uint64
	AuthErrors            uint64
	Reports               uint64 // of the server's
	ICEErrors             uint64
	OtherErrors           uint64
	SocketDrops           uint64 // by the kernel: we did not read in time
	SkippedSlots          uint64
	lateness              *hist // of the loop's own timer
}

func newLoopCounts() loopCounts {
	c := loopCounts{lateness: newHist()}
	c.gaps, c.late, c.delay, c.packetDelay = newHist(), newHist(), newHist(), newHist()
	return c
}

// loop reads all sockets of its peers, sends what they say, and keeps their connections alive: one goroutine on one thread.
// It works on a grid of slots: being woken for each packet would cost more than to read it, and cost the server, too, which
// wakes the reader when both are on one machine.
//
// Everything is reached through do, which runs functions on that goroutine.
type loop struct {
	epoch  time.Time
	wall   time.Duration // what to take from the kernel's stamps to get time since epoch
	frame  time.Duration
	loss   float64
	random *rand.Rand
	salt   uint64

	poll    int // sockets, looked at on the grid of slots
	control int // timer and wake, waited for
	timer   int
	wake    int
	pinned  bool // it may keep its Go processor while it waits
	events  []unix.EpollEvent

	mu    sync.Mutex
	queue []func()
	ended bool

	peers    []*peer // by descriptor
	checking []*peer // whose ICE is not up
	slots    [][]*peer
	wheel    [wheelSlots][]*peer
	placed   int   // peers given a slot so far
	last     int64 // slot done
	armed    time.Duration
	stopping bool

	inbox       *inbox
	in, out     *stun.Message
	header      rtp.Header
	plain       []byte
	sealed      []byte
	transaction uint64
	tones       *tones
	counts      loopCounts
	lostPeers   int
}

func newLoop(epoch time.Time, frame time.Duration, loss float64, pinned bool) (*loop, error) {
	l := &loop{
		epoch: epoch, frame: frame, loss: loss, random: rand.New(rand.NewPCG(rand.Uint64(), 1)), salt: rand.Uint64(),
		slots: make([][]*peer, frame/slotTime), inbox: newInbox(), in: stun.New(), out: stun.New(),
		plain: make([]byte, 0, 4096), sealed: make([]byte, 0, 4096), tones: newTones(), counts: newLoopCounts(),
		poll: -1, control: -1, timer: -1, wake: -1, pinned: pinned, events: make([]unix.EpollEvent, eventsAtOnce),
	}
	var err error
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.control, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		l.close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		l.close()
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		l.close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err := errors.Join(listenTo(l.control, l.timer), listenTo(l.control, l.wake)); err != nil {
		l.close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return l, nil
}

func (l *loop) close() {
	for _, fd := range []int{l.poll, l.control, l.timer, l.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func listenTo(poll, fd int) error {
	return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// do runs f on the loop's goroutine and waits for it. After the loop has ended it does nothing and returns false.
func (l *loop) do(f func()) bool {
	done := make(chan struct{})
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, func() { f(); close(done) })
	l.mu.Unlock()
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(l.wake, one) // a full counter wakes it too
	<-done
	return true
}

// clock is the time since the epoch.
func (l *loop) clock() time.Duration { return time.Since(l.epoch) }

// run works until stop.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.close()
	l.last = int64(l.clock() / slotTime)
	l.setWall()
	l.arm()
	for !l.stopping {
		for _, e := range l.wait(l.control, -1) {
			if int(e.Fd) == l.timer {
				l.rang()
			} else {
				l.drain()
			}
		}
		for more := true; more; {
			ready := l.wait(l.poll, 0)
			for _, e := range ready {
				if p := l.peers[e.Fd]; p != nil {
					l.receive(p)
				}
			}
			more = len(ready) == len(l.events)
			l.turn()
		}
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.drain() // nobody is left waiting
	for _, p := range l.peers {
		if p != nil {
			l.remove(p)
		}
	}
}

// wait returns what is ready, valid until the next wait. A goroutine that keeps its Go processor while it waits for a
// millisecond saves the runtime from taking it away and giving it back each time, which costs as much as the work itself; but then
// there must be processors enough for the others (Pin).
func (l *loop) wait(poll, timeout int) []unix.EpollEvent {
	var n int
	var err error
	if l.pinned || timeout == 0 {
		var errno unix.Errno
		var r uintptr
		r, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(poll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), uintptr(timeout), 0, 0)
		if n = int(r); errno != 0 {
			n, err = 0, errno
		}
	} else {
		n, err = unix.EpollWait(poll, l.events, timeout)
	}
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(fmt.Sprintf("epoll_wait: %v", err)) // our own descriptors are wrong
	}
	return l.events[:max(0, n)]
}

// stop ends run.
func (l *loop) stop() { l.do(func() { l.stopping = true }) }

func (l *loop) drain() {
	var b [8]byte
	_, _ = unix.Read(l.wake, b[:])
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, f := range queue {
		f()
	}
}

// rang notes how late the timer was.
func (l *loop) rang() {
	var b [8]byte
	if _, err := unix.Read(l.timer, b[:]); err != nil {
		return
	}
	l.counts.lateness.add(max(0, l.clock()-l.armed))
	l.armed = 0
}

// arm sets the timer to the next slot in which there is something to do.
func (l *loop) arm() {
	if l.armed != 0 {
		return
	}
	next := l.last + 1
	for next%lookEvery != 0 && len(l.slots[next%int64(len(l.slots))]) == 0 {
		next++
	}
	l.armed = time.Duration(next) * slotTime
	wait := max(time.Microsecond, l.armed-l.clock())
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("timerfd_settime: %v", err))
	}
}

// turn does what is due.
func (l *loop) turn() {
	now := l.clock()
	slot := int64(now / slotTime)
	if behind := slot - l.last; behind > mostBehind {
		l.counts.SkippedSlots += uint64(behind - mostBehind)
		l.last = slot - mostBehind
	}
	for l.last < slot {
		l.last++
		n := l.last / int64(len(l.slots))
		for _, p := range l.slots[l.last%int64(len(l.slots))] {
			l.sendFrame(p, n)
		}
		if l.last%housekeep == 0 {
			l.keepHouse(now)
		}
	}
	l.arm()
}

// keepHouse sends the checks and reports that are due.
func (l *loop) keepHouse(now time.Duration) {
	l.setWall()
	l.checkAgain(now)
	for _, p := range l.wheel[int(l.last/housekeep)%wheelSlots] {
		if !p.path.up || p.lost {
			continue
		}
		if now-p.path.consentAt > consentExpires {
			l.giveUp(p)
			continue
		}
		l.check(p)
		l.report(p, now)
	}
}

func (l *loop) setWall() {
	now := time.Now()
	l.wall = time.Duration(now.UnixNano()) - now.Sub(l.epoch)
}

// giveUp notes that the server has ended a participant.
func (l *loop) giveUp(p *peer) {
	if !p.lost && !p.leaving {
		p.lost = true
		l.lostPeers++
		l.unschedule(p)
	}
}

// receive takes one datagram; epoll comes again while there are more.
func (l *loop) receive(p *peer) {
	d, err := l.inbox.receive(p.socket)
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) && !p.path.up {
			return // not listening yet, or no more: the checks find out
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			l.counts.OtherErrors++
		}
		return
	}
	if len(d.data) == 0 {
		return
	}
	at := l.clock()
	if d.wall != 0 {
		at = min(at, d.wall-l.wall)
	}
	if d.dropped != p.dropped {
		l.counts.SocketDrops += uint64(d.dropped - p.dropped)
		p.dropped = d.dropped
	}
	switch first := d.data[0]; { // RFC 7983
	case first >= 128 && first <= 191:
		l.media(p, d.data, at)
	case first <= 3:
		l.stun(p, d.data, at)
	case first >= 20 && first <= 63:
		if p.pipe != nil {
			p.pipe.put(d.data)
		} else if first == 21 {
			l.giveUp(p) // an alert after the handshake: the server closes
		}
	default:
		l.counts.OtherErrors++
	}
}

func (l *loop) write(p *peer, b []byte) {
	if err := p.socket.send(b); err != nil {
		l.counts.SendErrors++
	}
}

// add takes over a peer and begins to check its path.
func (l *loop) add(p *peer) error {
	if err := listenTo(l.poll, int(p.socket)); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for len(l.peers) <= int(p.socket) {
		l.peers = append(l.peers, nil)
	}
	p.loop = l
	l.peers[p.socket] = p
	l.wheel[p.id%wheelSlots] = append(l.wheel[p.id%wheelSlots], p)
	l.checking = append(l.checking, p)
	l.checkAgain(l.clock())
	return nil
}

// remove closes the peer's socket.
func (l *loop) remove(p *peer) {
	if p.gone {
		return
	}
	p.gone = true
	l.unschedule(p)
	l.peers[p.socket] = nil
	l.wheel[p.id%wheelSlots] = without(l.wheel[p.id%wheelSlots], p)
	if p.pipe != nil {
		p.pipe.mute()
		p.pipe = nil
	}
	p.socket.close() // which takes it out of epoll
}

// schedule has the peer send a frame in each frame's time; peers are spread over it.
func (l *loop) schedule(p *peer) {
	if p.slot >= 0 || p.gone {
		return
	}
	// 7 has no factor in common with the slots of any frame: neighbours end up apart.
	p.slot = l.placed * 7 % len(l.slots)
	l.placed++
	l.slots[p.slot] = append(l.slots[p.slot], p)
}

func (l *loop) unschedule(p *peer) {
	if p.slot >= 0 {
		l.slots[p.slot] = without(l.slots[p.slot], p)
		p.slot = -1
	}
}

// without removes p from a list that the loop may be ranging over: into a new one.
func without(list []*peer, p *peer) []*peer {
	out := make([]*peer, 0, len(list))
	for _, q := range list {
		if q != p {
			out = append(out, q)
		}
	}
	return out
}
