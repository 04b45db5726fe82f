package trunk

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"parley/internal/testkit/netsim"
)

// recorder keeps what flies.
func (n *network) recorder() *[][]byte {
	var all [][]byte
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = func(_, _ netip.AddrPort, b []byte) bool {
		all = append(all, bytes.Clone(b))
		return true
	}
	return &all
}

// flown returns what was recorded so far.
func (n *network) recorded(all *[][]byte) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = nil
	return *all
}

var thirdHost = netip.MustParseAddrPort("10.9.9.9:9")

func (n *network) inject(to *node, all ...[]byte) {
	for _, b := range all {
		n.send(thirdHost, to.conn.LocalAddrPort(), b)
		settle(0)
	}
}

// Whatever is sent to the port by a third host, nothing of it is heard, no state comes of it, and the link stays as it was.
func TestInjection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		tape := n.recorder()
		s := a.newStream("room", "alice")
		for k := range 100 {
			a.trunks.Send("b", s, packet(k))
			settle(20 * time.Millisecond)
		}
		flown := n.recorded(tape)
		before, answers := b.link(a), n.flown
		heard := len(b.got())
		if heard != 100 {
			t.Fatalf("%d packets of 100", heard)
		}

		// RTP, as a browser sends it, and other things that are no trunk's.
		rtp := append([]byte{0x80, 111, 0, 1, 0, 0, 3, 192, 1, 2, 3, 4}, make([]byte, 80)...)
		n.inject(b, rtp, nil, []byte{typeData}, []byte{typeHello}, []byte{typeAnswer}, make([]byte, 1500), make([]byte, 2000))
		// Every recorded datagram once more: a replay.
		n.inject(b, flown...)
		// Every bit of one, with a counter that has not come: forged headers and payloads.
		var last []byte
		for _, d := range flown {
			if d[0] == typeData && binary.BigEndian.Uint32(d[1:]) == (*b.trunks.links.Load())["a"].current.local {
				last = d
			}
		}
		forged := 0
		for bit := range len(last) * 8 {
			d := bytes.Clone(last)
			binary.BigEndian.PutUint64(d[5:], binary.BigEndian.Uint64(d[5:])+1000)
			if bit >= 8*headerBytes {
				d[bit/8] ^= 1 << (bit % 8)
				forged++
			}
			n.inject(b, d)
		}
		// All lengths of it.
		for size := range last {
			d := bytes.Clone(last[:size])
			if size >= headerBytes {
				binary.BigEndian.PutUint64(d[5:], 1<<40)
			}
			n.inject(b, d)
		}
		if got := len(b.got()); got != heard {
			t.Errorf("%d injected packets were heard", got-heard)
		}
		after := b.link(a)
		if after.Addr != a.conn.LocalAddrPort() || after.Moves != 0 {
			t.Errorf("the link moved to %v", after.Addr)
		}
		if after.Forged-before.Forged < uint64(forged) || after.Replayed == before.Replayed || after.DatagramsIn != before.DatagramsIn {
			t.Errorf("forged %d (want %d at least), replayed %d, accepted %d", after.Forged-before.Forged, forged,
				after.Replayed-before.Replayed, after.DatagramsIn-before.DatagramsIn)
		}
		r := b.trunks.Refused()
		if r.Malformed < 6 || r.NoSession == 0 {
			t.Errorf("refused: %+v", r)
		}
		if n.flown-answers > len(flown)+2*8*len(last)+20 {
			t.Errorf("%d datagrams flown for %d injected", n.flown-answers, len(flown)+9*len(last))
		}
		// The true one is still heard.
		a.trunks.Send("b", s, packet(100))
		settle(time.Millisecond)
		if got := len(b.got()); got != heard+1 {
			t.Errorf("after the attack %d packets, want 1", got-heard)
		}
	})
}

