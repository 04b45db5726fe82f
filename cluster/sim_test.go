package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// simulation is a cluster with a crowd, without media: people come to a random node, go where it sends them, and stay.
type simulation struct {
	*fleet
	t         *testing.T
	rng       *rand.Rand
	nodes     []*testNode
	rooms     map[string]map[*testNode]*simRoom
	capacity  int
	redirects int
	refused   int
}

type simRoom struct {
	room   *Room
	people int
}

type quiet struct{}

func (quiet) PeerJoined(string)                {}
func (quiet) PeerState(string, string, []byte) {}
func (quiet) PeerEvent(string, []byte)         {}
func (quiet) PeerLeft(string)                  {}
func (quiet) Owner(string, uint64)             {}

func newSimulation(t *testing.T, nodes, capacity, keepDirectory int) *simulation {
	s := &simulation{
		fleet: newFleet(t), t: t, rng: rand.New(rand.NewPCG(1, 2)), rooms: map[string]map[*testNode]*simRoom{}, capacity: capacity,
	}
	once := decodeOnce()
	for i := range nodes {
		s.nodes = append(s.nodes, s.add(fmt.Sprintf("n%03d", i), func(cfg *Config) {
			cfg.forgetful, cfg.decode = i >= keepDirectory, once
		}))
		if i%20 == 19 {
			sleep(100 * time.Millisecond) // an operator does not start a thousand at once either
		}
	}
	return s
}

// decodeOnce decodes each message once for all who read it.
func decodeOnce() func(string, []byte) (*message, error) {
	type result struct {
		data []byte // kept, so that its address stays its own
		m    *message
		err  error
	}
	var mu sync.Mutex
	memo := map[*byte]result{}
	return func(subject string, data []byte) (*message, error) {
		mu.Lock()
		defer mu.Unlock()
		r, found := memo[&data[0]]
		if !found {
			if len(memo) > 20000 {
				clear(memo)
			}
			r.data = data
			r.m, r.err = decode(subject, data)
			memo[&data[0]] = r
		}
		return r.m, r.err
	}
}

// join brings one person to a room by way of a node, and returns where they end up.
func (s *simulation) join(room string, at *testNode, hint Hint) *testNode {
	for range 3 {
		d := at.Place(room, hint)
		switch d.Action {
		case Redirect:
			s.redirects++
			at = s.fleet.nodes[d.Node.Node]
			if at == nil {
				return nil // it has just died; the client tries another
			}
			hint.Redirected = true
			continue
		case Refuse:
			s.refused++
			return nil
		}
		break
	}
	if s.rooms[room] == nil {
		s.rooms[room] = map[*testNode]*simRoom{}
	}
	r := s.rooms[room][at]
	if r == nil {
		handle, err := at.Enter(room, quiet{})
		if err != nil {
			s.t.Fatal(err)
		}
		r = &simRoom{room: handle}
		s.rooms[room][at] = r
	}
	r.people++
	r.room.SetParticipants(r.people)
	return at
}

// load tells every node how many it has.
func (s *simulation) load() map[*testNode]int {
	people := map[*testNode]int{}
	for _, parts := range s.rooms {
		for n, r := range parts {
			people[n] += r.people
		}
	}
	for _, n := range s.fleet.nodes {
		n.SetLoad(Load{Used: float64(people[n]) / float64(s.capacity), Capacity: s.capacity, Participants: people[n]})
	}
	return people
}

// balance is the fullest node against the mean.
func (s *simulation) balance() (ratio float64, most int) {
	total := 0
	people := s.load()
	for _, n := range s.fleet.nodes {
		total += people[n]
		most = max(most, people[n])
	}
	return float64(most) * float64(len(s.fleet.nodes)) / float64(total), most
}

