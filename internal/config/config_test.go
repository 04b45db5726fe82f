package config

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "rewrite deploy/config.yaml")

const secret = "0123456789abcdef0123456789abcdef"

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "parley.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func parseFlags(t *testing.T, args ...string) []Setting {
	t.Helper()
	flags := NewFlags()
	var cli struct{ kong.Plugins }
	cli.Plugins = kong.Plugins{flags.Plugin()}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags.Settings()
}

// The sample must list every key with its default, and reading it must change nothing.
func TestSampleIsTheDefaults(t *testing.T) {
	const name = "../../deploy/config.yaml"
	var want strings.Builder
	if err := WriteSample(&want, Default()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("%s is not what the code says; run go test ./internal/config -update", name)
	}
	l := &Loaded{Config: *Default(), Origin: map[string]string{}}
	if err := l.readFile(name, strings.NewReader(string(got))); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys(&l.Config) {
		if l.Origin[k.path] == "" {
			t.Errorf("%s does not list %s", name, k.path)
		}
		if k.help == "" {
			t.Errorf("%s has no comment", k.path)
		}
	}
	if !reflect.DeepEqual(l.Config, *Default()) {
		t.Errorf("%s changes the defaults:\n%+v\n%+v", name, l.Config, *Default())
	}
}

