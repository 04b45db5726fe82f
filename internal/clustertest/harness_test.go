package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"parley/cluster"
	"parley/cluster/link"
	"parley/internal/opus"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
	"parley/mixer"
	"parley/neteq"
	"parley/sfu"
	"parley/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen, on a machine that is busy.
const patience = 40 * time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// node is a whole node but for its command line.
type node struct {
	t    *testing.T
	name string
	sfu  *sfu.Node
	link *link.Link
	http *httptest.Server
	stop func() // ends it; it says goodbye
	all  []*node
}

// newNodes starts nodes a, b, … that know each other.
func newNodes(t *testing.T, count int) []*node {
	t.Helper()
	return newNodesIn(t, 0, make([]string, count)...)
}

// newNodesIn starts a node in each of the regions; mesh is for link.Config.
func newNodesIn(t *testing.T, mesh int, regions ...string) []*node {
	t.Helper()
	count := len(regions)
	addrs := make([]netip.AddrPort, count)
	routes := make([]string, count)
	for i := range addrs {
		addrs[i] = netip.AddrPortFrom(loopback, freePort(t))
		routes[i] = addrs[i].String()
	}
	out := make([]*node, count)
	for i := range out {
		out[i] = newNode(t, string(rune('a'+i)), regions[i], mesh, count, cluster.NATSConfig{Listen: addrs[i], Routes: routes})
	}
	for _, n := range out {
		n.all = out
		eventually(t, n.name+" sees all nodes", func() bool { return n.link.Stats().Cluster.Members[cluster.Alive] == count })
	}
	return out
}

func newNode(t *testing.T, name, region string, mesh, size int, nats cluster.NATSConfig) *node {
	t.Helper()
	log := zap.NewNop()
	if testing.Verbose() {
		log = zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)).With(zap.String("at", name))
	}
	mix, err := mixer.New(mixer.Config{
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) },
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
		Speakers:   3,
	})
	must(t, err)
	n := &node{t: t, name: name}
	n.sfu, err = sfu.New(sfu.Config{Mixer: mix, Addresses: []netip.Addr{loopback}, Log: log})
	must(t, err)
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	must(t, err)
	n.link, err = link.New(link.Config{
		Cluster: cluster.Config{Node: name, Region: region, Size: size, NATS: nats, Log: log},
		Conn:    conn, Advertise: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Now: mix.Now, Speakers: 3, Mesh: mesh, Log: log,
	})
	must(t, err)
	n.sfu.SetFabric(n.link)
	signal, err := signaling.New(signaling.Config{Rooms: n.sfu})
	must(t, err)
	n.http = httptest.NewServer(signal.Handler())

	var stops []func()
	run := func(f func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		})
		stops = append(stops, func() { cancel(); wg.Wait() })
	}
	run(mix.Run)
	run(n.link.Run)
	run(n.sfu.Run)
	run(signal.Run)
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			n.http.Close()
			for i := len(stops) - 1; i >= 0; i-- {
				stops[i]()
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// voice is somebody who says a tone and hears the rest.
type voice struct {
	*client.Client
	t   *testing.T
	all []*node
	hz  float64
}

// call joins by WHIP and keeps saying a tone until the test ends.
func (n *node) call(room string, hz float64) *voice {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Join(ctx, client.Config{BaseURL: n.http.URL, Room: room, Name: fmt.Sprintf("tone %v", hz)})
	must(n.t, err)
	speaking, quiet := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = c.Speak(speaking, client.Loop(testkit.Tone(hz, -20, time.Second)), client.SpeakConfig{})
	})
	v := &voice{Client: c, t: n.t, all: n.all, hz: hz}
	n.t.Cleanup(func() {
		quiet()
		wg.Wait()
		v.Vanish()
	})
	return v
}

// hears waits until a second of what comes has these tones and no others of not.
func (v *voice) hears(tones []float64, not ...float64) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		pcm, err := v.Listen(ctx, time.Second)
		cancel()
		must(v.t, err)
		good := true
		var got []string
		for _, hz := range tones {
			level := testkit.ToneLevel(pcm, hz)
			got = append(got, fmt.Sprintf("%v Hz %.0f dB", hz, level))
			good = good && level > -30
		}
		for _, hz := range not {
			level := testkit.ToneLevel(pcm, hz)
			got = append(got, fmt.Sprintf("not %v Hz %.0f dB", hz, level))
			good = good && level < -55
		}
		if good {
			return
		}
		if time.Now().After(deadline) {
			for _, n := range v.all {
				s := n.link.Stats()
				v.t.Logf("%s: inlet %+v outlet %+v", n.name, s.Inlet, s.Outlet)
				for _, l := range s.Links {
					v.t.Logf("%s: %+v", n.name, l)
				}
			}
			v.t.Fatalf("the one at %v Hz hears %v", v.hz, got)
		}
	}
}

// watcher is a participant without media that keeps what it is told.
type watcher struct {
	t    *testing.T
	node *node
	id   string

	mu      sync.Mutex
	people  map[string]sfu.ParticipantInfo
	reasons map[string]string // of leaving
	events  []sfu.Event
	scores  map[string]int
	loud    map[string]float64
}

func (n *node) watch(req sfu.JoinRequest) *watcher {
	n.t.Helper()
	w := &watcher{
		t: n.t, node: n, people: map[string]sfu.ParticipantInfo{}, reasons: map[string]string{},
		scores: map[string]int{}, loud: map[string]float64{},
	}
	req.Observer = w
	w.mu.Lock()
	defer w.mu.Unlock()
	joined, err := n.sfu.Join(context.Background(), req)
	must(n.t, err)
	w.id = joined.Participant
	for _, p := range joined.Participants {
		w.people[p.ID] = p
	}
	return w
}

// Event implements sfu.Observer.
func (w *watcher) Event(e sfu.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case sfu.ParticipantEvent:
		if e.Change == sfu.ChangeLeft {
			delete(w.people, e.Participant.ID)
			w.reasons[e.Participant.ID] = e.Reason
			break
		}
		w.people[e.Participant.ID] = e.Participant
	case sfu.LevelsEvent:
		clear(w.loud)
		for _, l := range e.Levels {
			w.loud[l.Participant] = l.LevelDBov
		}
	case sfu.QualityEvent:
		for _, q := range e.Qualities {
			w.scores[q.Participant] = q.Score
		}
	}
	w.events = append(w.events, e)
}

// sees waits until cond holds of what it was told.
func (w *watcher) sees(what string, cond func() bool) {
	w.t.Helper()
	eventually(w.t, w.node.name+" is told: "+what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return cond()
	})
}

// chats are the lines it was told. Under mu.
func (w *watcher) chats() []string {
	var out []string
	for _, e := range w.events {
		if c, ok := e.(sfu.ChatEvent); ok {
			out = append(out, c.From+": "+c.Text)
		}
	}
	return out
}