// A million datagrams of nobody cost no memory and no answer.
func TestInjectionCostsNoState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		b.kill() // its reader is this test
		foreign, err := newNotary(bytes.Repeat([]byte{8}, secretBytes))
		if err != nil {
			t.Fatal(err)
		}
		h := hello{index: 1, epoch: 1, share: make([]byte, shareBytes), to: b.epoch, receiver: "b"}
		flown := n.flown
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		buf := make([]byte, 0, 300)
		const rounds = 20000
		for k := range rounds {
			h.number, h.name = uint64(k), string(binary.BigEndian.AppendUint32([]byte("node"), uint32(k)))
			buf = h.appendTo(buf[:0])
			buf = append(buf, foreign.of(nil, buf)...)
			b.trunks.datagram(buf, thirdHost, time.Duration(k))
			buf = binary.BigEndian.AppendUint32(append(buf[:0], typeData), uint32(k)*0x9e3779b1)
			b.trunks.datagram(buf[:60], thirdHost, time.Duration(k))
			buf[0] = typeAnswer
			b.trunks.datagram(buf[:answerBytes], thirdHost, time.Duration(k))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if r := b.trunks.Refused(); r.Forged != rounds || r.NoSession < 2*rounds-2 {
			t.Errorf("refused: %+v", r)
		}
		if len(b.trunks.known) != 1 || len(*b.trunks.links.Load()) != 1 || len(b.trunks.indexes.of) > 2 || n.flown != flown {
			t.Errorf("%d nodes, %d links, %d indexes, %d answers", len(b.trunks.known), len(*b.trunks.links.Load()),
				len(b.trunks.indexes.of), n.flown-flown)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<10 {
			t.Errorf("the heap grew by %d bytes", grown)
		}
	})
}

// A node with another cluster's secret gets no link, from either side, and no answer.
func TestAnotherSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		a := n.node(t, "a", "10.0.0.1:7000", 100)
		b := n.node(t, "b", "10.0.0.2:7000", 200, func(c *Config) { c.Secret = bytes.Repeat([]byte{9}, 32) })
		defer a.kill()
		defer b.kill()
		tape := n.recorder()
		a.connect(b)
		settle(5 * time.Second)
		for _, d := range n.recorded(tape) {
			if d[0] != typeHello {
				t.Errorf("a datagram of type %#x", d[0])
			}
		}
		b.connect(a)
		settle(5 * time.Second)
		if a.link(b).Sessions != 0 || b.link(a).Sessions != 0 {
			t.Error("they have a session")
		}
		if a.trunks.Refused().Forged == 0 || b.trunks.Refused().Forged == 0 {
			t.Error("nothing is counted")
		}
	})
}

// Recorded hellos and answers bring nothing: not while the link stands, not after a restart of either end.
func TestReplayedHello(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		tape := n.recorder()
		a, b := n.node(t, "a", "10.0.0.1:7000", 100), n.node(t, "b", "10.0.0.2:7000", 200)
		defer a.kill()
		a.connect(b)
		settle(time.Second)
		flown := n.recorded(tape)
		hellos := slices.DeleteFunc(slices.Clone(flown), func(d []byte) bool { return d[0] == typeData })
		if len(hellos) < 2 {
			t.Fatalf("%d hellos", len(hellos))
		}
		sessions := b.link(a).Sessions
		n.inject(b, hellos...)
		n.inject(a, hellos...)
		settle(time.Second)
		if b.link(a).Sessions != sessions || b.trunks.Refused().Replayed == 0 || !a.link(b).Up || !b.link(a).Up {
			t.Errorf("after a replay: %+v, %+v", b.link(a), b.trunks.Refused())
		}
		b.kill()
		b2 := n.node(t, "b", "10.0.0.2:7000", 201)
		defer b2.kill()
		n.inject(b2, flown...)
		settle(time.Second)
		if len(b2.trunks.Stats()) != 0 || b2.trunks.Refused().Stale == 0 {
			t.Errorf("a restarted node took a recorded hello: %+v %+v", b2.trunks.Stats(), b2.trunks.Refused())
		}
	})
}

