package sfu

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// short makes everything that waits for a client to come back short.
func short(_ *Config, tm *timing) {
	tm.iceDisconnected, tm.iceFailed = 400*time.Millisecond, 400*time.Millisecond
	tm.neverConnected, tm.keepAttached, tm.answer = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	tm.levels = 20 * time.Millisecond
}

// crash takes the client's socket away: it says no goodbye.
func crashable(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestTimingPromise: a client that has crashed or frozen is gone after 20 s.
func TestTimingPromise(t *testing.T) {
	d := defaultTiming
	if got := d.iceDisconnected + d.iceFailed + iceKeepalive + d.levels; got > 20*time.Second {
		t.Errorf("a frozen client is kept for %v", got)
	}
	if d.neverConnected > 20*time.Second {
		t.Errorf("a client that never came is kept for %v", d.neverConnected)
	}
}

// TestCrash: everything a crashed WHIP client had is freed.
func TestCrash(t *testing.T) {
	n := newTestNode(t, short, func(c *Config, _ *timing) { c.EmptyRoomTimeout = 100 * time.Millisecond })
	socket := crashable(t)
	c := n.newClient(clientOptions{hz: 700, kind: KindWHIP, socket: socket})
	eventually(t, "the participant is in the mix", func() bool { s := n.Stats(); return s.Publishing == 1 && s.Connected == 1 })
	eventually(t, "it listens", func() bool { return n.cfg.Mixer.Stats().Listeners == 1 })
	_ = socket.Close()
	if e := await(t, c.seen, "closed", func(ClosedEvent) bool { return true }); e.Reason != ReasonTimeout {
		t.Errorf("reason %q", e.Reason)
	}
	eventually(t, "the room is gone", func() bool { return n.Stats().Rooms == 0 })
	s, m := n.Stats(), n.cfg.Mixer.Stats()
	if s.Participants != 0 || s.PortLoads[0] != 0 {
		t.Errorf("%d participants, port load %v", s.Participants, s.PortLoads)
	}
	if m.Sources != 0 || m.Listeners != 0 || m.Rooms != 0 {
		eventually(t, "the mixer is empty", func() bool {
			m := n.cfg.Mixer.Stats()
			return m.Sources == 0 && m.Listeners == 0 && m.Rooms == 0
		})
	}
	if err := n.Leave(t.Context(), c.id, ReasonLeft); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
}

// TestCrashAttached: a browser whose path fails is offered a restart while its signaling is there, and goes when
// nothing comes of it.
func TestCrashAttached(t *testing.T) {
	n := newTestNode(t, short, func(_ *Config, tm *timing) { tm.keepAttached = 2 * time.Second })
	socket := crashable(t)
	c := n.newClient(clientOptions{hz: 700, socket: socket})
	eventually(t, "the participant is in the mix", func() bool { return n.Stats().Publishing == 1 })
	_ = socket.Close()
	await(t, c.seen, "the offer of a restart", func(OfferEvent) bool { return true })
	if n.Stats().Participants != 1 {
		t.Error("it is gone already")
	}
	// The offer is not answered; the client's own is taken again once the server has given up.
	p, err := n.find(c.id)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the offer is taken back", func() bool {
		if p.lock(t.Context()) != nil {
			return false
		}
		defer p.unlock()
		peer, err := p.current()
		return err == nil && peer != nil && !peer.offered && peer.pc.SignalingState() == webrtc.SignalingStateStable
	})
	if e := await(t, c.seen, "closed", func(ClosedEvent) bool { return true }); e.Reason != ReasonTimeout {
		t.Errorf("reason %q", e.Reason)
	}
}

// TestComeBack: a browser that had crashed makes a new peer connection in the seat it has kept.
func TestComeBack(t *testing.T) {
	n := newTestNode(t, short, func(_ *Config, tm *timing) { tm.keepAttached = time.Minute })
	socket := crashable(t)
	a := n.newClient(clientOptions{hz: 700, socket: socket})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	_ = socket.Close()
	await(t, a.seen, "the offer of a restart", func(OfferEvent) bool { return true })
	p, err := n.find(a.id)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the offer is taken back", func() bool {
		if p.lock(t.Context()) != nil {
			return false
		}
		defer p.unlock()
		peer, err := p.current()
		return err == nil && peer != nil && !peer.offered
	})
	oldStop, oldPC := a.stop, a.pc
	a.up = make(chan struct{})
	a.connect(clientOptions{pt: 111, hz: 500, direction: webrtc.RTPTransceiverDirectionSendrecv})
	b.forget()
	b.awaitTone(500)
	a.awaitTone(1100)
	oldStop()
	_ = oldPC.GracefulClose()
}

