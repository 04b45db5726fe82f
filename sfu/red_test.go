package sfu

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"parley/mixer"
)

// redBlock is a block of a RED packet as a receiver reads it.
type redBlock struct {
	pt      uint8
	offset  uint32
	payload []byte
}

// redBlocks reads a payload by RFC 2198, section 3, bit by bit.
func redBlocks(t *testing.T, p []byte) []redBlock {
	t.Helper()
	var blocks []redBlock
	var lengths []int
	for {
		if len(p) == 0 {
			t.Fatal("no last block header")
		}
		if p[0]&0x80 == 0 {
			blocks = append(blocks, redBlock{pt: p[0] & 0x7f})
			p = p[1:]
			break
		}
		if len(p) < 4 {
			t.Fatal("cut block header")
		}
		blocks = append(blocks, redBlock{pt: p[0] & 0x7f, offset: uint32(p[1])<<6 | uint32(p[2])>>2})
		lengths = append(lengths, int(p[2]&3)<<8|int(p[3]))
		p = p[4:]
	}
	for i, n := range lengths {
		if n > len(p) {
			t.Fatalf("block %d of %d bytes, %d left", i, n, len(p))
		}
		blocks[i].payload, p = p[:n], p[n:]
	}
	blocks[len(blocks)-1].payload = p
	return blocks
}