// A node that starts anew has another epoch: what its old process says is refused, its streams have ended, and those to it
// are announced again.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer b.kill()
		tape := n.recorder()
		sa, sb := a.newStream("room", "alice"), b.newStream("room", "bob")
		a.trunks.Send("b", sa, packet(0))
		b.trunks.Send("a", sb, packet(0))
		settle(time.Second)
		old := n.recorded(tape)
		// The old process stops, as by SIGSTOP: it is not dead, and not heard of.
		addr := a.conn.LocalAddrPort()
		n.move(a.conn, "10.0.0.77:1")
		a2 := n.node(t, "a", addr.String(), 101)
		defer a2.kill()
		a2.connect(b)
		settle(2 * time.Second)
		if l := b.link(a); l.Epoch != 101 || !l.Up {
			t.Fatalf("link to the new process: %+v", l)
		}
		if _, ended := b.events(); len(ended) != 1 || ended[0].Info.Participant != "alice" {
			t.Errorf("ended: %+v", ended)
		}
		b.trunks.Send("a", sb, packet(1))
		settle(time.Second)
		if got := a2.got(); len(got) != 1 || got[0].Participant != "bob" {
			t.Errorf("the new process got %+v", got)
		}
		// And now it goes on where it was.
		heard := len(b.got())
		for k := range 100 {
			a.trunks.Send("b", sa, packet(k))
			settle(50 * time.Millisecond)
		}
		n.inject(b, old...)
		a.connect(b)
		settle(5 * time.Second)
		if got := len(b.got()); got != heard {
			t.Errorf("%d packets of the old process were heard", got-heard)
		}
		if l := b.link(a); l.Epoch != 101 || !l.Up || l.Addr != addr {
			t.Errorf("after that: %+v", l)
		}
		if r := b.trunks.Refused(); r.NoSession < 100 || r.Stale == 0 {
			t.Errorf("refused: %+v", r)
		}
		a.kill()
		// Older news about the process changes nothing.
		b.trunks.Connect("a", netip.MustParseAddrPort("10.0.0.77:1"), 100)
		settle(time.Second)
		if l := b.link(a); l.Epoch != 101 || !l.Up {
			t.Errorf("after Connect with an old epoch: %+v", l)
		}
	})
}

// A node that was disconnected is refused until Connect, whatever it says; its streams end at once.
func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		s := a.newStream("room", "alice")
		a.trunks.Send("b", s, packet(0))
		settle(time.Second)
		b.trunks.Disconnect("a")
		b.trunks.Disconnect("nobody")
		if _, ended := b.events(); len(ended) != 1 {
			t.Errorf("ended: %+v", ended)
		}
		for k := range 500 {
			a.trunks.Send("b", s, packet(k))
			settle(20 * time.Millisecond)
		}
		if got := len(b.got()); got != 1 || len(b.trunks.Stats()) != 0 || a.link(b).Up {
			t.Errorf("%d packets, links %+v, up %v", got, b.trunks.Stats(), a.link(b).Up)
		}
		b.connect(a)
		settle(3 * time.Second)
		a.trunks.Send("b", s, packet(7))
		settle(time.Second)
		if got := b.got(); len(got) != 2 || !a.link(b).Up {
			t.Errorf("after Connect: %d packets; %+v %+v", len(got), a.link(b), b.link(a))
		}
	})
}

// The peer's address is that of the newest authentic datagram, and no other.
func TestMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		tape := n.recorder()
		sa, sb := a.newStream("room", "alice"), b.newStream("room", "bob")
		a.trunks.Send("b", sa, packet(0))
		settle(time.Millisecond)
		old := n.recorded(tape)
		n.mu.Lock() // one datagram is held up on the way
		var held []byte
		n.tap = func(from, _ netip.AddrPort, d []byte) bool { held = bytes.Clone(d); return false }
		n.mu.Unlock()
		a.trunks.Send("b", sa, packet(1))
		settle(0)
		n.mu.Lock()
		n.tap = nil
		n.mu.Unlock()
		a.trunks.Send("b", sa, packet(2))
		settle(time.Second)
		n.inject(b, old...)
		n.inject(b, held) // authentic and new, but older than the newest
		if l := b.link(a); l.Addr != a.conn.LocalAddrPort() || l.Moves != 0 {
			t.Fatalf("moved to %v", l.Addr)
		}
		n.move(a.conn, "10.0.0.50:5000")
		a.trunks.Send("b", sa, packet(3))
		settle(time.Millisecond)
		b.trunks.Send("a", sb, packet(0))
		settle(time.Millisecond)
		if l := b.link(a); l.Addr != netip.MustParseAddrPort("10.0.0.50:5000") || l.Moves != 1 || len(a.got()) != 1 {
			t.Errorf("link %+v, %d packets", l, len(a.got()))
		}
	})
}

