package clustertest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"parley/cluster"
	"parley/sfu"
)

// Three nodes, one room: everybody hears the two others and not themselves, wherever they are.
func TestRoomOnThreeNodes(t *testing.T) {
	nodes := newNodes(t, 3)
	w := nodes[2].watch(sfu.JoinRequest{Room: "room", Subscribe: true})
	a, b, c := nodes[0].call("room", 440), nodes[1].call("room", 1000), nodes[2].call("room", 2000)
	d := nodes[0].call("room", 3000)
	elsewhere := nodes[1].call("elsewhere", 600)
	_ = elsewhere
	// Three speak at a time, and there are four; so not all at once.
	must(t, d.Close(context.Background()))
	a.hears([]float64{1000, 2000}, 440, 600)
	b.hears([]float64{440, 2000}, 1000, 600)
	c.hears([]float64{440, 1000}, 2000, 600)

	w.sees("four in the roster, three that speak", func() bool {
		speaking := 0
		for _, p := range w.people {
			if p.Publish && w.loud[p.ID] > -40 {
				speaking++
			}
		}
		return len(w.people) == 4 && speaking == 3
	})
	w.sees("how good everybody's connection is", func() bool { return len(w.scores) >= 3 })

	nodes[1].stop() // it says goodbye
	a.hears([]float64{2000}, 440, 1000)
	w.sees("those of the other node have left", func() bool { return len(w.people) == 3 })
}

func TestRosterChatAndMutes(t *testing.T) {
	nodes := newNodes(t, 2)
	admin := nodes[0].watch(sfu.JoinRequest{Room: "room", Participant: "admin", Name: "Ada", Subscribe: true, Admin: true})
	guest := nodes[1].watch(sfu.JoinRequest{Room: "room", Participant: "guest", Name: "Bob", Subscribe: true})
	stranger := nodes[1].watch(sfu.JoinRequest{Room: "other", Participant: "stranger", Subscribe: true})
	admin.sees("guest", func() bool { return admin.people["guest"].Name == "Bob" })
	guest.sees("admin", func() bool { return guest.people["admin"].Name == "Ada" })
	if list, err := nodes[0].sfu.Roster("admin"); err != nil || len(list) != 2 {
		t.Errorf("roster: %v, %v", list, err)
	}

	ctx := context.Background()
	must(t, nodes[0].sfu.Chat(ctx, "admin", "hello"))
	must(t, nodes[1].sfu.Chat(ctx, "guest", "hi"))
	for _, w := range []*watcher{admin, guest} {
		w.sees("two lines", func() bool {
			lines := w.chats()
			return len(lines) == 2 && slices.Contains(lines, "admin: hello") && slices.Contains(lines, "guest: hi")
		})
	}

	// Only admins mute others, and nobody's own mute is undone.
	if err := nodes[1].sfu.SetMuted(ctx, "guest", "admin", true); !errors.Is(err, sfu.ErrForbidden) {
		t.Errorf("a guest mutes the admin: %v", err)
	}
	if err := nodes[0].sfu.SetMuted(ctx, "admin", "stranger", true); !errors.Is(err, sfu.ErrNoParticipant) {
		t.Errorf("mute in another room: %v", err)
	}
	must(t, nodes[0].sfu.SetMuted(ctx, "admin", "guest", true))
	guest.sees("that it is muted", func() bool {
		return slices.Contains(guest.events, sfu.Event(sfu.MuteEvent{Muted: true, By: "admin"}))
	})
	admin.sees("that guest is muted", func() bool { return admin.people["guest"].Muted })
	must(t, nodes[0].sfu.SetMuted(ctx, "admin", "guest", false))
	admin.sees("that guest is heard", func() bool { return !admin.people["guest"].Muted })
	must(t, nodes[1].sfu.SetMuted(ctx, "guest", "guest", true))
	admin.sees("that guest has muted itself", func() bool { return admin.people["guest"].Muted })
	if err := nodes[0].sfu.SetMuted(ctx, "admin", "guest", false); !errors.Is(err, sfu.ErrForbidden) {
		t.Errorf("the admin opens a microphone: %v", err)
	}
	must(t, nodes[0].sfu.SetVolume(ctx, "admin", "guest", 0.5))

	must(t, nodes[1].sfu.Leave(ctx, "guest", sfu.ReasonKicked))
	admin.sees("that guest was kicked", func() bool { return admin.reasons["guest"] == sfu.ReasonKicked })
	if len(stranger.people) != 1 || len(stranger.chats()) != 0 {
		t.Errorf("another room was told: %v %v", stranger.people, stranger.chats())
	}
}

// Whoever joins again on another node has one seat, the newer one, and nobody sees them leave.
func TestIdentityMoves(t *testing.T) {
	nodes := newNodes(t, 2)
	w := nodes[0].watch(sfu.JoinRequest{Room: "room", Subscribe: true})
	first := nodes[0].watch(sfu.JoinRequest{Room: "room", Participant: "eve", Name: "Eve 1", Subscribe: true})
	far := nodes[1].watch(sfu.JoinRequest{Room: "room", Subscribe: true})
	far.sees("eve", func() bool { return far.people["eve"].Name == "Eve 1" })
	nodes[1].watch(sfu.JoinRequest{Room: "room", Participant: "eve", Name: "Eve 2", Subscribe: true})
	first.sees("that it was replaced", func() bool {
		return slices.Contains(first.events, sfu.Event(sfu.ClosedEvent{Reason: sfu.ReasonReplaced}))
	})
	for _, o := range []*watcher{w, far} {
		o.sees("the new one", func() bool { return o.people["eve"].Name == "Eve 2" })
		o.mu.Lock()
		if reason, left := o.reasons["eve"]; left {
			t.Errorf("%s saw eve leave: %s", o.node.name, reason)
		}
		o.mu.Unlock()
	}
	must(t, nodes[1].sfu.Leave(context.Background(), "eve", sfu.ReasonLeft))
	w.sees("that eve has left", func() bool { return w.reasons["eve"] == sfu.ReasonLeft })
}

// A room that was empty for a while and is filled again is one room again.
func TestRoomIsLeftAndEnteredAgain(t *testing.T) {
	nodes := newNodes(t, 2)
	far := nodes[1].call("room", 440)
	for range 2 {
		near := nodes[0].call("room", 1000)
		near.hears([]float64{440})
		far.hears([]float64{1000})
		must(t, near.Close(context.Background()))
		far.hears(nil, 1000)
		eventually(t, "the node has left the room", func() bool {
			rooms := nodes[1].link.Cluster().Rooms()
			return len(rooms) == 1 && len(rooms[0].Nodes) == 1
		})
	}
	if n := nodes[0].link.Stats(); n.Cluster.Members[cluster.Alive] != 2 {
		t.Errorf("members: %v", n.Cluster.Members)
	}
}

// In a room of more nodes than send to each other directly, a hub passes on to its region what comes from others.
func TestHubs(t *testing.T) {
	nodes := newNodesIn(t, 2, "east", "west", "west")
	a, b, c := nodes[0].call("room", 440), nodes[1].call("room", 1000), nodes[2].call("room", 2000)
	b.hears([]float64{440, 2000}, 1000)
	c.hears([]float64{440, 1000}, 2000)
	a.hears([]float64{1000, 2000}, 440)
	to := 0
	for _, l := range nodes[0].link.Stats().Links {
		if l.StreamsOut > 0 {
			to++
		}
	}
	if to != 1 {
		t.Errorf("the node of the east sends its speaker to %d nodes of the west", to)
	}
}