// traffic is messages received per node and second over d: mean and most.
func (s *simulation) traffic(d time.Duration, during func()) (mean, most float64) {
	before := map[*testNode]uint64{}
	for _, n := range s.fleet.nodes {
		before[n] = n.Stats().Received
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		during()
		s.load()
		sleep(100 * time.Millisecond)
	}
	for _, n := range s.fleet.nodes {
		rate := float64(n.Stats().Received-before[n]) / d.Seconds()
		mean += rate / float64(len(s.fleet.nodes))
		most = max(most, rate)
	}
	return mean, most
}

// N-15: 100 nodes, 10,000 rooms of 2 to 18 people. Balanced within a quarter of the mean, at most 200 messages per node
// and second, and when a node is killed its people are spread over the others. That takes half a minute of a core;
// without PARLEY_SIM=1 the cluster is of 40 nodes and 1,200 rooms, which is past every threshold in the code too.
func TestManyNodes(t *testing.T) {
	size, rooms, capacity := 40, 1200, 450
	if os.Getenv("PARLEY_SIM") != "" {
		size, rooms, capacity = 100, 10000, 1500
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, size, capacity, size)
		defer s.close()
		sleep(settleTime)
		names := make([]string, rooms)
		for i := range names {
			names[i] = fmt.Sprint("room ", i)
		}
		// The first of a room comes two tenths of a second before the others: whoever comes at the very same moment by
		// another node extends the room, which is right and not what is asked here.
		var waiting [][]string
		open := func(rooms []string) {
			for _, room := range rooms {
				s.join(room, s.fleet.nodes[fmt.Sprintf("n%03d", s.rng.IntN(size))], Hint{})
			}
			waiting = append(waiting, rooms)
			if len(waiting) <= 2 {
				return
			}
			for _, room := range waiting[0] {
				for range 1 + s.rng.IntN(17) {
					s.join(room, s.fleet.nodes[fmt.Sprintf("n%03d", s.rng.IntN(size))], Hint{})
				}
			}
			waiting = waiting[1:]
		}
		next := 0
		fill := func() { // all in six seconds
			until := min(next+rooms/55+1, len(names))
			open(names[next:until])
			next = until
		}
		s.traffic(6*time.Second, fill)
		sleep(2 * time.Second)
		ratio, _ := s.balance()
		extended := 0
		for _, parts := range s.rooms {
			if len(parts) > 1 {
				extended++
			}
		}
		t.Logf("filled: %d rooms, max/mean %.3f, %d redirects, %d rooms on several nodes", len(s.rooms), ratio, s.redirects, extended)
		if ratio > 1.25 || s.refused > 0 || extended > len(names)/20 || len(s.rooms) != len(names) {
			t.Errorf("max/mean %.3f (at most 1.25), %d refused, %d rooms on several nodes", ratio, s.refused, extended)
		}
		// Calls of ten minutes: 17 rooms end and begin each second.
		churn := func() {
			var fresh []string
			for range 2 {
				i := s.rng.IntN(len(names))
				for _, r := range s.rooms[names[i]] {
					r.room.Leave()
				}
				delete(s.rooms, names[i])
				names[i] = fmt.Sprint("room ", next)
				next++
				fresh = append(fresh, names[i])
			}
			open(fresh)
		}
		mean, worst := s.traffic(10*time.Second, churn)
		t.Logf("20 rooms ending and beginning a second: %.0f messages per node and second, at most %.0f", mean, worst)
		if worst > 200 {
			t.Errorf("%.0f messages per node and second, at most 200", worst)
		}

		// A node dies. Its people come back through the fallbacks they were given, within the second.
		s.load()
		victim := s.nodes[size-3]
		type person struct {
			room      string
			fallbacks []Member
		}
		var people []person
		for name, parts := range s.rooms {
			if r := parts[victim]; r != nil {
				fb := victim.Fallbacks(name, "", 3)
				for range r.people {
					people = append(people, person{name, fb})
				}
				delete(parts, victim)
			}
		}
		s.kill(victim)
		before := s.load()
		taken := map[*testNode]int{}
		s.rng.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
		moved := 0
		mean, worst = s.traffic(2*time.Second, func() {
			for n := len(people)/8 + 1; moved < len(people) && n > 0; n-- {
				p := people[moved]
				moved++
				taken[s.join(p.room, s.fleet.nodes[p.fallbacks[0].Node], Hint{Failed: []string{victim.self.Node}})]++
			}
		})
		herd := 0
		for _, n := range taken {
			herd = max(herd, n)
		}
		split := 0
		for _, p := range people {
			if len(s.rooms[p.room]) > 1 {
				split++
			}
		}
		after, most := s.balance()
		t.Logf("killed with %d people: %d nodes took them, at most %d each; max/mean %.3f (%d); %.0f messages per node and second, at most %.0f; %d people in rooms that came apart",
			len(people), len(taken), herd, after, most, mean, worst, split)
		crowd := len(people) / 8 // the most that one node may take
		if size < 100 {
			crowd = len(people) / 4 // of some thirty rooms, four or five come to one node by chance
		}
		if after > 1.25 || herd > crowd || taken[nil] > 0 || worst > 200 || len(before) == 0 || split > len(people)/20 {
			t.Errorf("max/mean %.3f, one node took %d of %d, %d were not taken, %.0f messages, %d apart", after, herd, len(people), taken[nil], worst, split)
		}
		for _, n := range s.fleet.nodes {
			if n.state(victim.self.Node) != "dead" || n.count(NodeDead) != 1 {
				t.Errorf("%s sees it %s, and %d dead", n.self.Node, n.state(victim.self.Node), n.count(NodeDead))
				break
			}
		}
	})
}