// Keys are made anew in time, before the counter runs out, and without a packet lost; at the end of the counter nothing is
// sent at all.
func TestRekey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		s := a.newStream("room", "alice")
		k := 0
		talk := func(d time.Duration) {
			for range int(d / (20 * time.Millisecond)) {
				a.trunks.Send("b", s, packet(k))
				k++
				settle(20 * time.Millisecond)
			}
		}
		talk(rekeyAfter + 5*time.Second)
		if l := a.link(b); l.Sessions != 2 {
			t.Errorf("%d sessions after %v", l.Sessions, rekeyAfter)
		}
		l := (*a.trunks.links.Load())["b"]
		l.mu.Lock()
		first := l.current
		l.current.sent = rekeyPackets
		l.mu.Unlock()
		talk(15 * time.Second)
		l.mu.Lock()
		if l.current == first || l.current.sent > rekeyPackets/2 {
			t.Errorf("no new session at %d packets", first.sent)
		}
		l.mu.Unlock()
		if got := len(b.got()); got != k {
			t.Errorf("%d packets of %d", got, k)
		}
		l.mu.Lock()
		l.current.sent = lastPackets
		l.helloAt = 1 << 60
		l.mu.Unlock()
		got := len(b.got())
		talk(time.Second)
		if now := len(b.got()); now != got {
			t.Errorf("%d packets sent beyond the last counter", now-got)
		}
	})
}

// A forged answer to a hello that is under way, by somebody who has seen it, does not keep the true one out.
func TestForgedAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.node(t, "a", "10.0.0.1:7000", 100), n.node(t, "b", "10.0.0.2:7000", 200)
		defer a.kill()
		defer b.kill()
		slow := netsim.Conditions{Delay: 50 * time.Millisecond}
		n.path(a.conn, b.conn, slow, 1)
		n.path(b.conn, a.conn, slow, 1)
		tape := n.recorder()
		a.connect(b)
		settle(time.Millisecond)
		seen := n.recorded(tape)
		if len(seen) != 1 {
			t.Fatalf("%d datagrams", len(seen))
		}
		own, err := newShare()
		if err != nil {
			t.Fatal(err)
		}
		forged := appendAnswer(nil, binary.BigEndian.Uint32(seen[0][1:]), 77, 200, own.PublicKey().Bytes())
		n.inject(a, append(forged, make([]byte, tagBytes)...))
		if l := a.link(b); l.Sessions != 0 || a.trunks.Refused().Forged != 1 {
			t.Errorf("%+v %+v", l, a.trunks.Refused())
		}
		settle(200 * time.Millisecond)
		if l := a.link(b); !l.Up || l.Sessions != 1 {
			t.Errorf("the true answer was not taken: %+v", l)
		}
	})
}

// Every bit of a datagram is authenticated, the header's included.
func TestEveryBitIsAuthentic(t *testing.T) {
	aead, err := newAEAD(testSecret, nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{seal: aead, open: aead, remote: 0x12345678}
	good := s.encrypt(nil, []byte("plain text"))
	if plain, err := s.decrypt(bytes.Clone(good)); err != nil || string(plain) != "plain text" {
		t.Fatalf("%q, %v", plain, err)
	}
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := s.decrypt(b); err == nil {
			t.Errorf("bit %d of byte %d is not", bit%8, bit/8)
		}
	}
}
