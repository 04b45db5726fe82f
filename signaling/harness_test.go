package signaling

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

const (
	testKey    = "key1"
	testSecret = "0123456789abcdef0123456789abcdef"
	testHost   = "parley.test"
	testOrigin = "http://parley.test"
	offerSDP   = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n" +
		"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=sendrecv\r\n"
)

// pipeListener is a listener whose connections are net.Pipes, for tests in virtual time.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// harness is a server in a bubble of virtual time, with its HTTP server and a client.
type harness struct {
	t      *testing.T
	rooms  *fakeRooms
	server *Server
	ln     *pipeListener
	client *http.Client
	stop   func() // ends Run
}

// inBubble runs a test in virtual time against a fresh server.
func inBubble(t *testing.T, change func(*Config), test func(t *testing.T, h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, start(t, change)) })
}

func start(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	rooms := newFakeRooms()
	cfg := Config{Rooms: rooms, ICE: fakeICE{}, Version: "test", Origins: []string{"https://app.example"}}
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, rooms: rooms, server: server, ln: newPipeListener()}
	h.client = &http.Client{Transport: &http.Transport{DialContext: h.ln.dial, DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(context.Background())
	hs := NewHTTPServer(server.Handler())
	var wg sync.WaitGroup
	wg.Go(func() { _ = hs.Serve(h.ln) })
	wg.Go(func() { _ = server.Run(ctx) })
	h.stop = cancel
	t.Cleanup(func() {
		cancel()
		_ = hs.Close()
		wg.Wait()
		time.Sleep(time.Second) // virtual: net/http lingers for 500 ms after refusing a body
		h.client.CloseIdleConnections()
	})
	return h
}

// peer is a WebSocket client.
type peer struct {
	t  *testing.T
	ws *websocket.Conn
}

func (h *harness) dial() *peer {
	h.t.Helper()
	ws, res, err := websocket.Dial(context.Background(), "ws://"+testHost+"/ws", &websocket.DialOptions{
		HTTPClient: h.client, Subprotocols: []string{Subprotocol}, HTTPHeader: http.Header{"Origin": {testOrigin}},
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		h.t.Fatalf("dial: %v", err)
	}
	if ext := res.Header.Get("Sec-WebSocket-Extensions"); ext != "" {
		h.t.Errorf("compression was agreed: %q", ext)
	}
	ws.SetReadLimit(4 << 20)
	h.t.Cleanup(func() { _ = ws.CloseNow() })
	return &peer{h.t, ws}
}

func (p *peer) say(m Message) {
	p.t.Helper()
	data, err := Encode(m)
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(string(data))
}

func (p *peer) raw(s string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.ws.Write(ctx, websocket.MessageText, []byte(s)); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// hear returns the next message.
func (p *peer) hear() Message {
	p.t.Helper()
	m, err := p.next()
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return m
}

func (p *peer) next() (Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, data, err := p.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	return DecodeServer(data)
}

// closed reads until the socket is closed, and returns the code and the messages before.
func (p *peer) closed() (websocket.StatusCode, []Message) {
	p.t.Helper()
	var seen []Message
	for {
		m, err := p.next()
		if err != nil {
			return websocket.CloseStatus(err), seen
		}
		seen = append(seen, m)
	}
}

// hearAs returns the next message, which must be an M.
func hearAs[M Message](p *peer) M {
	p.t.Helper()
	m := p.hear()
	got, ok := m.(M)
	if !ok {
		var want M
		p.t.Fatalf("got %T %+v, want %T", m, m, want)
	}
	return got
}

// join takes a seat on a new socket.
func (h *harness) join(room, name string) (*peer, Joined) {
	h.t.Helper()
	p := h.dial()
	p.say(Join{Room: room, Name: name})
	return p, hearAs[Joined](p)
}

// request does one HTTP request over the pipe.
func (h *harness) request(method, path, body string, headers ...string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequest(method, "http://"+testHost+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: body: %v", method, path, err)
	}
	_ = res.Body.Close()
	res.Body = io.NopCloser(strings.NewReader(string(data)))
	return res
}

func text(res *http.Response) string {
	data, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(data)))
	return string(data)
}

// rawPeer speaks WebSocket frames by hand, for what no library would send.
type rawPeer struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (h *harness) dialRaw() *rawPeer {
	h.t.Helper()
	c, err := h.ln.dial(context.Background(), "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+testHost+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: "+Subprotocol+"\r\nSec-WebSocket-Key: "+key+
		"\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: "+testOrigin+"\r\n\r\n")
	if err != nil {
		h.t.Fatal(err)
	}
	p := &rawPeer{h.t, c, bufio.NewReader(c)}
	res, err := http.ReadResponse(p.r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("upgrade: %v %v", res, err)
	}
	return p
}

// frame writes one masked frame (the mask is zero); head is FIN, RSV and opcode.
func (p *rawPeer) frame(head byte, payload string) error {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	_, err := p.c.Write(append(b, payload...))
	return err
}

// read returns the next frame's opcode and payload.
func (p *rawPeer) read() (byte, []byte, error) {
	var h [2]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1] & 0x7f)
	switch n {
	case 126:
		var l [2]byte
		if _, err := io.ReadFull(p.r, l[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(l[:]))
	case 127:
		return 0, nil, errors.New("a frame of more than 64 KiB")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(p.r, b)
	return h[0] & 0x0f, b, err
}

// end reads on and returns the code and reason of the close frame, "" when the connection ends without one.
func (p *rawPeer) end() string {
	for {
		op, b, err := p.read()
		if err != nil {
			return ""
		}
		if op == 8 && len(b) >= 2 {
			return strings.TrimSpace(fmt.Sprint(binary.BigEndian.Uint16(b), " ", string(b[2:])))
		}
	}
}

// endAsync reads in the background, since a pipe has no buffer.
func (p *rawPeer) endAsync() <-chan string {
	out := make(chan string, 1)
	go func() { out <- p.end() }() // ends with the connection
	return out
}

func withKeys(c *Config) { c.Keys = map[string]string{testKey: testSecret} }

// token makes a good token.
func (h *harness) token(identity, room string, g Grants) string {
	h.t.Helper()
	s, err := NewToken(testKey, testSecret, Token{Identity: identity, Room: room, Grants: g}, time.Hour, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// post offers an SDP to WHIP or WHEP.
func (h *harness) post(path, sdp string, headers ...string) *http.Response {
	h.t.Helper()
	return h.request("POST", path, sdp, append([]string{"Content-Type", "application/sdp"}, headers...)...)
}
