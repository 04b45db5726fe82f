package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRoomIsOneForAllItsNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(3)
		sleep(settleTime)
		a, seenByA := enter(t, nodes[0], "town hall")
		if err := a.Set("ann", []byte("Ann")); err != nil {
			t.Fatal(err)
		}
		sleep(100 * time.Millisecond)
		b, seenByB := enter(t, nodes[1], "town hall")
		_, other := enter(t, nodes[2], "elsewhere")
		sleep(200 * time.Millisecond)
		if got := seenByB.view(); got != "map[n00:map[ann:Ann]] []" {
			t.Errorf("the newcomer sees %s", got)
		}
		a.Set("ann", []byte("Anna"))
		a.Set("abe", nil) // not there: nothing happens
		a.Send([]byte("hello"))
		b.Set("bob", []byte{})
		a.Set("al", []byte("Al"))
		a.Delete("al")
		a.Send([]byte("bye"))
		sleep(200 * time.Millisecond)
		if got := seenByB.view(); got != "map[n00:map[ann:Anna]] []" {
			t.Errorf("n01 sees %s", got)
		}
		if got := strings.Join(seenByB.events, ", "); got != "n00: hello, n00: bye" {
			t.Errorf("n01 heard %s", got)
		}
		if got := seenByA.view(); got != "map[n01:map[bob:]] []" {
			t.Errorf("n00 sees %s", got)
		}
		if got := other.view(); got != "map[] []" || len(other.events) > 0 {
			t.Errorf("another room saw %s %v", got, other.events)
		}
		// Leaving and coming back at once, faster than it is told: what was set is gone, and only what is new is seen.
		a.Leave()
		if err := a.Set("ann", nil); !errors.Is(err, ErrLeft) {
			t.Errorf("set after leave: %v", err)
		}
		a, _ = enter(t, nodes[0], "town hall")
		a.Set("amy", []byte("Amy"))
		sleep(time.Second)
		if got := seenByB.view(); got != "map[n00:map[amy:Amy]] []" {
			t.Errorf("after coming back n01 sees %s", got)
		}
		a.Leave()
		a.Leave()
		sleep(200 * time.Millisecond)
		if got := seenByB.view(); got != "map[] []" {
			t.Errorf("after leaving n01 sees %s", got)
		}
		if rooms := fmt.Sprint(nodes[2].Rooms()); rooms != "[{elsewhere n02 1 map[n02:0] 0} {town hall n01 2 map[n01:0] 0}]" {
			t.Errorf("rooms: %s", rooms)
		}
	})
}

// A room has one owner, the same for all, and a new one by a higher epoch when it dies or leaves.
func TestOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(5)
		sleep(settleTime)
		var spies []*spy
		for _, n := range nodes { // all at once: the first to know of each other are five owners
			_, s := enter(t, n, "town hall")
			spies = append(spies, s)
		}
		sleep(200 * time.Millisecond)
		owner := spies[0].owned()
		check := func(when string, epoch uint64) {
			t.Helper()
			for i, n := range nodes {
				if f.nodes[n.self.Node] == nil {
					continue
				}
				if got := spies[i].owned(); got != owner || owner == "" || spies[i].epoch != epoch || len(spies[i].log) > 0 {
					t.Errorf("%s: %s says %q by epoch %d (%v), want %q by %d", when, n.self.Node, got, spies[i].epoch, spies[i].log, owner, epoch)
				}
			}
		}
		check("at first", 1)
		f.kill(f.nodes[owner])
		sleep(time.Second)
		for i, n := range nodes {
			if f.nodes[n.self.Node] != nil {
				owner = spies[i].owned()
			}
		}
		check("after a kill", 2)
		f.nodes[owner].end()
		delete(f.nodes, owner)
		sleep(200 * time.Millisecond)
		for i, n := range nodes {
			if f.nodes[n.self.Node] != nil {
				owner = spies[i].owned()
			}
		}
		check("after a goodbye", 3)
	})
}

