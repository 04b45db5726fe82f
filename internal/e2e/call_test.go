//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
	"parley/internal/testkit/netsim"
)

// TestCall is the main job on this machine's loopback, and what may go wrong on the way.
func TestCall(t *testing.T) {
	d := rig.HostDriver(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	voices := newVoices(t, d, -20, t.TempDir())

	t.Run("three voices", func(t *testing.T) {
		c := newCall(t, s, voices, s.HTTP, "three", nil)
		c.requireMix(t, clean)
		t.Run("mute", func(t *testing.T) { muteOne(t, c) })
		t.Run("leave", func(t *testing.T) { leaveOne(t, c) })
		for _, p := range c.pages {
			var view map[string]any
			p.Eval(t, `() => __kit.serverStats`, nil, &view)
			assert.NotEmpty(t, view["up"], "statistics once a second")
			t.Logf("the server's view of %s: %v %v", p.Name, view["transport"], view["up"])
			assert.Empty(t, p.Complaints(), "console of %s", p.Name)
		}
	})

	t.Run("speech with the browser's own processing", func(t *testing.T) { speechCall(t, d, s) })
	t.Run("with clients that are no browsers", func(t *testing.T) { mixedCall(t, s, voices[:2]) })

	t.Run("five percent loss and jitter", func(t *testing.T) {
		bad := netsim.Conditions{Loss: 0.05, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}
		p, err := netsim.ListenUDP("127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", s.Media), bad, bad, 1)
		require.NoError(t, err)
		serve(t, p.Run)
		c := newCall(t, s, voices, s.HTTP, "lossy", rig.Settings{"mediaPort": p.Addr().Port(), "hideCandidates": true})
		// Who loses that much may be in the tier of 16 kb/s, whose coding noise between two tones is 33 dB below them.
		c.requireMix(t, tolerance{level: 3, own: 30, moment: 25, within: 30 * time.Second})
		up, down := p.Counts()
		for _, n := range []netsim.Counts{up, down} {
			require.Greater(t, n.Received, uint64(300), "the media went through the proxy")
			require.InDelta(t, 0.05, float64(n.Lost)/float64(n.Received), 0.03)
		}
		require.Equal(t, int(p.Addr().Port()), c.pages[0].Pair(t).RemotePort)
	})

	t.Run("websocket cut for ten seconds", func(t *testing.T) {
		u, err := url.Parse(s.HTTP)
		require.NoError(t, err)
		p, err := netsim.ListenTCP("127.0.0.1:0", u.Host)
		require.NoError(t, err)
		serve(t, p.Run)
		c := &call{server: s, voices: voices, pages: []*rig.Page{
			voices[0].join(t, "http://"+p.Addr().String(), "cut", nil),
			voices[1].join(t, s.HTTP, "cut", nil),
			voices[2].join(t, s.HTTP, "cut", nil),
		}}
		c.requireMix(t, clean)
		before := c.participants(t)

		p.Set(netsim.Cut)
		c.pages[0].Wait(t, 5*time.Second, "the socket is gone", `() => __kit.sockets[0].readyState === WebSocket.CLOSED`, nil)
		end := time.After(10 * time.Second)
		c.requireMix(t, clean) // the sound goes on without signaling
		<-end
		p.Set(netsim.Pass)
		c.pages[0].Wait(t, 20*time.Second, "resumed", `() => __kit.joined.resumed === true`, nil)
		require.Equal(t, before, c.participants(t), "the same participants as before")
		c.noneLeft(t)
		c.requireMix(t, clean)
		var connections int
		c.pages[0].Eval(t, `() => __kit.connections.length`, nil, &connections)
		require.Equal(t, 1, connections, "the peer connection has stayed")
	})

	// The last two end their browsers.
	t.Run("a client that freezes", func(t *testing.T) {
		c := newCall(t, s, voices, s.HTTP, "frozen", nil)
		c.requireMix(t, clean)
		voices[2].b.Signal(t, syscall.SIGSTOP)
		defer voices[2].b.Signal(t, syscall.SIGKILL)
		c.pages[2].Gone = true
		gone(t, s, c, 2)
	})
	t.Run("a client that crashes", func(t *testing.T) {
		c := newCall(t, s, voices[:2], s.HTTP, "crashed", nil)
		c.awaitSound(t, 20*time.Second)
		voices[1].b.Signal(t, syscall.SIGKILL)
		c.pages[1].Gone = true
		gone(t, s, c, 1)
	})
}

