package cluster

import "time"

// StoreBuckets are the upper bounds of StoreStats.Latency, in seconds; one more counts what is slower.
var StoreBuckets = [...]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}

// StoreStats are the store's counters.
type StoreStats struct {
	Writes, Errors, Conflicts uint64
	Records                   int // in memory
	Waiting                   int // accepted by Later and not written yet
	Reached                   bool
	// Latency counts writes by how long they took, failures included; LatencySum is their sum in seconds.
	Latency    [len(StoreBuckets) + 1]uint64
	LatencySum float64
}

func (c *StoreStats) observe(d time.Duration) {
	c.Writes++
	c.LatencySum += d.Seconds()
	i := 0
	for i < len(StoreBuckets) && d.Seconds() > StoreBuckets[i] {
		i++
	}
	c.Latency[i]++
}

func (s *Store) stats() StoreStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Waiting, c.Reached = len(s.later), s.kv != nil
	for _, r := range s.records {
		if r.value != nil {
			c.Records++
		}
	}
	return c
}