// N-03: of a divided cluster the larger part has one owner for each room, the lesser none; within 2 s of the repair all
// agree again, and rooms are whole.
func TestPartition(t *testing.T) {
	for _, size := range []int{3, 5, 24} {
		t.Run(fmt.Sprint(size, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				nodes := f.many(size)
				sleep(settleTime)
				lesser := map[string]bool{}
				for _, n := range nodes[:(size-1)/2] {
					lesser[n.self.Node] = true
				}
				const rooms = 6
				spies := map[string][]*spy{} // by room
				for r := range rooms {
					name := fmt.Sprint("room ", r)
					for _, n := range nodes {
						room, s := enter(t, n, name)
						room.Set("who", []byte(n.self.Node))
						spies[name] = append(spies[name], s)
					}
				}
				sleep(settleTime)
				f.hub.setCut(func(from, to string) bool { return lesser[from] != lesser[to] })
				sleep(3 * time.Second)
				for name, list := range spies {
					owners := map[string]bool{}
					for i, s := range list {
						n := nodes[i].self.Node
						if lesser[n] != nodes[i].Degraded() {
							t.Errorf("%s degraded: %v", n, nodes[i].Degraded())
						}
						if owner := s.owned(); owner != "" {
							owners[owner] = true
							if lesser[n] || lesser[owner] {
								t.Errorf("%s: %s thinks that %s owns it", name, n, owner)
							}
						}
					}
					if len(owners) != 1 {
						t.Errorf("%s has owners %v", name, owners)
					}
				}
				sleep(time.Minute)
				f.hub.setCut(nil)
				sleep(2 * time.Second)
				for name, list := range spies {
					for i, s := range list {
						if s.owned() != list[0].owned() || s.owned() == "" {
							t.Errorf("%s: %s says %q, another %q", name, nodes[i].self.Node, s.owned(), list[0].owned())
						}
						if len(s.peers) != size-1 || len(s.log) > 0 {
							t.Errorf("%s: %s sees %d others, %v", name, nodes[i].self.Node, len(s.peers), s.log)
						}
						for peer, state := range s.peers {
							if state["who"] != peer {
								t.Errorf("%s: %s sees %v of %s", name, nodes[i].self.Node, state, peer)
							}
						}
					}
				}
				for _, n := range nodes {
					if n.Degraded() || lesser[n.self.Node] != (n.Stats().Rejoins > 0) {
						t.Errorf("%s: degraded %v, rejoined %d times", n.self.Node, n.Degraded(), n.Stats().Rejoins)
					}
				}
			})
		})
	}
}

// While its bus is gone (N-02) a node that hears the others on their trunks keeps them in its rooms, and takes nothing
// over; without that proof they leave.
func TestTrunksKeepLostNodesInRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(3)
		sleep(settleTime)
		_, s := enter(t, nodes[0], "town hall")
		for _, n := range nodes[1:] {
			r, _ := enter(t, n, "town hall")
			r.Set("who", []byte(n.self.Node))
		}
		sleep(time.Second)
		f.hub.setCut(func(string, string) bool { return true }) // all NATS gone
		for range 1200 {                                        // ten minutes
			nodes[0].Heard("n01")
			sleep(500 * time.Millisecond)
		}
		if got := s.view(); got != "map[n01:map[who:n01]] []" {
			t.Errorf("after ten minutes n00 sees %s", got)
		}
		if s.owned() != "" || !nodes[0].Degraded() || nodes[0].Stats().Takeovers > 0 {
			t.Errorf("owner %q, degraded %v, %d takeovers", s.owned(), nodes[0].Degraded(), nodes[0].Stats().Takeovers)
		}
		// Joins to local rooms go on.
		if d := nodes[0].Place("town hall", Hint{}); d.Action != Extend && d.Action != Serve {
			t.Errorf("a client of the room: %v", d)
		}
		if d := nodes[0].Place("a new room", Hint{}); d.Action != Serve {
			t.Errorf("a client of a new room: %v", d)
		}
		if _, err := nodes[0].Enter("a new room", newSpy()); err != nil {
			t.Error(err)
		}
		f.hub.setCut(nil)
		sleep(2 * time.Second)
		if got := s.view(); got != "map[n01:map[who:n01] n02:map[who:n02]] []" || s.owned() == "" {
			t.Errorf("2 s after the return n00 sees %s, owner %q", got, s.owned())
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(2)
		sleep(settleTime)
		for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
			if _, err := nodes[0].Enter(name, newSpy()); !errors.Is(err, ErrBadName) {
				t.Errorf("room of %d bytes: %v", len(name), err)
			}
		}
		r, _ := enter(t, nodes[0], "town hall")
		second, s := enter(t, nodes[1], "town hall")
		sleep(time.Second)
		if _, err := nodes[0].Enter("town hall", newSpy()); err == nil {
			t.Error("entered twice")
		}
		for name, err := range map[string]error{
			"value": r.Set("k", make([]byte, maxValue+1)), "event": r.Send(make([]byte, maxValue+1)),
		} {
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := r.Set("", nil); !errors.Is(err, ErrBadName) {
			t.Errorf("empty key: %v", err)
		}
		// As much as is allowed arrives, with names that JSON writes in six bytes each.
		n := 0
		for ; ; n++ {
			if err := r.Set(fmt.Sprintf("\x01\x01\x01%d", n), make([]byte, maxValue)); err != nil {
				break
			}
		}
		for i := range 100 {
			r.Send(fmt.Appendf(nil, "%d %s", i, strings.Repeat("\x01", maxValue-8)))
		}
		sleep(settleTime)
		if len(s.peers["n00"]) != n || n != maxRoomBytes/maxValue || len(s.events) != 100 {
			t.Errorf("%d of %d keys and %d of 100 events arrived", len(s.peers["n00"]), n, len(s.events))
		}
		second.Leave()
		_, s = enter(t, nodes[1], "town hall") // and by the snapshot, without the events
		sleep(time.Second)
		if len(s.peers["n00"]) != n || len(s.events) != 0 {
			t.Errorf("later %d of %d keys and %d events arrived", len(s.peers["n00"]), n, len(s.events))
		}
		if st := nodes[0].Stats(); st.Unsent > 0 {
			t.Errorf("%d messages were too large", st.Unsent)
		}
	})
}
