package cluster

import "time"

// State is what a node thinks of another.
type State uint8

const (
	Alive   State = iota
	Suspect       // no beat for 500 ms; still counted as there
	Lost          // out of reach for this node, which is alone in that or sees no majority: nothing is taken over
	Dead          // found dead by its watchers and fenced: that incarnation will not be listened to again
)

func (s State) String() string {
	return [...]string{"alive", "suspect", "lost", "dead"}[s]
}

// MarshalText writes the state as a word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Load is how busy a node is, as it measures itself.
type Load struct {
	// Used is the share of the node's measured capacity in use, 0 to 1 and above when overloaded: the largest of the
	// shares of tick time, encoding and packets (and of rooms.max_total). Placement goes by this alone.
	Used float64 `json:"used"`
	// Capacity is how many participants the node thinks it can carry, measured or configured; 0: not known. Placement
	// uses it to guess what a participant weighs until the node reports again.
	Capacity     int `json:"capacity"`
	Participants int `json:"participants"`
	Rooms        int `json:"rooms"`
}

// Member is a node as the others know it.
type Member struct {
	Node   string `json:"node"`             // unique name, [a-z0-9] and inner '-', '.', '_', at most 63 bytes
	Epoch  uint64 `json:"epoch"`            // incarnation: higher after each start, and each time it was taken for dead
	Region string `json:"region,omitempty"` // as configured; empty: none
	URL    string `json:"url,omitempty"`    // where clients reach it (https://a.example:8443); empty: not by redirect
	Trunk  string `json:"trunk,omitempty"`  // where nodes send media to it, ip:port of UDP; empty: no trunks
	Load   Load   `json:"load"`
	// Draining nodes take no new rooms and no new participants.
	Draining bool `json:"draining,omitempty"`
	// Version of the program, for people.
	Version string `json:"version,omitempty"`

	State State `json:"-"` // this node's own opinion
	Self  bool  `json:"-"`
}

// EventKind says what happened to a node.
type EventKind uint8

const (
	// NodeJoined: a node was heard for the first time, or with a new Epoch (what was known of the old one is void).
	NodeJoined EventKind = iota
	// NodeChanged: address, region or draining changed. Changes of Load alone are not told.
	NodeChanged
	// NodeSuspect, NodeLost, NodeDead: see State. NodeAlive: back from Suspect or Lost, with the same Epoch.
	NodeSuspect
	NodeLost
	NodeDead
	NodeAlive
	// NodeLeft: it said goodbye.
	NodeLeft
	// SelfRejoined: this node was taken for dead or stood still, and goes on with a new Epoch: trunks need new keys.
	SelfRejoined
	// SelfDegraded and SelfRecovered: this node no longer sees (sees again) more than half of the cluster.
	SelfDegraded
	SelfRecovered
	// DrainRequested: an operator wants this node empty (parley drain).
	DrainRequested
)

func (k EventKind) String() string {
	return [...]string{"joined", "changed", "suspect", "lost", "dead", "alive", "left", "rejoined", "degraded", "recovered",
		"drain requested"}[k]
}

// Event is told through Config.OnEvent. Member is a copy.
type Event struct {
	Kind   EventKind
	Member Member
}

// Timing of liveness. Chosen so that a killed node is found within 0.8 s: a beat is at most 250 ms old when the node
// dies, so it is accused 500 to 750 ms after its death, plus one tick.
const (
	beatEvery    = 250 * time.Millisecond
	suspectAfter = 500 * time.Millisecond
	deadAfter    = 750 * time.Millisecond
	tickEvery    = 50 * time.Millisecond
	// In clusters of up to watchAll nodes everybody watches everybody: 128 beats a second and node. In larger ones each
	// is watched by the next few on the ring: enough that a majority of them survives the failure of a rack, few enough
	// that a node hears 32 beats a second however many there are.
	watchAll    = 33
	fewWatchers = 8
	// accuseEvery renews an accusation, accuseFor is how long it counts.
	accuseEvery = time.Second
	accuseFor   = 2500 * time.Millisecond
	// forgetAfter is how long a dead node counts as a member when majorities are formed. Only a majority forgets.
	forgetAfter = 10 * time.Minute
	// A node tells everybody about itself every second, more rarely in clusters of more than 100: that costs each node
	// 100 messages a second and no more.
	announceEvery   = time.Second
	announcePerNode = 10 * time.Millisecond
)
