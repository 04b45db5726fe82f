package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// N-04: a node that stood still for 30 s comes back with a new epoch before anything else, owns nothing, and nothing of
// its old epoch is listened to.
func TestStoppedNodeIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(3)
		sleep(settleTime)
		var rooms [3][]*Room
		for r := range 30 {
			for i, n := range nodes {
				room, _ := enter(t, n, fmt.Sprint("room ", r))
				room.Set("who", []byte(n.self.Node))
				rooms[i] = append(rooms[i], room)
			}
		}
		sleep(settleTime)
		old := nodes[1].Self().Epoch
		owned := nodes[1].Stats().OwnedRooms
		if owned == 0 {
			t.Fatal("it owns nothing")
		}
		var late []string // what it sends of its old epoch after waking
		wakes := time.Now().Add(30 * time.Second)
		f.hub.mu.Lock()
		nodes[1].port.tap = func(_ string, data []byte) {
			var m message
			if err := json.Unmarshal(data, &m); err == nil && m.Epoch == old && !time.Now().Before(wakes) {
				late = append(late, string(data))
			}
		}
		f.hub.mu.Unlock()
		nodes[1].Cluster.mu.Lock()
		nodes[1].call(func() { time.Sleep(30 * time.Second) }) // SIGSTOP, as far as the loop can tell
		nodes[1].Cluster.mu.Unlock()
		sleep(2 * time.Second)
		for _, n := range []*testNode{nodes[0], nodes[2]} {
			if n.state("n01") != "dead" {
				t.Errorf("%s sees it %s", n.self.Node, n.state("n01"))
			}
		}
		for _, r := range rooms[0] {
			if owner, epoch := r.Owner(); owner == "n01" || owner == "" || epoch < 1 {
				t.Errorf("%s is owned by %q by epoch %d", r.name, owner, epoch)
			}
		}
		rooms[1][0].Set("written", []byte("while it stood still"))
		sleep(31 * time.Second)
		if len(late) > 0 {
			t.Errorf("%d messages of the old epoch, first %s", len(late), late[0])
		}
		if nodes[1].Self().Epoch <= old || nodes[1].count(SelfRejoined) != 1 || nodes[1].Stats().OwnedRooms != 0 {
			t.Errorf("epoch %d after %d, rejoined %d times, owns %d", nodes[1].Self().Epoch, old, nodes[1].count(SelfRejoined), nodes[1].Stats().OwnedRooms)
		}
		for i := range 30 {
			a, ea := rooms[0][i].Owner()
			for _, other := range rooms[1:] {
				if b, eb := other[i].Owner(); a != b || ea != eb {
					t.Errorf("owners %q by %d and %q by %d", a, ea, b, eb)
				}
			}
		}
		spy := rooms[0][0].handler.(*spy)
		if got := spy.view(); !strings.Contains(got, "written:while it stood still") {
			t.Errorf("what it has set is not there: %s", got)
		}
	})
}

// The same when it does not notice by itself, as after a suspended virtual machine, whose clock stood still too: its
// first message is refused, and it is told.
func TestRefusedNodeRejoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(3)
		sleep(settleTime)
		old := nodes[1].Self().Epoch
		f.hub.setCut(func(from, to string) bool { return from == "n01" }) // it hears, but is not heard
		sleep(settleTime)
		if nodes[0].state("n01") != "dead" {
			t.Fatalf("it is %s", nodes[0].state("n01"))
		}
		refused := nodes[0].Stats().Refused
		f.hub.setCut(nil)
		sleep(1500 * time.Millisecond)
		if nodes[0].Stats().Refused == refused || nodes[1].Self().Epoch <= old || nodes[0].state("n01") != "alive" {
			t.Errorf("refused %d messages; epoch %d after %d; it is %s", nodes[0].Stats().Refused-refused,
				nodes[1].Self().Epoch, old, nodes[0].state("n01"))
		}
	})
}

// N-13: a node that does not read its events is cut off from them, not waited for; what waits for it is bounded, and
// within 2 s of its waking it knows everything again.
func TestSlowNodeIsResynchronised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(2)
		sleep(settleTime)
		a, _ := enter(t, nodes[0], "town hall")
		_, s := enter(t, nodes[1], "town hall")
		a.Set("ann", []byte("Ann"))
		sleep(time.Second)
		nodes[1].Cluster.mu.Lock()
		nodes[1].call(func() { time.Sleep(20 * time.Second) }) // its handler blocks
		nodes[1].Cluster.mu.Unlock()
		value := []byte(strings.Repeat("x", 8<<10))
		for i := range 4000 { // 32 MiB of it
			if i%2 == 0 {
				a.Set(fmt.Sprint("p", i%400), append(value, fmt.Sprint(i)...))
			} else {
				a.Send(value)
			}
			if i%10 == 0 {
				sleep(10 * time.Millisecond)
			}
		}
		a.Delete("ann")
		sleep(time.Second)
		nodes[1].mailbox.mu.Lock()
		waiting, bytes := len(nodes[1].mailbox.letters), nodes[1].mailbox.bytes
		nodes[1].mailbox.mu.Unlock()
		if bytes > mailboxBytes || waiting > mailboxMessages || nodes[1].Stats().Dropped == 0 {
			t.Errorf("%d messages of %d bytes wait, %d dropped", waiting, bytes, nodes[1].Stats().Dropped)
		}
		sleep(time.Until(time.Now().Add(20 * time.Second))) // it wakes
		for range 40 {                                      // at most 2 s after
			if len(s.peers["n00"]) == 200 {
				break
			}
			sleep(50 * time.Millisecond)
		}
		if got := s.peers["n00"]; len(got) != 200 || got["ann"] != "" || !strings.HasSuffix(got["p398"], "x3998") || len(s.log) > 0 {
			t.Errorf("it knows %d keys, ann %q, p398 %.5s…, %v", len(got), got["ann"], got["p398"], s.log)
		}
	})
}

// A message that is lost without anybody being told is noticed by its number, at the latest a second later.
func TestLostMessageIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(2)
		sleep(settleTime)
		a, _ := enter(t, nodes[0], "town hall")
		_, s := enter(t, nodes[1], "town hall")
		sleep(time.Second)
		a.Set("ann", []byte("Ann"))
		a.Send([]byte("one"))
		sleep(time.Second)
		for round, then := range []func(){func() {}, func() { a.Send([]byte("last")) }} {
			f.hub.setCut(func(string, string) bool { return true })
			a.Set("ann", fmt.Append(nil, "Ann ", round))
			a.Send(fmt.Append(nil, "lost ", round))
			sleep(2 * tickEvery)
			f.hub.setCut(nil)
			then()
			sleep(2 * time.Second)
			if got := s.peers["n00"]["ann"]; got != fmt.Sprint("Ann ", round) {
				t.Errorf("round %d: it knows %q", round, got)
			}
		}
		if got := strings.Join(s.events, ", "); got != "n00: one, n00: lost 0, n00: lost 1, n00: last" {
			t.Errorf("it heard %s", got)
		}
		// The same for the directory.
		f.hub.setCut(func(string, string) bool { return true })
		enter(t, nodes[0], "elsewhere")
		sleep(2 * tickEvery)
		f.hub.setCut(nil)
		sleep(2 * time.Second)
		if rooms := nodes[1].Rooms(); len(rooms) != 2 {
			t.Errorf("it knows the rooms %v", rooms)
		}
	})
}
