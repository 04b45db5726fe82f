package sfu

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
)

// counters are the node's own, since start.
type counters struct {
	sockets socketCounters

	joined, left, refused             atomic.Uint64
	roomsMade, roomsClosed            atomic.Uint64
	offers, offersRefused, restarts   atomic.Uint64
	candidatesIgnored, consentLost    atomic.Uint64
	rtpIn                             atomic.Uint64
	rtpOut, rtpOutErrors, rtpOutBytes atomic.Uint64 // of participants that have left
	rtpRepeated                       atomic.Uint64 // the same
	droppedMalformed, droppedCodec    atomic.Uint64
	droppedEmpty, droppedForbidden    atomic.Uint64
	droppedInbox, droppedMuted        atomic.Uint64
	droppedTrack, droppedRTCP         atomic.Uint64
	requested, recovered              atomic.Uint64

	joinBuckets [len(JoinBuckets) + 1]atomic.Uint64
	joinSum     atomic.Int64 // nanoseconds
}

// JoinBuckets are the upper bounds of NodeStats.JoinTimes, in seconds.
var JoinBuckets = [...]float64{0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2, 5, 15}

// joinTime counts the time from Join until media was up.
func (c *counters) joinTime(d time.Duration) {
	i := 0
	for i < len(JoinBuckets) && d.Seconds() > JoinBuckets[i] {
		i++
	}
	c.joinBuckets[i].Add(1)
	c.joinSum.Add(int64(d))
}

// NodeStats is a snapshot of a node for metrics. Counters run since start.
type NodeStats struct {
	Rooms, Participants            int
	Publishing, Connected          int // of the participants
	Joined, Left, Refused          uint64
	RoomsMade, RoomsClosed         uint64
	Offers, OffersRefused          uint64
	ICERestarts                    uint64
	CandidatesIgnored              uint64 // well-formed, but not to be checked
	RTPIn, RTPOut                  uint64 // packets of audio
	RTPRequested                   uint64 // packets that clients were asked to send again
	RTPRecovered                   uint64 // of these, those that came
	RTPOutBytes, RTPOutErrors      uint64 // payload bytes; packets that could not be written
	RTPRepeated                    uint64 // of RTPOut, with the frame before in them once more (RED)
	SocketPacketsIn, SocketBytesIn uint64 // everything on the media sockets
	SocketPacketsOut               uint64
	SocketBytesOut                 uint64
	SocketReads, SocketBatches     uint64 // system calls that received datagrams, and that sent several
	SocketReadErrors               uint64
	SocketWriteErrors              uint64
	TCPAccepted, TCPRefused        uint64
	Dropped                        map[string]uint64 // packets in, by reason
	// JoinTimes counts joins by the time from Join to media up; [i] is up to JoinBuckets[i], the last is beyond all.
	JoinTimes   [len(JoinBuckets) + 1]uint64
	JoinSeconds float64 // their sum
	PortLoads   []int   // peers on each media port
}

// Stats returns a snapshot.
func (n *Node) Stats() NodeStats {
	c, s := &n.counters, &n.counters.sockets
	st := NodeStats{
		Joined: c.joined.Load(), Left: c.left.Load(), Refused: c.refused.Load(),
		RoomsMade: c.roomsMade.Load(), RoomsClosed: c.roomsClosed.Load(),
		Offers: c.offers.Load(), OffersRefused: c.offersRefused.Load(), ICERestarts: c.restarts.Load(),
		CandidatesIgnored: c.candidatesIgnored.Load(),
		RTPIn:             c.rtpIn.Load(), RTPOut: c.rtpOut.Load(), RTPRequested: c.requested.Load(), RTPRecovered: c.recovered.Load(),
		RTPOutBytes: c.rtpOutBytes.Load(), RTPRepeated: c.rtpRepeated.Load(), RTPOutErrors: c.rtpOutErrors.Load(),
		SocketPacketsIn: s.packetsIn.Load(), SocketBytesIn: s.bytesIn.Load(),
		SocketPacketsOut: s.packetsOut.Load(), SocketBytesOut: s.bytesOut.Load(),
		SocketReads: s.reads.Load(), SocketBatches: s.batches.Load(),
		SocketReadErrors: s.readErrors.Load(), SocketWriteErrors: s.writeErrors.Load(),
		TCPAccepted: s.tcpAccepted.Load(), TCPRefused: s.tcpRefused.Load(),
		JoinSeconds: time.Duration(c.joinSum.Load()).Seconds(),
		Dropped: map[string]uint64{
			"ssrc": s.droppedSSRC.Load(), "protocol": s.droppedOther.Load(), "malformed": c.droppedMalformed.Load(),
			"codec": c.droppedCodec.Load(), "empty": c.droppedEmpty.Load(), "forbidden": c.droppedForbidden.Load(),
			"inbox": c.droppedInbox.Load(), "muted": c.droppedMuted.Load(), "track": c.droppedTrack.Load(),
			"rtcp": c.droppedRTCP.Load(), "queue": s.droppedQueue.Load(),
		},
	}
	for i := range st.JoinTimes {
		st.JoinTimes[i] = c.joinBuckets[i].Load()
	}
	for _, p := range n.ports {
		st.PortLoads = append(st.PortLoads, int(p.load.Load()))
	}
	n.mu.Lock()
	st.Rooms, st.Participants = len(n.rooms), len(n.participants)
	all := make([]*participant, 0, len(n.participants))
	for _, p := range n.participants {
		all = append(all, p)
	}
	n.mu.Unlock()
	for _, p := range all {
		p.mu.Lock()
		if p.presence.connected {
			st.Connected++
		}
		if p.peer != nil {
			st.RTPOut += p.peer.down.packets.Load()
			st.RTPOutBytes += p.peer.down.bytes.Load()
			st.RTPOutErrors += p.peer.down.errors.Load()
			st.RTPRepeated += p.peer.down.repeated.Load()
		}
		p.mu.Unlock()
		p.uplink.mu.Lock()
		if p.uplink.source != nil {
			st.Publishing++
		}
		p.uplink.mu.Unlock()
	}
	return st
}

// retire keeps the counts of a peer that goes.
func (c *counters) retire(d *downTrack) {
	c.rtpOut.Add(d.packets.Load())
	c.rtpOutBytes.Add(d.bytes.Load())
	c.rtpOutErrors.Add(d.errors.Load())
	c.rtpRepeated.Add(d.repeated.Load())
}

// localCandidates returns how many UDP candidates of each family a peer has.
func (n *Node) localCandidates() (v4, v6 int) {
	for _, list := range [][]netip.Addr{n.cfg.Addresses, n.cfg.NAT1To1} {
		for _, a := range list {
			if a.Unmap().Is4() {
				v4++
			} else {
				v6++
			}
		}
	}
	return v4, v6
}

func localAddrPort(c net.PacketConn) netip.AddrPort {
	if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
