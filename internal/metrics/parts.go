package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"parley/cluster/link"
	"parley/mixer"
	"parley/sfu"
	"parley/signaling"
	"parley/turn"
)

// Sources are the parts' snapshots; nil for a part that does not run.
type Sources struct {
	Version   string
	Mixer     func() mixer.Stats
	SFU       func() sfu.NodeStats
	Signaling func() signaling.Stats
	TURN      func() turn.Stats
	Cluster   func() link.Stats // nil: alone
}

// NewRegistry makes a registry with everything there is to know about a node. Reading it asks the sources.
func NewRegistry(s Sources) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(processMetrics(s.Version)...)
	if s.Mixer != nil {
		r.MustRegister(mixerMetrics(s.Mixer), neteqMetrics(func() mixer.NetEqTotals { return s.Mixer().NetEq }))
	}
	if s.SFU != nil {
		r.MustRegister(sfuMetrics(s.SFU))
	}
	if s.Signaling != nil {
		r.MustRegister(signalingMetrics(s.Signaling))
	}
	if s.TURN != nil {
		r.MustRegister(turnMetrics(s.TURN))
	}
	if s.Cluster != nil {
		r.MustRegister(clusterMetrics(s.Cluster), trunkMetrics(s.Cluster))
	}
	return r
}

func mixerMetrics(snapshot func() mixer.Stats) *group[mixer.Stats] {
	type s = mixer.Stats
	g := newGroup("mixer", snapshot)
	g.gauge("rooms", "Rooms.", func(s s) float64 { return float64(s.Rooms) })
	g.gauge("active_rooms", "Rooms that have listeners and are mixed.", func(s s) float64 { return float64(s.ActiveRooms) })
	g.gauge("sources", "Incoming tracks.", func(s s) float64 { return float64(s.Sources) })
	g.gauge("listeners", "Outgoing streams.", func(s s) float64 { return float64(s.Listeners) })
	g.gauge("buses", "Distinct mixes, each with an encoder.", func(s s) float64 { return float64(s.Buses) })
	g.gauge("workers", "Goroutines that mix.", func(s s) float64 { return float64(s.WorkerThreads) })
	g.gauge("tick_seconds", "Length of a tick.", func(s s) float64 { return s.TickDuration.Seconds() })
	g.counter("ticks_total", "Room ticks that were run.", func(s s) float64 { return float64(s.Ticks) })
	g.counter("ticks_late_total", "Room ticks that began more than 5 ms late.", func(s s) float64 { return float64(s.Late) })
	g.counter("ticks_caught_up_total", "Room ticks that were run after the next was due.", func(s s) float64 { return float64(s.CaughtUp) })
	g.counter("ticks_skipped_total", "Room ticks that were left out because the node could not keep up.", func(s s) float64 { return float64(s.Skipped) })
	g.counter("room_panics_total", "Rooms closed because their tick panicked.", func(s s) float64 { return float64(s.Panics) })
	g.counter("encodes_total", "Frames encoded.", func(s s) float64 { return float64(s.Encodes) })
	g.counter("silent_frames_total", "Frames of silence that needed no encoding.", func(s s) float64 { return float64(s.SilentFrames) })
	g.counter("encode_errors_total", "Frames that the encoder refused.", func(s s) float64 { return float64(s.EncodeErrors) })
	g.counter("frames_total", "Frames handed to listeners.", func(s s) float64 { return float64(s.Frames) })
	g.counter("frames_repeated_total", "Of these, with the frame before in them once more.", func(s s) float64 { return float64(s.Repeated) })
	g.counter("tier_changes_total", "Listeners moved to a better or worse tier.", func(s s) float64 { return float64(s.TierChanges) })
	g.counter("bus_forks_total", "Encoders made as a copy of another, for listeners that left a shared bus.", func(s s) float64 { return float64(s.Forks) })
	g.counter("bus_joins_total", "Listeners that came to a bus that others hear.", func(s s) float64 { return float64(s.Joins) })
	g.counter("decodes_total", "Source ticks (10 ms of one source) that were decoded.", func(s s) float64 { return float64(s.Decodes) })
	g.counter("elections_total", "Times a source got one of its room's places.", func(s s) float64 { return float64(s.Elections) })
	g.counter("steps_shared_total", "Steps of a large room's tick that were done by several workers.", func(s s) float64 { return float64(s.Shared) })
	g.counter("shared_steps_total", "Steps of large rooms' ticks that several workers did.", func(s s) float64 { return float64(s.Shared) })
	g.counter("false_levels_total", "Senders found to state false audio levels.", func(s s) float64 { return float64(s.Liars) })
	g.gauge("load", "Share of its time that the busiest worker works, 0 to 1.", func(s s) float64 { return s.Load })
	g.gauge("overload_rung", "Place of the busiest worker on the overload ladder: 0 none, 1 no FEC, 2 complexity 5, 3 complexity 2, 4 frames of 40 ms, 5 three speakers, 6 joins refused.", func(s s) float64 { return float64(s.Rung) })
	g.counters("overload_climbs_total", "Times a worker came to a rung of the overload ladder.", "rung", func(s s) map[string]float64 {
		out := make(map[string]float64, mixer.Rungs-1)
		for i, n := range s.Climbs {
			out[strconv.Itoa(i+1)] = float64(n)
		}
		return out
	})
	g.counter("overload_descents_total", "Times a worker left a rung downwards.", func(s s) float64 { return float64(s.Descents) })
	g.histogram("tick_lateness_seconds", "How long after its due time a room tick began.", func(s s) durations { return mixerDurations(s.Lateness) })
	g.histogram("tick_duration_seconds", "How long a room tick took.", func(s s) durations { return mixerDurations(s.Duration) })
	for stage, m := range [mixer.Stages]struct{ name, help string }{
		mixer.StageInsert: {"receive_to_insert", "From the reception of a packet to its room's tick, which gives it to the jitter buffer."},
		mixer.StageBuffer: {"insert_to_pull", "Time in the jitter buffer: a source's mean of 100 ms."},
		mixer.StageFrame:  {"pull_to_encode", "From the tick that took a frame's first sample out of the jitter buffer to its encoding."},
		mixer.StageEncode: {"encode", "How long encoding a frame took."},
		mixer.StageSend:   {"encode_to_send", "From the end of encoding to the last datagram's being sent."},
	} {
		g.histogram(m.name+"_seconds", m.help, func(s s) durations { return mixerDurations(s.Stages[stage]) })
	}
	return g
}

