package signaling

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Subprotocol is the WebSocket subprotocol of this server; a client that does not ask for it is refused.
const Subprotocol = "parley.v1"

// conn is one WebSocket. Its goroutines are the HTTP handler, which reads, and those that serve starts and waits for:
// write, ping and close. Only close ends the socket, so that every reason for it has one way to go.
type conn struct {
	ws      *websocket.Conn
	host    string // of the Host header, without port
	login   func() // frees the connection's place among those that have not joined
	out     *outbox
	limiter *rate.Limiter
	flood   atomic.Bool // pings came too fast
	cancel  context.CancelFunc
	log     *zap.Logger

	shutOnce sync.Once
	shut     chan struct{} // closed by abort
	code     websocket.StatusCode
	reason   string
	closed   chan struct{} // closed when the socket is
}

// accept answers the upgrade request, or refuses it with a JSON error.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (*conn, error) {
	if !headerHas(r.Header, "Connection", "upgrade") || !headerHas(r.Header, "Upgrade", "websocket") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return nil, refuse(CodeUpgradeRequired, "this is a WebSocket: use an Upgrade request")
	}
	if !s.allowed(r) {
		return nil, refuse(CodeBadOrigin, "the Origin header must name this server or a listed origin")
	}
	if !headerHas(r.Header, "Sec-WebSocket-Protocol", Subprotocol) {
		return nil, refuse(CodeBadRequest, "the subprotocol %s is needed", Subprotocol)
	}
	c := &conn{
		host:    hostOf(r),
		login:   loginOf(r.Context()),
		out:     newOutbox(),
		limiter: rate.NewLimiter(messageRate, messageBurst),
		shut:    make(chan struct{}),
		closed:  make(chan struct{}),
		log:     s.log.With(zap.String("remote", truncateAddress(r.RemoteAddr))),
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // checked above, and stricter
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     c.pinged,
	})
	if err != nil {
		return nil, errResponded
	}
	ws.SetReadLimit(MaxMessageBytes)
	c.ws = ws
	return c, nil
}

// errResponded says that the response has been written already.
var errResponded = errors.New("responded")

// serve runs the socket until it is closed. It waits for all that it starts.
func (c *conn) serve(ctx context.Context, handle func(ctx context.Context)) {
	ctx, c.cancel = context.WithCancel(ctx)
	defer c.cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.write(ctx) }) // waited for below
	wg.Go(func() { c.ping(ctx) })
	wg.Go(func() { c.close(ctx) })
	handle(ctx)
	c.cancel()
	wg.Wait()
}

// send queues a message. A reader so slow that the queue is full loses the socket, with 1013, and may resume.
func (c *conn) send(m outgoing) (taken bool) {
	taken, overflow := c.out.push(m)
	if overflow {
		c.abort(websocket.StatusTryAgainLater, "slow_reader")
	}
	return taken
}

// say encodes and queues a message that is about this socket.
func (c *conn) say(m Message) bool {
	data, err := Encode(m)
	if err != nil {
		c.log.Error("message not encoded", zap.String("type", m.MessageType()), zap.Error(err))
		return false
	}
	return c.send(outgoing{kind: m.MessageType(), importance: ofSocket, data: data})
}

// fail tells of an error; with a close code it is fatal and the socket is closed after it.
func (c *conn) fail(err error, re string, closeCode websocket.StatusCode) {
	p := statusOf(err)
	c.say(Failure{Code: p.code, Message: p.message, Re: re, Fatal: closeCode != 0})
	if closeCode != 0 {
		c.out.finish(int(closeCode), string(p.code))
	}
}

// abort closes the socket without waiting for the queue. It does not block, and only the first call counts.
func (c *conn) abort(code websocket.StatusCode, reason string) {
	c.shutOnce.Do(func() {
		c.code, c.reason = code, reason
		close(c.shut)
	})
}

// write sends what is queued until the socket or ctx ends.
func (c *conn) write(ctx context.Context) {
	for {
		m, ok, done := c.out.next()
		if done {
			c.abort(websocket.StatusCode(c.out.code), c.out.reason)
			return
		}
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-c.out.wake:
			}
			continue
		}
		timed, cancel := context.WithTimeout(ctx, writeTimeout)
		err := c.ws.Write(timed, websocket.MessageText, m.data)
		cancel()
		if err != nil {
			c.abort(websocket.StatusGoingAway, "")
			return
		}
		c.out.sent()
	}
}

// ping notices a socket that is dead without having been closed.
func (c *conn) ping(ctx context.Context) {
	t := time.NewTicker(pingInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		timed, cancel := context.WithTimeout(ctx, pongTimeout)
		err := c.ws.Ping(timed)
		cancel()
		if err != nil {
			c.abort(websocket.StatusPolicyViolation, "no_pong")
			return
		}
	}
}

// close waits for a reason to close the socket and does it. A peer that does not answer the close frame within five
// seconds is cut off.
func (c *conn) close(ctx context.Context) {
	defer close(c.closed)
	select {
	case <-c.shut:
		_ = c.ws.Close(c.code, c.reason)
	case <-ctx.Done():
		_ = c.ws.CloseNow()
	}
}

// pinged is called for each ping frame, from within read; pings count as messages.
func (c *conn) pinged(context.Context, []byte) bool {
	if c.limiter.Allow() {
		return true
	}
	c.flood.Store(true)
	c.abort(websocket.StatusPolicyViolation, string(CodeRateLimited))
	return false
}

// read returns the next message, and says no to what is no text, comes too fast, too slowly or in too many pieces. An
// error is final: the socket is closed or about to be.
func (c *conn) read(ctx context.Context) ([]byte, error) {
	kind, r, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	slow := time.AfterFunc(messageTimeout, c.tooSlow)
	defer slow.Stop()
	buf := make([]byte, 0, 512)
	for reads := 0; ; reads++ {
		if reads > maxMessageReads {
			return nil, c.giveUp(refuse(CodeRateLimited, "the message comes in too many fragments"))
		}
		if len(buf) == cap(buf) && cap(buf) < MaxMessageBytes {
			buf = append(make([]byte, 0, min(4*cap(buf), MaxMessageBytes)), buf...)
		}
		space := buf[len(buf):cap(buf)]
		if len(space) == 0 {
			space = make([]byte, 1) // only to hear that it ends here: the reader's limit is the same
		}
		n, err := r.Read(space)
		buf = append(buf, space[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if !c.limiter.Allow() {
		return nil, c.giveUp(refuse(CodeRateLimited, "more than %d messages a second", messageRate))
	}
	if kind != websocket.MessageText {
		return nil, c.giveUp(refuse(CodeBadMessage, "messages are text"))
	}
	return buf, nil
}

func (c *conn) tooSlow() { c.abort(websocket.StatusPolicyViolation, "slow_message") }

// giveUp tells of a fatal error in the way the client talks.
func (c *conn) giveUp(err error) error {
	c.fail(err, "", websocket.StatusPolicyViolation)
	return err
}

// drain lets what is queued go out and the close frames cross, while reading on, since the peer's has to be seen. Some
// reason to close must have been given.
func (c *conn) drain(ctx context.Context) {
	for {
		_, r, err := c.ws.Reader(ctx)
		if err != nil {
			break
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			break
		}
	}
	t := time.NewTimer(writeTimeout)
	defer t.Stop()
	select {
	case <-c.closed:
	case <-ctx.Done():
	case <-t.C:
	}
}