// TestGoodbye: a client that closes its peer connection has left.
func TestGoodbye(t *testing.T) {
	n := newTestNode(t, short)
	a := n.newClient(clientOptions{hz: 700, kind: KindWHIP})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	a.close()
	if e := await(t, b.seen, "a left", func(e ParticipantEvent) bool { return e.Change == ChangeLeft }); e.Participant.ID != a.id || e.Reason != ReasonLeft {
		t.Errorf("%+v", e)
	}
	await(t, a.seen, "closed", func(e ClosedEvent) bool { return e.Reason == ReasonLeft })
}

func TestNeverConnected(t *testing.T) {
	n := newTestNode(t, short)
	seen := newRecorder()
	if _, err := n.Join(t.Context(), JoinRequest{Room: "r", Kind: KindWHIP, Observer: seen}); err != nil {
		t.Fatal(err)
	}
	await(t, seen, "closed", func(e ClosedEvent) bool { return e.Reason == ReasonTimeout })
	// One with a socket stays until the socket goes.
	seen = newRecorder()
	j, err := n.Join(t.Context(), JoinRequest{Room: "r", Kind: KindWebSocket, Observer: seen})
	if err != nil {
		t.Fatal(err)
	}
	other := newRecorder()
	if _, err := n.Join(t.Context(), JoinRequest{Room: "r", Kind: KindWHIP, Observer: other}); err != nil {
		t.Fatal(err)
	}
	await(t, other, "the one without socket closed", func(e ClosedEvent) bool { return true })
	if _, err := n.Roster(j.Participant); err != nil {
		t.Errorf("the one with a socket: %v", err)
	}
	n.SetAttached(j.Participant, false)
	await(t, seen, "closed", func(e ClosedEvent) bool { return e.Reason == ReasonTimeout })
}

// TestOverload is the last rung of L-02: who is in stays in and may come back, newcomers are turned away.
func TestOverload(t *testing.T) {
	n := newTestNode(t)
	busy := ""
	n.overloaded = func(r *room) bool { return busy == "all" || r != nil && r.id == busy }
	join := func(room, id string, want error) {
		t.Helper()
		if _, err := n.Join(t.Context(), JoinRequest{Room: room, Participant: id}); !errors.Is(err, want) {
			t.Errorf("%s into %s while %q is overloaded: %v, want %v", id, room, busy, err, want)
		}
	}
	join("r", "a", nil)
	busy = "r"
	join("r", "b", ErrServerFull)
	join("r", "a", nil)
	join("s", "b", nil)
	busy = "all"
	join("t", "c", ErrServerFull)
	if got := n.Stats().Rooms; got != 2 {
		t.Errorf("%d rooms: a refused newcomer must not leave one behind", got)
	}
	busy = ""
	join("t", "c", nil)
}