// neteqMetrics are of all jitter buffers together. Sample counters are at 48 kHz: the concealed share of sound is
// rate(neteq_concealed_samples_total) / rate(neteq_played_samples_total), the mean delay in seconds
// rate(neteq_delay_seconds_total) / rate(neteq_emitted_samples_total).
func neteqMetrics(snapshot func() mixer.NetEqTotals) *group[mixer.NetEqTotals] {
	g := newGroup("neteq", snapshot)
	count := func(name, help string, value func(mixer.NetEqTotals) uint64) {
		g.counter(name, help, func(s mixer.NetEqTotals) float64 { return float64(value(s)) })
	}
	type s = mixer.NetEqTotals
	count("played_samples_total", "Samples played, received or made up.", func(s s) uint64 { return s.PlayedSamples })
	count("concealed_samples_total", "Samples made up where none had come.", func(s s) uint64 { return s.ConcealedSamples })
	count("concealment_events_total", "Runs of concealed samples.", func(s s) uint64 { return s.ConcealmentEvents })
	count("stutter_samples_total", "Samples in runs of concealment over 200 ms.", func(s s) uint64 { return s.StutterSamples })
	count("inserted_samples_total", "Samples added by stretching, to gain delay.", func(s s) uint64 { return s.InsertedSamples })
	count("removed_samples_total", "Samples removed by compressing, to lose delay.", func(s s) uint64 { return s.RemovedSamples })
	count("skipped_samples_total", "Samples passed over undecoded: nobody was to hear them.", func(s s) uint64 { return s.SkippedSamples })
	count("emitted_samples_total", "Samples taken from the packet buffers.", func(s s) uint64 { return s.EmittedSamples })
	g.counter("delay_seconds_total", "Delay in the packet buffers, summed over emitted samples.", func(s s) float64 { return float64(s.DelayMicroseconds) / 1e6 })
	count("packets_total", "Packets received.", func(s s) uint64 { return s.PacketsReceived })
	count("packets_discarded_total", "Packets too late or flushed.", func(s s) uint64 { return s.PacketsDiscarded })
	count("late_packets_total", "Packets that came after their time was concealed.", func(s s) uint64 { return s.LatePackets })
	count("duplicate_packets_total", "Packets that had come before.", func(s s) uint64 { return s.DuplicatePackets })
	count("fec_packets_used_total", "Lost packets played from in-band redundancy.", func(s s) uint64 { return s.FECPacketsUsed })
	count("red_packets_used_total", "Lost packets played from RED copies.", func(s s) uint64 { return s.REDPacketsUsed })
	count("packets_requested_total", "Packets to be asked for again.", func(s s) uint64 { return s.PacketsRequested })
	count("decode_errors_total", "Packets that their decoder refused.", func(s s) uint64 { return s.DecodeErrors })
	return g
}

