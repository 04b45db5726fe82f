package cluster

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func node(name, region string, used float64) Member {
	return Member{Node: name, Epoch: 1, Region: region, URL: "https://" + name, Load: Load{Used: used, Capacity: 100}}
}

func TestPlace(t *testing.T) {
	eu := []Member{node("a", "eu", 0.3), node("b", "eu", 0.3), node("c", "us", 0.3)}
	change := func(i int, f func(*Member)) []Member {
		out := slices.Clone(eu)
		f(&out[i])
		return out
	}
	full := func(m *Member) { m.Load.Used = 0.9 }
	for _, tc := range []struct {
		name    string
		members []Member
		present string // node names are letters
		hint    Hint
		policy  Policy
		want    string // action and node, from node a
		reason  string
	}{
		{"a new room stays", eu, "", Hint{}, Policy{}, "serve a", "new room"},
		{"a room here stays", eu, "a", Hint{}, Policy{}, "serve a", "affinity"},
		{"affinity", eu, "b", Hint{}, Policy{}, "redirect b", "affinity"},
		{"served here by policy", eu, "b", Hint{}, Policy{Mode: ServeHere}, "extend a", "serve here"},
		{"one that was sent here", eu, "b", Hint{Redirected: true}, Policy{}, "extend a", "redirected"},
		{"in two places, one is here", eu, "ab", Hint{}, Policy{}, "extend a", "affinity"},
		{"spill", change(1, full), "b", Hint{}, Policy{}, "extend a", "spill"},
		{"spill away from here", change(0, full), "a", Hint{}, Policy{}, "redirect b", "spill"},
		{"the client's region", eu, "", Hint{Region: "us"}, Policy{}, "redirect c", "new room"},
		{"the client's region has its own node", eu, "a", Hint{Region: "us"}, Policy{}, "redirect c", "region"},
		{"a region that nobody is in", eu, "a", Hint{Region: "mars"}, Policy{}, "serve a", "affinity"},
		{"its region is full", change(2, full), "a", Hint{Region: "us"}, Policy{}, "serve a", "affinity"},
		{"draining", change(0, func(m *Member) { m.Draining = true }), "a", Hint{}, Policy{}, "redirect b", "orphan"},
		{"draining, sent here", change(0, func(m *Member) { m.Draining = true }), "a", Hint{Redirected: true}, Policy{}, "redirect b", "orphan"},
		{"lost nodes get nobody", change(1, func(m *Member) { m.State = Lost }), "b", Hint{}, Policy{}, "extend a", "orphan"},
		{"nodes without an address get nobody", change(1, func(m *Member) { m.URL = "" }), "b", Hint{}, Policy{}, "extend a", "orphan"},
		{"much busier than the others", change(0, func(m *Member) { m.Load.Used = 0.7 }), "", Hint{}, Policy{}, "redirect b", "new room"},
		{"nobody has room", []Member{node("a", "", 0.9), node("b", "", 2)}, "", Hint{}, Policy{}, "refuse a", "full"},
		{"a lower limit", eu, "", Hint{}, Policy{Full: 0.3}, "refuse a", "full"},
		{"its node has failed", eu, "c", Hint{Failed: []string{"c"}}, Policy{}, "serve a", "orphan"},
	} {
		var present []string
		for _, p := range tc.present {
			present = append(present, string(p))
		}
		d := Place(View{Self: "a", Members: tc.members, Present: present}, "town hall", tc.hint, tc.policy)
		if got := d.Action.String() + " " + d.Node.Node; d.Reason != tc.reason || got != tc.want && tc.reason != "orphan" {
			t.Errorf("%s: %s (%s), want %s (%s)", tc.name, got, d.Reason, tc.want, tc.reason)
		}
	}
}

