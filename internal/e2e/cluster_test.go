//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
)

// startNodes starts three nodes of a cluster on loopback.
func startNodes(t *testing.T) []*rig.Server {
	t.Helper()
	ports := rig.FreePorts(t, 9)
	var routes []string
	for _, p := range ports[:3] {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", p))
	}
	var out []*rig.Server
	for i := range 3 {
		address := fmt.Sprintf("127.0.0.1:%d", ports[6+i])
		out = append(out, rig.StartServer(t, rig.ServerOptions{Flags: []string{
			"--http.listen", address, "--https.enabled=false", "--turn.enabled=false",
			"--cluster.node", string(rune('a' + i)), "--cluster.url", "http://" + address, "--cluster.size", "3",
			"--cluster.placement", "extend", "--cluster.listen", routes[i], "--cluster.routes", strings.Join(routes, ","),
			"--cluster.trunk-listen", fmt.Sprintf("127.0.0.1:%d", ports[3+i]),
		}}))
		out[i].HTTP = "http://" + address
	}
	for _, s := range out {
		await(t, 20*time.Second, "all nodes see each other", func() error {
			if n, _ := s.Metric(t, "cluster_members_alive"); n != 3 {
				return fmt.Errorf("%v nodes", n)
			}
			return nil
		})
	}
	return out
}

// TestCluster makes one call on three nodes, one person on each, and takes a node away.
func TestCluster(t *testing.T) {
	nodes := startNodes(t)
	voices := newVoices(t, rig.HostDriver(t), -20, t.TempDir())
	c := &call{server: nodes[0], voices: voices}
	for i, v := range voices {
		c.pages = append(c.pages, v.join(t, nodes[i].HTTP, "three", nil))
	}
	c.requireMix(t, clean)
	for _, p := range c.pages {
		p.Wait(t, 10*time.Second, "three people", `() => document.querySelectorAll('#roster > *').length === 3`, nil)
	}
	c.noneLeft(t)

	t.Run("a node is killed", func(t *testing.T) {
		for _, p := range c.pages {
			p.Wait(t, 5*time.Second, "told of the other nodes", `() => (__kit.joined.nodes ?? []).length === 2`, nil)
		}
		c.pages[1].Eval(t, `() => {
			const before = __kit.connections.length;
			__kit.back = new Promise((done) => {
				let lost = 0;
				const look = setInterval(async () => {
					if (!lost && __kit.sockets.at(-1).readyState === WebSocket.CLOSED) lost = performance.now();
					const pc = __kit.connections.at(-1);
					if (!lost || __kit.connections.length === before || pc.connectionState !== 'connected') return;
					for (const s of (await pc.getStats()).values()) {
						if (s.type !== 'inbound-rtp' || !(s.totalAudioEnergy > 0.0001)) continue;
						clearInterval(look);
						done(Math.round(performance.now() - lost));
					}
				}, 10);
			});
		}`, nil, nil)
		recorded := make(chan []float32, 1)
		go func() { // received below
			pcm, _ := c.pages[0].TryRecord(t.Context(), 4*time.Second)
			recorded <- pcm
		}()
		rig.Pause(t, 500*time.Millisecond)
		nodes[1].Kill(t)
		var took float64
		c.pages[1].Eval(t, `() => Promise.race([__kit.back, new Promise((done) => setTimeout(() => done(-1), 10000))])`, nil, &took)
		require.Positive(t, took, "the client of the killed node came back by itself")
		t.Logf("back in the mix %v ms after its socket was lost", took)
		pcm := <-recorded
		gaps := testkit.Gaps(pcm, -45, 20*time.Millisecond)
		require.Empty(t, gaps, "the others hear on without a gap")
		c.requireMix(t, clean)
		c.pages[0].Wait(t, 10*time.Second, "three people again", `() => document.querySelectorAll('#roster > *').length === 3`, nil)
	})

	t.Run("a node is drained", func(t *testing.T) {
		recorded := make(chan []float32, 1)
		go func() { // received below
			pcm, _ := c.pages[0].TryRecord(t.Context(), 8*time.Second)
			recorded <- pcm
		}()
		rig.Pause(t, 300*time.Millisecond)
		begin := time.Now()
		nodes[2].Stop(t)
		t.Logf("the node stopped in %v", time.Since(begin))
		pcm := <-recorded
		longest, run := 0, 0
		for _, level := range testkit.ToneLevels(pcm, voices[2].freqHz, 20*time.Millisecond) {
			if run++; level > -35 {
				run = 0
			}
			longest = max(longest, run)
		}
		t.Logf("Ada did not hear Cleo for %d ms at most", 20*longest)
		require.Less(t, 20*longest, 400, "she was there before she was gone here")
		c.requireMix(t, clean)
		for _, p := range c.pages {
			p.Wait(t, 10*time.Second, "three people", `() => document.querySelectorAll('#roster > *').length === 3`, nil)
		}
	})
}