func TestLANSample(t *testing.T) {
	l, err := Load(Options{File: "../../deploy/config.lan.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if l.ICE.Mode != ModeLAN || len(l.ICE.Servers) != 0 || !l.Open() || l.InsecureOpen || !l.HTTPS.Enabled {
		t.Errorf("not a LAN configuration: %+v", l.Config)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "log:\n  level: warn\n  format: json\naudio:\n  bitrate: 24000\n  fec: false\n")
	load := func(environ []string, args ...string) *Loaded {
		t.Helper()
		l, err := Load(Options{File: file, Environ: environ, Flags: parseFlags(t, args...)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := load([]string{"PARLEY_LOG_LEVEL=error", "PARLEY_AUDIO_BITRATE=20000", "HOME=/home/p"}, "--log.level=debug", "--no-audio.dtx")
	want := Log{Level: "debug", Format: "json"} // flag over variable over file; file over default
	if l.Log != want {
		t.Errorf("log is %+v, want %+v", l.Log, want)
	}
	if a := (Audio{Bitrate: 20000, Complexity: 9, FEC: false, DTX: false, Speakers: 5, PacketMs: 20}); l.Audio != a {
		t.Errorf("audio is %+v, want %+v", l.Audio, a)
	}
	origins := map[string]string{
		"log.level": "--log.level", "log.format": file + ":3", "audio.bitrate": "PARLEY_AUDIO_BITRATE",
		"audio.fec": file + ":6", "audio.dtx": "--audio.dtx",
	}
	if !reflect.DeepEqual(l.Origin, origins) {
		t.Errorf("origins %v, want %v", l.Origin, origins)
	}
}

// Every key can be set by variable and by flag, and reading back what is printed gives the same configuration.
func TestEveryKeyByEveryWay(t *testing.T) {
	values := map[string]string{
		"http.listen": "127.0.0.1:8081", "https.enabled": "false", "https.listen": ":9443", "https.cert_file": "c.pem",
		"https.key_file": "k.pem", "admin.listen": "[::1]:9091", "admin.pprof": "true", "admin.token": secret, "data_dir": "/tmp/p",
		"auth.key": "k", "auth.secret": secret, "insecure_open": "true", "origins": "https://a.example,https://b.example:8443",
		"media.udp_ports": "20000-20003", "media.tcp_port": "0", "media.interfaces.include": "eth0,wl*",
		"media.interfaces.exclude": "tun*", "media.cidrs.include": "10.0.0.0/8,fd00::/8", "media.cidrs.exclude": "10.9.0.0/16",
		"media.nat_1to1": "203.0.113.9,2001:db8::9", "ice.mode": "custom",
		"ice.servers":     `[{urls: ["turn:t.example:3478?transport=tcp"], username: u, credential: c}]`,
		"ice.public_host": "t.example", "ice.allow_private_candidates": "false", "turn.enabled": "true",
		"turn.listen": ":3479", "turn.tls_listen": "", "turn.secret": secret, "turn.realm": "r", "turn.credential_ttl": "1m30s",
		"turn.relay_ports": "30000-30100", "rooms.max_participants": "5", "rooms.max_total": "6", "rooms.empty_timeout": "0s",
		"audio.bitrate": "16000", "audio.complexity": "5", "audio.fec": "false", "audio.dtx": "false", "audio.speakers": "3",
		"audio.key_tones": "true", "audio.leveling": "true", "audio.stereo": "true", "audio.packet_ms": "10",
		"rooms.settings": `[{match: "music-*", mode: music, packet_ms: 10}, {match: hall, leveling: false, stereo: true, speakers: 0, bitrate: 64000}]`,
		"log.level":      "debug", "log.format": "json", "drain_timeout": "3s",
		"cluster.node": "a-1", "cluster.region": "eu", "cluster.url": "https://a.example", "cluster.size": "3",
		"cluster.placement": "extend", "cluster.listen": "10.0.0.1:10300", "cluster.routes": "a.example:10300,10.0.0.2:10300",
		"cluster.key": secret, "cluster.trunk_listen": ":10400", "cluster.trunk_address": "203.0.113.9:10400",
	}
	// These exclude others of the list; they have tests of their own.
	elsewhere := map[string]bool{
		"auth.secret_file": true, "cluster.key_file": true, "cluster.nats_url": true, "cluster.nats_nkey": true,
		"cluster.nats_nkey_file": true, "cluster.nats_ca_file": true,
	}
	var environ, args []string
	for _, k := range keys(Default()) {
		value, listed := values[k.path]
		if !listed {
			if !elsewhere[k.path] {
				t.Errorf("no test value for %s", k.path)
			}
			continue
		}
		environ = append(environ, k.env()+"="+value)
		args = append(args, "--"+k.flag()+"="+value)
	}
	byEnv, err := Load(Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	byFlag, err := Load(Options{Flags: parseFlags(t, args...)})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byEnv.Config, byFlag.Config) {
		t.Errorf("variables and flags differ:\n%+v\n%+v", byEnv.Config, byFlag.Config)
	}
	for _, k := range keys(&byEnv.Config) {
		if want := values[k.path]; !k.isMappings() && !elsewhere[k.path] && formatValue(k.value) != want {
			t.Errorf("%s is %q, want %q", k.path, formatValue(k.value), want)
		}
	}
	var printed strings.Builder
	if err := byEnv.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(printed.String(), secret) || strings.Contains(printed.String(), "credential: c") {
		t.Errorf("--print-config shows a secret:\n%s", printed.String())
	}
	byFile, err := Load(Options{
		File:    write(t, printed.String()),
		Environ: []string{"PARLEY_AUTH_SECRET=" + secret, "PARLEY_TURN_SECRET=" + secret, "PARLEY_ADMIN_TOKEN=" + secret, "PARLEY_CLUSTER_KEY=" + secret},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	byFile.ICE.Servers[0].Credential = "c"
	if !reflect.DeepEqual(byFile.Config, byEnv.Config) {
		t.Errorf("printed and read again:\n%+v\n%+v", byFile.Config, byEnv.Config)
	}
}

func TestUnderscoresInFlags(t *testing.T) {
	got := parseFlags(t, "--media.udp_ports=1-2", "--insecure_open")
	want := []Setting{{"insecure_open", "--insecure-open", "true"}, {"media.udp_ports", "--media.udp-ports", "1-2"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFaultsNameTheirOrigin(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		flags   []Setting
		want    string
	}{
		{environ: []string{"PARLEY_HTTP_LISTEN=x"}, want: `PARLEY_HTTP_LISTEN: http.listen: "x" has no port`},
		{environ: []string{"PARLEY_AUDIO_COMPLEXITY=11"}, want: "PARLEY_AUDIO_COMPLEXITY: audio.complexity: 11 is not between"},
		{environ: []string{"PARLEY_ICE_SERVERS=["}, want: "PARLEY_ICE_SERVERS: ice.servers: is not YAML"},
		{environ: []string{"PARLEY_MEDIA_NAT_1TO1=1.2.3.4,x"}, want: `media.nat_1to1: "x" is not an address`},
		{flags: []Setting{{"ice.mode", "--ice.mode", "wan"}}, want: `--ice.mode: ice.mode: "wan" is none of`},
		{flags: []Setting{{"ice.mod", "--ice.mod", "lan"}}, want: "did you mean ice.mode?"},
	} {
		_, err := Load(Options{Environ: tc.environ, Flags: tc.flags})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v %v: got %v, want %s", tc.environ, tc.flags, err, tc.want)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Load(Options{File: write(t, "htp: 1\naudio:\n  bitrate: x\nlog:\n  level: y\n")})
	for _, want := range []string{":1: htp", ":3: audio.bitrate", ":5: log.level"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	l, err := Load(Options{Environ: []string{"PARLEY_HTTP_LISTN=:1", "PARLEY_SERVICE_HOST=10.0.0.1", "PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "PARLEY_HTTP_LISTN") {
		t.Errorf("warnings: %q", l.Warnings)
	}
}

func TestSecretFile(t *testing.T) {
	name := write(t, "  "+secret+"\n")
	l, err := Load(Options{Environ: []string{"PARLEY_AUTH_KEY=k", "PARLEY_AUTH_SECRET_FILE=" + name}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Auth.Secret != secret || l.Open() {
		t.Errorf("secret %q, open %v", l.Auth.Secret, l.Open())
	}
}

func TestClusterWithServersOutside(t *testing.T) {
	key, seed := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "seed")
	for name, text := range map[string]string{key: " the key\n", seed: "the seed\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Load(Options{Environ: []string{
		"PARLEY_CLUSTER_NATS_URL=tls://a.example:4222, tls://b.example:4222", "PARLEY_CLUSTER_NATS_NKEY_FILE=" + seed,
		"PARLEY_CLUSTER_KEY_FILE=" + key, "PARLEY_CLUSTER_NATS_CA_FILE=ca.pem",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Cluster; !c.On() || c.Key != "the key" || c.NATSNKey != "the seed" || c.NATSCAFile != "ca.pem" {
		t.Errorf("%+v", c)
	}
	if Default().Cluster.On() {
		t.Error("a node that was told nothing has neighbours")
	}
	// On this machine's loopback nothing is needed.
	for _, environ := range [][]string{
		{"PARLEY_CLUSTER_NATS_URL=nats://localhost:4222"},
		{"PARLEY_CLUSTER_LISTEN=127.0.0.1:10300", "PARLEY_CLUSTER_ROUTES=localhost:10301,[::1]:10302"},
	} {
		if _, err := Load(Options{Environ: environ}); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenServerAddresses(t *testing.T) {
	public := Setting{"https.listen", "--https.listen", "203.0.113.7:443"}
	for name, flags := range map[string][]Setting{
		"insecure":  {public, {"insecure_open", "--insecure-open", "true"}},
		"with key":  {public, {"auth.key", "--auth.key", "k"}, {"auth.secret", "--auth.secret", secret}},
		"private":   {{"https.listen", "--https.listen", "192.168.1.2:443"}},
		"localhost": {{"https.listen", "--https.listen", "localhost:443"}},
		"off":       {public, {"https.enabled", "--https.enabled", "false"}},
	} {
		if _, err := Load(Options{Flags: flags}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		uid     int
		want    string
	}{
		{[]string{"STATE_DIRECTORY=/var/lib/parley:/x"}, 100, "/var/lib/parley"},
		{[]string{"HOME=/root"}, 0, "/var/lib/parley"},
		{[]string{"HOME=/home/a"}, 1000, "/home/a/.local/share/parley"},
		{[]string{"HOME=/home/a", "XDG_DATA_HOME=/data"}, 1000, "/data/parley"},
		{[]string{"HOME=/home/a", "XDG_DATA_HOME=relative"}, 1000, "/home/a/.local/share/parley"},
		{nil, 1000, "parley-data"},
	} {
		if got := defaultDataDir(tc.environ, tc.uid); got != tc.want {
			t.Errorf("%v uid %d: %s, want %s", tc.environ, tc.uid, got, tc.want)
		}
	}
}

func TestListen(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	for text, want := range map[string]Listen{
		"":               {},
		":0":             {On: true},
		":8443":          {On: true, Port: 8443},
		"10.0.0.1:1":     {On: true, Addr: v4, Port: 1},
		"[fd00::1]:2":    {On: true, Addr: v6, Port: 2},
		"0.0.0.0:3":      {On: true, Addr: netip.IPv4Unspecified(), Port: 3},
		"localhost:8080": {On: true, Addr: netip.MustParseAddr("127.0.0.1"), Port: 8080},
	} {
		var got Listen
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestPortRange(t *testing.T) {
	r := PortRange{10, 20}
	for _, tc := range []struct {
		o    PortRange
		want bool
	}{{PortRange{20, 30}, true}, {PortRange{21, 30}, false}, {PortRange{1, 9}, false}, {PortRange{1, 99}, true}, {PortRange{}, false}} {
		if r.Overlaps(tc.o) != tc.want || tc.o.Overlaps(r) != tc.want {
			t.Errorf("%v overlaps %v: want %v", r, tc.o, tc.want)
		}
	}
	if r.Len() != 11 || (PortRange{}).Len() != 0 || !r.Contains(20) || r.Contains(21) {
		t.Error("range counts wrongly")
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		300 * time.Second: "5m", 90 * time.Second: "1m30s", time.Hour: "1h", 10 * time.Minute: "10m", 0: "0s", 10 * time.Second: "10s",
		24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", 20 * time.Millisecond: "20ms",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
