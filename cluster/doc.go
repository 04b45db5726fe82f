// Package cluster joins nodes into one service: who lives, who owns which room, what the nodes of a room tell each
// other, where a client belongs, and what must outlive a process.
//
// Five ideas, one file or two each:
//
//	bus        messages between nodes: a NATS server inside the process, or one outside (bus.go, embed.go, natsbus.go)
//	members    who lives: heartbeats, accusations, incarnations, quorum (members.go, ring.go)
//	rooms      which nodes have people in which room, who owns it, and what they tell each other (directory.go, room.go)
//	placement  a pure function from what is known to where a client goes (placement.go)
//	store      what must be remembered, in JetStream (store.go)
//
// The package moves room names, node names and opaque bytes. It refuses to know what a participant or a packet is;
// media goes over trunks of its own and never waits for anything here. It refuses to listen on anything but loopback
// without a cluster key, and opens no port at all for a lone node.
//
// # Life and death
//
// A node sends a beat every 250 ms. Its watchers (everybody, and in clusters of more than 33 nodes the eight that follow
// it on a ring of hashed names) find it suspect after 500 ms without one and accuse it after 750 ms. It is dead when more than half of those of its watchers
// that are themselves above suspicion accuse it, so one bad link kills nobody. A node that sees more than half of the
// cluster fences the dead: messages of that incarnation are refused from then on, and the node must come back with a
// higher one. A node that does not see more than half calls the others lost, not dead: it takes nothing over, gives up
// what it owned, goes on serving its own clients, and takes the lost back the moment it hears them.
//
// All timing is by the monotonic clock of the receiver. The wall clock is read once, for the first incarnation, and a
// wrong one is corrected by those who know a higher.
//
// # Goroutines and locks
//
// Run owns everything: a loop that receives, ticks and calls back, and what bus and store need. All state is under
// Cluster.mu, held for microseconds and never across a callback or a wait. Callbacks (Config.OnEvent, RoomHandler) are
// called from the loop, one at a time, in order; they must not block, and may call any method of the package but Run.
// The bus's own locks come after Cluster.mu: Publish, Subscribe and Unsubscribe are called with it held.
package cluster