func TestLimits(t *testing.T) {
	n := newTestNode(t, func(c *Config, _ *timing) { c.MaxParticipants, c.MaxRoomParticipants = 3, 2 })
	join := func(room, id string) error {
		_, err := n.Join(t.Context(), JoinRequest{Room: room, Participant: id})
		return err
	}
	for _, c := range []struct {
		room, id string
		want     error
	}{
		{"r", "a", nil}, {"r", "b", nil}, {"r", "c", ErrRoomFull}, {"s", "c", nil}, {"s", "d", ErrServerFull},
		{"r", "a", nil}, // the same identity takes its own seat
		{"r", "c", ErrRoomFull},
		{"s", "self", ErrForbidden}, {"s", "server", ErrForbidden},
	} {
		if err := join(c.room, c.id); !errors.Is(err, c.want) {
			t.Errorf("%s into %s: %v, want %v", c.id, c.room, err, c.want)
		}
	}
	if _, err := n.Roster("c"); err != nil {
		t.Errorf("who was refused in another room has lost the seat: %v", err)
	}
	if got := n.Stats().Refused; got != 3 {
		t.Errorf("%d refused", got)
	}
	n.Drain(t.Context())
	if err := join("r", "z"); !errors.Is(err, ErrDraining) {
		t.Errorf("while draining: %v", err)
	}
	if got := n.Stats().Participants; got != 0 {
		t.Errorf("%d participants after draining", got)
	}
	for _, err := range []error{
		second(n.Offer(t.Context(), "nobody", "")), n.Answer(t.Context(), "nobody", ""), n.AddCandidate(t.Context(), "nobody", Candidate{}),
		n.SetMuted(t.Context(), "nobody", "nobody", true), n.Chat(t.Context(), "nobody", "x"), second(n.Roster("nobody")),
		second(n.ICERestart(t.Context(), "nobody", "", "", nil)),
	} {
		if !errors.Is(err, ErrNoParticipant) {
			t.Errorf("nobody: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestReplaced: the same identity comes again, and the one before loses its seat and its media.
func TestReplaced(t *testing.T) {
	n := newTestNode(t)
	id := func(r *JoinRequest) { r.Participant = "alice" }
	a := n.newClient(clientOptions{hz: 700, deny: id})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	again := n.newClient(clientOptions{hz: 500, deny: id})
	await(t, a.seen, "closed", func(e ClosedEvent) bool { return e.Reason == ReasonReplaced })
	b.forget()
	b.awaitTone(500)
	again.awaitTone(1100)
	if all, err := n.Roster("alice"); err != nil || len(all) != 2 {
		t.Errorf("%v %v", all, err)
	}
}

// TestEvents: what is told, to whom and in which order.
func TestEvents(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700, name: "Ann"})
	b := n.newClient(clientOptions{hz: 1100, name: "Bob", kind: KindWHIP})
	joined := await(t, a.seen, "b joins", func(e ParticipantEvent) bool { return true })
	if joined.Change != ChangeJoined || joined.Participant.Name != "Bob" || joined.Participant.Kind != KindWHIP {
		t.Errorf("%+v", joined)
	}
	await(t, a.seen, "b publishes", func(e ParticipantEvent) bool {
		return e.Change == ChangeUpdated && e.Participant.ID == b.id && e.Participant.Publish
	})
	levels := await(t, a.seen, "both speak", func(e LevelsEvent) bool {
		speaking := 0
		for _, l := range e.Levels {
			if l.Speaking && l.LevelDBov > -40 && l.LevelDBov < 0 {
				speaking++
			}
		}
		return speaking == 2
	})
	if len(levels.Levels) != 2 {
		t.Errorf("%+v", levels)
	}
	q := await(t, a.seen, "qualities of both", func(e QualityEvent) bool { return len(e.Qualities) == 2 })
	for _, x := range q.Qualities {
		if x.Score < 1 || x.Score > 4 {
			t.Errorf("%+v", x)
		}
	}
	st := await(t, a.seen, "stats", func(e StatsEvent) bool {
		return e.Stats.Up.PacketsReceived > 20 && e.Stats.Down.PacketsSent > 20 && e.Stats.Up.TotalSamples > 0
	}).Stats
	if st.Transport.Protocol != "udp" || st.Transport.LocalAddress == "" || st.Transport.RemoteAddress == "" ||
		st.Up.Codec != "opus" || st.Up.PacketsLost != 0 || st.Up.BufferMs <= 0 {
		t.Errorf("%+v", st)
	}
	if err := n.Chat(t.Context(), b.id, "hello"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*recorder{a.seen, b.seen} {
		if e := await(t, r, "chat", func(ChatEvent) bool { return true }); e.From != b.id || e.Text != "hello" || e.At.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if err := n.Leave(t.Context(), b.id, ReasonKicked); err != nil {
		t.Fatal(err)
	}
	await(t, a.seen, "b left", func(e ParticipantEvent) bool { return e.Change == ChangeLeft && e.Reason == ReasonKicked })
	await(t, b.seen, "closed", func(e ClosedEvent) bool { return e.Reason == ReasonKicked })
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	if len(b.seen.events) != 0 {
		t.Errorf("events after the last: %v", b.seen.events)
	}
}

// blocked is an observer that never returns until it is let.
type blocked struct{ let chan struct{} }

func (b blocked) Event(Event) { <-b.let }

// TestSlowObserver: one that does not take its events is removed, and nobody waits for it.
func TestSlowObserver(t *testing.T) {
	n := newTestNode(t)
	slow := blocked{let: make(chan struct{})}
	defer close(slow.let)
	j, err := n.Join(t.Context(), JoinRequest{Room: "r", Participant: "slow", Observer: slow})
	if err != nil {
		t.Fatal(err)
	}
	fast := newRecorder()
	if _, err := n.Join(t.Context(), JoinRequest{Room: "r", Participant: "fast", Observer: fast}); err != nil {
		t.Fatal(err)
	}
	for range 2*eventQueueLen + 10 {
		if err := n.Chat(t.Context(), "fast", "x"); err != nil {
			t.Fatal(err)
		}
		await(t, fast, "its own line", func(ChatEvent) bool { return true })
	}
	eventually(t, "slow is removed", func() bool { _, err := n.Roster(j.Participant); return err != nil })
	if _, err := n.Roster("fast"); err != nil {
		t.Error(err)
	}
}

func TestEventQueue(t *testing.T) {
	r := newRecorder()
	q := newEventQueue(r)
	for i := range 1000 {
		if !q.push(LevelsEvent{Levels: []Level{{LevelDBov: float64(i)}}}) || !q.push(QualityEvent{}) || !q.push(StatsEvent{}) {
			t.Fatal("the newest of a kind is refused")
		}
	}
	if len(q.events) != 3 {
		t.Fatalf("%d events wait", len(q.events))
	}
	for i := range eventQueueLen {
		if got := q.push(ChatEvent{}); got != (i < eventQueueLen-3) {
			t.Fatalf("event %d: %v", i, got)
		}
	}
	q.close(ClosedEvent{Reason: "x"})
	q.close(ClosedEvent{Reason: "y"})
	q.push(ChatEvent{})
	q.run()
	if len(r.events) != eventQueueLen+1 {
		t.Fatalf("%d events", len(r.events))
	}
	if l, ok := r.events[0].(LevelsEvent); !ok || l.Levels[0].LevelDBov != 999 {
		t.Errorf("%v", r.events[0])
	}
	if r.events[eventQueueLen] != (ClosedEvent{Reason: "x"}) {
		t.Errorf("last: %v", r.events[eventQueueLen])
	}
	var none *eventQueue
	none.push(ChatEvent{})
	none.close(ClosedEvent{})
}

// TestStorm: joins, offers and leaves from everywhere at once end in an empty node.
func TestStorm(t *testing.T) {
	n := newTestNode(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				j, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true, Subscribe: true, Observer: newRecorder()})
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				var inner sync.WaitGroup
				inner.Go(func() { _, _ = n.Offer(ctx, j.Participant, browserOffer()) })
				inner.Go(func() { _, _ = n.Offer(ctx, j.Participant, browserOffer("Fb3T", "Gc4U")) })
				inner.Go(func() {
					_ = n.AddCandidate(ctx, j.Participant, Candidate{Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host"})
				})
				if i%2 == 0 {
					cancel()
				}
				inner.Go(func() {
					if err := n.Leave(t.Context(), j.Participant, ReasonLeft); err != nil {
						t.Error(err)
					}
				})
				inner.Wait()
				cancel()
			}
		})
	}
	wg.Wait()
	if s := n.Stats(); s.Participants != 0 || s.PortLoads[0] != 0 {
		t.Errorf("%d participants, load %v", s.Participants, s.PortLoads)
	}
}

// TestPortsSpread: peers go to the port with the fewest.
func TestPortsSpread(t *testing.T) {
	n := newTestNode(t, func(c *Config, _ *timing) { c.UDPPorts = freePorts(t, 4) })
	if got := len(n.MediaAddrs()); got != 4 {
		t.Fatalf("%d addresses", got)
	}
	for range 8 {
		j, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Offer(t.Context(), j.Participant, browserOffer()); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range n.Stats().PortLoads {
		if l != 2 {
			t.Errorf("port %d has %d peers", i, l)
		}
	}
}

// TestRunEnded: a node that is never to serve gives its sockets back.
func TestRunEnded(t *testing.T) {
	n := newTestNode(t)
	cfg := n.cfg
	cfg.UDPPorts, cfg.TCPPort = freePorts(t, 1), freeTCPPort(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 { // the second has the first one's ports
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Run(ended); err != nil {
			t.Error(err)
		}
		if _, err := n.Join(t.Context(), JoinRequest{Room: "r"}); !errors.Is(err, ErrDraining) {
			t.Errorf("join after the end: %v", err)
		}
	}
}
