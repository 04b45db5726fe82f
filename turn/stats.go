package turn

import (
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// reason says why a packet, a connection or a request was turned away.
type reason uint8

const (
	reasonNone reason = iota
	reasonShort
	reasonOversize
	reasonNotSTUN
	reasonSTUNMalformed
	reasonSTUNMethod
	reasonLifetime
	reasonChannelMalformed
	reasonChannelTiny
	reasonKeepalive
	reasonNoAllocation
	reasonBindingRate
	reasonUnauthorizedRate
	reasonUnauthorized
	reasonForbiddenPeer
	reasonQuotaUser
	reasonQuotaAddress
	reasonQuotaTotal
	reasonQuotaPermissions
	reasonQuotaChannels
	reasonRelayPeer
	reasonRelayLoop
	reasonRelaySource
	reasonRelayRate
	reasonSocket
	reasonConnections
	reasonConnectionsAddress
	reasonFirstFrameTimeout
	reasonFrameTimeout
	reasonIdleTimeout
	reasonWriteTimeout
	reasonTLS
	reasonCongested
	reasons
)

var reasonNames = [reasons]string{
	reasonShort:              "short",
	reasonOversize:           "oversize",
	reasonNotSTUN:            "not_stun",
	reasonSTUNMalformed:      "stun_malformed",
	reasonSTUNMethod:         "stun_method",
	reasonLifetime:           "stun_lifetime",
	reasonChannelMalformed:   "channel_malformed",
	reasonChannelTiny:        "channel_tiny",
	reasonKeepalive:          "keepalive",
	reasonNoAllocation:       "no_allocation",
	reasonBindingRate:        "binding_rate",
	reasonUnauthorizedRate:   "unauthorized_rate",
	reasonUnauthorized:       "unauthorized",
	reasonForbiddenPeer:      "forbidden_peer",
	reasonQuotaUser:          "quota_user",
	reasonQuotaAddress:       "quota_address",
	reasonQuotaTotal:         "quota_total",
	reasonQuotaPermissions:   "quota_permissions",
	reasonQuotaChannels:      "quota_channels",
	reasonRelayPeer:          "relay_peer",
	reasonRelayLoop:          "relay_loop",
	reasonRelaySource:        "relay_source",
	reasonRelayRate:          "relay_rate",
	reasonSocket:             "socket_error",
	reasonConnections:        "connections_total",
	reasonConnectionsAddress: "connections_address",
	reasonFirstFrameTimeout:  "first_frame_timeout",
	reasonFrameTimeout:       "frame_timeout",
	reasonIdleTimeout:        "idle_timeout",
	reasonWriteTimeout:       "write_timeout",
	reasonTLS:                "tls_handshake",
	reasonCongested:          "stream_congested",
}

// Stats is a snapshot of the server's counters. Counters only grow; gauges are named as such.
type Stats struct {
	Allocations      int // gauge: allocations now
	Connections      int // gauge: TCP and TLS connections now
	AllocationsTotal uint64
	ConnectionsTotal uint64
	BindingAnswers   uint64
	AuthFailures     uint64 // requests whose signature did not fit
	Revoked          uint64 // allocations ended because their participant left
	Expired          uint64 // allocations ended because nobody refreshed them, or idle ones for their user's newer ones
	UpPackets        uint64 // relayed from clients to peers
	UpBytes          uint64 // payload only
	DownPackets      uint64 // relayed from peers to clients
	DownBytes        uint64
	// Dropped counts what was turned away, by reason (stun_malformed, relay_peer, quota_user, …). Every reason is present.
	Dropped map[string]uint64
}

// counters are the live values behind Stats.
type counters struct {
	dropped                                    [reasons]atomic.Uint64
	logged                                     [reasons]atomic.Int64 // when a reason was last logged, in ns since start
	allocations, connections                   atomic.Uint64
	binding, authFailures, revoked, expired    atomic.Uint64
	upPackets, upBytes, downPackets, downBytes atomic.Uint64
	log                                        *zap.Logger
	clock                                      func() time.Duration
}

// drop counts one event and logs at most one line a second for each reason, with the source cut to its /24 or /48.
func (c *counters) drop(r reason, src netip.Addr) {
	n := c.dropped[r].Add(1)
	if r == reasonKeepalive {
		return
	}
	now := int64(c.clock())
	last := c.logged[r].Load()
	if (last == 0 || now-last >= int64(time.Second)) && c.logged[r].CompareAndSwap(last, max(now, 1)) {
		c.log.Info("turned away", zap.String("reason", reasonNames[r]), zap.Stringer("source", network(src)), zap.Uint64("total", n))
	}
}

// network cuts an address to what a log may show of a person: /24 or /48.
func network(a netip.Addr) netip.Prefix {
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 48
	}
	p, _ := a.Prefix(bits)
	return p
}

// Stats returns a snapshot; it may be called at any time from any goroutine.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		Allocations:      s.table.size(),
		Connections:      s.conns.size(),
		AllocationsTotal: c.allocations.Load(),
		ConnectionsTotal: c.connections.Load(),
		BindingAnswers:   c.binding.Load(),
		AuthFailures:     c.authFailures.Load(),
		Revoked:          c.revoked.Load(),
		Expired:          c.expired.Load(),
		UpPackets:        c.upPackets.Load(),
		UpBytes:          c.upBytes.Load(),
		DownPackets:      c.downPackets.Load(),
		DownBytes:        c.downBytes.Load(),
		Dropped:          make(map[string]uint64, reasons),
	}
	for r := reasonNone + 1; r < reasons; r++ {
		st.Dropped[reasonNames[r]] = c.dropped[r].Load()
	}
	return st
}
