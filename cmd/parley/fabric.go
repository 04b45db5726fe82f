package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"parley/cluster"
	"parley/cluster/link"
	"parley/internal/config"
	"parley/sfu"
	"parley/signaling"
)

// trunkBuffer is what the trunks' socket may hold: a quarter of a second of a thousand speakers.
const trunkBuffer = 4 << 20

// buildCluster joins the node to others, if it is meant to have any. A lone node has nothing of this.
func (n *node) buildCluster() error {
	c := n.cfg.Cluster
	if !c.On() {
		return nil
	}
	name := c.Node
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("cluster.node is not set, and the host name is not known: %w", err)
		}
		name = strings.ToLower(host)
	}
	conn, advertise, err := n.listenTrunk()
	if err != nil {
		return err
	}
	policy := cluster.Policy{Mode: cluster.SendOn}
	if c.Placement == config.PlacementExtend {
		policy.Mode = cluster.ServeHere
	}
	n.link, err = link.New(link.Config{
		Cluster: cluster.Config{
			Node: name, Region: c.Region, URL: c.URL, Version: versionString(), Size: c.Size, Policy: policy, Log: n.log,
			NATS: cluster.NATSConfig{
				Dir: filepath.Join(n.cfg.DataDir, "cluster"), Routes: c.Routes, Key: c.Key, Listen: addrPort(c.Listen),
				URL: c.NATSURL, UserKey: c.NATSNKey, CAFile: c.NATSCAFile,
			},
		},
		Conn: conn, Advertise: advertise, Now: n.mixer.Now, Speakers: n.cfg.Audio.Speakers, Load: n.load,
		OnEvent: n.clusterEvent, Log: n.log,
	})
	if err != nil {
		_ = conn.Close()
		return err
	}
	n.sfu.SetFabric(n.link)
	return nil
}

// addrPort is where to listen; every address is that of IPv4, which all nodes have, unless there is no such address here.
func addrPort(l config.Listen) netip.AddrPort {
	switch {
	case !l.On:
		return netip.AddrPort{}
	case !l.Addr.IsValid():
		return netip.AddrPortFrom(netip.IPv4Unspecified(), l.Port)
	}
	return netip.AddrPortFrom(l.Addr, l.Port)
}

// listenTrunk opens the socket for media between nodes. Without a cluster key it is on loopback, as all the rest.
func (n *node) listenTrunk() (*net.UDPConn, netip.AddrPort, error) {
	c := n.cfg.Cluster
	at := addrPort(c.TrunkListen)
	if !at.IsValid() {
		return nil, at, fmt.Errorf("cluster.trunk_listen is empty: nodes need it to hear each other")
	}
	if c.Key == "" {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, at, fmt.Errorf("cluster.trunk_listen: %w", err)
	}
	_ = conn.SetReadBuffer(trunkBuffer) // what the system allows will do
	_ = conn.SetWriteBuffer(trunkBuffer)
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	if c.TrunkAddress != "" {
		advertise, err := netip.ParseAddrPort(c.TrunkAddress)
		if err != nil {
			_ = conn.Close()
			return nil, at, fmt.Errorf("cluster.trunk_address: %w", err)
		}
		return conn, advertise, nil
	}
	addr := at.Addr()
	if addr.IsUnspecified() {
		addr = c.Listen.Addr // by which the others reach this node anyway
	}
	if !addr.IsValid() || addr.IsUnspecified() {
		addresses := n.filter().Media(n.interfaces, n.privateOnly())
		if len(addresses) == 0 {
			_ = conn.Close()
			return nil, at, fmt.Errorf("cluster.trunk_address is not set, and this machine has no address that others could use")
		}
		addr = slices.MaxFunc(addresses, func(a, b netip.Addr) int {
			return cmp.Compare(usefulness(a), usefulness(b))
		})
	}
	return conn, netip.AddrPortFrom(addr, port), nil
}

// usefulness orders addresses by how likely other nodes reach them.
func usefulness(a netip.Addr) int {
	switch {
	case a.IsLoopback() || a.IsLinkLocalUnicast():
		return 0
	case a.Is4():
		return 2
	}
	return 1
}

// load is how busy the node is.
func (n *node) load() cluster.Load {
	m, s := n.mixer.Stats(), n.sfu.Stats()
	l := cluster.Load{Used: m.Load, Capacity: n.cfg.Rooms.MaxTotal, Participants: s.Participants, Rooms: s.Rooms}
	if l.Capacity > 0 {
		l.Used = max(l.Used, float64(l.Participants)/float64(l.Capacity))
	}
	return l
}

// clusterEvent hears what happens to nodes. It does not block.
func (n *node) clusterEvent(e cluster.Event) {
	if e.Kind == cluster.DrainRequested {
		n.log.Info("an operator wants this node empty")
		select {
		case n.emptied <- struct{}{}:
		default:
		}
	}
}

// nodes tells signaling about the others.
type nodes struct{ c *cluster.Cluster }

var _ signaling.Cluster = nodes{}

// Place implements signaling.Cluster.
func (n nodes) Place(room string, h signaling.Hint) (string, error) {
	hint := cluster.Hint{Region: h.Region, Redirected: h.Redirected}
	if h.Failed != "" {
		for _, m := range n.c.Members() {
			if !m.Self && m.URL == h.Failed {
				hint.Failed = append(hint.Failed, m.Node)
			}
		}
	}
	switch d := n.c.Place(room, hint); d.Action {
	case cluster.Redirect:
		return d.Node.URL, nil
	case cluster.Refuse:
		return "", sfu.ErrServerFull
	default:
		return "", nil
	}
}

// Fallbacks implements signaling.Cluster.
func (n nodes) Fallbacks(room, region string) []string {
	var out []string
	for _, m := range n.c.Fallbacks(room, region, 4) {
		out = append(out, m.URL)
	}
	return out
}

// Members implements signaling.Cluster.
func (n nodes) Members() []string {
	var out []string
	for _, m := range n.c.Members() {
		if !m.Self && m.URL != "" {
			out = append(out, m.URL)
		}
	}
	return out
}

// clusterHandler serves the cluster to operators; nil on a node alone.
func (n *node) clusterHandler() http.Handler {
	if n.link == nil {
		return nil
	}
	return n.link.Cluster().Handler()
}

// leaveCluster tells the others that nobody is to be sent here any more.
func (n *node) leaveCluster() {
	if n.link != nil {
		n.link.Cluster().Drain()
		n.sfu.LeaveSoon()
	}
}

// drainOnRequest empties the node when an operator asks for it by any other node; the process goes on, for somebody to stop.
func (n *node) drainOnRequest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.emptied:
	}
	timed, cancel := context.WithTimeout(ctx, n.cfg.DrainTimeout)
	begin := time.Now()
	n.drain(timed)
	cancel()
	n.log.Info("this node is empty and may be stopped", zap.Duration("after", time.Since(begin)))
	<-ctx.Done()
	return nil
}