func TestRedPayload(t *testing.T) {
	fill := func(n int, v byte) []byte { return bytes.Repeat([]byte{v}, n) }
	for name, c := range map[string]struct {
		before, frame int
		offset        uint32
		fits          bool
	}{
		"20 ms":           {80, 100, 960, true},
		"10 ms":           {30, 31, 480, true},
		"40 ms":           {120, 110, 1920, true},
		"empty frame":     {80, 0, 960, true},
		"largest block":   {1023, 100, 960, true},
		"block too long":  {1024, 100, 960, false},
		"just fits":       {500, redMTU - 505, 960, true},
		"one byte more":   {500, redMTU - 504, 960, false},
		"longest offset":  {80, 80, 16383, true},
		"offset too long": {80, 80, 16384, false},
		"nothing before":  {0, 80, 960, false},
	} {
		dst := make([]byte, redMTU)
		before, frame := fill(c.before, 0xAA), fill(c.frame, 0x55)
		n := redPayload(dst, 111, before, c.offset, frame)
		if (n > 0) != c.fits {
			t.Errorf("%s: %d bytes", name, n)
		}
		if n == 0 {
			continue
		}
		got := redBlocks(t, dst[:n])
		if len(got) != 2 || got[0].pt != 111 || got[1].pt != 111 || got[0].offset != c.offset ||
			!bytes.Equal(got[0].payload, before) || !bytes.Equal(got[1].payload, frame) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// keepWriter keeps the last packet.
type keepWriter struct {
	header  rtp.Header
	payload []byte
}

func (k *keepWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	k.header, k.payload = *h, append(k.payload[:0], payload...)
	return len(payload), nil
}
func (k *keepWriter) Write(b []byte) (int, error) { return len(b), nil }

func TestDownTrackRed(t *testing.T) {
	d, w := newDownTrack(111), &keepWriter{}
	var writer webrtc.TrackLocalWriter = w
	d.writer.Store(&writer)
	d.live.Store(true)
	f := mixer.Frame{Payload: []byte("frame"), Timestamp: 1920, Samples: 960, Redundant: []byte("before"), RedundantOffset: 960}
	send := func(what string, pt uint8, want string) {
		t.Helper()
		sequence := d.header.SequenceNumber
		d.WriteFrame(f)
		got := string(w.payload)
		if pt == 63 {
			b := redBlocks(t, w.payload)
			got = string(b[0].payload) + "," + string(b[1].payload)
		}
		if w.header.PayloadType != pt || got != want || w.header.SequenceNumber != sequence || w.header.Timestamp != 1920+d.offset {
			t.Errorf("%s: payload type %d, %q", what, w.header.PayloadType, got)
		}
	}
	send("not agreed", 111, "frame")
	d.agree(&remote{opus: 111, red: 63})
	send("agreed", 63, "before,frame")
	if n := testing.AllocsPerRun(1000, func() { d.WriteFrame(f) }); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	f.Redundant = make([]byte, 1100)
	f.Payload = bytes.Repeat([]byte("x"), 100)
	send("beyond the MTU", 111, string(f.Payload))
	f.Redundant, f.Payload = nil, []byte("frame")
	send("nothing before", 111, "frame")
	f.Redundant = []byte("before")
	d.agree(&remote{opus: 111, red: -1})
	send("no longer agreed", 111, "frame")
	if d.repeated.Load() < 1000 || d.packets.Load() != d.repeated.Load()+4 {
		t.Errorf("%d of %d packets counted", d.repeated.Load(), d.packets.Load())
	}
}

func TestReportsToTheMixer(t *testing.T) {
	d := downReports{ssrc: 7}
	report := func(last uint32, lost int32) (mixer.Report, bool) {
		return d.take([]rtcp.ReceptionReport{
			{SSRC: 8, LastSequenceNumber: 1, TotalLost: 1},
			{SSRC: 7, LastSequenceNumber: last, TotalLost: uint32(lost) & 0xffffff, Jitter: 480, FractionLost: 200},
		}, time.Unix(1e9, 0))
	}
	for i, c := range []struct {
		last uint32
		lost int32
		ok   bool
		loss float64
	}{
		{65530, 3, false, 0},              // the first is where counting begins
		{65540, 4, false, 0},              // too few
		{65550, 5, true, 0.1},             // 2 of 20, across a wrap of the sequence numbers
		{65650, 5, true, 0},               //
		{65750, -2, true, 0},              // duplicates
		{65850, 98, true, 1},              // all
		{65950, 123, true, 0.25},          //
		{65950, 123, false, 0},            // the same again
		{65000, 0, false, 0},              // a receiver that begins anew
		{65100, 10, true, 0.1},            //
		{65100 + 1<<31, 10, false, 0},     // absurd
		{65200 + 1<<31, 10, true, 0},      //
		{1<<32 - 1, 20, true, 10.0 / 1e9}, // not to be rounded up to anything
	} {
		got, ok := report(c.last, c.lost)
		if ok != c.ok || got.Loss < c.loss-1e-6 || got.Loss > c.loss+1e-6 || ok && got.Jitter != 10*time.Millisecond {
			t.Errorf("report %d: %+v, %v; want a loss of %v, %v", i, got, ok, c.loss, c.ok)
		}
	}
}

// A client that agreed to RED and loses packets gets each frame once more in the next packet; one that did not, does not.
func TestRedTowardsClients(t *testing.T) {
	n := newTestNode(t)
	n.newClient(clientOptions{hz: 700})
	for _, red := range []uint8{63, 0} {
		c := n.newClient(clientOptions{red: red})
		c.awaitTone(700)
		sequence := uint32((<-c.heard).SequenceNumber)
		report := func(lost uint32) {
			if err := c.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
				{SSRC: c.mixSSRC(t, n), LastSequenceNumber: sequence, TotalLost: lost},
			}}}); err != nil {
				t.Fatal(err)
			}
			sequence += 100
		}
		for lost := range uint32(4) {
			report(5 * lost)
		}
		n.awaitTier(t, c, mixer.Good)
		repeated, tone := 0, 0
		before := map[uint32][]byte{}
		deadline := time.After(patience)
		for k := 0; k < 120 && repeated < 20; k++ {
			select {
			case p := <-c.heard:
				payload := p.Payload
				if p.PayloadType == 63 {
					b := redBlocks(t, p.Payload)
					if len(b) != 2 || b[0].pt != 111 || b[1].pt != 111 {
						t.Fatalf("blocks %+v", b)
					}
					if first, ok := before[p.Timestamp-b[0].offset]; ok {
						repeated++
						if !bytes.Equal(first, b[0].payload) {
							t.Fatal("not the frame that was sent before")
						}
					}
					payload = b[1].payload
				}
				if power(payload, 700) > 0.3 {
					tone++
				}
				before[p.Timestamp] = bytes.Clone(payload)
			case <-deadline:
				t.Fatal("nothing comes")
			}
		}
		if (repeated > 0) != (red != 0) || tone < 10 {
			t.Errorf("RED %d: %d frames twice, %d with the tone", red, repeated, tone)
		}
		c.close()
	}
	if st := n.Stats(); st.RTPRepeated == 0 {
		t.Error("not counted")
	}
}

// mixSSRC is that of the stream to the client.
func (c *client) mixSSRC(t *testing.T, n *testNode) uint32 {
	t.Helper()
	p, err := n.find(c.id)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := p.current()
	if err != nil || peer == nil {
		t.Fatal("no peer", err)
	}
	return peer.rtcp.ssrc
}

// awaitTier waits until the client's connection is thought of as tier.
func (n *testNode) awaitTier(t *testing.T, c *client, tier mixer.Tier) {
	t.Helper()
	p, err := n.find(c.id)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tier is "+tier.String(), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.listener != nil && p.listener.Tier() == tier
	})
}
