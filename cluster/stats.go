package cluster

// Stats are counters since the start and the state of now, for metrics. Durations are in seconds.
type Stats struct {
	Sent, Received uint64
	Dropped        uint64 // not received because too many waited
	DeadLetters    uint64 // malformed, too large, or on somebody else's subject
	Unsent         uint64 // too large to be sent
	Refused        uint64 // of an incarnation that is over
	Gaps           uint64 // times that messages may have been lost on the bus or here
	Resyncs        uint64 // wholes asked for: a newcomer asks too
	Deaths         uint64 // nodes found dead
	Rejoins        uint64 // times that this node had to take a new epoch
	Takeovers      uint64 // rooms that this node took over
	Redirects      uint64 // clients sent to another node
	SteppedDown    uint64 // rooms that this node owned and another owns by a higher epoch

	Epoch        uint64 // this node's incarnation
	Members      map[State]int
	Degraded     bool
	Connected    bool // to the bus
	OwnRooms     int  // entered by this node
	OwnedRooms   int  // of these, owned by it
	KnownRooms   int  // in the directory
	SharedRooms  int  // of this node's, with other nodes in them
	Store        StoreStats
	StoreEnabled bool
}

// Stats is a snapshot.
func (c *Cluster) Stats() Stats {
	c.mu.Lock()
	s := c.stats
	s.Epoch, s.Degraded = c.self.Epoch, !c.quorum
	s.Members = map[State]int{Alive: 1}
	for _, p := range c.peers {
		s.Members[p.State]++
	}
	s.OwnRooms, s.KnownRooms = len(c.own), len(c.rooms)
	for _, r := range c.own {
		if r.epoch > 0 {
			s.OwnedRooms++
		}
		if len(r.remotes) > 0 {
			s.SharedRooms++
		}
	}
	c.mu.Unlock()
	s.Dropped = c.mailbox.drops()
	s.Connected = c.nats == nil || c.nats.connected()
	if c.store != nil {
		s.Store, s.StoreEnabled = c.store.stats(), true
	}
	return s
}
