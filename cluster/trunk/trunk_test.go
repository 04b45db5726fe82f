package trunk

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"parley/internal/testkit/netsim"
)

// What is sent on one node comes out on the other as it was, in order, whoever connected.
func TestSpeechCrosses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		for _, way := range []struct{ from, to *node }{{a, b}, {b, a}} {
			s := way.from.newStream("room", "alice")
			for k := range 50 {
				way.from.trunks.Send(way.to.name, s, packet(k))
				settle(20 * time.Millisecond)
			}
			way.from.trunks.SendHeld(way.to.name, s, packet(50), 140*time.Millisecond)
			settle(time.Millisecond)
			all := way.to.got()
			if len(all) != 51 {
				t.Fatalf("%d packets of 51", len(all))
			}
			for k, g := range all {
				want := *packet(k)
				want.SSRC = 3
				if !reflect.DeepEqual(g.Packet.Packet, want) {
					t.Fatalf("packet %d: %+v, want %+v", k, g.Packet.Packet, want)
				}
				held := time.Duration(0)
				if k == 50 {
					held = 140 * time.Millisecond
				}
				if g.From != way.from.name || g.Room != "room" || g.Participant != "alice" || g.SourceEpoch != 3 || g.Held != held {
					t.Fatalf("packet %d: %+v", k, g.Packet)
				}
			}
			opened, ended := way.to.events()
			want := StreamInfo{Room: "room", Participant: "alice", SourceEpoch: 3, Formats: opusFormats, Origin: way.from.name, Hop: 1}
			if len(opened) != 1 || len(ended) != 0 || !reflect.DeepEqual(opened[0].Info, want) {
				t.Fatalf("opened %+v, ended %+v", opened, ended)
			}
			s.Close()
			s.Close()
			settle(time.Second)
			if _, ended = way.to.events(); len(ended) != 1 || ended[0].Stream != opened[0].Stream {
				t.Fatalf("after Close ended: %+v", ended)
			}
			way.from.trunks.Send(way.to.name, s, packet(51))
			settle(time.Second)
			if n := len(way.to.got()); n != 51 {
				t.Errorf("%d packets after Close", n-51)
			}
			if l := way.from.link(way.to); l.StreamsOut != 0 || l.Dropped != 1 {
				t.Errorf("after Close: %+v", l)
			}
		}
	})
}

// Packets sent at once share datagrams, and those of one tick cost one.
func TestPacketsShareDatagrams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		var streams []*Stream
		for range 8 {
			streams = append(streams, a.newStream("room", string(rune('A'+len(streams)))))
		}
		for _, s := range streams {
			a.trunks.Send("b", s, packet(0))
		}
		settle(2 * time.Second)
		before := a.link(b)
		for k := 1; k <= 10; k++ {
			for _, s := range streams {
				a.trunks.Send("b", s, packet(k))
			}
			settle(20 * time.Millisecond)
		}
		after := a.link(b)
		packets, datagrams := after.PacketsOut-before.PacketsOut, after.DatagramsSent-before.DatagramsSent
		if packets != 80 || datagrams > 30 {
			t.Errorf("%d packets in %d datagrams", packets, datagrams)
		}
		if got := len(b.got()); got != 88 {
			t.Errorf("%d packets of 88", got)
		}
	})
}

// Both ends may connect at once, and the hello, its answer, announcements and acknowledgements may be lost.
func TestConnectOverABadNetwork(t *testing.T) {
	for seed := range uint64(5) {
		bubble(t, func(t *testing.T) {
			n := newNetwork()
			a, b := n.node(t, "a", "10.0.0.1:7000", 100), n.node(t, "b", "10.0.0.2:7000", 200)
			defer a.kill()
			defer b.kill()
			bad := netsim.Conditions{Loss: 0.4, Delay: 30 * time.Millisecond, Jitter: 20 * time.Millisecond, Duplicate: 0.2}
			n.path(a.conn, b.conn, bad, seed)
			n.path(b.conn, a.conn, bad, seed+100)
			a.connect(b)
			b.connect(a)
			settle(10 * time.Second)
			if !a.link(b).Up || !b.link(a).Up {
				t.Fatalf("seed %d: no link after 10 s", seed)
			}
			s := a.newStream("r", "p")
			for k := range 100 {
				a.trunks.Send("b", s, packet(k))
				settle(20 * time.Millisecond)
			}
			settle(200 * time.Millisecond)
			s.Close()
			settle(10 * time.Second)
			opened, ended := b.events()
			if len(opened) != 1 || len(ended) != 1 {
				t.Errorf("seed %d: opened %d times, ended %d times", seed, len(opened), len(ended))
			}
			if l := b.link(a); l.UnknownStream != 0 {
				t.Errorf("seed %d: %d packets of a stream not known", seed, l.UnknownStream)
			}
			if got := len(b.got()); got < 80 {
				t.Errorf("seed %d: %d packets of 100 with 40 %% lost\n%+v\n%+v", seed, got, a.link(b), b.link(a))
			}
		})
	}
}

