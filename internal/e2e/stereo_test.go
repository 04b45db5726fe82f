//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
)

// recordSides records what a page receives, left and right.
func recordSides(t *testing.T, p *rig.Page, d time.Duration) (left, right []float32, err error) {
	t.Helper()
	var text string
	err = p.TryEval(t.Context(), `async (seconds) => {
		const context = new AudioContext({ sampleRate: 48000 });
		const source = context.createMediaStreamSource(new MediaStream([__kit.capture.track]));
		const node = context.createScriptProcessor(4096, 2, 2);
		const sides = [[], []];
		await new Promise((done, failed) => {
			const timer = setTimeout(() => failed(new Error('no sound was recorded: ' + context.state)), seconds * 1000 + 10000);
			node.onaudioprocess = (e) => {
				sides.forEach((side, c) => side.push(...e.inputBuffer.getChannelData(c)));
				if (sides[0].length >= seconds * 48000) { clearTimeout(timer); done(); }
			};
			source.connect(node);
			node.connect(context.destination);
		});
		node.onaudioprocess = null;
		await context.close();
		const bytes = new Uint8Array(Float32Array.from([...sides[0], ...sides[1]]).buffer);
		let text = '';
		for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
		return btoa(text);
	}`, d.Seconds(), &text)
	if err != nil {
		return nil, nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, nil, err
	}
	pcm := make([]float32, len(raw)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return pcm[:len(pcm)/2], pcm[len(pcm)/2:], nil
}

// TestStereoRooms: in a stereo room two talkers come from two sides, and oneself from none; in a room for music the sound is what the
// microphone gave.
func TestStereoRooms(t *testing.T) {
	d := rig.HostDriver(t)
	s := rig.StartServer(t, rig.ServerOptions{Flags: []string{
		`--rooms.settings=[{match: "stereo-*", stereo: true}, {match: "music-*", mode: music, packet_ms: 10}]`,
	}})
	voices := newVoices(t, d, -20, t.TempDir())

	t.Run("voices have directions", func(t *testing.T) {
		c := newCall(t, s, voices, s.HTTP, "stereo-room", nil)
		for i, p := range c.pages {
			await(t, 45*time.Second, voices[i].name+" hears two people from two sides", func() error {
				left, right, err := recordSides(t, p, 2*time.Second)
				if err != nil {
					return err
				}
				var balances, levels []float64
				for j, v := range voices {
					l, r := testkit.ToneLevel(left, v.freqHz), testkit.ToneLevel(right, v.freqHz)
					both := 10 * math.Log10(math.Pow(10, l/10)+math.Pow(10, r/10))
					if j == i {
						if both > -58 {
							return fmt.Errorf("its own voice at %.1f dBFS", both)
						}
						continue
					}
					balances, levels = append(balances, r-l), append(levels, both)
				}
				t.Logf("%s: balances %.1f dB, levels %.1f dBFS", voices[i].name, balances, levels)
				if math.Abs(levels[0]+20) > 3 || math.Abs(levels[1]+20) > 3 {
					return fmt.Errorf("levels %.1f dBFS, want -20", levels)
				}
				if math.Abs(balances[0]-balances[1]) < 4 {
					return fmt.Errorf("both from the same side: %.1f dB", balances)
				}
				return nil
			})
		}
	})

	t.Run("music is left as it is", func(t *testing.T) {
		c := newCall(t, s, voices[:2], s.HTTP, "music-room", rig.Settings{"processing": true})
		for i, p := range c.pages {
			other := voices[1-i]
			await(t, 45*time.Second, voices[i].name+" hears the other as it is", func() error {
				left, right, err := recordSides(t, p, 2*time.Second)
				if err != nil {
					return err
				}
				l, r := testkit.ToneLevel(left, other.freqHz), testkit.ToneLevel(right, other.freqHz)
				if math.Abs(l+20) > 1 || math.Abs(r+20) > 1 {
					return fmt.Errorf("%.1f dBFS on the left, %.1f on the right, want -20", l, r)
				}
				return nil
			})
			var page struct {
				Mode, Answer         string
				Echo, Noise, Gain    bool
				Channels             int
				PacketsPerSecond     float64
				BitsPerSecond        float64
				DownPacketsPerSecond float64
			}
			p.Eval(t, `async () => {
				const pc = __kit.connections.at(-1);
				const mic = pc.getSenders()[0].track.getSettings();
				const read = async () => {
					const all = [...(await pc.getStats()).values()];
					return { up: all.find((s) => s.type === 'outbound-rtp'), down: all.find((s) => s.type === 'inbound-rtp') };
				};
				const a = await read();
				await new Promise((done) => setTimeout(done, 3000));
				const b = await read();
				const s = (b.up.timestamp - a.up.timestamp) / 1000;
				return {
					Mode: __kit.joined.mode, Answer: pc.remoteDescription.sdp, Echo: mic.echoCancellation, Noise: mic.noiseSuppression,
					Gain: mic.autoGainControl, Channels: mic.channelCount ?? 0,
					PacketsPerSecond: (b.up.packetsSent - a.up.packetsSent) / s, BitsPerSecond: 8 * (b.up.bytesSent - a.up.bytesSent) / s,
					DownPacketsPerSecond: (b.down.packetsReceived - a.down.packetsReceived) / s,
				};
			}`, nil, &page)
			t.Logf("%s: %d channels, %.0f packets and %.0f bit a second up, %.0f packets down", voices[i].name, page.Channels,
				page.PacketsPerSecond, page.BitsPerSecond, page.DownPacketsPerSecond)
			assert.Equal(t, "music", page.Mode)
			assert.False(t, page.Echo || page.Noise || page.Gain, "the microphone is processed: %+v", page)
			for _, parameter := range []string{"usedtx=0", "stereo=1", "sprop-stereo=1", "maxaveragebitrate=128000"} {
				assert.Contains(t, page.Answer, parameter)
			}
			assert.Greater(t, page.PacketsPerSecond, 80.0, "packets of 10 ms are sent")
			assert.Greater(t, page.DownPacketsPerSecond, 80.0, "packets of 10 ms are received")
			complaints := strings.Join(p.Complaints(), "\n")
			require.Empty(t, complaints)
		}
	})
}
