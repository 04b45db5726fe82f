//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
)

// TestLAN makes the same call between two hosts that have no route to anywhere: HTTPS on a LAN address with the server's own
// CA, media straight, over TCP, over each kind of TURN, and while the clients' address changes.
func TestLAN(t *testing.T) {
	l := rig.NewLAN(t)
	home := t.TempDir()
	d, err := rig.StartDriver(l.Client)
	require.NoError(t, err)
	t.Cleanup(d.Stop)

	var voices []*voice
	t.Run("lan", func(t *testing.T) {
		s := rig.StartServer(t, rig.ServerOptions{NS: l.Server, Host: rig.ServerIP, Flags: []string{"--lan"}})
		t.Run("a browser that does not trust the CA", func(t *testing.T) {
			b, err := d.Launch(t.Context(), rig.ToneFile(t, 440, -20), t.TempDir())
			require.NoError(t, err)
			defer b.Quit()
			_, err = b.TryOpen(t.Context(), "stranger", s.HTTPS, nil)
			require.ErrorContains(t, err, "ERR_CERT_AUTHORITY_INVALID")
		})
		rig.Trust(t, home, s.CAFile(t))
		voices = newVoices(t, d, -20, home)

		t.Run("https with the local CA", func(t *testing.T) {
			c := newCall(t, s, voices, s.HTTPS, "lan", nil)
			c.requireMix(t, clean)
			for _, p := range c.pages {
				got := p.Pair(t)
				require.Empty(t, got.Servers, "no ICE servers in LAN mode")
				require.Equal(t, rig.ServerIP, got.RemoteAddress)
				require.Equal(t, "udp", got.LocalProtocol)
			}
			t.Run("address changed", func(t *testing.T) { changeAddress(t, l, c) })
		})
		t.Run("media over TCP", func(t *testing.T) {
			l.BlockUDP(t)
			c := newCall(t, s, voices, s.HTTPS, "tcp", nil)
			c.requireMix(t, clean)
			for _, p := range c.pages {
				require.Equal(t, "tcp", p.Pair(t).LocalProtocol)
			}
		})
	})
	if t.Failed() {
		return
	}
	t.Run("relay", func(t *testing.T) {
		voices = nil // their browsers trust the first server's CA only
		s := rig.StartServer(t, rig.ServerOptions{NS: l.Server, Host: rig.ServerIP, Flags: []string{"--ice.mode", "relay"}})
		home := t.TempDir()
		rig.Trust(t, home, s.CAFile(t))
		voices = newVoices(t, d, -20, home)
		for _, way := range []struct{ name, url, protocol string }{
			{"udp", "^turn:(?!.*transport=tcp)", "udp"}, {"tcp", "^turn:.*transport=tcp", "tcp"}, {"tls", "^turns:", "tls"},
		} {
			t.Run(way.name, func(t *testing.T) {
				if way.name != "udp" {
					l.BlockUDP(t)
				}
				c := newCall(t, s, voices, s.HTTPS, way.name, rig.Settings{"iceUrls": way.url, "relayOnly": true})
				c.requireMix(t, clean)
				for _, p := range c.pages {
					got := p.Pair(t)
					require.Equal(t, "relay", got.LocalType)
					require.Equal(t, way.protocol, got.RelayProtocol)
				}
			})
		}
	})
}

// changeAddress gives the clients' host another address in the middle of the call, as roaming does.
func changeAddress(t *testing.T, l *rig.LAN, c *call) {
	before := c.participants(t)
	l.IP(t, "-n", l.Client, "address", "del", rig.ClientIP+"/24", "dev", "lan0")
	l.IP(t, "-n", l.Client, "address", "add", rig.ClientIP2+"/24", "dev", "lan0")
	begin := time.Now()
	for _, p := range c.pages {
		p.Eval(t, `() => { __kit.moved = performance.now(); }`, nil, nil)
	}
	for _, p := range c.pages {
		p.Wait(t, 40*time.Second, "media from the new address",
			`async (address) => { const p = await __kit.pair(); return p?.iceState === 'connected' && p.localAddress === address }`, rig.ClientIP2)
	}
	c.requireMix(t, clean)
	t.Logf("checked %v after the change", time.Since(begin).Round(100*time.Millisecond))
	for _, p := range c.pages {
		var events string
		p.Eval(t, `() => __kit.events.filter((e) => e.at > __kit.moved).map((e) => (e.at - __kit.moved).toFixed(0) + ' ' + e.what).join(', ')`, nil, &events)
		t.Logf("%s, ms after the change: %s", p.Name, events)
	}
	require.Equal(t, before, c.participants(t), "the same participants as before")
	c.noneLeft(t)
}
