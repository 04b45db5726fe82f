//go:build bench

package bench

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/opus"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
)

const (
	rooms    = 10
	perRoom  = 4
	tickTime = 30 * time.Second
)

// TestTickLateness loads a server with 10 rooms of 4 who all talk at once and reads from its metrics how late the room ticks
// began. The 40 clients run on the same machine and take their share of it.
func TestTickLateness(t *testing.T) {
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	voices := encodeVoices(t)
	talking, hush := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer hush()
	var clients []*client.Client
	for i := range rooms * perRoom {
		c, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: fmt.Sprintf("room%d", i/perRoom), NoDecode: true})
		require.NoError(t, err)
		defer c.Vanish()
		clients = append(clients, c)
		voice := voices[i%len(voices)]
		all.Go(func() {
			k := 0
			_ = client.Pace(talking, func() (bool, error) {
				k = (k + 1) % len(voice)
				return true, c.Send(voice[k], client.FrameSamples, false)
			})
		})
	}
	rig.Pause(t, 5*time.Second)
	before := histogramOf(t, s, "mixer_tick_lateness_seconds")
	used := cpuSeconds(t, s)
	own := watch()
	rig.Pause(t, tickTime)
	late := own()
	after := histogramOf(t, s, "mixer_tick_lateness_seconds")
	used = cpuSeconds(t, s) - used
	ticks := after[math.Inf(1)] - before[math.Inf(1)]
	require.Greater(t, ticks, 0.2*rooms*100*tickTime.Seconds(), "room ticks in the time")
	at := func(q float64) string {
		bounds := make([]float64, 0, len(after))
		for b := range after {
			bounds = append(bounds, b)
		}
		sort.Float64s(bounds)
		for _, b := range bounds {
			if after[b]-before[b] >= q*ticks {
				return fmt.Sprintf("%g ms", b*1000)
			}
		}
		return "?"
	}
	var received int
	for _, c := range clients {
		received += c.Stats().Packets
	}
	require.Greater(t, received, rooms*perRoom*10*int(tickTime.Seconds()), "the clients hear something all the time")
	figures.add(figure{"tick lateness, 10 rooms of 4 who all talk, p99.9 at most", at(0.999), "<= 5 ms",
		fmt.Sprintf("%.0f room ticks; p50 <= %s, p99 <= %s; server %.2f cores; %s", ticks, at(0.5), at(0.99), used/tickTime.Seconds(), late)})
}

// encodeVoices makes four talkers' packets, 4 s each.
func encodeVoices(t *testing.T) [][][]byte {
	var voices [][][]byte
	for i, pitch := range []float64{105, 130, 190, 220} {
		enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: 32000, Complexity: 5})
		require.NoError(t, err)
		pcm := testkit.Voice(testkit.VoiceConfig{PitchHz: pitch, LevelDBFS: -20, Seed: uint64(i)}, 4*time.Second)
		var packets [][]byte
		for ; len(pcm) >= client.FrameSamples; pcm = pcm[client.FrameSamples:] {
			out := make([]byte, 1275)
			n, err := enc.Encode(pcm[:client.FrameSamples], out)
			require.NoError(t, err)
			packets = append(packets, out[:n])
		}
		voices = append(voices, packets)
	}
	return voices
}

// scrape calls f with every sample line of the server's metrics.
func scrape(t *testing.T, s *rig.Server, f func(name, labels string, value float64)) {
	res, err := http.Get(s.Admin + "/metrics")
	require.NoError(t, err)
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		line := in.Text()
		series, text, ok := strings.Cut(line, " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err, line)
		name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
		f(name, labels, value)
	}
	require.NoError(t, in.Err())
}

// histogramOf returns the cumulative counts of a Prometheus histogram by upper bound.
func histogramOf(t *testing.T, s *rig.Server, name string) map[float64]float64 {
	buckets := make(map[float64]float64)
	scrape(t, s, func(n, labels string, v float64) {
		if n != name+"_bucket" {
			return
		}
		_, le, _ := strings.Cut(labels, `le="`)
		bound, err := strconv.ParseFloat(strings.TrimSuffix(le, `"`), 64)
		require.NoError(t, err, labels)
		buckets[bound] += v
	})
	require.NotEmpty(t, buckets, "no histogram %s", name)
	return buckets
}

func cpuSeconds(t *testing.T, s *rig.Server) (sum float64) {
	scrape(t, s, func(n, _ string, v float64) {
		if n == "process_cpu_seconds_total" {
			sum += v
		}
	})
	return sum
}
