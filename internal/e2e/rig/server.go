//go:build e2e || bench

package rig

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Server is a running parley.
type Server struct {
	cmd     *exec.Cmd
	ns      string
	DataDir string
	HTTP    string // http://127.0.0.1:port
	HTTPS   string // https://host:port
	Admin   string
	Ready   string // the line it printed
	Media   int    // first UDP port
	Log     *SyncBuffer
	ended   chan struct{} // closed when the process is gone
	stopped bool
	killed  bool
}

// SyncBuffer is the output of a process, read by another goroutine than the one that writes.
type SyncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *SyncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *SyncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// ServerOptions: flags come after those that give free ports, and so win.
type ServerOptions struct {
	NS    string
	Host  string // of the HTTPS address; empty: 127.0.0.1
	Flags []string
}

// StartServer runs parley with a data directory of its own and waits until it is ready. At the end of the test it gets
// SIGTERM and must leave with status 0 within 10 s.
func StartServer(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	p := FreePorts(t, 8)
	s := &Server{
		ns: o.NS, DataDir: t.TempDir(), Log: &SyncBuffer{}, ended: make(chan struct{}), Media: p[5],
		HTTP: fmt.Sprintf("http://127.0.0.1:%d", p[0]), HTTPS: fmt.Sprintf("https://%s:%d", o.Host, p[1]), Admin: fmt.Sprintf("http://127.0.0.1:%d", p[2]),
	}
	args := append([]string{
		"serve", "--data-dir", s.DataDir,
		"--http.listen", fmt.Sprintf("127.0.0.1:%d", p[0]), "--https.listen", fmt.Sprintf(":%d", p[1]),
		"--admin.listen", fmt.Sprintf("127.0.0.1:%d", p[2]), "--turn.listen", fmt.Sprintf(":%d", p[3]), "--turn.tls-listen", fmt.Sprintf(":%d", p[4]),
		"--media.udp-ports", fmt.Sprintf("%d-%d", p[5], p[5]), "--media.tcp-port", strconv.Itoa(p[6]),
	}, o.Flags...)
	s.cmd = Command(o.NS, Binary, args...)
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.cmd.Stderr = s.cmd.Stdout
	require.NoError(t, s.cmd.Start())
	ready := make(chan string, 1)
	// Ends with the process, which the cleanup waits for.
	go s.follow(out, ready)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server metrics:\n%s", s.figures())
		}
		s.Stop(t)
		if t.Failed() {
			t.Logf("server log:\n%s", tail(s.Log.String(), 200))
		}
	})
	select {
	case s.Ready = <-ready:
	case <-s.ended:
		require.FailNow(t, "the server ended", "%s", s.Log)
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the server is not ready", "%s", s.Log)
	}
	return s
}

var readyLine = regexp.MustCompile(`parley ready .*`)

func (s *Server) follow(out io.Reader, ready chan<- string) {
	defer close(s.ended)
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		_, _ = fmt.Fprintln(s.Log, in.Text())
		if line := readyLine.FindString(in.Text()); line != "" {
			select {
			case ready <- line:
			default:
			}
		}
	}
}

// Stop sends SIGTERM; the process must end well within 10 s.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	begin := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.ended
	}
	took := time.Since(begin)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server did not leave with status 0: %v", err)
	}
	if took > 10*time.Second {
		t.Errorf("the server took %v to stop", took)
	}
}

// Kill ends the process as a crash does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.stopped, s.killed = true, true
	require.NoError(t, s.cmd.Process.Kill())
	<-s.ended
	_ = s.cmd.Wait() // it says that it was killed
}

// Killed tells whether Kill has ended the process.
func (s *Server) Killed() bool { return s.killed }

// Metric sums the values of all series of a metric family on the admin listener; ok is false when there is none.
func (s *Server) Metric(t testing.TB, name string) (sum float64, ok bool) {
	t.Helper()
	res, err := HTTPIn(s.ns).Get(s.Admin + "/metrics")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		rest, found := strings.CutPrefix(line, name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		require.NoError(t, err, line)
		sum, ok = sum+v, true
	}
	require.NoError(t, in.Err())
	return sum, ok
}

// Waited is how long threads of the server have been ready to run and had no processor, all together and since each began
// (Linux, Documentation/scheduler/sched-stats.rst: the second figure); 0 where the kernel does not tell.
func (s *Server) Waited() time.Duration {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/schedstat", s.cmd.Process.Pid))
	var sum time.Duration
	for _, path := range threads {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if fields := strings.Fields(string(data)); len(fields) == 3 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// figures are the metrics of the media path that are not zero, for a failed test.
func (s *Server) figures() string {
	res, err := HTTPIn(s.ns).Get(s.Admin + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	figure := regexp.MustCompile(`(?m)^(?:mixer|neteq|sfu)_[^#]*$`)
	boring := regexp.MustCompile(`_bucket\{|_sum | 0$`)
	var kept []string
	for _, line := range figure.FindAllString(string(page), -1) {
		if !boring.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// CAFile finds the certificate of the local CA in the data directory.
func (s *Server) CAFile(t testing.TB) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(s.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.IsCA {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, found, "no CA certificate under %s", s.DataDir)
	return found
}

// FreePorts finds ports that are free for TCP and UDP here right now.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	var held []io.Closer
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for len(ports) < n {
		l, err := net.Listen("tcp4", "0.0.0.0:0")
		require.NoError(t, err)
		held = append(held, l)
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		require.NoError(t, err)
		held = append(held, u)
		ports = append(ports, port)
	}
	return ports
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Trust makes a HOME whose NSS database trusts the CA in file.
func Trust(t testing.TB, home, caFile string) {
	t.Helper()
	db := filepath.Join(home, ".pki", "nssdb")
	require.NoError(t, os.MkdirAll(db, 0o700))
	for _, args := range [][]string{
		{"-d", "sql:" + db, "-N", "--empty-password"},
		{"-d", "sql:" + db, "-A", "-t", "C,,", "-n", "parley test", "-i", caFile},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, "certutil", args...).CombinedOutput()
		cancel()
		require.NoError(t, err, "certutil: %s", out)
	}
}