// Whatever the cluster looks like: nobody is sent to a node that does not live, drains, is full, has no address or has
// failed; nobody is refused while a node has room; where all agree on what they see, clients of a failed node's room
// agree on where to meet; and a redirect is not answered by another.
func TestPlaceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var members []Member
		for i := range rapid.IntRange(1, 12).Draw(t, "nodes") {
			m := node(fmt.Sprint("n", i), rapid.SampledFrom([]string{"", "eu", "us"}).Draw(t, "region"),
				rapid.Float64Range(0, 1.2).Draw(t, "used"))
			m.State = rapid.SampledFrom([]State{Alive, Alive, Alive, Suspect, Lost, Dead}).Draw(t, "state")
			m.Draining = rapid.IntRange(0, 4).Draw(t, "draining") == 0
			if rapid.IntRange(0, 4).Draw(t, "url") == 0 {
				m.URL = ""
			}
			members = append(members, m)
		}
		members[0].State = Alive // itself
		v := View{Self: "n0", Members: members}
		var hint Hint
		for _, m := range members {
			if rapid.IntRange(0, 3).Draw(t, "present") == 0 {
				v.Present = append(v.Present, m.Node)
			}
			if m.Node != "n0" && rapid.IntRange(0, 5).Draw(t, "failed") == 0 {
				hint.Failed = append(hint.Failed, m.Node)
			}
		}
		hint.Region = rapid.SampledFrom([]string{"", "eu", "us", "mars"}).Draw(t, "hint")
		policy := Policy{Mode: rapid.SampledFrom([]PlacementMode{SendOn, ServeHere}).Draw(t, "mode")}
		room := rapid.StringN(1, 20, 64).Draw(t, "room")
		fits := func(m Member) bool {
			return m.State == Alive && !m.Draining && m.Load.Used < defaultFull && (m.URL != "" || m.Node == "n0") && !slices.Contains(hint.Failed, m.Node)
		}

		d := Place(v, room, hint, policy)
		switch d.Action {
		case Refuse:
			if slices.ContainsFunc(members, fits) {
				t.Fatalf("refused although a node has room")
			}
			return
		case Redirect:
			if d.Node.Node == "n0" || d.Node.URL == "" {
				t.Fatalf("sent to %+v", d.Node)
			}
			there := Place(View{Self: d.Node.Node, Members: members, Present: v.Present}, room, Hint{Redirected: true, Failed: hint.Failed, Region: hint.Region}, policy)
			if there.Action == Redirect || there.Action == Refuse {
				t.Fatalf("sent to %s, which answers %v", d.Node.Node, there)
			}
		}
		if !fits(d.Node) {
			t.Fatalf("%v at %+v", d.Action, d.Node)
		}
		if len(hint.Failed) > 0 && d.Reason == "orphan" {
			for _, m := range members {
				other := Place(View{Self: m.Node, Members: members, Present: v.Present}, room, hint, Policy{})
				if m.Region == members[0].Region && m.URL != "" && members[0].URL != "" && hint.Region == "" && policy.Mode == SendOn && fits(m) && other.Node.Node != d.Node.Node {
					t.Fatalf("clients of a failed node go to %s and to %s", d.Node.Node, other.Node.Node)
				}
			}
		}
		for _, fb := range Fallbacks(v, room, hint, policy, 3) {
			if fb.Node == "n0" || !fits(fb) {
				t.Fatalf("fallback %+v", fb)
			}
		}
	})
}

// Ring: everybody is watched by as many as there should be, watchers and watched agree, and few change when one leaves.
func TestRing(t *testing.T) {
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprint("n", i))
	}
	r := newRing(all)
	for _, n := range all {
		ws := r.watchersOf(n, fewWatchers)
		if len(ws) != fewWatchers || slices.Contains(ws, n) {
			t.Fatalf("%s is watched by %v", n, ws)
		}
		for _, w := range ws {
			if !slices.Contains(r.watchedBy(w, fewWatchers), n) {
				t.Fatalf("%s watches %s and does not know", w, n)
			}
		}
	}
	changed := 0
	without := newRing(slices.Delete(slices.Clone(all), 50, 51))
	for _, n := range without {
		if !slices.Equal(r.watchersOf(n, fewWatchers), without.watchersOf(n, fewWatchers)) {
			changed++
		}
	}
	if changed > fewWatchers {
		t.Errorf("the watchers of %d nodes changed", changed)
	}
}

func BenchmarkPlace(b *testing.B) {
	for _, nodes := range []int{3, 100, 1000} {
		b.Run(fmt.Sprint(nodes, " nodes"), func(b *testing.B) {
			v := View{Self: "n0"}
			for i := range nodes {
				v.Members = append(v.Members, node(fmt.Sprint("n", i), "", float64(i%10)/20))
			}
			for b.Loop() {
				Place(v, "town hall", Hint{}, Policy{})
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	room := subjectRoom("town hall")
	f.Add(room, []byte(`{"k":"room","f":"n1","e":1,"r":"town hall","s":1,"o":[{"k":"a","v":"eA=="}]}`))
	f.Add("all", []byte(`{"k":"announce","f":"n1","e":1,"m":{"node":"n1","epoch":1,"load":{"used":0.5}}}`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		m, err := decode(subject, data)
		if err != nil {
			return
		}
		if !ValidNode(m.From) || m.Epoch == 0 || len(m.Room) > maxName || m.Part > maxParts {
			t.Fatalf("accepted %+v", m)
		}
		if m.Kind == kindRoom && subject != subjectRoom(m.Room) {
			t.Fatalf("accepted for room %q on %q", m.Room, subject)
		}
	})
}