// serve runs a proxy until the end of the test.
func serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
}

// muteOne mutes the first voice by its button: the others hear silence in its place, and it comes back.
func muteOne(t *testing.T, c *call) {
	c.pages[0].Click(t, "#mute")
	await(t, 5*time.Second, "silence of the muted voice", func() error {
		pcm := c.pages[1].Record(t, time.Second)
		if level := testkit.ToneLevel(pcm, c.voices[0].freqHz); level > -75 {
			return fmt.Errorf("the muted voice is at %.1f dBFS", level)
		}
		if level := testkit.ToneLevel(pcm, c.voices[2].freqHz); level < -23 {
			return fmt.Errorf("the other voice is at %.1f dBFS", level)
		}
		return nil
	})
	c.pages[0].Click(t, "#mute")
	c.requireMix(t, clean)
}

// leaveOne lets the last voice leave by its button: the others see and hear it go at once.
func leaveOne(t *testing.T, c *call) {
	c.pages[2].Click(t, "#leave")
	c.pages[0].Wait(t, 3*time.Second, "left is seen", leftSeen, c.voices[2].name)
	await(t, 5*time.Second, "silence of who left", func() error {
		if level := testkit.ToneLevel(c.pages[0].Record(t, time.Second), c.voices[2].freqHz); level > -75 {
			return fmt.Errorf("who left is at %.1f dBFS", level)
		}
		return nil
	})
}

const leftSeen = `(name) => (__kit.participantEvents ?? []).some((e) => e.event === 'left' && e.participant.name === name)`

// gone requires that the others see voice i leave, and the server frees it, in 20 s.
func gone(t *testing.T, s *rig.Server, c *call, i int) {
	t.Helper()
	begin := time.Now()
	deadline := begin.Add(20 * time.Second)
	c.pages[0].Wait(t, time.Until(deadline), c.voices[i].name+" is gone", leftSeen, c.voices[i].name)
	await(t, time.Until(deadline), "the participant is freed", func() error {
		n, ok := s.Metric(t, metricParticipants)
		if !ok {
			return fmt.Errorf("no metric %s", metricParticipants)
		}
		if int(n) != len(c.pages)-1 {
			return fmt.Errorf("%v participants", n)
		}
		return nil
	})
	t.Logf("freed after %v", time.Since(begin).Round(100*time.Millisecond))
}

// metricParticipants is the gauge of participants on the node.
const metricParticipants = "sfu_participants"

// await polls until check finds nothing wrong.
func await(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(t, what, "not within %v: %v", within, err)
		}
		rig.Pause(t, 100*time.Millisecond)
	}
}

// mixedCall: a WHIP client talks and hears, a WHEP client hears all, together with two browsers.
func mixedCall(t *testing.T, s *rig.Server, voices []*voice) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const freq = 331
	whip, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "mixed", Name: "Gopher"})
	require.NoError(t, err)
	defer leave(t, whip)
	say(t, whip, testkit.Tone(freq, -20, time.Second), client.SpeakConfig{})
	whep, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "mixed", Name: "Ear", Listen: true})
	require.NoError(t, err)
	defer leave(t, whep)
	c := newCall(t, s, voices, s.HTTP, "mixed", nil)
	c.awaitSound(t, 20*time.Second)

	for _, p := range c.pages {
		await(t, 10*time.Second, p.Name+" hears the WHIP client", func() error {
			if level := testkit.ToneLevel(p.Record(t, time.Second), freq); level < -23 || level > -17 {
				return fmt.Errorf("at %.1f dBFS", level)
			}
			return nil
		})
	}
	heard, err := whip.Listen(ctx, 2*time.Second)
	require.NoError(t, err)
	all, err := whep.Listen(ctx, 2*time.Second)
	require.NoError(t, err)
	for _, v := range voices {
		assert.InDelta(t, -20, testkit.SteadyLevel(heard, v.freqHz), 3, "WHIP hears %s", v.name)
		assert.InDelta(t, -20, testkit.SteadyLevel(all, v.freqHz), 3, "WHEP hears %s", v.name)
	}
	assert.Less(t, testkit.SteadyLevel(heard, freq), -63.0, "WHIP hears itself")
	assert.InDelta(t, -20, testkit.SteadyLevel(all, freq), 3, "WHEP hears WHIP")
	var roster string
	c.pages[0].Eval(t, `() => document.querySelector('#roster').innerText`, nil, &roster)
	assert.True(t, strings.Contains(roster, "Gopher") && strings.Contains(roster, "Ear"), roster)
}