// A long room name, long ids, the largest payload: sent in as many datagrams as it takes.
func TestLargest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		long := make([]byte, maxID)
		for i := range long {
			long[i] = 'x'
		}
		s := a.newStream(string(long), string(long))
		p := packet(1)
		p.Payload = make([]byte, MaxPayload)
		a.trunks.SendHeld("b", s, p, time.Second)
		p.Payload = make([]byte, MaxPayload+1)
		a.trunks.Send("b", s, p)
		settle(time.Second)
		if all := b.got(); len(all) != 1 || len(all[0].Payload) != MaxPayload || all[0].Held != 255*time.Millisecond || all[0].Room != string(long) {
			t.Errorf("%d packets", len(all))
		}
		if l := a.link(b); l.Dropped != 1 {
			t.Errorf("dropped %d, want 1", l.Dropped)
		}
		long = append(long, 'x')
		if _, err := a.trunks.NewStream(StreamInfo{Room: string(long), Participant: "p", Formats: opusFormats}); err == nil {
			t.Error("a room's name of 256 bytes is taken")
		}
	})
}

// RTT, jitter and loss are those of the path.
func TestMeasurements(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		n.path(a.conn, b.conn, netsim.Conditions{Delay: 20 * time.Millisecond, Loss: 0.05}, 1)
		n.path(b.conn, a.conn, netsim.Conditions{Delay: 30 * time.Millisecond}, 2)
		s := a.newStream("r", "p")
		for k := range 3000 {
			a.trunks.Send("b", s, packet(k))
			settle(20 * time.Millisecond)
		}
		la, lb := a.link(b), b.link(a)
		for _, l := range []Link{la, lb} {
			if d := l.RTT - 50*time.Millisecond; d < -5*time.Millisecond || d > 5*time.Millisecond {
				t.Errorf("%s: round trip %v, want 50 ms", l.Node, l.RTT)
			}
		}
		if lb.LossIn < 0.01 || lb.LossIn > 0.1 || la.LossOut < 0.01 || la.LossOut > 0.1 || la.LossIn != 0 {
			t.Errorf("loss in %v, as told %v, other way %v; want 0.05, 0.05, 0", lb.LossIn, la.LossOut, la.LossIn)
		}
		share := float64(lb.Missed) / float64(lb.DatagramsIn)
		if share < 0.03 || share > 0.07 {
			t.Errorf("%d of %d missed, want 5 %%", lb.Missed, lb.DatagramsIn)
		}
	})
}

// The end of a stream overtakes a datagram that is sent again with its beginning: it has ended all the same.
func TestEndOvertakesBeginning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		n.path(a.conn, b.conn, netsim.Conditions{Delay: 50 * time.Millisecond}, 1)
		n.path(b.conn, a.conn, netsim.Conditions{Delay: 50 * time.Millisecond}, 1)
		s := a.newStream("room", "alice")
		n.mu.Lock()
		n.tap = func(from, _ netip.AddrPort, _ []byte) bool { return from != a.conn.addr } // lost
		n.mu.Unlock()
		a.trunks.Send("b", s, packet(0))
		settle(0)
		n.mu.Lock()
		n.tap = nil
		n.mu.Unlock()
		a.trunks.Send("b", s, packet(1))
		settle(60 * time.Millisecond)
		s.Close()
		settle(time.Second)
		opened, ended := b.events()
		if l := b.link(a); len(opened) != 1 || len(ended) != 1 || l.StreamsIn != 0 || l.Recovered != 1 {
			t.Errorf("opened %d times, ended %d times; %+v", len(opened), len(ended), l)
		}
	})
}

// A node that has lost a stream is told of it again.
func TestForgottenStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		s := a.newStream("room", "alice")
		a.trunks.Send("b", s, packet(0))
		settle(time.Second)
		l := (*b.trunks.links.Load())["a"]
		l.mu.Lock()
		clear(l.in)
		l.mu.Unlock()
		for k := 1; k < 10; k++ {
			a.trunks.Send("b", s, packet(k))
			settle(20 * time.Millisecond)
		}
		if got := len(b.got()); got != 9 || b.link(a).UnknownStream != 1 {
			t.Errorf("%d packets of 10, %d unknown; want 9, 1", got, b.link(a).UnknownStream)
		}
	})
}
