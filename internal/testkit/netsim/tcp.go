package netsim

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// TCPMode is what a TCPProxy does with its connections.
type TCPMode uint8

const (
	// Pass relays bytes.
	Pass TCPMode = iota
	// Cut resets every connection and each new one at once.
	Cut
	// Stall keeps connections open and accepts new ones, and moves nothing: a path that went away without a word.
	Stall
)

// TCPProxy relays connections to one target, until told otherwise. Safe for concurrent use.
type TCPProxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)

	mu     sync.Mutex
	change *sync.Cond
	mode   TCPMode
	conns  map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// NewTCPProxy takes over listener. Nothing moves before Run.
func NewTCPProxy(listener net.Listener, dial func() (net.Conn, error)) *TCPProxy {
	p := &TCPProxy{listener: listener, dial: dial, conns: make(map[net.Conn]struct{})}
	p.change = sync.NewCond(&p.mu)
	return p
}

// ListenTCP is NewTCPProxy on a listen address ("127.0.0.1:0") towards a target address.
func ListenTCP(listen, target string) (*TCPProxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	return NewTCPProxy(l, func() (net.Conn, error) { return net.Dial("tcp", target) }), nil
}

// Addr is where clients connect to.
func (p *TCPProxy) Addr() net.Addr { return p.listener.Addr() }

// Set changes the mode for open and new connections.
func (p *TCPProxy) Set(mode TCPMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	if mode == Cut {
		p.resetAll()
	}
	p.change.Broadcast()
}

func (p *TCPProxy) resetAll() {
	for c := range p.conns {
		reset(c)
	}
}

// reset closes c with RST, so that the other side learns it at once.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// Run relays until ctx ends and returns when every goroutine has.
func (p *TCPProxy) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.listener.Close() })
	defer stop()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			p.mu.Lock()
			p.closed = true
			p.resetAll()
			p.change.Broadcast()
			p.mu.Unlock()
			p.wg.Wait()
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// serve relays one connection both ways until either side ends or it is cut.
func (p *TCPProxy) serve(client net.Conn) {
	if !p.add(client) {
		reset(client)
		return
	}
	defer p.remove(client)
	target, err := p.dial()
	if err != nil {
		reset(client)
		return
	}
	if !p.add(target) {
		reset(target)
		reset(client)
		return
	}
	defer p.remove(target)
	var both sync.WaitGroup
	both.Go(func() { p.copy(target, client) })
	both.Go(func() { p.copy(client, target) })
	both.Wait()
}

// add registers c, or refuses it when the proxy is cut or closed.
func (p *TCPProxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == Cut {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *TCPProxy) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *TCPProxy) copy(dst, src net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		for p.mode == Stall && !p.closed {
			p.change.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				_ = src.Close()
				return
			}
		}
		if err != nil {
			if t, ok := dst.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				_ = t.CloseWrite()
			} else {
				_ = dst.Close()
			}
			return
		}
	}
}
