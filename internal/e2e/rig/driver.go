//go:build e2e || bench

package rig

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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/testkit"
)

// Driver is a node process that holds browsers; one per network namespace.
type Driver struct {
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

// StartDriver runs node, in a namespace unless ns is empty.
func StartDriver(ns string) (*Driver, error) {
	cmd := Command(ns, "node", filepath.Join(Dir(), "driver.mjs"))
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
	d := &Driver{cmd: cmd, stdin: stdin, done: make(chan struct{}), waiting: make(map[int]chan reply), logs: make(map[int][]string)}
	// Ends when node does; stop waits for it.
	go d.read(stdout)
	return d, nil
}

func (d *Driver) read(stdout io.Reader) {
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
func (d *Driver) call(ctx context.Context, op string, args map[string]any, result any) error {
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

func (d *Driver) console(page int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.logs[page]...)
}

// Stop ends node and every browser it holds.
func (d *Driver) Stop() {
	_ = d.stdin.Close()
	select {
	case <-d.done:
	case <-time.After(15 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	_ = d.cmd.Wait()
}

// Browser is one Chromium process tree with one microphone.
type Browser struct {
	d   *Driver
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

// Launch starts Chromium with wav as its microphone and home as its HOME (for the certificates it trusts).
func (d *Driver) Launch(ctx context.Context, wav, home string) (*Browser, error) {
	args := append([]string{"--use-file-for-fake-audio-capture=" + wav}, chromiumFlags...)
	var info struct{ ID, PID int }
	err := d.call(ctx, "launch", map[string]any{"args": args, "env": map[string]string{"HOME": home}}, &info)
	if err != nil {
		return nil, err
	}
	return &Browser{d: d, id: info.ID, PID: info.PID}, nil
}

func (b *Browser) Quit() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = b.d.call(ctx, "quit", map[string]any{"browser": b.id}, nil)
}

// Settings are those of kit.js.
type Settings map[string]any

// Page is one tab with the kit in it.
type Page struct {
	d    *Driver
	id   int
	Name string
	Gone bool // the browser is gone: it cannot be asked any more
}

// Open opens url in a new context of b; it is closed at the end of the test, which also shows its console if it failed.
func (b *Browser) Open(t testing.TB, name, url string, s Settings) *Page {
	t.Helper()
	p, err := b.TryOpen(t.Context(), name, url, s)
	require.NoError(t, err, "open %s", url)
	t.Cleanup(func() {
		if t.Failed() {
			p.explain(t)
		}
		p.Close()
	})
	return p
}

// TryOpen is Open for pages that may not load; nothing closes it but the end of its browser.
func (b *Browser) TryOpen(ctx context.Context, name, url string, s Settings) (*Page, error) {
	var info struct{ ID int }
	if err := b.d.call(ctx, "open", map[string]any{"browser": b.id, "settings": s, "url": url}, &info); err != nil {
		return nil, err
	}
	return &Page{d: b.d, id: info.ID, Name: name}, nil
}

// Complaints are the errors on the page's console, such as violations of its content security policy, and its uncaught
// exceptions.
func (p *Page) Complaints() []string {
	var found []string
	for _, line := range p.d.console(p.id) {
		if strings.HasPrefix(line, "console error") || strings.HasPrefix(line, "pageerror") || strings.HasPrefix(line, "crash") {
			found = append(found, line)
		}
	}
	return found
}

// explain shows what the page knows, for a failed test.
func (p *Page) explain(t testing.TB) {
	if p.Gone {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var state json.RawMessage
	_ = p.d.call(ctx, "eval", map[string]any{"page": p.id, "source": `() => ({events: __kit.events.slice(-60), text: document.body.innerText.slice(0, 600)})`}, &state)
	t.Logf("page %s: %s", p.Name, state)
	for _, line := range p.d.console(p.id) {
		t.Logf("page %s: %s", p.Name, line)
	}
	if dir := os.Getenv("PARLEY_E2E_SHOTS"); dir != "" {
		file := fmt.Sprintf("%s/%s-%s.png", dir, strings.ReplaceAll(t.Name(), "/", "_"), p.Name)
		_ = p.d.call(ctx, "screenshot", map[string]any{"page": p.id, "path": file}, nil)
	}
}

func (p *Page) Close() {
	if p.Gone {
		return
	}
	p.Gone = true
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = p.d.call(ctx, "close", map[string]any{"page": p.id}, nil)
}

// Eval runs a JavaScript function with arg and decodes what it returns (or resolves to) into result, unless that is nil.
func (p *Page) Eval(t testing.TB, source string, arg, result any) {
	t.Helper()
	require.NoError(t, p.TryEval(t.Context(), source, arg, result), "page %s", p.Name)
}

func (p *Page) TryEval(ctx context.Context, source string, arg, result any) error {
	return p.d.call(ctx, "eval", map[string]any{"page": p.id, "source": source, "arg": arg}, result)
}

// Wait polls a JavaScript predicate until it is true.
func (p *Page) Wait(t testing.TB, timeout time.Duration, what, source string, arg any) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		var ok bool
		err := p.TryEval(t.Context(), source, arg, &ok)
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(t, "page "+p.Name+": "+what, "not within %v (last error: %v)", timeout, err)
		}
		Pause(t, 100*time.Millisecond)
	}
}

func (p *Page) Fill(t testing.TB, selector, value string) {
	t.Helper()
	require.NoError(t, p.d.call(t.Context(), "fill", map[string]any{"page": p.id, "selector": selector, "value": value}, nil))
}

func (p *Page) Click(t testing.TB, selector string) {
	t.Helper()
	require.NoError(t, p.d.call(t.Context(), "click", map[string]any{"page": p.id, "selector": selector}, nil))
}

// Record returns the next d of what the page receives.
func (p *Page) Record(t testing.TB, d time.Duration) []float32 {
	t.Helper()
	pcm, err := p.TryRecord(t.Context(), d)
	require.NoError(t, err, "page %s", p.Name)
	return pcm
}

func (p *Page) TryRecord(ctx context.Context, d time.Duration) ([]float32, error) {
	var text string
	if err := p.TryEval(ctx, `(seconds) => __kit.record(seconds)`, d.Seconds(), &text); err != nil {
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

// CandidatePair is the selected candidate pair of a page.
type CandidatePair struct {
	LocalType, LocalAddress, LocalProtocol, RelayProtocol string
	RemoteType, RemoteAddress, RemoteProtocol             string
	RemotePort                                            int
	IceState                                              string
	Servers                                               []string
}

func (p *Page) Pair(t testing.TB) CandidatePair {
	t.Helper()
	var got CandidatePair
	p.Eval(t, `() => __kit.pair()`, nil, &got)
	return got
}

// Pause waits between two polls of something that only polling can see.
func Pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		require.FailNow(t, "the test has ended")
	case <-time.After(d):
	}
}

// ToneFile writes a microphone with one steady tone that loops without a click.
func ToneFile(t testing.TB, freqHz, levelDBFS float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mic.wav")
	require.NoError(t, testkit.WriteWAV(path, testkit.Tone(freqHz, levelDBFS, 10*time.Second)))
	return path
}

// HostDriver is a driver outside any namespace, ended with the test.
func HostDriver(t testing.TB) *Driver {
	t.Helper()
	d, err := StartDriver("")
	require.NoError(t, err)
	t.Cleanup(d.Stop)
	return d
}
