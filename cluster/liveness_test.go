package cluster

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// N-01: a killed node is found dead by everybody within 0.8 s, wherever in its heartbeat it dies.
func TestKilledNodeIsFoundInTime(t *testing.T) {
	for _, size := range []int{2, 3, 5, 30} {
		for phase := range 5 {
			t.Run(fmt.Sprint(size, " nodes, phase ", phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					defer f.close()
					nodes := f.many(size)
					sleep(settleTime + time.Duration(phase)*beatEvery/5)
					victim := nodes[size-1] // of two, the lower name is the majority
					f.kill(victim)
					killed := time.Now()
					sleep(settleTime)
					for _, n := range nodes[:size-1] {
						if at := n.when(victim.self.Node, NodeDead); at.IsZero() || at.Sub(killed) > 800*time.Millisecond {
							t.Errorf("%s found it after %v (zero: never)", n.self.Node, at.Sub(killed))
						}
						if n.count(NodeDead) != 1 || n.Degraded() {
							t.Errorf("%s: %d found dead, degraded %v", n.self.Node, n.count(NodeDead), n.Degraded())
						}
					}
				})
			})
		}
	}
}

// Of two nodes, the one with the higher name cannot know whether it is alone or the other is gone: it takes nothing
// over, and says so as fast.
func TestHigherOfTwoIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(2)
		sleep(settleTime)
		f.kill(nodes[0])
		sleep(800 * time.Millisecond)
		if !nodes[1].Degraded() || nodes[1].state("n00") != "lost" {
			t.Errorf("degraded %v, sees it %s", nodes[1].Degraded(), nodes[1].state("n00"))
		}
		if err := nodes[1].Forget("n00"); err != nil {
			t.Fatal(err)
		}
		sleep(settleTime)
		if nodes[1].Degraded() {
			t.Error("degraded although the operator has said that the other does not come back")
		}
	})
}

func TestGoodbyeIsNoDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(4)
		sleep(settleTime)
		nodes[0].end()
		delete(f.nodes, "n00")
		sleep(100 * time.Millisecond)
		for _, n := range nodes[1:] {
			if got, want := n.seen("n00"), []EventKind{NodeJoined, NodeLeft}; !slices.Equal(got, want) {
				t.Errorf("%s saw %v, want %v", n.self.Node, got, want)
			}
		}
		// Its place does not count any more: one of the three may fail, and then one of two.
		f.kill(nodes[3])
		sleep(settleTime)
		if nodes[1].Degraded() || nodes[2].Degraded() {
			t.Error("two of three are not a majority")
		}
	})
}

// A process that comes back under its name before anybody has missed it is a new incarnation, also when its wall clock
// has gone back (N-14).
func TestFastRestart(t *testing.T) {
	for _, step := range []time.Duration{time.Second, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				nodes := f.many(3)
				sleep(settleTime)
				old := nodes[2].Self().Epoch
				f.kill(nodes[2])
				back := f.add("n02", func(cfg *Config) { cfg.wall = func() time.Time { return time.Now().Add(step) } })
				sleep(settleTime)
				if back.Self().Epoch <= old {
					t.Errorf("epoch %d after %d", back.Self().Epoch, old)
				}
				for _, n := range nodes[:2] {
					if n.state("n02") != "alive" || n.Members()[2].Epoch != back.Self().Epoch {
						t.Errorf("%s sees %+v", n.self.Node, n.Members()[2])
					}
				}
			})
		})
	}
}

// N-14: a step of the wall clock by an hour, in either direction, kills nobody and moves nothing.
func TestClockStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		var step time.Duration
		nodes := f.many(3, func(cfg *Config) { cfg.wall = func() time.Time { return time.Now().Add(step) } })
		for _, n := range nodes {
			enter(t, n, "town hall")
		}
		sleep(settleTime)
		for _, step = range []time.Duration{time.Hour, -time.Hour} {
			sleep(10 * time.Second)
		}
		for _, n := range nodes {
			if bad := n.count(NodeDead, NodeLost, NodeSuspect, SelfRejoined); bad > 0 || n.Stats().Takeovers > 0 {
				t.Errorf("%s: %d nodes missed, %d takeovers", n.self.Node, bad, n.Stats().Takeovers)
			}
		}
	})
}

// One bad link kills nobody: a node that only one other does not hear stays a member, and owns what it owned.
func TestOneBadLinkKillsNobody(t *testing.T) {
	for _, both := range []bool{true, false} {
		t.Run(fmt.Sprint("both directions ", both), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				nodes := f.many(3)
				sleep(settleTime)
				f.hub.setCut(func(from, to string) bool {
					return from == "n00" && to == "n01" || both && from == "n01" && to == "n00"
				})
				sleep(time.Minute)
				for _, n := range nodes {
					if n.count(NodeDead, SelfRejoined, SelfDegraded) > 0 {
						t.Errorf("%s: %v", n.self.Node, n.events)
					}
				}
				if nodes[1].state("n00") != "lost" || nodes[2].state("n00") != "alive" {
					t.Errorf("n01 sees it %s, n02 %s", nodes[1].state("n00"), nodes[2].state("n00"))
				}
				f.hub.setCut(nil)
				sleep(2 * time.Second)
				if nodes[1].state("n00") != "alive" {
					t.Errorf("2 s after the repair it is %s", nodes[1].state("n00"))
				}
			})
		})
	}
}

// A node that stood still accuses nobody when it wakes; what it missed was its own.
func TestShortStallAccusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		nodes := f.many(3)
		sleep(settleTime)
		nodes[0].Cluster.mu.Lock()
		nodes[0].call(func() { time.Sleep(600 * time.Millisecond) }) // the loop stands still
		nodes[0].Cluster.mu.Unlock()
		sleep(settleTime)
		if bad := nodes[0].count(NodeDead, NodeLost, NodeSuspect); bad > 0 {
			t.Errorf("%d accused after a pause of its own", bad)
		}
	})
}
