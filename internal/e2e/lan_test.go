//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLAN makes the same call between two hosts that have no route to anywhere: HTTPS on a LAN address with the server's own
// CA, media straight, over TCP, over each kind of TURN, and while the clients' address changes.
func TestLAN(t *testing.T) {
	l := newLAN(t)
	home := t.TempDir()
	d, err := startDriver(l.client)
	require.NoError(t, err)
	t.Cleanup(d.stop)

	var voices []*voice
	t.Run("lan", func(t *testing.T) {
		s := startServer(t, serverOptions{ns: l.server, host: serverIP, flags: []string{"--lan"}})
		trust(t, home, s.caFile(t))
		voices = newVoices(t, d, -20, home)

		t.Run("https with the local CA", func(t *testing.T) {
			c := newCall(t, voices, s.HTTPS, "lan", nil)
			c.requireMix(t, clean)
			for _, p := range c.pages {
				got := p.pair(t)
				require.Empty(t, got.Servers, "no ICE servers in LAN mode")
				require.Equal(t, serverIP, got.RemoteAddress)
				require.Equal(t, "udp", got.LocalProtocol)
			}
			t.Run("address changed", func(t *testing.T) { changeAddress(t, l, c) })
		})
		t.Run("media over TCP", func(t *testing.T) {
			l.blockUDP(t)
			c := newCall(t, voices, s.HTTPS, "tcp", nil)
			c.requireMix(t, clean)
			for _, p := range c.pages {
				require.Equal(t, "tcp", p.pair(t).LocalProtocol)
			}
		})
	})
	if t.Failed() {
		return
	}
	t.Run("relay", func(t *testing.T) {
		voices = nil // their browsers trust the first server's CA only
		s := startServer(t, serverOptions{ns: l.server, host: serverIP, flags: []string{"--ice.mode", "relay"}})
		home := t.TempDir()
		trust(t, home, s.caFile(t))
		voices = newVoices(t, d, -20, home)
		for _, way := range []struct{ name, url, protocol string }{
			{"udp", "^turn:(?!.*transport=tcp)", "udp"}, {"tcp", "^turn:.*transport=tcp", "tcp"}, {"tls", "^turns:", "tls"},
		} {
			t.Run(way.name, func(t *testing.T) {
				if way.name != "udp" {
					l.blockUDP(t)
				}
				c := newCall(t, voices, s.HTTPS, way.name, settings{"iceUrls": way.url, "relayOnly": true})
				c.requireMix(t, clean)
				for _, p := range c.pages {
					got := p.pair(t)
					require.Equal(t, "relay", got.LocalType)
					require.Equal(t, way.protocol, got.RelayProtocol)
				}
			})
		}
	})
}

// changeAddress gives the clients' host another address in the middle of the call, as roaming does.
func changeAddress(t *testing.T, l *lan, c *call) {
	before := c.participants(t)
	l.ip(t, "-n", l.client, "address", "del", clientIP+"/24", "dev", "lan0")
	l.ip(t, "-n", l.client, "address", "add", clientIP2+"/24", "dev", "lan0")
	begin := time.Now()
	for _, p := range c.pages {
		p.wait(t, 40*time.Second, "media from the new address",
			`async (address) => { const p = await __kit.pair(); return p?.iceState === 'connected' && p.localAddress === address }`, clientIP2)
	}
	c.requireMix(t, clean)
	t.Logf("media is back %v after the change", time.Since(begin).Round(100*time.Millisecond))
	require.Equal(t, before, c.participants(t), "the same participants as before")
	c.noneLeft(t)
}
