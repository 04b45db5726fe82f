package load

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/codec"
	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
	"parley/sfu"
	"parley/signaling"
)

// startNode runs a node with the real codecs on loopback and returns its URL.
func startNode(t *testing.T) string {
	t.Helper()
	mix, err := mixer.New(mixer.Config{
		NewDecoder: func(f neteq.Format, channels int) (neteq.Decoder, error) {
			if strings.EqualFold(f.Name, "opus") {
				return opus.NewDecoder(channels)
			}
			return codec.NewDecoder(f.Name, channels)
		},
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
	})
	require.NoError(t, err)
	node, err := sfu.New(sfu.Config{Mixer: mix, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	require.NoError(t, err)
	server, err := signaling.New(signaling.Config{Rooms: node})
	require.NoError(t, err)
	for _, run := range []func(context.Context) error{mix.Run, node.Run, server.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		t.Cleanup(func() { cancel(); wg.Wait() })
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	return h.URL
}

// patience is how long a test waits for sound to come through. A machine that is busy plays little of it in time.
const patience = 90 * time.Second

// small is a crowd for tests: everybody is decoded. It is measured until what the test waits for was seen.
func small(url string) Config {
	cfg := DefaultConfig()
	cfg.URL, cfg.Participants, cfg.Speakers, cfg.Sample = url, 4, 2, 1
	cfg.Warmup, cfg.Duration, cfg.JoinRate = 0, patience, 100
	return cfg
}

// heard is what most tests wait for: most of the voices in a good part of the time.
func heard(c *total) bool { return c.Expected > 10 && c.Missing < c.Expected*3/4 }

// measureUntil runs a crowd until something was seen, or the time is over.
func measureUntil(t *testing.T, cfg Config, seen func(*total) bool) *Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.look = func(c *total) {
		if seen(c) {
			cancel()
		}
	}
	r, err := Measure(ctx, cfg)
	require.NoError(t, err)
	return r
}

// measure runs a crowd and holds what must be so whenever nobody tampered with it, however busy the machine is.
func measure(t *testing.T, cfg Config, seen func(*total) bool) *Report {
	t.Helper()
	r := measureUntil(t, cfg, seen)
	var text strings.Builder
	require.NoError(t, r.Summary(&text))
	t.Log("\n" + text.String())
	require.Equal(t, cfg.Rooms*cfg.Participants, r.Joins.Joined)
	require.Equal(t, r.Joins.Joined, r.Joins.Left)
	require.Zero(t, r.Joins.Failed+r.Joins.Lost)
	require.NotZero(t, r.Received.Packets)
	require.Zero(t, r.Received.SSRCChanges+r.Received.PayloadTypeErrors+r.Received.AuthErrors+r.Received.Duplicates+r.Received.TimestampErrors)
	require.NotZero(t, r.Audio.Blocks)
	require.Zero(t, r.Audio.DecodeErrors)
	return r
}

func requireSound(t *testing.T, r *Report) {
	t.Helper()
	require.Less(t, r.Audio.Missing, r.Audio.Expected, "voices missing")
	require.Zero(t, r.Audio.Wrong, "wrong voices")
	require.Zero(t, r.Audio.Own, "own voice")
}

func TestCrowdByWHIP(t *testing.T) {
	cfg := small(startNode(t))
	cfg.Rooms, cfg.Listeners, cfg.Latency = 2, Noise, true
	delays := 0
	cfg.Progress = func(Progress) { delays++ }
	r := measure(t, cfg, func(c *total) bool { return heard(c) && c.Chirps > 0 })
	require.NotZero(t, delays)
	requireSound(t, r)
	require.Zero(t, r.Received.Lost)
	require.Equal(t, 8, r.Audio.Listeners)
	require.NotZero(t, r.DelayMs.N, "chirps were found")
	require.Greater(t, r.DelayMs.P50, 5.0, "no sound comes out before the encoder's look-ahead")
	require.Greater(t, r.Sent.PacketsPerSecond, r.Received.PacketsPerSecond/10)
}

func TestCrowdByWHEPAndDTX(t *testing.T) {
	cfg := small(startNode(t))
	cfg.Via = ViaWHEP
	cfg.Speech = babble(2 * sampleRate)
	r := measure(t, cfg, func(c *total) bool { return c.Sound > c.Silent })
	require.Zero(t, r.Audio.Expected, "speech has no mark")
	require.Less(t, r.Audio.SilentShare, 1.0)

	cfg = small(cfg.URL)
	cfg.RoomPrefix, cfg.Listeners, cfg.Loss = "dtx", DTX, 0.02
	r = measure(t, cfg, func(c *total) bool { return heard(c) && c.DroppedIn > 0 && c.DroppedOut > 0 })
	requireSound(t, r)
	require.NotZero(t, r.Received.Dropped)
}

func TestCrowdByWebSocketThatComesAndGoes(t *testing.T) {
	cfg := small(startNode(t))
	cfg.Via, cfg.Turn, cfg.Churn, cfg.RED = ViaWS, 2*time.Second, 1, true
	start := time.Now()
	r := measureUntil(t, cfg, func(c *total) bool { return c.Expected > c.Missing && time.Since(start) > 8*time.Second })
	requireSound(t, r)
	require.Greater(t, r.Joins.Joined, 4, "some have come anew")
	require.Equal(t, r.Joins.Joined, r.Joins.Left)
	require.Empty(t, r.Joins.Reasons)
}

// What is wrong is noticed: the server is right here, but the crowd's idea of it is not.
func TestFaultsAreNoticed(t *testing.T) {
	url := startNode(t)
	first := func(r *run) *peer { return r.seats[0].peer }
	for name, tc := range map[string]struct {
		sabotage func(*run)
		noticed  func(*total) bool
		check    string
	}{
		"speaker falls silent": {
			func(r *run) {
				p := first(r)
				p.loop.do(func() { p.track, p.pos = r.tracks.silence, 0 })
			},
			func(c *total) bool { return c.Missing > 0 }, "voices missing",
		},
		"everybody falls silent": {
			func(r *run) {
				for _, c := range r.seats {
					c.peer.loop.do(func() { c.peer.track, c.peer.pos = r.tracks.silence, 0 })
				}
			},
			func(c *total) bool { return c.Silent > 0 && c.Missing > 0 }, "silence where sound should be",
		},
		"a voice that should not be there": {
			func(r *run) { r.rooms[0].hush(first(r).voice, -time.Hour) },
			func(c *total) bool { return c.Wrong > 0 }, "wrong voices",
		},
		"own voice": {
			func(r *run) {
				p := first(r)
				p.loop.do(func() { p.voice = r.seats[1].peer.voice })
			},
			func(c *total) bool { return c.Own > 0 }, "own voice heard",
		},
		"packets are lost": {
			func(r *run) {
				l := first(r).loop
				l.do(func() { l.loss = 0.2 })
			},
			func(c *total) bool { return c.DroppedIn > 0 }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := small(url)
			cfg.RoomPrefix, cfg.sabotage = strings.ReplaceAll(name, " ", "-"), tc.sabotage
			noticed := false
			r := measure(t, cfg, func(c *total) bool {
				noticed = tc.noticed(c)
				return noticed
			})
			require.True(t, noticed, "%+v", r.Audio)
			if tc.check == "" {
				return
			}
			require.False(t, r.OK)
			for _, c := range r.Checks {
				if c.Name == tc.check {
					require.False(t, c.OK)
					return
				}
			}
			t.Errorf("no check %q", tc.check)
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	url := startNode(t)
	cfg := small(url)
	cfg.URL = "http://127.0.0.1:1"
	cfg.Participants, cfg.Speakers, cfg.JoinTimeout, cfg.Warmup, cfg.Duration = 2, 1, time.Second, 0, time.Second
	r, err := Measure(t.Context(), cfg)
	require.NoError(t, err)
	require.False(t, r.OK)
	require.Equal(t, 2, r.Joins.Failed)
	require.Contains(t, r.Joins.Reasons[0], "refused")
}
