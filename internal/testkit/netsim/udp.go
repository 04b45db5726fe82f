package netsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Counts are packets of one direction.
type Counts struct{ Received, Lost, Delivered, Duplicated uint64 }

// UDPProxy passes datagrams between any number of clients and one target; each client has an upstream socket of its own,
// as behind a NAT. Safe for concurrent use.
type UDPProxy struct {
	conn  *net.UDPConn
	dial  func() (net.Conn, error)
	queue *queue

	mu       sync.Mutex
	up, down *Link
	flows    map[netip.AddrPort]*flow
	closed   bool
	wg       sync.WaitGroup

	counts [2]struct{ received, lost, delivered, duplicated atomic.Uint64 }
	tap    Tap
}

// Tap is told of every datagram, when its fate is decided: up from a client to the target, lost not to arrive. Calls come
// one after the other, in the order of arrival per direction; data is borrowed until it returns.
type Tap func(up bool, data []byte, lost bool)

// flow is one client as the target sees it.
type flow struct {
	client   netip.AddrPort
	upstream net.Conn
}

// maxFlows bounds the sockets a test can open by mistake.
const maxFlows = 1024

// NewUDPProxy takes over conn and relays what it receives to what dial returns, dialled anew for each client. Up is from
// the clients to the target. Nothing moves before Run.
func NewUDPProxy(conn *net.UDPConn, dial func() (net.Conn, error), up, down Conditions, seed uint64) (*UDPProxy, error) {
	if err := errors.Join(up.Validate(), down.Validate()); err != nil {
		return nil, err
	}
	return &UDPProxy{
		conn: conn, dial: dial, queue: newQueue(),
		up: NewLink(up, seed), down: NewLink(down, seed+1),
		flows: make(map[netip.AddrPort]*flow),
	}, nil
}

// ListenUDP is NewUDPProxy on a listen address ("127.0.0.1:0") towards a target address.
func ListenUDP(listen, target string, up, down Conditions, seed uint64) (*UDPProxy, error) {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listen address: %w", err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	p, err := NewUDPProxy(conn, func() (net.Conn, error) { return net.Dial("udp", target) }, up, down, seed)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return p, nil
}

// SetTap sets who is told of datagrams; call it before Run.
func (p *UDPProxy) SetTap(tap Tap) { p.tap = tap }

// Addr is where clients send to.
func (p *UDPProxy) Addr() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set changes the conditions at once.
func (p *UDPProxy) Set(up, down Conditions) error {
	if err := errors.Join(up.Validate(), down.Validate()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up.Set(up)
	p.down.Set(down)
	return nil
}

// Rebind gives every client a new upstream socket, as a NAT does that lost its table: the target sees a new address.
func (p *UDPProxy) Rebind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, f := range p.flows {
		_ = f.upstream.Close()
		delete(p.flows, addr)
	}
}

// Counts returns what happened so far, from the clients and to them.
func (p *UDPProxy) Counts() (up, down Counts) {
	var c [2]Counts
	for i := range c {
		n := &p.counts[i]
		c[i] = Counts{n.received.Load(), n.lost.Load(), n.delivered.Load(), n.duplicated.Load()}
	}
	return c[0], c[1]
}

// Run relays until ctx ends and returns when every goroutine has.
func (p *UDPProxy) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	p.wg.Go(func() { p.queue.run(ctx) })
	stop := context.AfterFunc(ctx, p.close)
	err := p.readClients()
	ended := ctx.Err() != nil
	stop()
	cancel()
	p.close()
	p.wg.Wait()
	if ended {
		return nil
	}
	return err
}

func (p *UDPProxy) close() {
	_ = p.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, f := range p.flows {
		_ = f.upstream.Close()
	}
}

func (p *UDPProxy) readClients() error {
	buf := make([]byte, 65536)
	for {
		n, client, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			continue // an ICMP answer to something we sent
		}
		f, err := p.flow(client)
		if err != nil {
			return err
		}
		if f != nil {
			p.relay(0, p.up, buf[:n], func(b []byte) { _, _ = f.upstream.Write(b) })
		}
	}
}

// flow finds or opens the client's upstream socket; nil when there are too many.
func (p *UDPProxy) flow(client netip.AddrPort) (*flow, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.flows[client]; f != nil {
		return f, nil
	}
	if p.closed {
		return nil, net.ErrClosed
	}
	if len(p.flows) >= maxFlows {
		return nil, nil
	}
	upstream, err := p.dial()
	if err != nil {
		return nil, fmt.Errorf("dial the target: %w", err)
	}
	f := &flow{client: client, upstream: upstream}
	p.flows[client] = f
	p.wg.Go(func() { p.readTarget(f) })
	return f, nil
}

func (p *UDPProxy) readTarget(f *flow) {
	buf := make([]byte, 65536)
	for {
		n, err := f.upstream.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		p.relay(1, p.down, buf[:n], func(b []byte) { _, _ = p.conn.WriteToUDPAddrPort(b, f.client) })
	}
}

func (p *UDPProxy) relay(direction int, link *Link, data []byte, send func([]byte)) {
	count := &p.counts[direction]
	count.received.Add(1)
	p.mu.Lock()
	first, second := link.Send(p.queue.now(), len(data))
	if p.tap != nil {
		p.tap(direction == 0, data, first < 0)
	}
	p.mu.Unlock()
	if first < 0 {
		count.lost.Add(1)
	}
	for i, at := range [2]time.Duration{first, second} {
		if at < 0 {
			continue
		}
		if i == 1 {
			count.duplicated.Add(1)
		}
		p.queue.put(at, append([]byte(nil), data...), func(b []byte) {
			count.delivered.Add(1)
			send(b)
		})
	}
}
