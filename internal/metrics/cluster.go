package metrics

import (
	"parley/cluster"
	"parley/cluster/link"
	"parley/cluster/trunk"
)

// clusterMetrics are of the node's part in the cluster: members as it sees them, rooms, and what must be remembered.
func clusterMetrics(snapshot func() link.Stats) *group[link.Stats] {
	type s = link.Stats
	g := newGroup("cluster", snapshot)
	count := func(name, help string, value func(cluster.Stats) uint64) {
		g.counter(name, help, func(s s) float64 { return float64(value(s.Cluster)) })
	}
	g.gauge("members_alive", "Nodes that live, this one included.", func(s s) float64 {
		return float64(s.Cluster.Members[cluster.Alive] + s.Cluster.Members[cluster.Suspect])
	})
	g.gauges("members", "Nodes by state, as this one sees them.", "state", func(s s) map[string]float64 {
		out := map[string]float64{}
		for _, state := range []cluster.State{cluster.Alive, cluster.Suspect, cluster.Lost, cluster.Dead} {
			out[state.String()] = float64(s.Cluster.Members[state])
		}
		return out
	})
	g.gauge("epoch", "This node's incarnation.", func(s s) float64 { return float64(s.Cluster.Epoch) })
	g.gauge("degraded", "1 while this node sees less than half of the cluster.", func(s s) float64 { return truth(s.Cluster.Degraded) })
	g.gauge("bus_connected", "1 while messages can be sent.", func(s s) float64 { return truth(s.Cluster.Connected) })
	g.gauge("rooms_own", "Rooms with participants of this node.", func(s s) float64 { return float64(s.Cluster.OwnRooms) })
	g.gauge("rooms_owned", "Of these, those that this node owns.", func(s s) float64 { return float64(s.Cluster.OwnedRooms) })
	g.gauge("rooms_shared", "Of its own, those with other nodes in them.", func(s s) float64 { return float64(s.Cluster.SharedRooms) })
	g.gauge("rooms_known", "Rooms of the whole cluster.", func(s s) float64 { return float64(s.Cluster.KnownRooms) })
	count("messages_sent_total", "Messages to other nodes.", func(c cluster.Stats) uint64 { return c.Sent })
	count("messages_received_total", "Messages of other nodes.", func(c cluster.Stats) uint64 { return c.Received })
	count("messages_dropped_total", "Messages that waited for too long.", func(c cluster.Stats) uint64 { return c.Dropped })
	count("messages_dead_total", "Messages that mean nothing here.", func(c cluster.Stats) uint64 { return c.DeadLetters })
	count("messages_refused_total", "Messages of incarnations that are over.", func(c cluster.Stats) uint64 { return c.Refused })
	count("gaps_total", "Times that messages may have been lost.", func(c cluster.Stats) uint64 { return c.Gaps })
	count("resyncs_total", "Wholes asked for.", func(c cluster.Stats) uint64 { return c.Resyncs })
	count("deaths_total", "Nodes found dead.", func(c cluster.Stats) uint64 { return c.Deaths })
	count("rejoins_total", "Times that this node took a new epoch.", func(c cluster.Stats) uint64 { return c.Rejoins })
	count("takeovers_total", "Rooms taken over from nodes that are gone.", func(c cluster.Stats) uint64 { return c.Takeovers })
	count("redirects_total", "Clients that placement sent to another node.", func(c cluster.Stats) uint64 { return c.Redirects })
	g.gauge("store_records", "Records in memory.", func(s s) float64 { return float64(s.Cluster.Store.Records) })
	g.gauge("store_waiting", "Writes that wait for the store.", func(s s) float64 { return float64(s.Cluster.Store.Waiting) })
	g.gauge("store_reached", "1 while the store answers.", func(s s) float64 { return truth(s.Cluster.Store.Reached) })
	count("store_errors_total", "Writes that failed.", func(c cluster.Stats) uint64 { return c.Store.Errors })
	count("store_conflicts_total", "Writes that somebody else was quicker with.", func(c cluster.Stats) uint64 { return c.Store.Conflicts })
	g.histogram("store_write_seconds", "How long writes took, failures included.", func(s s) durations {
		return durations{bounds: cluster.StoreBuckets[:], counts: s.Cluster.Store.Latency[:], sum: s.Cluster.Store.LatencySum}
	})
	return g
}

