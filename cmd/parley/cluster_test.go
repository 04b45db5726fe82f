package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/cluster"
)

// The commands against a node's handler, behind the admin listener's guard.
func TestClusterCommands(t *testing.T) {
	const token = "0123456789abcdef"
	c, err := cluster.New(cluster.Config{Node: "a-1", Region: "eu", URL: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter("town hall", nil); err == nil { // no handler is needed: nobody else is here, and nothing runs
		c.SetLoad(cluster.Load{Used: 0.25, Participants: 7, Rooms: 1})
	} else {
		t.Fatal(err)
	}
	server := httptest.NewServer(adminOnly(c.Handler(), token))
	defer server.Close()

	command := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(append(args, "--admin", server.URL), streams{&out, &errs})
		return code, out.String() + errs.String()
	}
	if code, out := command("nodes"); code != exitFailed || !strings.Contains(out, "401") {
		t.Errorf("without a token: %d %s", code, out)
	}
	t.Setenv("PARLEY_ADMIN_TOKEN", token)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"nodes"}, 0, "a-1   alive  eu      25 %"},
		{[]string{"nodes", "--json"}, 0, `"degraded": false`},
		{[]string{"rooms"}, 0, `"town hall"  0       a-1    a-1:0`},
		{[]string{"drain", "a-1"}, 0, "a-1 takes nobody new"},
		{[]string{"nodes"}, 0, "a-1   draining"},
		{[]string{"drain", "b-1"}, exitFailed, `no such node`},
		{[]string{"forget", "a-1"}, exitFailed, `no such node`},
		{[]string{"drain"}, exitUsage, "<node>"},
	} {
		if code, out := command(tc.args...); code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("%v: %d\n%s\nwant %d and %q", tc.args, code, out, tc.code, tc.want)
		}
	}
}

func TestClusterKey(t *testing.T) {
	var out bytes.Buffer
	if code := run([]string{"cluster-key"}, streams{&out, &out}); code != 0 {
		t.Fatal(out.String())
	}
	_, err := cluster.New(cluster.Config{Node: "a", NATS: cluster.NATSConfig{Key: strings.TrimSpace(out.String())}})
	if err != nil {
		t.Errorf("the key is refused: %v", err)
	}
}
