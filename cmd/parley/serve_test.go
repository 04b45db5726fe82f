package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"parley/internal/config"
	"parley/internal/netaddr"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mediaPorts finds a run of UDP ports that are free on every address right now.
func mediaPorts(t *testing.T, count int) string {
	t.Helper()
	for first := 21000; first < 32000; first += count {
		free := true
		for port := first; free && port < first+count; port++ {
			c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
			if err != nil {
				free = false
				continue
			}
			c.Close()
		}
		if free {
			return fmt.Sprintf("%d-%d", first, first+count-1)
		}
	}
	t.Fatal("no free ports")
	return ""
}

// settings are those of a node of tests, on free ports; more win.
func settings(t *testing.T, more ...string) *config.Loaded {
	t.Helper()
	flags := []config.Setting{}
	for _, s := range append([]string{
		"http.listen=127.0.0.1:0", "https.listen=:0", "admin.listen=127.0.0.1:0", "turn.listen=:0", "turn.tls_listen=:0",
		"media.tcp_port=0", "media.udp_ports=" + mediaPorts(t, 2), "data_dir=" + t.TempDir(), "log.level=error",
	}, more...) {
		key, value, _ := strings.Cut(s, "=")
		flags = append(flags, config.Setting{Key: key, Flag: "--" + key, Value: value})
	}
	cfg, err := config.Load(config.Options{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// served is a node that runs in this process.
type served struct {
	*node
	signals chan os.Signal
	ended   chan error
	http    string // http://127.0.0.1:port
	admin   string
	start   string // what it printed
}

func serveNode(t *testing.T, cfg *config.Loaded) *served {
	t.Helper()
	n, err := newNode(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s := &served{node: n, signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	ready := make(chan string, 1)
	run := serving{
		parts: n.parts(), alive: n.alive, drain: n.drain, drainTimeout: cfg.DrainTimeout, signals: s.signals, log: zap.NewNop(),
		started: func() {
			var out strings.Builder
			n.printStart(&out, false)
			ready <- out.String()
		},
		exit: func(code int) { t.Errorf("exited with %d", code) },
	}
	go func() { s.ended <- run.run() }() // received by stop
	s.start = <-ready
	for _, h := range n.http {
		url := "http://" + h.addrs[0].String()
		switch h.name {
		case "http":
			s.http = url
		case "admin":
			s.admin = url
		}
	}
	t.Cleanup(func() { s.stop(t) })
	return s
}

// stop is SIGTERM; it may be called twice.
func (s *served) stop(t *testing.T) {
	t.Helper()
	if s.ended == nil {
		return
	}
	s.signals <- syscall.SIGTERM
	if err := <-s.ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	s.ended = nil
}

func (s *served) get(t *testing.T, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// Two participants talk through the wired node, and SIGTERM ends it with both told (reliability check O-01).
func TestCall(t *testing.T) {
	s := serveNode(t, settings(t))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	join := func(name string) *client.Client {
		c, err := client.Join(ctx, client.Config{BaseURL: s.http, Room: "r", Name: name, HTTP: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := join("a"), join("b")
	speakCtx, quiet := context.WithCancel(ctx)
	var speaking sync.WaitGroup
	for c, hz := range map[*client.Client]float64{a: 440, b: 1000} {
		speaking.Go(func() {
			_ = c.Speak(speakCtx, client.Loop(testkit.Tone(hz, -20, time.Second)), client.SpeakConfig{}) // ends with its context
		})
	}
	for name, c := range map[string]*client.Client{"a": a, "b": b} {
		own, other := 440.0, 1000.0
		if name == "b" {
			own, other = other, own
		}
		// A machine that is busy with other tests tears holes at first: the level has to be right in some second before ctx ends.
		for {
			heard, err := c.Listen(ctx, time.Second)
			if err != nil {
				t.Fatalf("%s does not hear the other at -20 ± 3 dBFS: %v", name, err)
			}
			if level := testkit.ToneLevel(heard, own); level > -60 && testkit.ToneLevel(heard, other) > -23 {
				t.Fatalf("%s hears itself at %.1f dBFS", name, level)
			}
			if level := testkit.ToneLevel(heard, other); level > -23 && level < -17 {
				break
			}
		}
	}
	code, page := s.get(t, s.admin+"/metrics")
	for _, want := range []string{"sfu_participants 2\n", "mixer_listeners 2\n", "signaling_whip_joins_total 2\n", "parley_build_info{"} {
		if code != 200 || !strings.Contains(page, want) {
			t.Errorf("/metrics (%d) lacks %q", code, want)
		}
	}
	quiet()
	speaking.Wait()
	begin := time.Now()
	s.stop(t)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	for _, c := range []*client.Client{a, b} {
		select {
		case <-c.Failed(): // the node said goodbye
		case <-ctx.Done():
			t.Error("a client was not told")
		}
		c.Vanish()
	}
}

func TestPages(t *testing.T) {
	s := serveNode(t, settings(t))
	for path, want := range map[string]int{
		"/": 200, "/r/abc": 200, "/healthz": 200, "/readyz": 200, "/ca": 200, "/ca.pem": 200, "/ca.crt": 200, "/nothing": 404,
		"/metrics": 404, "/debug/pprof/": 404,
	} {
		if code, _ := s.get(t, s.http+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	code, body := s.get(t, s.http+"/api/v1/ice")
	var ice struct {
		ICEServers []json.RawMessage `json:"iceServers"`
	}
	if err := json.Unmarshal([]byte(body), &ice); code != 200 || err != nil || ice.ICEServers == nil || len(ice.ICEServers) != 0 {
		t.Errorf("/api/v1/ice: %d %s, want an empty list", code, body)
	}
	if code, _ := s.get(t, s.admin+"/debug/pprof/"); code != 404 {
		t.Errorf("profiles are on by default: %d", code)
	}
	if code, _ := s.get(t, s.admin+"/"); code != 200 {
		t.Errorf("admin index: %d", code)
	}
}

// An open server must not be found on a public address, whatever this machine has.
func TestOpenServerStaysPrivate(t *testing.T) {
	s := serveNode(t, settings(t))
	var bound []netip.AddrPort
	for _, h := range s.node.http {
		bound = append(bound, h.addrs...)
	}
	turn := s.turn.Addrs()
	bound = append(append(append(append(bound, turn.UDP...), turn.TCP...), turn.TLS...), s.sfu.MediaAddrs()...)
	for _, a := range bound {
		if !netaddr.Private(a.Addr()) {
			t.Errorf("bound to %s", a)
		}
	}
	if len(bound) < 6 {
		t.Errorf("only %d listeners", len(bound))
	}
	for _, want := range []string{"Open server:", "CA fingerprint", "parley ready http=" + s.http, " media=", " turn="} {
		if !strings.Contains(s.start, want) {
			t.Errorf("the start output lacks %q:\n%s", want, s.start)
		}
	}
}

func TestProfilesWhenAskedFor(t *testing.T) {
	s := serveNode(t, settings(t, "admin.pprof=true"))
	if code, _ := s.get(t, s.admin+"/debug/pprof/"); code != 200 {
		t.Errorf("profiles: %d, want 200", code)
	}
}

// A start that fails must leave nothing open: the same node starts when the reason is gone.
func TestFailedStartClosesEverything(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, "admin.listen="+taken.Addr().String())
	if n, err := newNode(cfg, zap.NewNop()); err == nil {
		n.abandon()
		t.Fatal("a taken port gave no error")
	} else if !strings.Contains(err.Error(), "admin") {
		t.Errorf("the error does not name the listener: %v", err)
	}
	taken.Close()
	serveNode(t, cfg)
}

// A part that fails stops the others, and its error is the process's.
func TestFailingPartStopsAll(t *testing.T) {
	boom := errors.New("boom")
	stopped := false
	drained := false
	err := serving{
		parts: []part{
			{"steady", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil }},
			{"faulty", func(context.Context) error { return boom }},
		},
		started: func() {}, drain: func(context.Context) { drained = true }, drainTimeout: time.Minute, log: zap.NewNop(),
		exit: func(int) { t.Error("exited") },
	}.run()
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "faulty") || !stopped || !drained {
		t.Errorf("error %v, stopped %v, drained %v", err, stopped, drained)
	}
	err = serving{
		parts:   []part{{"lazy", func(context.Context) error { return nil }}},
		started: func() {}, drain: func(context.Context) {}, drainTimeout: time.Minute, log: zap.NewNop(),
	}.run()
	if err == nil || !strings.Contains(err.Error(), "lazy: ended by itself") {
		t.Errorf("a part that ends by itself: %v", err)
	}
}

// The drain gets four fifths of the time, and a part that hangs ends the process at the end of it.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- syscall.SIGTERM
		release := make(chan struct{})
		begin := time.Now()
		var drainTook, exitAt time.Duration
		code := 0
		err := serving{
			parts:   []part{{"hanging", func(ctx context.Context) error { <-ctx.Done(); <-release; return nil }}},
			drain:   func(ctx context.Context) { <-ctx.Done(); drainTook = time.Since(begin) },
			exit:    func(c int) { code, exitAt = c, time.Since(begin); close(release) },
			started: func() {}, drainTimeout: 10 * time.Second, signals: signals, log: zap.NewNop(),
		}.run()
		if err != nil || drainTook != 8*time.Second || exitAt != 10*time.Second || code != exitFailed {
			t.Errorf("error %v, drain %v, exit %d after %v; want nil, 8s, %d, 10s", err, drainTook, code, exitAt, exitFailed)
		}
	})
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- syscall.SIGTERM
		begin := time.Now()
		exited := make(chan struct{})
		err := serving{
			parts: []part{{"steady", func(ctx context.Context) error { <-ctx.Done(); return nil }}},
			drain: func(context.Context) {
				time.Sleep(time.Second) // in virtual time: the person waits a second and insists
				signals <- syscall.SIGINT
				<-exited
			},
			exit: func(int) {
				if took := time.Since(begin); took != time.Second {
					t.Errorf("exit after %v, want 1s", took)
				}
				close(exited)
			},
			started: func() {}, drainTimeout: time.Hour, signals: signals, log: zap.NewNop(),
		}.run()
		if err != nil {
			t.Error(err)
		}
	})
}

func TestProgress(t *testing.T) {
	var p progress
	for i, step := range []struct {
		ticks uint64
		busy  bool
		want  bool
	}{{0, false, true}, {0, false, true}, {0, true, true}, {5, true, true}, {5, true, false}, {6, true, true}, {6, false, true}, {6, true, true}, {6, true, false}} {
		if got := p.advanced(step.ticks, step.busy); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
