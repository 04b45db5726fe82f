// Package deploy has no code, only files for operators; this holds them to what the code says.
package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"parley/internal/config"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

type composeFile struct {
	Services map[string]struct {
		Environment map[string]string
		Ports       []string
		Build       struct{ Context, Dockerfile string }
		StopGrace   string   `yaml:"stop_grace_period"`
		CapDrop     []string `yaml:"cap_drop"`
	}
}

func compose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// variable is ${NAME:-default} or ${NAME:?why}, as compose reads it.
var variable = regexp.MustCompile(`\$\{(\w+)(?::?([-?])([^}]*))?\}`)

// substitute does what compose does, with PARLEY_HOST_IP given and nothing else.
func substitute(s string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		m := variable.FindStringSubmatch(v)
		switch {
		case m[1] == "PARLEY_HOST_IP":
			return "192.168.1.20"
		case m[2] == "-":
			return m[3]
		}
		return ""
	})
}

func TestComposePublishesExactlyThese(t *testing.T) {
	want := []string{"3478:3478/tcp", "3478:3478/udp", "8443:8443/tcp", "10000-10010:10000-10010/udp"}
	var got []string
	for _, p := range compose(t).Services["parley"].Ports {
		host, rest, _ := strings.Cut(substitute(p), ":")
		if host != "192.168.1.20" {
			t.Errorf("%s is published on %q, not on the host's chosen address", p, host)
		}
		got = append(got, rest)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

// The container's configuration must load, and open no port that is meant for clients and is not published.
func TestComposeConfiguration(t *testing.T) {
	service := compose(t).Services["parley"]
	var environ []string
	for name, value := range service.Environment {
		environ = append(environ, name+"="+substitute(value))
	}
	cfg, err := config.Load(config.Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 {
		t.Error(cfg.Warnings)
	}
	published := map[string]bool{}
	for _, p := range service.Ports {
		parts := strings.Split(substitute(p), ":")
		published[parts[len(parts)-1]] = true
	}
	tcp := func(l config.Listen) string { return fmt.Sprintf("%d/tcp", l.Port) }
	for what, port := range map[string]string{
		"https.listen": tcp(cfg.HTTPS.Listen), "turn.listen": tcp(cfg.TURN.Listen),
		"media.udp_ports": cfg.Media.UDPPorts.String() + "/udp",
	} {
		if !published[port] {
			t.Errorf("%s is %s, which is not published", what, port)
		}
	}
	if cfg.TURN.TLSListen.On || cfg.Media.TCPPort != 0 || cfg.HTTP.Listen.All() {
		t.Error("a port that is not published is open to clients that cannot reach it")
	}
	if len(cfg.Media.NAT1To1) != 1 || cfg.Media.NAT1To1[0].String() != "192.168.1.20" {
		t.Errorf("clients are told to send to %v", cfg.Media.NAT1To1)
	}
	if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if grace, err := strconv.Atoi(strings.TrimSuffix(service.StopGrace, "s")); err != nil || float64(grace) <= cfg.DrainTimeout.Seconds() {
		t.Errorf("stop_grace_period %s is not above drain_timeout %v", service.StopGrace, cfg.DrainTimeout)
	}
}

func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`:[\w.-]*\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$`).MatchString(from[1]) {
			t.Errorf("%s is not pinned to a version", from[1])
		}
	}
	if stages := strings.Count(text, "\nFROM "); stages != 2 {
		t.Errorf("%d stages, want 2", stages)
	}
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(text)
	if user == nil || user[1] == "0" || user[2] == "0" {
		t.Errorf("runs as %v", user)
	}
	gomod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	image := regexp.MustCompile(`FROM golang:(\d+\.\d+)`).FindStringSubmatch(text)
	if gomod == nil || image == nil || gomod[1] != image[1] {
		t.Errorf("built with Go %v, go.mod says %v", image, gomod)
	}
	for _, kv := range regexp.MustCompile(`PARLEY_\w+=\S+`).FindAllString(text, -1) {
		cfg, err := config.Load(config.Options{Environ: []string{kv}})
		if err != nil || len(cfg.Warnings) > 0 {
			t.Errorf("%s: %v %v", kv, err, cfg)
		}
	}
}

// service reads the keys of a systemd unit; later ones are added.
func service(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(read(t, "systemd/parley.service")) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		out[key] = append(out[key], value)
	}
	return out
}

func TestSystemdUnit(t *testing.T) {
	unit := service(t)
	for key, want := range map[string]string{
		"Type": "notify", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "StateDirectory": "parley",
		"CapabilityBoundingSet": "", "WatchdogSec": "20", "RestartPreventExitStatus": "2",
	} {
		if got := unit[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	stop, err := strconv.Atoi(unit["TimeoutStopSec"][0])
	if err != nil || float64(stop) <= config.Default().DrainTimeout.Seconds() {
		t.Errorf("TimeoutStopSec %d is not above drain_timeout", stop)
	}
	binary, args, _ := strings.Cut(unit["ExecStart"][0], " ")
	if binary != "/usr/local/bin/parley" {
		t.Errorf("starts %s", binary)
	}
	// The command itself judges its flags; the file is the one the unit tells people to install.
	args = strings.ReplaceAll(args, "/etc/parley/config.yaml", "config.yaml")
	cmd := exec.Command("go", append([]string{"run", "-tags", "nolibopusfile", "../cmd/parley"}, append(strings.Fields(args), "--print-config")...)...)
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY=/var/lib/parley")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "format: json # --log.format") {
		t.Errorf("the flags do not do what they should:\n%s", out)
	}
}

// Every value has its reason above it.
func TestSysctl(t *testing.T) {
	reason, settings := false, 0
	for line := range strings.Lines(read(t, "sysctl.d/60-parley.conf")) {
		switch line = strings.TrimSpace(line); {
		case line == "":
			reason = false
		case line[0] == '#':
			reason = true
		default:
			settings++
			if !reason {
				t.Errorf("%s has no reason", line)
			}
			if !regexp.MustCompile(`^net\.[a-z0-9_.]+ = [0-9,-]+$`).MatchString(line) {
				t.Errorf("%q is not a setting", line)
			}
			key, _, _ := strings.Cut(line, " ")
			// In a network namespace some do not exist, so a missing file proves nothing; a missing directory does.
			if _, err := os.Stat(filepath.Dir("/proc/sys/" + strings.ReplaceAll(key, ".", "/"))); err != nil {
				t.Error(err)
			}
		}
	}
	if settings == 0 {
		t.Error("no settings")
	}
	for _, port := range []string{"3478", "5349", "8080", "8443", "9090", "10000-10010"} {
		if !regexp.MustCompile(`ip_local_reserved_ports = .*\b` + port + `\b`).MatchString(read(t, "sysctl.d/60-parley.conf")) {
			t.Errorf("port %s is not reserved", port)
		}
	}
}
