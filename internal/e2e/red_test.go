//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit/netsim"
)

// TestRedToBrowser: a tenth of what the server sends is lost, and nothing is sent again. The browser's reports make the server send
// every frame twice, and a worse tier; the browser takes the second copies, and has to make up far less than was lost. It is told to wait for
// them, 150 ms: left alone its jitter buffer holds less than one frame of 40 ms on a path without jitter, and a second copy comes too late.
func TestRedToBrowser(t *testing.T) {
	d := rig.HostDriver(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	voices := newVoices(t, d, -20, t.TempDir())[:2]
	const loss = 0.1
	good := netsim.Conditions{Delay: oneWay}
	p, err := netsim.ListenUDP("127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", s.Media), good, netsim.Conditions{Delay: oneWay, Loss: loss}, 7)
	require.NoError(t, err)
	serve(t, p.Run)
	c := newCall(t, s, voices, s.HTTP, "red", rig.Settings{"mediaPort": p.Addr().Port(), "hideCandidates": true, "noResends": true})
	c.awaitSound(t, 30*time.Second)
	for _, page := range c.pages {
		page.Eval(t, `() => { __kit.connections.at(-1).getReceivers()[0].jitterBufferTarget = 150; }`, nil, nil)
	}
	type down struct {
		PacketsReceived, PacketsLost           int
		ConcealedSamples, TotalSamplesReceived float64
	}
	look := func() (all []down) {
		for _, page := range c.pages {
			var v struct{ Down down }
			page.Eval(t, `() => __kit.streams()`, nil, &v)
			all = append(all, v.Down)
		}
		return all
	}
	await(t, 30*time.Second, "second copies to both", func() error { // from the first reports on
		if n, ok := s.Metric(t, "mixer_tier_changes_total"); !ok || n < 2 {
			return fmt.Errorf("%v changes of tiers", n)
		}
		return nil
	})
	before, pulse := look(), c.pulses(t)
	await(t, 60*time.Second, "packets", func() error {
		for i, v := range look() {
			if n := v.PacketsReceived - before[i].PacketsReceived; n < 500 {
				return fmt.Errorf("%d packets", n)
			}
		}
		return nil
	})
	pulseAfter := c.pulses(t)
	for i, v := range look() {
		received, lost := v.PacketsReceived-before[i].PacketsReceived, v.PacketsLost-before[i].PacketsLost
		made := (v.ConcealedSamples - before[i].ConcealedSamples) / (v.TotalSamplesReceived - before[i].TotalSamplesReceived)
		share := float64(lost) / float64(lost+received)
		t.Logf("%s's browser: %d packets, %.1f %% lost, %.1f %% of the sound made up", voices[i].name, received, 100*share, 100*made)
		assert.Greater(t, share, 0.5*loss, "%s's browser: lost", voices[i].name)
		if made < 0.5*share {
			continue
		}
		t.Logf("%s: %s", voices[i].name, pulseAfter[i].since(pulse[i]))
		if why := starved(pulse[i], pulseAfter[i]); why != "" {
			t.Skipf("this machine is too busy to tell what %s's browser makes of second copies: %s", voices[i].name, why)
		}
		t.Errorf("%s's browser made up %.1f %% of the sound", voices[i].name, 100*made)
	}
	repeated, ok := s.Metric(t, "sfu_rtp_out_repeated_total")
	assert.True(t, ok && repeated > 400, "%v packets with a second copy sent", repeated)
	tiers, ok := s.Metric(t, "mixer_tier_changes_total")
	assert.True(t, ok && tiers >= 2, "%v changes of tiers", tiers)
}
