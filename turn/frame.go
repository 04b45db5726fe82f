package turn

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// tinyFrame is the longest frame on a stream that pion takes for an incomplete one (nine bytes are its minimum): ChannelData with
// at most four bytes of payload, which no RTP, RTCP, DTLS or STUN packet has. Such frames are dropped.
const tinyFrame = 8

// framedConn is a TCP or TLS connection whose Read returns exactly one whole checked frame of at most maxFrame bytes.
type framedConn struct {
	guard   *tcpGuard
	raw     net.Conn
	conn    net.Conn // raw, or TLS over it
	session session
	reader  *bufio.Reader

	backlog *backlog // of pion's relay goroutine alone

	// of pion's reader alone
	accepted     time.Time
	since        time.Time // without an allocation since
	handshook    bool
	first        bool // the first frame has come
	allocated    bool // had an allocation when last looked
	binding      bucket
	unauthorized bucket

	once sync.Once
}

func newFramedConn(g *tcpGuard, raw net.Conn, src netip.AddrPort) *framedConn {
	now, mono := time.Now(), g.srv.clock()
	limits := g.srv.cfg.Limits
	c := &framedConn{
		guard: g, raw: raw, conn: raw, accepted: now, since: now, handshook: g.tls == nil,
		session:      session{srv: g.srv, key: clientKey{g.id, src}},
		binding:      newBucket(limits.BindingPerSecond, mono),
		unauthorized: newBucket(limits.UnauthorizedPerSecond, mono),
	}
	c.session.wire, c.backlog = c, newBacklog(raw)
	if g.tls != nil {
		c.conn = tls.Server(raw, g.tls)
	}
	return c
}

func newBucket(perSecond int, now time.Duration) bucket {
	return bucket{rate: float64(perSecond), burst: float64(perSecond), tokens: float64(perSecond), last: now}
}

func (c *framedConn) allowBinding() bool      { return c.binding.take(1, c.guard.srv.clock()) }
func (c *framedConn) allowUnauthorized() bool { return c.unauthorized.take(1, c.guard.srv.clock()) }

// Read fills p with the next frame for pion. Any error ends the connection; p must hold maxFrame bytes.
func (c *framedConn) Read(p []byte) (int, error) {
	if len(p) < maxFrame {
		return 0, io.ErrShortBuffer
	}
	for {
		n, r, err := c.frame(p)
		if err == nil && r == reasonNone {
			if c.session.receive(p[:n], true, c.send) {
				if n > tinyFrame {
					return n, nil
				}
				r = reasonChannelTiny
			} else if c.session.garbage {
				c.breakOff()
				return 0, errGarbage
			} else {
				continue
			}
		}
		if r != reasonNone {
			c.guard.srv.count.drop(r, c.session.key.src.Addr())
		}
		if r == reasonChannelTiny {
			continue
		}
		if err == nil {
			err = errGarbage
		}
		c.breakOff()
		return 0, err
	}
}

var errGarbage = errors.New("not a TURN stream")

// frame reads one frame into p and tells its size; the reason says why the connection must end, if it is not the peer's wish.
func (c *framedConn) frame(p []byte) (int, reason, error) {
	if !c.handshook {
		c.raw.SetDeadline(c.accepted.Add(c.guard.srv.cfg.Limits.FirstFrame)) //nolint:errcheck // fails only when closed: Read tells
		if err := c.conn.(*tls.Conn).Handshake(); err != nil {
			if timeout(err) {
				return 0, reasonFirstFrameTimeout, err
			}
			return 0, reasonTLS, err
		}
		c.raw.SetDeadline(time.Time{}) //nolint:errcheck // as above
		c.handshook = true
	}
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(c.conn, 2048)
	}
	if !c.buffered() {
		until, r := c.patience()
		c.raw.SetReadDeadline(until) //nolint:errcheck // as above
		if _, err := c.reader.Peek(1); err != nil {
			return 0, ifTimeout(err, r), err
		}
		whole := time.Now().Add(c.guard.srv.cfg.Limits.Frame)
		if until.IsZero() || whole.Before(until) {
			until, r = whole, reasonFrameTimeout
		}
		c.raw.SetReadDeadline(until) //nolint:errcheck // as above
		if n, r2, err := c.readFrame(p); err != nil || r2 != reasonNone {
			if err != nil {
				r2 = ifTimeout(err, r)
			}
			return n, r2, err
		} else {
			c.first = true
			return n, reasonNone, nil
		}
	}
	n, r, err := c.readFrame(p)
	c.first = true
	return n, r, err
}

