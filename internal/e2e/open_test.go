//go:build e2e

package e2e

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
)

// publicIP is a documentation address (RFC 5737) that stands for a public one.
const publicIP = "203.0.113.7"

// TestOpenServerStaysPrivate: without a key nothing listens on a public address, whatever the wildcard says, and being told
// to listen there is a refusal to start.
func TestOpenServerStaysPrivate(t *testing.T) {
	for _, flag := range []string{"--http.listen", "--https.listen", "--turn.listen", "--turn.tls-listen"} {
		t.Run("refuses "+flag, func(t *testing.T) {
			out, err := exec.Command(rig.Binary, "serve", "--data-dir", t.TempDir(), flag, publicIP+":18443").CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out)
			require.NotContains(t, string(out), "parley ready")
			require.Contains(t, string(out), "insecure", "the message says how to allow it")
			require.Contains(t, string(out), publicIP, "the message names the address")
		})
	}
	t.Run("wildcards", func(t *testing.T) {
		l := rig.NewLAN(t)
		l.IP(t, "-n", l.Server, "address", "add", publicIP+"/24", "dev", "lan0")
		open := rig.StartServer(t, rig.ServerOptions{NS: l.Server, Host: rig.ServerIP})
		assert.Contains(t, strings.ToLower(open.Log.String()), "open", "it says that it is open")
		listening := sockets(t, l.Server)
		require.GreaterOrEqual(t, len(listening), 8)
		private := 0
		for _, a := range listening {
			assert.True(t, a.Addr().IsLoopback() || a.Addr().IsPrivate(), "an open server listens on %v", a)
			if a.Addr() == netip.MustParseAddr(rig.ServerIP) {
				private++
			}
		}
		assert.GreaterOrEqual(t, private, 5, "HTTPS, TURN and media are there for the LAN: %v", listening)
		open.Stop(t)

		told := rig.StartServer(t, rig.ServerOptions{NS: l.Server, Host: rig.ServerIP, Flags: []string{"--insecure-open"}})
		public := 0
		for _, a := range sockets(t, l.Server) {
			if a.Addr() == netip.MustParseAddr(publicIP) || a.Addr().IsUnspecified() {
				public++
			}
		}
		assert.Positive(t, public, "with --insecure-open it listens on public addresses too")
		told.Stop(t)
	})
}

// sockets lists the listening TCP and bound UDP sockets of a namespace.
func sockets(t *testing.T, ns string) []netip.AddrPort {
	t.Helper()
	out, err := rig.Command(ns, "ss", "-H", "-n", "-l", "-t", "-u").Output()
	require.NoError(t, err)
	var all []netip.AddrPort
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		require.GreaterOrEqual(t, len(fields), 5, line)
		local := strings.Replace(fields[4], "*:", "[::]:", 1)
		if i := strings.IndexByte(local, '%'); i >= 0 { // 10.0.0.1%lan0:80
			local = local[:i] + local[strings.LastIndexByte(local, ':'):]
		}
		a, err := netip.ParseAddrPort(local)
		require.NoError(t, err, line)
		all = append(all, a)
	}
	return all
}
