package signaling

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/sfu"
)

// fakeCluster sends clients where the test says.
type fakeCluster struct {
	mu        sync.Mutex
	to        map[string]string // node by room
	full      bool
	fallbacks []string
	hints     []Hint
}

func (f *fakeCluster) Place(room string, h Hint) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hints = append(f.hints, h)
	if f.full {
		return "", sfu.ErrServerFull
	}
	return f.to[room], nil
}

func (f *fakeCluster) Fallbacks(string, string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fallbacks
}

func (f *fakeCluster) Members() []string { return []string{"https://b.example:8443"} }

func (f *fakeCluster) set(list ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fallbacks = list
}

func inCluster(t *testing.T, f *fakeCluster, test func(t *testing.T, h *harness)) {
	t.Helper()
	inBubble(t, func(c *Config) { c.Cluster = f }, test)
}

// expect returns the next message of its kind.
func expect[M Message](p *peer) M {
	p.t.Helper()
	for {
		if m, ok := p.hear().(M); ok {
			return m
		}
	}
}

func TestClientIsSentOn(t *testing.T) {
	f := &fakeCluster{to: map[string]string{"far": "https://b.example:8443"}}
	inCluster(t, f, func(t *testing.T, h *harness) {
		p := h.dial()
		p.say(Join{Room: "far", Name: "Ann", Region: "eu", Failed: "https://c.example", Redirected: true})
		if got := expect[Redirect](p); got.URL != "https://b.example:8443" {
			t.Errorf("sent to %q", got.URL)
		}
		if code, _ := p.closed(); code != CloseByServer {
			t.Errorf("closed with %d", code)
		}
		if want := (Hint{Region: "eu", Failed: "https://c.example", Redirected: true}); len(f.hints) != 1 || f.hints[0] != want {
			t.Errorf("placement was told %+v", f.hints)
		}
		if st := h.server.Stats(); st.Redirects != 1 || st.Joins != 0 {
			t.Errorf("%+v", st)
		}

		near := h.dial()
		near.say(Join{Room: "near", Name: "Ann"})
		expect[Joined](near)

		f.mu.Lock()
		f.full = true
		f.mu.Unlock()
		p = h.dial()
		p.say(Join{Room: "near", Name: "Bob"})
		if got := expect[Failure](p); got.Code != CodeServerFull {
			t.Errorf("refused with %+v", got)
		}
	})
}

func TestWHIPIsSentOn(t *testing.T) {
	f := &fakeCluster{to: map[string]string{"far": "https://b.example:8443"}}
	inCluster(t, f, func(t *testing.T, h *harness) {
		h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		req, err := http.NewRequest(http.MethodPost, "http://"+testHost+"/whip/far?name=Door", strings.NewReader(offerSDP))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", typeSDP)
		res, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.Header.Get("Location"); res.StatusCode != http.StatusTemporaryRedirect || got != "https://b.example:8443/whip/far?name=Door&redirected=1" {
			t.Errorf("%s to %q", res.Status, got)
		}
	})
}

// Clients know where to go when their node fails, and learn when that changes.
func TestClientsAreToldOfOtherNodes(t *testing.T) {
	f := &fakeCluster{}
	f.set("https://b.example:8443", "https://c", "https://d", "https://e", "https://f")
	inCluster(t, f, func(t *testing.T, h *harness) {
		p := h.dial()
		p.say(Join{Room: "r", Name: "Ann"})
		if got := expect[Joined](p).Nodes; len(got) != maxFallbacks || got[0] != "https://b.example:8443" {
			t.Errorf("joined with %v", got)
		}
		f.set("https://c.example")
		if got := expect[Nodes](p).Nodes; len(got) != 1 || got[0] != "https://c.example" {
			t.Errorf("told of %v", got)
		}
	})
}

// Pages of other nodes may connect, and no others.
func TestPagesOfOtherNodes(t *testing.T) {
	inCluster(t, &fakeCluster{}, func(t *testing.T, h *harness) {
		for origin, want := range map[string]bool{"https://b.example:8443": true, "https://b.example": false, "https://evil.example": false} {
			ws, _, err := websocket.Dial(context.Background(), "ws://"+testHost+"/ws", &websocket.DialOptions{
				HTTPClient: h.client, Subprotocols: []string{Subprotocol}, HTTPHeader: http.Header{"Origin": {origin}},
			})
			if (err == nil) != want {
				t.Errorf("%s: %v", origin, err)
			}
			if err == nil {
				_ = ws.CloseNow()
			}
			req, _ := http.NewRequest(http.MethodGet, "http://"+testHost+"/api/v1/ice", nil)
			req.Header.Set("Origin", origin)
			res, err := h.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if got := res.Header.Get("Access-Control-Allow-Origin") == origin; got != want {
				t.Errorf("%s may read: %v", origin, got)
			}
		}
	})
}

// A node that drains asks first, and says goodbye to who has not gone in time.
func TestDrainMovesClients(t *testing.T) {
	f := &fakeCluster{}
	f.set("https://b.example:8443")
	inCluster(t, f, func(t *testing.T, h *harness) {
		quick, slow := h.dial(), h.dial()
		quick.say(Join{Room: "r", Name: "Ann"})
		slow.say(Join{Room: "r", Name: "Bob"})
		expect[Joined](quick)
		expect[Joined](slow)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			h.server.Drain(ctx)
		})
		move := expect[Move](quick)
		if len(move.Nodes) != 1 || move.WithinMs < 1000 || move.WithinMs > 4000 {
			t.Errorf("asked to move: %+v", move)
		}
		quick.say(Leave{})
		expect[Move](slow)
		if got := expect[Bye](slow); got.Reason != sfu.ReasonDraining {
			t.Errorf("goodbye: %+v", got)
		}
		if waited := time.Since(begin); waited < 7*time.Second || waited > 9*time.Second {
			t.Errorf("who stays was told after %v", waited)
		}
		wg.Wait()
	})
}
