//go:build e2e

package e2e

import (
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
	p.Wait(t, 15*time.Second, "sound", `() => __kit.capture?.firstSound > 0`, nil)
	p.Record(t, 500*time.Millisecond)
	pcm := p.Record(t, 2*time.Second)
	require.InDelta(t, -20, testkit.ToneLevel(pcm, 440), 1)
	require.Less(t, testkit.ToneLevel(pcm, 700), -70.0)
	require.Equal(t, "host", p.Pair(t).RemoteType)
}