func mixerDurations(h mixer.Histogram) durations {
	bounds := make([]float64, len(h.Bounds))
	for i, b := range h.Bounds {
		bounds[i] = b.Seconds()
	}
	return durations{bounds: bounds, counts: h.Counts, sum: h.Sum.Seconds()}
}

func sfuMetrics(snapshot func() sfu.NodeStats) *group[sfu.NodeStats] {
	type s = sfu.NodeStats
	g := newGroup("sfu", snapshot)
	g.gauge("rooms", "Rooms.", func(s s) float64 { return float64(s.Rooms) })
	g.gauge("participants", "Participants.", func(s s) float64 { return float64(s.Participants) })
	g.gauge("publishing_participants", "Of these, those who send audio.", func(s s) float64 { return float64(s.Publishing) })
	g.gauge("connected_participants", "Of these, those whose media is up.", func(s s) float64 { return float64(s.Connected) })
	g.counter("joined_total", "Participants that joined.", func(s s) float64 { return float64(s.Joined) })
	g.counter("left_total", "Participants that left, for whatever reason.", func(s s) float64 { return float64(s.Left) })
	g.counter("refused_total", "Joins refused.", func(s s) float64 { return float64(s.Refused) })
	g.counter("rooms_made_total", "Rooms made.", func(s s) float64 { return float64(s.RoomsMade) })
	g.counter("rooms_closed_total", "Rooms closed.", func(s s) float64 { return float64(s.RoomsClosed) })
	g.counter("offers_total", "SDP offers of clients.", func(s s) float64 { return float64(s.Offers) })
	g.counter("offers_refused_total", "Of these, those that were refused.", func(s s) float64 { return float64(s.OffersRefused) })
	g.counter("ice_restarts_total", "ICE restarts.", func(s s) float64 { return float64(s.ICERestarts) })
	g.counter("candidates_ignored_total", "Candidates of clients that are not checked.", func(s s) float64 { return float64(s.CandidatesIgnored) })
	g.counter("rtp_in_packets_total", "Audio packets received.", func(s s) float64 { return float64(s.RTPIn) })
	g.counter("rtp_requested_packets_total", "Lost audio packets that clients were asked to send again.", func(s s) float64 { return float64(s.RTPRequested) })
	g.counter("rtp_recovered_packets_total", "Of these, those that came.", func(s s) float64 { return float64(s.RTPRecovered) })
	g.counter("rtp_out_packets_total", "Audio packets sent.", func(s s) float64 { return float64(s.RTPOut) })
	g.counter("rtp_out_bytes_total", "Audio payload sent.", func(s s) float64 { return float64(s.RTPOutBytes) })
	g.counter("rtp_out_repeated_total", "Audio packets sent with the frame before in them once more (RED).", func(s s) float64 { return float64(s.RTPRepeated) })
	g.counter("rtp_out_errors_total", "Audio packets that could not be sent.", func(s s) float64 { return float64(s.RTPOutErrors) })
	g.counter("socket_in_packets_total", "Datagrams received on the media sockets.", func(s s) float64 { return float64(s.SocketPacketsIn) })
	g.counter("socket_in_bytes_total", "Bytes received on the media sockets.", func(s s) float64 { return float64(s.SocketBytesIn) })
	g.counter("socket_out_packets_total", "Datagrams sent from the media sockets.", func(s s) float64 { return float64(s.SocketPacketsOut) })
	g.counter("socket_out_bytes_total", "Bytes sent from the media sockets.", func(s s) float64 { return float64(s.SocketBytesOut) })
	g.counter("socket_reads_total", "System calls that received datagrams.", func(s s) float64 { return float64(s.SocketReads) })
	g.counter("socket_batches_total", "System calls that sent several datagrams.", func(s s) float64 { return float64(s.SocketBatches) })
	g.counter("socket_read_errors_total", "Errors of reading from the media sockets.", func(s s) float64 { return float64(s.SocketReadErrors) })
	g.counter("socket_write_errors_total", "Errors of writing to the media sockets.", func(s s) float64 { return float64(s.SocketWriteErrors) })
	g.counter("tcp_accepted_total", "Connections for media over TCP.", func(s s) float64 { return float64(s.TCPAccepted) })
	g.counter("tcp_refused_total", "Of these, those that were refused.", func(s s) float64 { return float64(s.TCPRefused) })
	g.counters("dropped_packets_total", "Packets received and not used, by reason.", "reason", func(s s) map[string]float64 {
		return floats(s.Dropped)
	})
	g.gauges("port_peers", "Peers on each media port, by its position in media.udp_ports.", "port", func(s s) map[string]float64 {
		out := make(map[string]float64, len(s.PortLoads))
		for i, load := range s.PortLoads {
			out[strconv.Itoa(i)] = float64(load)
		}
		return out
	})
	g.histogram("join_seconds", "From the join to media in both directions.", func(s s) durations {
		return durations{bounds: sfu.JoinBuckets[:], counts: s.JoinTimes[:], sum: s.JoinSeconds}
	})
	return g
}

