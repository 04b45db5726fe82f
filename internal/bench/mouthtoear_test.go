//go:build bench

package bench

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
	"parley/internal/testkit/echo"
)

// page sets up, in one page and on one audio clock: a mouth that plays chirps; a connection to the echo; a connection that
// publishes into a room and another that listens to it; a recorder with the mouth and both ears side by side.
const page = `async (chirps) => {
	const bytes = Uint8Array.from(atob(chirps), (c) => c.charCodeAt(0));
	const pcm = new Float32Array(bytes.buffer);
	const context = new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' });
	const buffer = context.createBuffer(1, pcm.length, 48000);
	buffer.copyToChannel(pcm, 0);
	const mouth = context.createBufferSource();
	mouth.buffer = buffer;
	mouth.loop = true;
	const merger = context.createChannelMerger(3);
	const recorder = context.createScriptProcessor(4096, 3, 1);
	const bench = (window.__bench = { chunks: [], peers: {} });
	recorder.onaudioprocess = (e) => { if (bench.recording) bench.chunks.push([0, 1, 2].map((k) => new Float32Array(e.inputBuffer.getChannelData(k)))); };
	mouth.connect(merger, 0, 0);
	merger.connect(recorder);
	recorder.connect(context.destination);
	const ear = (track, channel) => {
		const audio = new Audio();
		audio.srcObject = new MediaStream([track]);
		audio.play();
		document.body.append(audio);
		context.createMediaStreamSource(audio.srcObject).connect(merger, 0, channel);
	};
	const peer = async (name, direction, channel) => {
		const pc = new RTCPeerConnection();
		bench.peers[name] = pc;
		pc.ontrack = (e) => channel && ear(e.track, channel);
		if (direction === 'recvonly') pc.addTransceiver('audio', { direction });
		else {
			const out = context.createMediaStreamDestination();
			mouth.connect(out);
			pc.addTransceiver(out.stream.getTracks()[0], { direction, streams: [out.stream] });
		}
		await pc.setLocalDescription();
		if (pc.iceGatheringState !== 'complete') {
			await new Promise((done) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); });
		}
		return pc.localDescription.sdp;
	};
	const offers = { echo: await peer('echo', 'sendrecv', 1), whip: await peer('whip', 'sendonly', 0), whep: await peer('whep', 'recvonly', 2) };
	bench.start = () => mouth.start();
	return offers;
}`

// TestMouthToEar measures, in one page at the same time and on the same clock, how late a chirp arrives through the mixer
// and through a bare RTP echo. The difference is what the server costs; the browser's share is in both.
func TestMouthToEar(t *testing.T) {
	const seconds = 60
	s := rig.StartServer(t, rig.ServerOptions{})
	e, err := echo.New()
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	echoServer := httptest.NewServer(e)
	t.Cleanup(echoServer.Close)
	d := rig.HostDriver(t)
	b, err := d.Launch(t.Context(), rig.ToneFile(t, 1000, -40), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(b.Quit)

	ref := testkit.Chirp(500, 5000, -10, 40*time.Millisecond)
	random := rand.New(rand.NewPCG(3, 4))
	var train []float32
	for range 17 { // about 13 s, at no round interval
		train = testkit.Join(train, ref, testkit.Silence(700*time.Millisecond), make([]float32, random.IntN(4800)))
	}
	train = testkit.Mix(train, testkit.Noise(2, -50, testkit.Duration(len(train))))
	p := b.Open(t, "bench", s.HTTP+"/", rig.Settings{"noCapture": true})
	var offers map[string]string
	p.Eval(t, page, encode(train), &offers)
	for name, url := range map[string]string{"echo": echoServer.URL, "whip": s.HTTP + "/whip/ear?name=Mouth", "whep": s.HTTP + "/whep/ear?name=Ear"} {
		p.Eval(t, `async ([name, sdp]) => { await __bench.peers[name].setRemoteDescription({ type: 'answer', sdp }); }`, []string{name, post(t, url, offers[name])}, nil)
	}
	p.Wait(t, 15*time.Second, "connections", `() => Object.values(__bench.peers).every((p) => p.connectionState === 'connected')`, nil)
	p.Eval(t, `() => __bench.start()`, nil, nil)
	rig.Pause(t, 5*time.Second) // the buffers find their delays
	p.Eval(t, `() => { __bench.recording = true; }`, nil, nil)
	own := watch()
	rig.Pause(t, seconds*time.Second)
	late := own()
	buffers := make(map[string]float64)
	p.Eval(t, `async () => {
		const out = {};
		for (const name of ['echo', 'whep']) {
			for (const s of (await __bench.peers[name].getStats()).values()) {
				if (s.type === 'inbound-rtp') out[name] = 1000 * s.jitterBufferDelay / s.jitterBufferEmittedCount;
			}
		}
		return out;
	}`, nil, &buffers)
	var channels []string
	p.Eval(t, `() => {
		__bench.recording = false;
		return [0, 1, 2].map((k) => {
			const all = new Float32Array(__bench.chunks.length * 4096);
			__bench.chunks.forEach((c, i) => all.set(c[k], i * 4096));
			const bytes = new Uint8Array(all.buffer);
			let text = '';
			for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
			return btoa(text);
		});
	}`, nil, &channels)
	mouth := testkit.FindAll(decode(t, channels[0]), ref, 0.8)
	require.Greater(t, len(mouth), seconds)
	echoed, mixed := delays(mouth, testkit.FindAll(decode(t, channels[1]), ref, 0.5)), delays(mouth, testkit.FindAll(decode(t, channels[2]), ref, 0.5))
	require.Greater(t, len(echoed), len(mouth)*8/10, "chirps from the echo")
	require.Greater(t, len(mixed), len(mouth)*8/10, "chirps from the mixer")
	figures.add(figure{"mouth to ear in Chromium through the bare echo, median", ms(quantile(echoed, 0.5)), "", fmt.Sprintf("%s; of which in the browser's jitter buffer %.0f ms", spread(echoed), buffers["echo"])})
	figures.add(figure{"mouth to ear in Chromium through the mixer, median", ms(quantile(mixed, 0.5)), "", fmt.Sprintf("%s; of which in the browser's jitter buffer %.0f ms", spread(mixed), buffers["whep"])})
	figures.add(figure{"the mixer's share: difference of the medians", ms(quantile(mixed, 0.5) - quantile(echoed, 0.5)), "<= 50 ms", late})
}

// delays pairs each sent chirp with the first received one in the next 600 ms.
func delays(sent, got []testkit.Match) []time.Duration {
	var out []time.Duration
	k := 0
	for _, m := range sent {
		for k < len(got) && got[k].At < m.At {
			k++
		}
		if k < len(got) && got[k].At-m.At < testkit.Samples(600*time.Millisecond) {
			out = append(out, testkit.Duration(got[k].At-m.At))
		}
	}
	return out
}

func post(t *testing.T, url, offer string) string {
	res, err := http.Post(url, "application/sdp", strings.NewReader(offer))
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, res.StatusCode, "%s", body)
	return string(body)
}

func encode(pcm []float32) string {
	data := make([]byte, 0, 4*len(pcm))
	for _, s := range pcm {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(s))
	}
	return base64.StdEncoding.EncodeToString(data)
}

func decode(t *testing.T, text string) []float32 {
	data, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	pcm := make([]float32, len(data)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return pcm
}
