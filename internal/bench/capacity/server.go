package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running server of either kind, on its cores.
type server struct {
	cmd   *exec.Cmd
	url   string
	admin string // of /metrics; empty: none
	dir   string
	ended chan struct{}
}

var errNotReady = errors.New("the server did not get ready")

// start runs parley serve with limits that do not limit.
func start(o *options, flags []string) (*server, error) {
	dir, err := os.MkdirTemp("", "parley-capacity")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, url: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), admin: fmt.Sprintf("http://127.0.0.1:%d", ports[1])}
	args := append([]string{"-c", o.serverCPUs, o.binary, "serve", "--data-dir", dir, "--https.enabled=false", "--turn.enabled=false", "--log.level=warn",
		"--http.listen", strings.TrimPrefix(s.url, "http://"), "--admin.listen", strings.TrimPrefix(s.admin, "http://"), "--admin.pprof",
		"--media.udp-ports", fmt.Sprintf("%d-%d", ports[2], ports[2]), "--media.tcp-port=0",
		"--rooms.max-participants=20000", "--rooms.max-total=20000"}, flags...)
	args = append(args, strings.Fields(o.serveFlags)...)
	s.cmd = exec.Command("taskset", args...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = os.Stderr
	return s, s.wait(out, s.url+"/readyz")
}

// wait starts the process and returns when it answers at probe. Its output goes nowhere, but for the last of it when it fails.
func (s *server) wait(out io.Reader, probe string) error {
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.ended = make(chan struct{})
	var said []string // once ended is closed
	go func() {       // stop waits
		defer close(s.ended)
		for in := bufio.NewScanner(out); in.Scan(); {
			said = append(said[max(0, len(said)-9):], in.Text())
		}
		_ = s.cmd.Wait()
	}()
	for range 300 {
		select {
		case <-s.ended:
			return fmt.Errorf("%w:\n%s", errNotReady, strings.Join(said, "\n"))
		case <-time.After(100 * time.Millisecond):
		}
		if res, err := http.Get(probe); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	s.stop()
	return fmt.Errorf("%w:\n%s", errNotReady, strings.Join(said, "\n"))
}

// stop ends the server and removes its data.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	_ = os.RemoveAll(s.dir)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// metrics are the series of one look at /metrics, summed over labels but le; buckets are by their name and bound.
type metrics map[string]float64

func (s *server) scrape() (metrics, error) {
	if s.admin == "" {
		return nil, nil
	}
	res, err := http.Get(s.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	m := make(metrics)
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		series, text, ok := strings.Cut(in.Text(), " ")
		if !ok || strings.HasPrefix(series, "#") {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
		if _, le, bucket := strings.Cut(labels, `le="`); bucket {
			name += " " + strings.TrimSuffix(le, `"`)
		}
		m[name] += value
	}
	return m, in.Err()
}

// janusConfig is the least that the AudioBridge needs.
func janusConfig(dir string, httpPort, rtpFrom int) error {
	files := map[string]string{
		"janus.jcfg": fmt.Sprintf(`general: { configs_folder = %q; plugins_folder = "/usr/lib/x86_64-linux-gnu/janus/plugins"; transports_folder = "/usr/lib/x86_64-linux-gnu/janus/transports"; debug_level = 3; no_webrtc_encryption = false }
media: { rtp_port_range = "%d-%d" }
nat: { ice_enforce_list = "lo,127.0.0.1"; ice_lite = false; full_trickle = false; ignore_unreachable_ice_server = true }
plugins: { disable = "libjanus_echotest.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so,libjanus_duktape.so,libjanus_lua.so" }
transports: { disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }
loggers: {}
events: { broadcast = false }
`, dir, rtpFrom, rtpFrom+20000),
		"janus.transport.http.jcfg":     fmt.Sprintf("general: { json = \"compact\"; base_path = \"/janus\"; http = true; port = %d; ip = \"127.0.0.1\"; https = false }\nadmin: { admin_http = false }\n", httpPort),
		"janus.plugin.audiobridge.jcfg": "general: {}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startJanus runs Debian's janus, where it is installed.
func startJanus(o *options) (*server, error) {
	binary, err := exec.LookPath("janus")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "janus-capacity")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	if err := janusConfig(dir, ports[0], 40000); err != nil {
		return nil, err
	}
	s := &server{dir: dir, url: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), cmd: exec.Command("taskset", "-c", o.serverCPUs, binary, "-F", dir)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.cmd.Stdout
	return s, s.wait(out, s.url+"/janus/info")
}
