package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// command runs a command line and returns what it wrote.
func command(args ...string) (code int, out, err string) {
	var o, e strings.Builder
	code = run(args, streams{&o, &e})
	return code, o.String(), e.String()
}

func TestVersion(t *testing.T) {
	code, out, _ := command("version")
	if code != 0 || !strings.HasPrefix(out, "parley ") || strings.Count(out, " ") != 3 {
		t.Errorf("%d %q", code, out)
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "serve"},
		{[]string{"serve", "--help"}, 0, "--media.udp-ports=10000-10010"},
		{[]string{"token", "--help"}, 0, "--room"},
		{[]string{"dance"}, exitUsage, "dance"},
		{[]string{"serve", "--htp.listen=:1"}, exitUsage, "--htp.listen"},
		{[]string{"serve", "--http.listen=x"}, exitUsage, `--http.listen: http.listen: "x" has no port`},
		{[]string{"serve", "--config=/nonexistent.yaml"}, exitUsage, "/nonexistent.yaml"},
		{[]string{"serve", "--lan", "--ice.mode=public"}, exitUsage, "contradict"},
		{[]string{"serve", "--https.listen=203.0.113.7:443"}, exitUsage, "--insecure-open"},
		{[]string{"serve", "--https.cert-file=/nonexistent", "--https.key-file=/nonexistent", "--media.udp-ports=" + "20990"}, exitFailed, "https.cert_file /nonexistent"},
	} {
		code, out, err := command(tc.args...)
		if code != tc.code || !strings.Contains(out+err, tc.want) {
			t.Errorf("%v: code %d, want %d; %q lacks %q", tc.args, code, tc.code, out+err, tc.want)
		}
	}
	if _, out, _ := command("--help"); strings.Contains(out, "probe") || !strings.Contains(out, "load ") {
		t.Errorf("--help lists commands that are not there, or misses some:\n%s", out)
	}
}

func TestPrintConfig(t *testing.T) {
	name := filepath.Join(t.TempDir(), "parley.yaml")
	if err := os.WriteFile(name, []byte("ice:\n  mode: custom\n  servers: [{urls: [\"stun:a.example\"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PARLEY_AUTH_KEY", "main")
	t.Setenv("PARLEY_AUTH_SECRET", testSecret)
	code, out, err := command("serve", "--config", name, "--print-config", "--lan", "--audio.bitrate=24000")
	if code != 0 {
		t.Fatal(err)
	}
	for _, want := range []string{"mode: lan # --lan", "servers: [] # --lan", "bitrate: 24000 # --audio.bitrate", "key: main # PARLEY_AUTH_KEY", "complexity: 9 # default"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, testSecret) {
		t.Error("shows the secret")
	}
}

func TestToken(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PARLEY_AUTH_SECRET", "another secret of the environment, long enough")
	code, out, errText := command("token", "--key=main", "--secret-file="+secretFile, "--room=r", "--identity=ann", "--name=Ann", "--no-publish", "--ttl=10m")
	if code != 0 {
		t.Fatal(errText)
	}
	parts := strings.Split(strings.TrimSpace(out), ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", out)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Iss, Sub, Name, Room string
		Exp, Nbf             float64
		Grants               map[string]bool
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Iss != "main" || claims.Sub != "ann" || claims.Name != "Ann" || claims.Room != "r" ||
		claims.Grants["publish"] || !claims.Grants["subscribe"] || claims.Grants["admin"] {
		t.Errorf("claims %s", payload)
	}
	if _, _, errText := command("token", "--room=r", "--identity=ann"); !strings.Contains(errText, "auth.key") {
		t.Errorf("without a key: %q", errText)
	}
	if code, _, errText := command("token", "--key=main", "--secret-file="+secretFile, "--room=../r", "--identity=ann"); code != exitUsage {
		t.Errorf("bad room: %d %q", code, errText)
	}
}
