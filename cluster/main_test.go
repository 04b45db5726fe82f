package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	helperProcess() // does not return in a helper
	goleak.VerifyTestMain(m)
}

// fleet is some nodes on one hub, for a synctest bubble.
type fleet struct {
	t     *testing.T
	hub   *hub
	nodes map[string]*testNode
}

type testNode struct {
	*Cluster
	port   *port
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	events []timedEvent
}

type timedEvent struct {
	Event
	at time.Time
}

func newFleet(t *testing.T) *fleet { return &fleet{t: t, hub: newHub(), nodes: map[string]*testNode{}} }

// add starts a node.
func (f *fleet) add(name string, change ...func(*Config)) *testNode {
	f.t.Helper()
	n := &testNode{port: f.hub.port(name), done: make(chan struct{})}
	cfg := Config{Node: name, Bus: n.port, URL: "https://" + name + ".example", OnEvent: func(e Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, timedEvent{e, time.Now()})
	}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if n.Cluster, err = New(cfg); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	n.cancel = cancel
	go func() { // waited for by close
		defer close(n.done)
		if err := n.Run(ctx); err != nil {
			f.t.Error(err)
		}
	}()
	f.nodes[name] = n
	return n
}

// many starts n nodes n00, n01, …
func (f *fleet) many(n int, change ...func(*Config)) []*testNode {
	var out []*testNode
	for i := range n {
		out = append(out, f.add(fmt.Sprintf("n%02d", i), change...))
	}
	return out
}

// end stops a node in order.
func (n *testNode) end() {
	n.cancel()
	<-n.done
}

// kill is kill -9.
func (f *fleet) kill(n *testNode) {
	n.port.kill()
	n.end()
	delete(f.nodes, n.self.Node)
}

func (f *fleet) close() {
	for _, n := range f.nodes {
		n.end()
	}
}

// seen lists the events about a node, in order.
func (n *testNode) seen(node string) []EventKind {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []EventKind
	for _, e := range n.events {
		if e.Member.Node == node {
			out = append(out, e.Kind)
		}
	}
	return out
}

// when is the time of the last event of that kind about a node; zero: none.
func (n *testNode) when(node string, k EventKind) (at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Member.Node == node && e.Kind == k {
			at = e.at
		}
	}
	return at
}

func (n *testNode) count(kinds ...EventKind) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	total := 0
	for _, e := range n.events {
		if slices.Contains(kinds, e.Kind) {
			total++
		}
	}
	return total
}

func (n *testNode) state(node string) string {
	for _, m := range n.Members() {
		if m.Node == node {
			return m.State.String()
		}
	}
	return "unknown"
}

// sleep lets virtual time pass, and everything that was due happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// spy is a RoomHandler that keeps what it is told.
type spy struct {
	mu     sync.Mutex
	log    []string
	peers  map[string]map[string]string // what each peer has set
	owner  string
	epoch  uint64
	block  chan struct{} // not nil: calls wait for it
	events []string
}

func newSpy() *spy { return &spy{peers: map[string]map[string]string{}} }

func (s *spy) wait() {
	s.mu.Lock()
	block := s.block
	s.mu.Unlock()
	if block != nil {
		<-block
	}
}

func (s *spy) PeerJoined(node string) {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[node] != nil {
		s.log = append(s.log, "joined twice: "+node)
	}
	s.peers[node] = map[string]string{}
}

func (s *spy) PeerState(node, key string, value []byte) {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.peers[node] == nil:
		s.log = append(s.log, "state of a stranger: "+node)
	case value == nil:
		delete(s.peers[node], key)
	default:
		s.peers[node][key] = string(value)
	}
}

func (s *spy) PeerEvent(node string, data []byte) {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, node+": "+string(data))
}

func (s *spy) PeerLeft(node string) {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[node] == nil {
		s.log = append(s.log, "left twice: "+node)
	}
	delete(s.peers, node)
}

func (s *spy) Owner(node string, epoch uint64) {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if node != "" && epoch < s.epoch {
		s.log = append(s.log, fmt.Sprintf("epoch went back from %d to %d", s.epoch, epoch))
	}
	s.owner, s.epoch = node, max(s.epoch, epoch)
}

// view is everything as text.
func (s *spy) view() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.peers, s.log)
}

func (s *spy) owned() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

func enter(t *testing.T, n *testNode, room string) (*Room, *spy) {
	t.Helper()
	s := newSpy()
	r, err := n.Enter(room, s)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}