// 1,000 nodes and 1,000,000 participants in 100,000 rooms, each call 30 minutes long. It takes minutes and gigabytes, so
// PARLEY_SIM=1 asks for it. 16 of the nodes keep the directory, and are the ones that people come to; all nodes send and
// receive everything.
func TestThousandNodes(t *testing.T) {
	if os.Getenv("PARLEY_SIM") == "" {
		t.Skip("PARLEY_SIM=1 runs it")
	}
	synctest.Test(t, func(t *testing.T) {
		const nodes, rooms, people = 1000, 100000, 10
		s := newSimulation(t, nodes, 1500, 16)
		defer s.close()
		sleep(settleTime)
		enter := func(i int) {
			n := s.nodes[i%nodes]
			r, err := n.Enter(fmt.Sprint("room ", i), quiet{})
			if err != nil {
				t.Fatal(err)
			}
			r.SetParticipants(people)
			s.rooms[r.name] = map[*testNode]*simRoom{n: {r, people}}
		}
		for i := range rooms {
			enter(i)
		}
		s.load()
		sleep(30 * time.Second)
		if known := s.nodes[0].Stats().KnownRooms; known != rooms {
			t.Errorf("a node knows %d rooms", known)
		}
		quietMean, quietMost := s.traffic(10*time.Second, func() {})
		next := rooms
		mean, most := s.traffic(10*time.Second, func() { // 55 a second end and begin
			for range 5 + next%2 {
				old := fmt.Sprint("room ", next-rooms)
				for _, r := range s.rooms[old] {
					r.room.Leave()
				}
				delete(s.rooms, old)
				enter(next)
				next++
			}
		})
		t.Logf("%d nodes, %d participants, %d rooms; messages per node and second: %.0f at rest (at most %.0f), %.0f with 55 rooms ending and beginning a second (at most %.0f)",
			nodes, rooms*people, rooms, quietMean, quietMost, mean, most)
		s.kill(s.nodes[999])
		killed := time.Now()
		sleep(time.Second)
		var found []time.Duration
		for _, n := range s.fleet.nodes {
			if at := n.when("n999", NodeDead); !at.IsZero() {
				found = append(found, at.Sub(killed))
			}
		}
		slices.Sort(found)
		if len(found) != nodes-1 || found[len(found)-1] > 800*time.Millisecond {
			t.Fatalf("a killed node was found by %d of %d within a second", len(found), nodes-1)
		}
		t.Logf("a killed node was found by all within %v", found[len(found)-1])
	})
}
