package cluster

import (
	"context"
	"sync"
	"time"
)

// hub is a bus in memory for many nodes: instant, and as unreliable as a test wants.
type hub struct {
	mu    sync.Mutex
	nodes map[string]*port
	subs  map[string]map[*port]bool
	// cut reports that what one node sends does not reach another. Called with mu held.
	cut func(from, to string) bool
}

func newHub() *hub {
	return &hub{nodes: map[string]*port{}, subs: map[string]map[*port]bool{}, cut: func(string, string) bool { return false }}
}

// setCut replaces the rule; nil: everything passes.
func (h *hub) setCut(cut func(from, to string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cut == nil {
		cut = func(string, string) bool { return false }
	}
	h.cut = cut
}

func (h *hub) port(node string) *port {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &port{hub: h, node: node}
	h.nodes[node] = p
	return p
}

// port is one node's end.
type port struct {
	hub     *hub
	node    string
	deliver func(string, []byte)
	gap     func()
	muted   bool // a dead process: nothing goes out any more
	sent    uint64
	// tap sees what is sent. Called with hub.mu held.
	tap func(subject string, data []byte)
}

func (p *port) Run(ctx context.Context, deliver func(string, []byte), gap func()) error {
	p.hub.mu.Lock()
	p.deliver, p.gap = deliver, gap
	p.hub.mu.Unlock()
	<-ctx.Done()
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.deliver = nil
	return nil
}

func (p *port) Publish(subject string, data []byte) {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if p.muted {
		return
	}
	p.sent++
	if p.tap != nil {
		p.tap(subject, data)
	}
	for to := range p.hub.subs[subject] {
		if to != p && to.deliver != nil && !to.muted && !p.hub.cut(p.node, to.node) {
			to.deliver(subject, data)
		}
	}
}

func (p *port) Subscribe(subject string) {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if p.hub.subs[subject] == nil {
		p.hub.subs[subject] = map[*port]bool{}
	}
	p.hub.subs[subject][p] = true
}

func (p *port) Unsubscribe(subject string) {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	delete(p.hub.subs[subject], p)
}

// kill is kill -9: nothing goes out or comes in from now on, and nobody is told.
func (p *port) kill() {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.muted = true
}

// settleTime is long enough for anything that is not a death to be known by all.
const settleTime = 3 * time.Second