// speechCall leaves echo cancellation, noise suppression and gain control as the page asks for them: speech gets through at a
// level that can be understood, breaths stay quiet.
func speechCall(t *testing.T, d *rig.Driver, s *rig.Server) {
	wav := filepath.Join(t.TempDir(), "speech.wav")
	require.NoError(t, testkit.WriteWAV(wav, testkit.Voice(testkit.VoiceConfig{PitchHz: 140, LevelDBFS: -20, Seed: 3}, 10*time.Second)))
	b, err := d.Launch(t.Context(), wav, t.TempDir())
	require.NoError(t, err)
	defer b.Quit()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	ear, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "speech", Listen: true})
	require.NoError(t, err)
	defer leave(t, ear)
	p := (&voice{name: "Eve", b: b}).join(t, s.HTTP, "speech", rig.Settings{"processing": true, "noCapture": true})
	_, err = ear.Listen(ctx, 3*time.Second) // noise suppression and gain control learn
	require.NoError(t, err)
	pcm, err := ear.Listen(ctx, 4*time.Second)
	require.NoError(t, err)
	keep(t, "heard", pcm)
	level := testkit.Level(pcm)
	t.Logf("speech at %.1f dBFS, peak %.2f, %d pauses", level, testkit.Peak(pcm), len(testkit.Gaps(pcm, level-20, 100*time.Millisecond)))
	assert.InDelta(t, -22, level, 10)
	assert.NotEmpty(t, testkit.Gaps(pcm, level-20, 100*time.Millisecond), "pauses between phrases")
	assert.Empty(t, p.Complaints())
}

// say speaks a loop until the end of the test.
func say(t *testing.T, c *client.Client, pcm []float32, cfg client.SpeakConfig) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Speak(ctx, client.Loop(pcm), cfg) }()
	t.Cleanup(func() {
		cancel()
		<-done // an error of a connection that the test closed is no news
	})
}

func leave(t *testing.T, c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	assert.NoError(t, c.Close(ctx))
}

// TestFullScale: three people shout at full scale at once, and nothing clips.
func TestFullScale(t *testing.T) {
	d := rig.HostDriver(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	c := newCall(t, s, newVoices(t, d, 0, t.TempDir()), s.HTTP, "loud", nil)
	c.awaitSoundAt(t, -12)
	for i, pcm := range c.record(t, 3*time.Second) {
		me := c.voices[i]
		var freq, level []float64
		for k, v := range c.voices {
			if k != i {
				freq = append(freq, v.freqHz)
				level = append(level, testkit.SteadyLevel(pcm, v.freqHz))
			}
		}
		// Two full-scale tones need 6 dB of limiting and some headroom; both must get the same.
		assert.InDelta(t, level[0], level[1], 1, me.name)
		assert.InDelta(t, -7, level[0], 2, me.name)
		assert.LessOrEqual(t, testkit.SteadyLevel(pcm, me.freqHz), min(level[0], level[1])-40, "%s hears herself", me.name)
		assert.Zero(t, testkit.Clips(pcm), "%s hears clipping", me.name)
		// Where a sum of two tones is clipped, their products of third order appear; a codec hides the flat tops, not these.
		distortion := max(testkit.SteadyLevel(pcm, 2*freq[0]-freq[1]), testkit.SteadyLevel(pcm, 2*freq[1]-freq[0])) - level[0]
		assert.Less(t, distortion, -30.0, "%s hears distortion, dB against the tones", me.name)
		t.Logf("%s: %.1f and %.1f dBFS, peak %.3f, clipped runs %d, distortion %.1f dB", me.name, level[0], level[1], testkit.Peak(pcm), testkit.Clips(pcm), distortion)
		keep(t, me.name, pcm)
	}
}

// awaitSoundAt is awaitSound for a mix that is limited: each other voice at level or more.
func (c *call) awaitSoundAt(t *testing.T, level float64) {
	t.Helper()
	c.awaitSoundBy(t, 20*time.Second, func(i int, pcm []float32) error {
		for k, v := range c.voices {
			if got := testkit.ToneLevel(pcm, v.freqHz); k != i && got < level {
				return fmt.Errorf("%s is at %.1f dBFS", v.name, got)
			}
		}
		return nil
	})
}