// readFrame reads the head and the rest of one frame.
func (c *framedConn) readFrame(p []byte) (int, reason, error) {
	if _, err := io.ReadFull(c.reader, p[:channelHeaderSize]); err != nil {
		return 0, reasonNone, err
	}
	size, r := frameSize([4]byte(p[:channelHeaderSize]))
	if r != reasonNone {
		return 0, r, nil
	}
	_, err := io.ReadFull(c.reader, p[channelHeaderSize:size])
	return size, reasonNone, err
}

// buffered tells whether a whole frame lies in the buffer, so that no deadline is needed.
func (c *framedConn) buffered() bool {
	if c.reader.Buffered() < channelHeaderSize {
		return false
	}
	head, _ := c.reader.Peek(channelHeaderSize)
	size, r := frameSize([4]byte(head))
	return r != reasonNone || c.reader.Buffered() >= size
}

// patience says until when the next frame must begin, and why the connection ends if it does not.
func (c *framedConn) patience() (time.Time, reason) {
	limits := c.guard.srv.cfg.Limits
	if !c.first {
		return c.accepted.Add(limits.FirstFrame), reasonFirstFrameTimeout
	}
	if c.guard.srv.table.get(c.session.key) != nil {
		c.allocated = true
		return time.Time{}, reasonNone // its lifetime bounds it
	}
	if c.allocated {
		c.allocated, c.since = false, time.Now()
	}
	return c.since.Add(limits.NoAllocation), reasonIdleTimeout
}

// send writes an answer of the guard's own.
func (c *framedConn) send(b []byte) { c.write(b) } //nolint:errcheck // a failed write ends the connection

// maxUnsent is how much may wait in a connection's socket before relayed packets are dropped: 8 KiB are well over half a second
// of audio. A stream that has stalled would deliver everything late; voice wants the newest.
const maxUnsent = 8 << 10

// Write sends an answer or relayed data, whole; the two come from different goroutines. Relayed data that would wait is lost.
func (c *framedConn) Write(p []byte) (int, error) {
	if relayed(p) && c.backlog.unsent() > maxUnsent {
		c.guard.srv.count.drop(reasonCongested, c.session.key.src.Addr())
		return len(p), nil
	}
	b := c.session.answer(p)
	if b == nil {
		return len(p), nil
	}
	if err := c.write(b); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *framedConn) write(b []byte) error {
	c.raw.SetWriteDeadline(time.Now().Add(c.guard.srv.cfg.Limits.Write)) //nolint:errcheck // fails only when closed: Write tells
	_, err := c.conn.Write(b)
	if err != nil { // part of a frame may have gone out: the stream is beyond repair
		if timeout(err) {
			c.guard.srv.count.drop(reasonWriteTimeout, c.session.key.src.Addr())
		}
		c.breakOff()
	}
	return err
}

// breakOff makes every read and write fail; pion's reader then closes the connection.
func (c *framedConn) breakOff() { c.raw.Close() } //nolint:errcheck // Close again is harmless

// Close is pion's last call on a connection, after it has deleted the allocation.
func (c *framedConn) Close() error {
	c.once.Do(func() {
		c.breakOff()
		c.guard.forget(c)
	})
	return nil
}

func (c *framedConn) LocalAddr() net.Addr                { return c.raw.LocalAddr() }
func (c *framedConn) RemoteAddr() net.Addr               { return c.raw.RemoteAddr() }
func (c *framedConn) SetDeadline(t time.Time) error      { return c.raw.SetDeadline(t) }
func (c *framedConn) SetReadDeadline(t time.Time) error  { return c.raw.SetReadDeadline(t) }
func (c *framedConn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// relayed tells ChannelData and Data indications from answers.
func relayed(b []byte) bool {
	return len(b) >= 2 && (b[0] >= minChannel>>8 || b[0] == 0x00 && b[1] == 0x17)
}

func timeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func ifTimeout(err error, r reason) reason {
	if timeout(err) {
		return r
	}
	return reasonNone
}