func floats(m map[string]uint64) map[string]float64 {
	out := make(map[string]float64, len(m))
	for k, v := range m {
		out[k] = float64(v)
	}
	return out
}

func signalingMetrics(snapshot func() signaling.Stats) *group[signaling.Stats] {
	type s = signaling.Stats
	g := newGroup("signaling", snapshot)
	g.gauge("sockets", "Open WebSockets.", func(s s) float64 { return float64(s.Sockets) })
	g.gauge("sessions", "Participants that joined over /ws.", func(s s) float64 { return float64(s.Sessions) })
	g.gauge("detached_sessions", "Of these, those whose socket is lost and may come back.", func(s s) float64 { return float64(s.Detached) })
	g.gauge("whip_sessions", "WHIP and WHEP sessions.", func(s s) float64 { return float64(s.WHIPSessions) })
	g.counter("joins_total", "Joins over /ws.", func(s s) float64 { return float64(s.Joins) })
	g.counter("joins_refused_total", "Joins over /ws that were refused.", func(s s) float64 { return float64(s.JoinsRefused) })
	g.counter("resumes_total", "Sessions that a new socket took up again.", func(s s) float64 { return float64(s.Resumes) })
	g.counter("resumes_failed_total", "Attempts to take up a session that is not there.", func(s s) float64 { return float64(s.ResumesFailed) })
	g.counter("sessions_expired_total", "Sessions whose socket did not come back in time.", func(s s) float64 { return float64(s.Expired) })
	g.counter("slow_readers_total", "Sockets closed because their client did not read.", func(s s) float64 { return float64(s.SlowReaders) })
	g.counter("rate_limited_total", "Sockets closed because their client sent too much.", func(s s) float64 { return float64(s.RateLimited) })
	g.counter("whip_joins_total", "Joins over WHIP and WHEP.", func(s s) float64 { return float64(s.WHIPJoins) })
	g.counter("whip_refused_total", "Joins over WHIP and WHEP that were refused.", func(s s) float64 { return float64(s.WHIPRefused) })
	g.counter("redirects_total", "Joins that were sent to another node.", func(s s) float64 { return float64(s.Redirects) })
	return g
}

func turnMetrics(snapshot func() turn.Stats) *group[turn.Stats] {
	type s = turn.Stats
	g := newGroup("turn", snapshot)
	g.gauge("allocations", "Allocations.", func(s s) float64 { return float64(s.Allocations) })
	g.gauge("connections", "TCP and TLS connections.", func(s s) float64 { return float64(s.Connections) })
	g.counter("allocations_total", "Allocations made.", func(s s) float64 { return float64(s.AllocationsTotal) })
	g.counter("connections_total", "TCP and TLS connections accepted.", func(s s) float64 { return float64(s.ConnectionsTotal) })
	g.counter("binding_answers_total", "STUN Binding requests answered.", func(s s) float64 { return float64(s.BindingAnswers) })
	g.counter("auth_failures_total", "Requests whose signature did not fit.", func(s s) float64 { return float64(s.AuthFailures) })
	g.counter("allocations_revoked_total", "Allocations ended because their participant left.", func(s s) float64 { return float64(s.Revoked) })
	g.counter("allocations_expired_total", "Allocations ended because nobody refreshed them.", func(s s) float64 { return float64(s.Expired) })
	g.counter("up_packets_total", "Packets relayed from clients.", func(s s) float64 { return float64(s.UpPackets) })
	g.counter("up_bytes_total", "Payload relayed from clients.", func(s s) float64 { return float64(s.UpBytes) })
	g.counter("down_packets_total", "Packets relayed to clients.", func(s s) float64 { return float64(s.DownPackets) })
	g.counter("down_bytes_total", "Payload relayed to clients.", func(s s) float64 { return float64(s.DownBytes) })
	g.counters("dropped_total", "What was turned away, by reason.", "reason", func(s s) map[string]float64 {
		return floats(s.Dropped)
	})
	return g
}
