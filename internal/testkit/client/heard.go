package client

import (
	"context"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"parley/internal/opus"
)

// heard is the decoded mix so far.
type heard struct {
	mu      sync.Mutex
	pcm     []float32
	stats   StreamStats
	changed chan struct{} // closed and replaced when pcm grows
}

// StreamStats counts what came back.
type StreamStats struct {
	Packets    int
	Bytes      int           // of payload
	Lost       int           // holes in the sequence numbers
	Jumps      int           // timestamps that do not follow the one before by a whole number of 10 ms
	Markers    int           //
	Undecoded  int           // payloads the decoder refused
	Streams    int           // distinct SSRCs
	MaxSilence time.Duration // longest time between two packets
	Extensions int           // packets with a header extension
	Types      map[uint8]int // packets by payload type
}

// maxGapSamples bounds the silence put in for a hole in the timestamps: 10 s.
const maxGapSamples = 480000

// read collects one remote track until it ends.
func (c *Client) read(remote *webrtc.TrackRemote) {
	dec, err := opus.NewDecoder(1)
	if err != nil {
		return
	}
	c.heard.mu.Lock()
	c.heard.stats.Streams++
	c.heard.mu.Unlock()
	var p rtp.Packet
	buf := make([]byte, 1500)
	var last rtp.Header
	var lastAt time.Time
	length := 0 // of the last packet, in samples
	for started := false; ; {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		at := time.Now()
		if p.Unmarshal(buf[:n]) != nil {
			continue
		}
		if c.cfg.OnPacket != nil {
			c.cfg.OnPacket(&p, at)
		}
		if !started {
			last = rtp.Header{SequenceNumber: p.SequenceNumber - 1, Timestamp: p.Timestamp}
			lastAt, started = at, true
		}
		length = c.collect(dec, &p, last, length, at.Sub(lastAt))
		last, lastAt = p.Header, at
	}
}

// collect decodes one packet, appends it where its timestamp puts it, and returns its length in samples. length is that of the
// packet before.
func (c *Client) collect(dec *opus.Decoder, p *rtp.Packet, last rtp.Header, length int, since time.Duration) int {
	h := &c.heard
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.stats
	s.Packets++
	s.Bytes += len(p.Payload)
	s.MaxSilence = max(s.MaxSilence, since)
	if s.Types == nil {
		s.Types = make(map[uint8]int)
	}
	s.Types[p.PayloadType]++
	if p.Marker {
		s.Markers++
	}
	if p.Extension {
		s.Extensions++
	}
	if lost := int16(p.SequenceNumber - last.SequenceNumber - 1); lost > 0 {
		s.Lost += int(lost)
	}
	step := int32(p.Timestamp - last.Timestamp)
	if step%480 != 0 {
		s.Jumps++
	}
	if c.cfg.NoDecode {
		return 0
	}
	pcm := make([]float32, opus.MaxFrameSamples)
	n, err := dec.Decode(p.Payload, pcm)
	if err != nil {
		s.Undecoded++
		return length
	}
	if gap := int(step) - length; s.Packets > 1 && gap > 0 && gap < maxGapSamples {
		h.pcm = append(h.pcm, make([]float32, gap)...)
	}
	h.pcm = append(h.pcm, pcm[:n]...)
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
	return n
}

// Heard returns a copy of everything decoded since the start or the last Forget, 48 kHz mono; holes are silence.
func (c *Client) Heard() []float32 {
	c.heard.mu.Lock()
	defer c.heard.mu.Unlock()
	return append([]float32(nil), c.heard.pcm...)
}

// Forget drops what was heard so far.
func (c *Client) Forget() {
	c.heard.mu.Lock()
	defer c.heard.mu.Unlock()
	c.heard.pcm = nil
}

// Stats returns the counters of the received stream.
func (c *Client) Stats() StreamStats {
	c.heard.mu.Lock()
	defer c.heard.mu.Unlock()
	s := c.heard.stats
	s.Types = make(map[uint8]int, len(c.heard.stats.Types))
	for k, v := range c.heard.stats.Types {
		s.Types[k] = v
	}
	return s
}

// Listen forgets what was heard and waits until d of the mix has arrived; it returns that d.
func (c *Client) Listen(ctx context.Context, d time.Duration) ([]float32, error) {
	c.Forget()
	want := int(d * 48 / time.Millisecond)
	for {
		c.heard.mu.Lock()
		if len(c.heard.pcm) >= want {
			pcm := append([]float32(nil), c.heard.pcm[:want]...)
			c.heard.mu.Unlock()
			return pcm, nil
		}
		if c.heard.changed == nil {
			c.heard.changed = make(chan struct{})
		}
		changed := c.heard.changed
		c.heard.mu.Unlock()
		select {
		case <-ctx.Done():
			return c.Heard(), ctx.Err()
		case <-c.failed:
			return c.Heard(), webrtc.ErrConnectionClosed
		case <-changed:
		}
	}
}
