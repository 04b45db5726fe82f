//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
)

// TestAnyStackJoins: whatever a WebRTC stack calls Opus and leaves out of its offer, one POST gives it a full seat.
func TestAnyStackJoins(t *testing.T) {
	s := rig.StartServer(t, rig.ServerOptions{})
	noMid := regexp.MustCompile(`(?m)^a=(ssrc|msid|extmap-allow-mixed|msid-semantic).*\r\n`)
	for i, stack := range []struct {
		name  string
		cfg   client.Config
		speak client.SpeakConfig
	}{
		{"payload type 96, capitals, no fmtp", client.Config{PayloadType: 96, Codec: "OPUS"}, client.SpeakConfig{}},
		{"payload type 97, marker on every packet", client.Config{PayloadType: 97}, client.SpeakConfig{Marker: true}},
		{"payload type 109, fmtp of Firefox", client.Config{PayloadType: 109, Fmtp: "maxplaybackrate=48000;stereo=1;useinbandfec=1"}, client.SpeakConfig{}},
		{"payload type 111, padding-only packets", client.Config{PayloadType: 111, Fmtp: "minptime=10;useinbandfec=1"}, client.SpeakConfig{Padding: 60}},
		{"no ssrc lines, no msid", client.Config{EditOffer: func(sdp string) string { return noMid.ReplaceAllString(sdp, "") }}, client.SpeakConfig{}},
	} {
		t.Run(stack.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			room := fmt.Sprintf("stack%d", i)
			cfg := stack.cfg
			cfg.BaseURL, cfg.Room, cfg.Name = s.HTTP, room, "Stack"
			a, err := client.Join(ctx, cfg)
			require.NoError(t, err)
			defer leave(t, a)
			assert.NotContains(t, a.Offer(), "a=extmap:")
			assert.NotContains(t, a.Answer(), "a=extmap:")
			assert.Contains(t, a.Answer(), "useinbandfec=1", "Opus parameters we want are in the answer even if they were not offered")
			say(t, a, testkit.Tone(523, -20, time.Second), stack.speak)
			b, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: room, Name: "Plain"})
			require.NoError(t, err)
			defer leave(t, b)
			say(t, b, testkit.Tone(787, -20, time.Second), client.SpeakConfig{})
			ear, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: room, Listen: true, PayloadType: stack.cfg.PayloadType})
			require.NoError(t, err)
			defer leave(t, ear)

			require.NoError(t, heardBy(ctx, a, 787))
			require.NoError(t, heardBy(ctx, b, 523))
			require.NoError(t, heardBy(ctx, ear, 523, 787))
			// The levels are those that heardBy waits for; this is about one's own voice.
			got, err := a.Listen(ctx, time.Second)
			require.NoError(t, err)
			assert.Less(t, testkit.SteadyLevel(got, 523), -63.0, "it hears itself")
			want := stack.cfg.PayloadType
			if want == 0 {
				want = 111
			}
			for _, c := range []*client.Client{a, b, ear} {
				st := c.Stats()
				assert.Zero(t, st.Extensions, "header extensions nobody offered")
				assert.Zero(t, st.Lost, "holes in the sequence numbers")
				assert.Zero(t, st.Jumps, "timestamps off the room clock")
				assert.Equal(t, 1, st.Streams)
			}
			assert.Equal(t, a.Stats().Packets, a.Stats().Types[want], "%v", a.Stats().Types)
		})
	}
}

// heardBy waits until c hears all tones at -20 dBFS ± 3.
func heardBy(ctx context.Context, c *client.Client, tones ...float64) error {
	var levels []float64
	for {
		pcm, err := c.Listen(ctx, 500*time.Millisecond)
		if err != nil {
			return fmt.Errorf("%v Hz at %.1f dBFS, %d samples, %+v: %w", tones, levels, len(pcm), c.Stats(), err)
		}
		all := true
		levels = levels[:0]
		for _, f := range tones {
			level := testkit.SteadyLevel(pcm, f)
			levels = append(levels, level)
			all = all && level > -23 && level < -17
		}
		if all {
			return nil
		}
	}
}

// TestGoneClientIsFreed: a client that closes its connection without DELETE is freed in 20 s, one that says goodbye at once, and
// nothing is left behind. (Clients that end without even that are in TestCall.)
func TestGoneClientIsFreed(t *testing.T) {
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	participants := func(want float64) func() error {
		return func() error {
			if n, ok := s.Metric(t, metricParticipants); !ok || n != want {
				return fmt.Errorf("%v participants (found: %v)", n, ok)
			}
			return nil
		}
	}
	goroutines, ok := s.Metric(t, "go_goroutines")
	require.True(t, ok)
	polite, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "gone"})
	require.NoError(t, err)
	lost, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "gone"})
	require.NoError(t, err)
	await(t, time.Second, "both are there", participants(2))
	leave(t, polite)
	await(t, time.Second, "the polite one is freed", participants(1))
	lost.Vanish()
	await(t, 20*time.Second, "the lost one is freed", participants(0))
	await(t, 10*time.Second, "goroutines are back", func() error {
		if n, _ := s.Metric(t, "go_goroutines"); n > goroutines+2 {
			return fmt.Errorf("%v goroutines, %v before", n, goroutines)
		}
		return nil
	})
	res, err := http.Get(s.HTTP + "/whip/gone/0123")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.GreaterOrEqual(t, res.StatusCode, 400)
}

// TestDrain: SIGTERM in the middle of a call closes every connection, refuses newcomers and ends with status 0 in 10 s
// (which Server.Stop holds).
func TestDrain(t *testing.T) {
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "drain"})
	require.NoError(t, err)
	defer a.Vanish()
	say(t, a, testkit.Tone(440, -20, time.Second), client.SpeakConfig{})
	b, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "drain", Listen: true})
	require.NoError(t, err)
	defer b.Vanish()
	require.NoError(t, heardBy(ctx, b, 440))
	s.Stop(t)
	// The goodbye on the media path is one DTLS alert without acknowledgement, so that is not asked for.
	require.Equal(t, 2, strings.Count(s.Log.String(), `"reason": "draining"`), "both were told why")
	_, err = client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "drain"})
	require.Error(t, err)
	for _, word := range []string{"panic", "DATA RACE"} {
		require.False(t, strings.Contains(s.Log.String(), word), "%s in the log", word)
	}
}
