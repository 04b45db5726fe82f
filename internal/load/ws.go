package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parley/signaling"
)

// wsReadLimit lets a roster of thousands through.
const wsReadLimit = 8 << 20

// ws joins as browsers do, and keeps the socket open: it gets levels, rosters and statistics as they do.
type ws struct {
	url    string // ws://host:port/ws
	origin string
	token  func(room, name string) (string, error)
	client *http.Client
	wg     sync.WaitGroup // of the readers
}

// socketSession is one open socket.
type socketSession struct {
	conn   *websocket.Conn
	answer chan string
	failed chan error // of the join; the first one
	closed chan struct{}
}

func (w *ws) join(ctx context.Context, s seat) (session, error) {
	token, err := w.token(s.room, s.name)
	if err != nil {
		return session{}, err
	}
	conn, _, err := websocket.Dial(ctx, w.url, &websocket.DialOptions{
		HTTPClient: w.client, Subprotocols: []string{signaling.Subprotocol}, HTTPHeader: http.Header{"Origin": {w.origin}},
	})
	if err != nil {
		return session{}, err
	}
	conn.SetReadLimit(wsReadLimit)
	ss := &socketSession{conn: conn, answer: make(chan string, 1), failed: make(chan error, 1), closed: make(chan struct{})}
	w.wg.Go(func() { ss.read(s.offer) }) // close waits
	if err := ss.write(ctx, signaling.Join{Room: s.room, Name: s.name, Token: token}); err != nil {
		_ = conn.CloseNow()
		return session{}, err
	}
	select {
	case answer := <-ss.answer:
		return session{answer, ss.leave}, nil
	case err = <-ss.failed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = conn.CloseNow()
	return session{}, err
}

func (w *ws) close() {
	w.wg.Wait()
	w.client.CloseIdleConnections()
}

func (ss *socketSession) write(ctx context.Context, m signaling.Message) error {
	data, err := signaling.Encode(m)
	if err != nil {
		return err
	}
	return ss.conn.Write(ctx, websocket.MessageText, data)
}

// read takes messages until the socket ends: it sends the offer once there is a seat, and answers pings by reading.
func (ss *socketSession) read(offer string) {
	defer close(ss.closed)
	ctx := context.Background() // ends with the socket
	joined := false
	for {
		_, data, err := ss.conn.Read(ctx)
		if err != nil {
			ss.fail(err)
			return
		}
		if joined {
			continue // levels and the like: they are taken, and that is the load
		}
		m, err := signaling.DecodeServer(data)
		if err != nil {
			continue // newer than we are
		}
		switch m := m.(type) {
		case signaling.Joined:
			if err := ss.write(ctx, signaling.Offer{SDP: offer}); err != nil {
				ss.fail(err)
			}
		case signaling.Answer:
			select {
			case ss.answer <- m.SDP:
				joined = true
			default:
			}
		case signaling.Failure:
			ss.fail(refusalOf(m))
		}
	}
}

func (ss *socketSession) fail(err error) {
	select {
	case ss.failed <- err:
	default:
	}
}

// refusalOf says which failures are worth coming again for.
func refusalOf(m signaling.Failure) error {
	e := &refusedError{body: fmt.Sprintf("%s: %s", m.Code, m.Message)}
	switch m.Code {
	case signaling.CodeRoomFull, signaling.CodeServerFull, signaling.CodeDraining, signaling.CodeRateLimited:
		e.retryAfter = time.Second
	}
	return e
}

func (ss *socketSession) leave(ctx context.Context) error {
	defer func() { _ = ss.conn.CloseNow() }()
	if err := ss.write(ctx, signaling.Leave{}); err != nil {
		return err
	}
	select {
	case <-ss.closed: // after its bye the server closes
		return nil
	case <-ctx.Done():
		return errors.New("the server did not close the socket")
	}
}
