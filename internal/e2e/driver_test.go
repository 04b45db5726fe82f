//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// driver is a node process that holds browsers; one per network namespace.
type driver struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when stdout has ended

	mu      sync.Mutex
	nextID  int
	waiting map[int]chan reply
	logs    map[int][]string // console lines by page
}

type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
	Event  string          `json:"event"`
	Page   int             `json:"page"`
	Text   string          `json:"text"`
}

var errDriverGone = errors.New("the browser driver has ended")

// startDriver runs node, in a namespace unless ns is empty.
func startDriver(ns string) (*driver, error) {
	cmd := command(ns, "node", "driver.mjs")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &driver{cmd: cmd, stdin: stdin, done: make(chan struct{}), waiting: make(map[int]chan reply), logs: make(map[int][]string)}
	// Ends when node does; stop waits for it.
	go d.read(stdout)
	return d, nil
}

func (d *driver) read(stdout io.Reader) {
	defer close(d.done)
	in := bufio.NewReader(stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var r reply
		if json.Unmarshal(line, &r) != nil {
			fmt.Fprintf(os.Stderr, "driver: %s", line)
			continue
		}
		d.mu.Lock()
		if r.Event != "" {
			d.logs[r.Page] = append(d.logs[r.Page], r.Event+" "+r.Text)
		} else if w := d.waiting[r.ID]; w != nil {
			delete(d.waiting, r.ID)
			w <- r
		}
		d.mu.Unlock()
	}
}

// call asks node for one thing; result may be nil.
func (d *driver) call(ctx context.Context, op string, args map[string]any, result any) error {
	d.mu.Lock()
	d.nextID++
	id := d.nextID
	w := make(chan reply, 1)
	d.waiting[id] = w
	request := map[string]any{"id": id, "op": op}
	for k, v := range args {
		request[k] = v
	}
	line, err := json.Marshal(request)
	if err == nil {
		_, err = d.stdin.Write(append(line, '\n'))
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case r := <-w:
		if r.Error != "" {
			return fmt.Errorf("%s: %s", op, r.Error)
		}
		if result != nil {
			return json.Unmarshal(r.Result, result)
		}
		return nil
	case <-d.done:
		return errDriverGone
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
}

func (d *driver) console(page int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.logs[page]...)
}

// stop ends node and every browser it holds.
func (d *driver) stop() {
	_ = d.stdin.Close()
	select {
	case <-d.done:
	case <-time.After(15 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	_ = d.cmd.Wait()
}

// browser is one Chromium process tree with one microphone.
type browser struct {
	d   *driver
	id  int
	PID int
}

// chromiumFlags: no sandbox, since tests may run as root; nothing that talks to the outside.
var chromiumFlags = []string{
	"--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
	"--disable-backgrounding-occluded-windows", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
	"--autoplay-policy=no-user-gesture-required",
}

// launch starts Chromium with wav as its microphone and home as its HOME (for the certificates it trusts).
func (d *driver) launch(ctx context.Context, wav, home string) (*browser, error) {
	args := append([]string{"--use-file-for-fake-audio-capture=" + wav}, chromiumFlags...)
	var info struct{ ID, PID int }
	err := d.call(ctx, "launch", map[string]any{"args": args, "env": map[string]string{"HOME": home}}, &info)
	if err != nil {
		return nil, err
	}
	return &browser{d: d, id: info.ID, PID: info.PID}, nil
}

func (b *browser) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = b.d.call(ctx, "quit", map[string]any{"browser": b.id}, nil)
}

// settings are those of kit.js.
type settings map[string]any

// page is one tab with the kit in it.
type page struct {
	d      *driver
	id     int
	name   string
	closed bool
}

// open opens url in a new context of b; it is closed at the end of the test, which also shows its console if it failed.
func (b *browser) open(t *testing.T, name, url string, s settings) *page {
	t.Helper()
	var info struct{ ID int }
	require.NoError(t, b.d.call(t.Context(), "open", map[string]any{"browser": b.id, "settings": s, "url": url}, &info), "open %s", url)
	p := &page{d: b.d, id: info.ID, name: name}
	t.Cleanup(func() {
		if t.Failed() {
			p.explain(t)
		}
		p.close()
	})
	return p
}

// explain shows what the page knows, for a failed test.
func (p *page) explain(t *testing.T) {
	if p.closed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var state json.RawMessage
	_ = p.d.call(ctx, "eval", map[string]any{"page": p.id, "source": `() => ({events: __kit.events.slice(-60), text: document.body.innerText.slice(0, 600)})`}, &state)
	t.Logf("page %s: %s", p.name, state)
	for _, line := range p.d.console(p.id) {
		t.Logf("page %s: %s", p.name, line)
	}
	if dir := os.Getenv("PARLEY_E2E_SHOTS"); dir != "" {
		file := fmt.Sprintf("%s/%s-%s.png", dir, strings.ReplaceAll(t.Name(), "/", "_"), p.name)
		_ = p.d.call(ctx, "screenshot", map[string]any{"page": p.id, "path": file}, nil)
	}
}

func (p *page) close() {
	if p.closed {
		return
	}
	p.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = p.d.call(ctx, "close", map[string]any{"page": p.id}, nil)
}

// eval runs a JavaScript function with arg and decodes what it returns (or resolves to) into result, unless that is nil.
func (p *page) eval(t *testing.T, source string, arg, result any) {
	t.Helper()
	require.NoError(t, p.tryEval(t.Context(), source, arg, result), "page %s", p.name)
}

func (p *page) tryEval(ctx context.Context, source string, arg, result any) error {
	return p.d.call(ctx, "eval", map[string]any{"page": p.id, "source": source, "arg": arg}, result)
}

// wait polls a JavaScript predicate until it is true.
func (p *page) wait(t *testing.T, timeout time.Duration, what, source string, arg any) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		var ok bool
		err := p.tryEval(t.Context(), source, arg, &ok)
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(t, "page "+p.name+": "+what, "not within %v (last error: %v)", timeout, err)
		}
		pause(t, 100*time.Millisecond)
	}
}

func (p *page) fill(t *testing.T, selector, value string) {
	t.Helper()
	require.NoError(t, p.d.call(t.Context(), "fill", map[string]any{"page": p.id, "selector": selector, "value": value}, nil))
}

func (p *page) click(t *testing.T, selector string) {
	t.Helper()
	require.NoError(t, p.d.call(t.Context(), "click", map[string]any{"page": p.id, "selector": selector}, nil))
}

// record returns the next d of what the page receives.
func (p *page) record(t *testing.T, d time.Duration) []float32 {
	t.Helper()
	pcm, err := p.tryRecord(t.Context(), d)
	require.NoError(t, err, "page %s", p.name)
	return pcm
}

func (p *page) tryRecord(ctx context.Context, d time.Duration) ([]float32, error) {
	var text string
	if err := p.tryEval(ctx, `(seconds) => __kit.record(seconds)`, d.Seconds(), &text); err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	pcm := make([]float32, len(data)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return pcm, nil
}

// pair is the selected candidate pair of a page.
type pair struct {
	LocalType, LocalAddress, LocalProtocol, RelayProtocol string
	RemoteType, RemoteAddress, RemoteProtocol             string
	RemotePort                                            int
	IceState                                              string
	Servers                                               []string
}

func (p *page) pair(t *testing.T) pair {
	t.Helper()
	var got pair
	p.eval(t, `() => __kit.pair()`, nil, &got)
	return got
}

// pause waits between two polls of something that only polling can see.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		require.FailNow(t, "the test has ended")
	case <-time.After(d):
	}
}
