//go:build bench

package bench

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
)

// TestJoinToSound measures from the click on Join to the first sound of somebody who is talking already, in a fresh page
// each time: microphone, signaling, ICE, DTLS, the first packet, the browser's own buffer.
func TestJoinToSound(t *testing.T) {
	const joins = 20
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	talker, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "join", Name: "Talker"})
	require.NoError(t, err)
	defer talker.Vanish()
	speak(t, talker, testkit.Tone(440, -12, time.Second))
	d := rig.HostDriver(t)
	b, err := d.Launch(ctx, rig.ToneFile(t, 1000, -40), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(b.Quit)

	var took []time.Duration
	for i := range joins + 1 {
		p := b.Open(t, "listener", s.HTTP+"/r/join", rig.Settings{"warm": true, "captureBlock": 256})
		p.Fill(t, "#name", "Listener")
		// The page has settled: a person needs a moment to find the button too.
		p.Wait(t, 10*time.Second, "the page is there", `() => document.readyState === 'complete' && !document.querySelector('#join').hidden`, nil)
		p.Click(t, "#join-go")
		p.Wait(t, 20*time.Second, "sound", `() => __kit.capture?.firstSound > 0`, nil)
		var clickToSound float64
		p.Eval(t, `() => __kit.capture.firstSound - __kit.clickedAt`, nil, &clickToSound)
		p.Close()
		if i > 0 { // the first one fills the browser's caches
			took = append(took, time.Duration(clickToSound*float64(time.Millisecond)))
		}
	}
	figures.add(figure{"join click to first sound, p95 of 20 joins in Chromium", ms(quantile(took, 0.95)), "< 700 ms", spread(took)})
}

// speak says a loop until the test ends.
func speak(t *testing.T, c *client.Client, pcm []float32) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Speak(ctx, client.Loop(pcm), client.SpeakConfig{}) }()
	t.Cleanup(func() { cancel(); <-done })
}
