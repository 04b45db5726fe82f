//go:build bench

package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/opus"
	"parley/internal/testkit/client"
	"parley/mixer"
	"parley/neteq"
)

// sink counts frames.
type sink struct{ frames atomic.Uint64 }

func (s *sink) WriteFrame(mixer.Frame) { s.frames.Add(1) }

// TestAllocationsPerTick runs the mixer with the real codec in real time, 10 rooms of 4 who all talk, and counts what the
// whole process allocates while ticks go by: inboxes, NetEq, decoding, mixing, limiting, encoding, hand-over.
func TestAllocationsPerTick(t *testing.T) {
	m, err := mixer.New(mixer.Config{
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) },
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) {
			return opus.NewEncoder(opus.EncoderConfig{Channels: c.Channels, BitrateBps: c.BitrateBps, FEC: c.FEC, DTX: c.DTX,
				LossPercent: c.LossPercent, Complexity: c.Complexity})
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() { cancel(); <-done }()

	var sources []*mixer.Source
	var heard sink
	for r := range rooms {
		room, err := m.NewRoom(fmt.Sprintf("room%d", r), mixer.RoomConfig{})
		require.NoError(t, err)
		defer room.Close()
		for i := range perRoom {
			owner := fmt.Sprintf("talker%d", i)
			s, err := room.AddSource(mixer.SourceConfig{Owner: owner, Formats: map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}})
			require.NoError(t, err)
			sources = append(sources, s)
			_, err = room.AddListener(mixer.ListenerConfig{Owner: owner, Sink: &heard})
			require.NoError(t, err)
		}
	}
	voices := encodeVoices(t)
	var p neteq.Packet
	p.PayloadType = 111
	k := 0
	push := func() (bool, error) {
		now := m.Now()
		for i, s := range sources {
			voice := voices[i%len(voices)]
			p.SSRC = uint32(i)
			p.Payload = voice[k%len(voice)]
			s.Push(&p, now)
		}
		p.SequenceNumber++
		p.Timestamp += client.FrameSamples
		k++
		return true, nil
	}
	warm, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	require.NoError(t, client.Pace(warm, push))

	var before, after runtime.MemStats
	ticks, frames := m.Stats().Ticks, heard.frames.Load()
	runtime.ReadMemStats(&before)
	steady, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	require.NoError(t, client.Pace(steady, push))
	runtime.ReadMemStats(&after)
	ticks, frames = m.Stats().Ticks-ticks, heard.frames.Load()-frames
	require.Greater(t, ticks, uint64(2000))
	require.Greater(t, frames, uint64(2000))
	allocs := float64(after.Mallocs-before.Mallocs) / float64(ticks)
	figures.add(figure{"allocations per room tick in steady state", fmt.Sprintf("%.3f", allocs), "0",
		fmt.Sprintf("%d allocations in the process over %d ticks and %d frames out", after.Mallocs-before.Mallocs, ticks, frames)})
}