// trunkMetrics are of the media between nodes. The label is a node's name; there are as many as nodes.
func trunkMetrics(snapshot func() link.Stats) *group[link.Stats] {
	type s = link.Stats
	g := newGroup("trunk", snapshot)
	each := func(value func(trunk.Link) float64) func(s) map[string]float64 {
		return func(s s) map[string]float64 {
			out := make(map[string]float64, len(s.Links))
			for _, l := range s.Links {
				out[l.Node] = value(l)
			}
			return out
		}
	}
	g.gauges("up", "1 while something comes from the node.", "node", each(func(l trunk.Link) float64 { return truth(l.Up) }))
	g.gauges("rtt_seconds", "Round trip.", "node", each(func(l trunk.Link) float64 { return l.RTT.Seconds() }))
	g.gauges("jitter_seconds", "Jitter on the way in.", "node", each(func(l trunk.Link) float64 { return l.Jitter.Seconds() }))
	g.gauges("loss_in_ratio", "Share of datagrams lost on the way in, before repair.", "node", each(func(l trunk.Link) float64 { return l.LossIn }))
	g.gauges("loss_out_ratio", "The same on the way out, as the other node says.", "node", each(func(l trunk.Link) float64 { return l.LossOut }))
	g.gauges("streams_in", "Speakers that the node sends.", "node", each(func(l trunk.Link) float64 { return float64(l.StreamsIn) }))
	g.gauges("streams_out", "Speakers that are sent to it.", "node", each(func(l trunk.Link) float64 { return float64(l.StreamsOut) }))
	g.counters("in_packets_total", "Packets of speech from the node.", "node", each(func(l trunk.Link) float64 { return float64(l.PacketsIn) }))
	g.counters("out_packets_total", "Packets of speech to it.", "node", each(func(l trunk.Link) float64 { return float64(l.PacketsOut) }))
	g.counters("in_bytes_total", "Bytes of datagrams from it.", "node", each(func(l trunk.Link) float64 { return float64(l.BytesIn) }))
	g.counters("out_bytes_total", "Bytes of datagrams to it.", "node", each(func(l trunk.Link) float64 { return float64(l.BytesSent) }))
	g.counters("missed_total", "Datagrams that did not come in turn.", "node", each(func(l trunk.Link) float64 { return float64(l.Missed) }))
	g.counters("recovered_total", "Of these, those that came after all.", "node", each(func(l trunk.Link) float64 { return float64(l.Recovered) }))
	g.counters("forged_total", "Datagrams that do not authenticate.", "node", each(func(l trunk.Link) float64 { return float64(l.Forged) }))
	g.counters("dropped_total", "Packets to it that found no room or no link.", "node", each(func(l trunk.Link) float64 { return float64(l.Dropped + l.Unsent) }))
	g.counters("refused_total", "Datagrams that belong to no link, by reason.", "reason", func(s s) map[string]float64 {
		return map[string]float64{
			"malformed": float64(s.Refused.Malformed), "forged": float64(s.Refused.Forged), "stale": float64(s.Refused.Stale),
			"replayed": float64(s.Refused.Replayed), "too_many": float64(s.Refused.TooMany), "no_session": float64(s.Refused.NoSession),
		}
	})
	g.gauge("voices", "Participants of other nodes that are known.", func(s s) float64 { return float64(s.Inlet.Voices) })
	g.gauge("talkers", "Participants of this node in shared rooms.", func(s s) float64 { return float64(s.Outlet.Talkers) })
	g.gauge("talkers_chosen", "Of these, those that are sent now.", func(s s) float64 { return float64(s.Outlet.Chosen) })
	g.counters("inlet_dropped_total", "Packets that came and were not heard, by reason.", "reason", func(s s) map[string]float64 {
		return map[string]float64{
			"no_room": float64(s.Inlet.NoRoom), "double": float64(s.Inlet.Doubles), "unknown": float64(s.Inlet.Unknown),
			"full": float64(s.Inlet.Full), "too_many": float64(s.Inlet.TooMany),
		}
	})
	return g
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
