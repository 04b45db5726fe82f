//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
	"parley/internal/testkit/echo"
)

// TestHarnessHearsItself proves the instruments before anything is measured with them: Chromium's microphone file goes out
// through WebRTC and comes back from a bare echo at the level and pitch it was written with.
func TestHarnessHearsItself(t *testing.T) {
	e, err := echo.New()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	mux := http.NewServeMux()
	mux.Handle("/echo", e)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self'")
		_, _ = w.Write([]byte("<!doctype html><audio autoplay></audio>"))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)

	d := rig.HostDriver(t)
	b, err := d.Launch(t.Context(), rig.ToneFile(t, 440, -20), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(b.Quit)
	p := b.Open(t, "echo", srv.URL, nil)
	p.Eval(t, `async () => {
		const pc = new RTCPeerConnection();
		pc.ontrack = (e) => { document.querySelector('audio').srcObject = e.streams[0] ?? new MediaStream([e.track]); };
		const mic = await navigator.mediaDevices.getUserMedia({ audio: true });
		pc.addTrack(mic.getTracks()[0], mic);
		await pc.setLocalDescription();
		await new Promise((done) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); });
		const answer = await fetch('/echo', { method: 'POST', body: pc.localDescription.sdp, headers: { 'Content-Type': 'application/sdp' } });
		await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
	}`, nil, nil)
	// Nothing of ours is in this path: what is wrong for a while is a browser that does not get the processor.
	await(t, 45*time.Second, "the tone and nothing else", func() error {
		pcm, err := p.TryRecord(t.Context(), 2*time.Second)
		if err != nil {
			return err
		}
		if tone, other := testkit.ToneLevel(pcm, 440), testkit.ToneLevel(pcm, 700); math.Abs(tone+20) > 1 || other > -70 {
			return fmt.Errorf("440 Hz at %.1f dBFS, 700 Hz at %.1f", tone, other)
		}
		return nil
	})
	require.Equal(t, "host", p.Pair(t).RemoteType)
}
