package trunk

import (
	"errors"
	"testing"
	"time"
)

// relay makes a node send on everything it gets to other nodes, as a hub would that knows no better.
func relay(e *node, to ...string) (refused *int) {
	refused = new(int)
	streams := map[string]*Stream{}
	e.trunks.cfg.OnPacket = func(p Packet) {
		e.packet(p)
		key := p.From + "/" + p.Participant
		s := streams[key]
		if s == nil {
			opened, _ := e.events()
			for _, o := range opened {
				if o.From == p.From && o.Stream == p.Stream {
					var err error
					if s, err = e.trunks.Forward(o.Info); err != nil {
						if errors.Is(err, ErrHops) {
							*refused++
						}
						return
					}
				}
			}
			streams[key] = s
		}
		for _, node := range to {
			e.trunks.Send(node, s, &p.Packet)
		}
	}
	return refused
}

// ring is a → b → c → a, all sending on what they get; a speaks.
func ring(t *testing.T, hops int) (a, b, c *node, refused *int) {
	t.Helper()
	n := newNetwork()
	set := func(cfg *Config) { cfg.MaxHops = hops }
	a, b, c = n.node(t, "a", "10.0.0.1:1", 1, set), n.node(t, "b", "10.0.0.2:1", 2, set), n.node(t, "c", "10.0.0.3:1", 3, set)
	relay(a, "b", "c")
	refused = relay(b, "c", "a")
	relay(c, "a", "b")
	a.connect(b)
	b.connect(c)
	c.connect(a)
	settle(time.Second)
	s := a.newStream("room", "alice")
	for k := range 50 {
		a.trunks.Send("b", s, packet(k))
		settle(20 * time.Millisecond)
	}
	return a, b, c, refused
}

// By default what comes from another node goes no further.
func TestNoHopByDefault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c, refused := ring(t, 0)
		defer a.kill()
		defer b.kill()
		defer c.kill()
		if len(a.got()) != 0 || len(b.got()) != 50 || len(c.got()) != 0 || *refused != 50 {
			t.Errorf("a got %d, b %d, c %d; refused %d; want 0, 50, 0, 50", len(a.got()), len(b.got()), len(c.got()), *refused)
		}
	})
}

// With hubs it goes one further, and never back to where it is from, nor round in a circle.
func TestHubsMakeNoLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c, _ := ring(t, 2)
		defer a.kill()
		defer b.kill()
		defer c.kill()
		if len(a.got()) != 0 || len(b.got()) != 50 || len(c.got()) != 50 {
			t.Errorf("a got %d, b %d, c %d; want 0, 50, 50", len(a.got()), len(b.got()), len(c.got()))
		}
		if opened, _ := c.events(); len(opened) != 1 || opened[0].Info.Origin != "a" || opened[0].Info.Hop != 2 || opened[0].From != "b" {
			t.Errorf("c was told %+v", opened)
		}
	})
}

// A node that does not keep to the rules is refused at the other end: another's stream said to be its own, one's own come
// back, and one that came too far.
func TestRefusedStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		for _, info := range []StreamInfo{{Origin: "x", Hop: 1}, {Origin: "b", Hop: 1}, {Origin: "b", Hop: 2}, {Origin: "a", Hop: 2}, {Origin: "x", Hop: 2}} {
			info.Room, info.Participant, info.Formats = "r", "p", opusFormats
			s := &Stream{t: a.trunks, info: info, announcement: appendInfo(nil, &info)}
			s.info.Origin = "a" // or the sender refuses
			for k := range 3 {
				a.trunks.Send("b", s, packet(k))
				settle(time.Second)
			}
		}
		if l := b.link(a); len(b.got()) != 0 || l.RefusedStreams != 5 || l.StreamsIn != 0 {
			t.Errorf("%d packets; %+v", len(b.got()), l)
		}
		if l := a.link(b); l.Dropped != 10 {
			t.Errorf("%d packets dropped after the refusal, want 10", l.Dropped)
		}
	})
}

// As many streams as a link takes, and no more.
func TestTooManyStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		first := a.newStream("room", "first")
		a.trunks.Send("b", first, packet(0))
		for k := range MaxStreams + 5 {
			a.trunks.Send("b", a.newStream("room", "p"), packet(k))
			if k%10 == 0 {
				settle(time.Millisecond)
			}
		}
		settle(time.Second)
		if la, lb := a.link(b), b.link(a); la.StreamsOut != MaxStreams || lb.StreamsIn != MaxStreams || la.Dropped != 6 {
			t.Errorf("%d out, %d in, %d dropped", la.StreamsOut, lb.StreamsIn, la.Dropped)
		}
		first.Close()
		settle(time.Second)
		a.trunks.Send("b", a.newStream("room", "late"), packet(0))
		settle(time.Second)
		if la, lb := a.link(b), b.link(a); la.StreamsOut != MaxStreams || lb.StreamsIn != MaxStreams {
			t.Errorf("after one was closed: %d out, %d in", la.StreamsOut, lb.StreamsIn)
		}
	})
}
