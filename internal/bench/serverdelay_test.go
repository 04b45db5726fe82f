//go:build bench

package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/opus"
	"parley/internal/testkit"
	"parley/internal/testkit/client"
)

// wire is one direction of a stream as it passed a socket.
type wire struct {
	mu       sync.Mutex
	payloads [][]byte
	at       []time.Time
}

func (w *wire) add(payload []byte, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.payloads = append(w.payloads, append([]byte(nil), payload...))
	w.at = append(w.at, at)
}

// chirps decodes the stream and returns when the packet passed that each chirp begins in, and where in it, in samples.
func (w *wire) chirps(t *testing.T, ref []float32) (at []time.Time, offset []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dec, err := opus.NewDecoder(1)
	require.NoError(t, err)
	var pcm []float32
	var packet []int // of each 2.5 ms
	var begin []int  // of each packet
	buf := make([]float32, opus.MaxFrameSamples)
	for i, p := range w.payloads {
		n, err := dec.Decode(p, buf)
		require.NoError(t, err)
		begin = append(begin, len(pcm))
		pcm = append(pcm, buf[:n]...)
		for range n / 120 {
			packet = append(packet, i)
		}
	}
	for _, m := range testkit.FindAll(pcm, ref, 0.6) {
		i := packet[m.At/120]
		at = append(at, w.at[i])
		offset = append(offset, m.At-begin[i])
	}
	return at, offset
}

// TestServerDelay measures how long the server keeps sound: from the moment a packet with the first sample of a chirp is
// written to the socket, to the moment the packet that carries that sample in the mix has been read from the other one.
// Both streams are decoded by the same decoder, so the coder's look-ahead of the way in is not counted and that of the way
// out (6.5 ms) is. Chirps come at random phases.
func TestServerDelay(t *testing.T) {
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var in, out wire
	ear, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "delay", Listen: true, NoDecode: true,
		OnPacket: func(p *rtp.Packet, at time.Time) { out.add(p.Payload, at) }})
	require.NoError(t, err)
	defer ear.Vanish()
	mouth, err := client.Join(ctx, client.Config{BaseURL: s.HTTP, Room: "delay", NoDecode: true})
	require.NoError(t, err)
	defer mouth.Vanish()

	const count = 100
	ref := testkit.Chirp(500, 3000, -10, 30*time.Millisecond)
	random := rand.New(rand.NewPCG(1, 2))
	pcm := testkit.Silence(3 * time.Second) // until the buffer has found its delay
	for range count {
		pcm = testkit.Join(pcm, ref, testkit.Silence(time.Duration(250+random.Float64()*100)*time.Millisecond), make([]float32, random.IntN(960)))
	}
	// A floor of noise keeps both encoders out of DTX.
	pcm = testkit.Mix(pcm, testkit.Noise(1, -50, testkit.Duration(len(pcm))))
	own := watch()
	require.NoError(t, mouth.Speak(ctx, client.Once(testkit.Join(pcm, testkit.Silence(500*time.Millisecond))), client.SpeakConfig{Sent: in.add}))

	late := own()
	sent, sentOffset := in.chirps(t, ref)
	got, gotOffset := out.chirps(t, ref)
	require.GreaterOrEqual(t, len(sent), count*9/10, "chirps found in what was sent")
	var packets, samples []time.Duration
	k := 0
	for i, at := range sent {
		for k < len(got) && !got[k].After(at) {
			k++
		}
		if k < len(got) && got[k].Sub(at) < 250*time.Millisecond {
			packets = append(packets, got[k].Sub(at))
			samples = append(samples, got[k].Sub(at)+testkit.Duration(gotOffset[k])-testkit.Duration(sentOffset[i]))
		}
	}
	require.GreaterOrEqual(t, len(packets), count*9/10, "chirps found in the mix")
	figures.add(figure{"server: RTP in to the RTP out with the same sound, median", ms(quantile(packets, 0.5)), "<= 50 ms", spread(packets) + "; " + late})
	figures.add(figure{"the same, sample for sample, median", ms(quantile(samples, 0.5)), "", spread(samples)})
}
