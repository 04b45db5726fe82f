package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"parley/cluster/link"
	"parley/internal/codec"
	"parley/internal/config"
	"parley/internal/localca"
	"parley/internal/metrics"
	"parley/internal/netaddr"
	"parley/internal/opus"
	"parley/mixer"
	"parley/neteq"
	"parley/sfu"
	"parley/signaling"
	"parley/static"
	"parley/turn"
)

// node is the whole server: the parts, wired.
type node struct {
	cfg        *config.Loaded
	log        *zap.Logger
	interfaces []netaddr.Interface

	mixer   *mixer.Mixer
	sfu     *sfu.Node
	link    *link.Link    // nil: alone
	emptied chan struct{} // capacity 1: an operator wants the node empty
	turn    *turn.Server  // nil: off
	signal  *signaling.Server
	ca      *localca.CA // nil: given certificate, or no HTTPS
	files   *fileCert   // nil: local CA, or no HTTPS
	tls     *tls.Config // nil: neither HTTPS nor TURN over TLS
	http    []*httpListeners
	https   *httpListeners // nil: off; also in http
	admin   *httpListeners // nil: off; also in http
	ticking progress
}

// newNode builds the parts and opens every socket. On an error everything that was opened is closed again.
func newNode(cfg *config.Loaded, log *zap.Logger) (_ *node, err error) {
	n := &node{cfg: cfg, log: log, emptied: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			n.abandon()
		}
	}()
	if n.interfaces, err = netaddr.System(); err != nil {
		return nil, err
	}
	for _, build := range []func() error{n.buildMedia, n.buildCluster, n.buildTLS, n.buildTurn, n.buildSignaling, n.buildHTTP} {
		if err := build(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// privateOnly reports whether every listener must stay off public addresses.
func (n *node) privateOnly() bool { return n.cfg.Open() && !n.cfg.InsecureOpen }

func (n *node) filter() netaddr.Filter {
	m := n.cfg.Media
	return netaddr.Filter{
		IncludeInterfaces: m.Interfaces.Include, ExcludeInterfaces: m.Interfaces.Exclude,
		IncludePrefixes: m.CIDRs.Include, ExcludePrefixes: m.CIDRs.Exclude,
	}
}

// buildMedia makes mixer and sfu.
func (n *node) buildMedia() error {
	newEncoder := newEncoder
	err := opus.SelfCheck()
	if err != nil {
		n.log.Warn("encoders cannot be forked with this libopus: a listener that starts to speak gets a fresh one", zap.Error(err))
		newEncoder = newPlainEncoder
	}
	audio := n.cfg.Audio
	n.mixer, err = mixer.New(mixer.Config{
		NewDecoder: newDecoder, NewEncoder: newEncoder, NewTelephone: newTelephone, Speakers: audio.Speakers, KeyTones: audio.KeyTones, Log: n.log,
		Encoder: mixer.EncoderConfig{
			Channels: 1, BitrateBps: audio.Bitrate, FEC: audio.FEC, DTX: audio.DTX, Complexity: audio.Complexity,
		},
	})
	if err != nil {
		return err
	}
	addresses := n.filter().Media(n.interfaces, n.privateOnly())
	if len(addresses) == 0 {
		return errors.New("no address for media: media.interfaces and media.cidrs leave none of this machine's")
	}
	n.sfu, err = sfu.New(sfu.Config{
		Mixer: n.mixer, Addresses: addresses,
		UDPPorts: sfu.PortRange{First: n.cfg.Media.UDPPorts.First, Last: n.cfg.Media.UDPPorts.Last},
		TCPPort:  uint16(n.cfg.Media.TCPPort), NAT1To1: n.cfg.Media.NAT1To1,
		AllowPrivateCandidates: allowPrivateCandidates(&n.cfg.Config, addresses),
		MaxParticipants:        n.cfg.Rooms.MaxTotal, MaxRoomParticipants: n.cfg.Rooms.MaxParticipants,
		EmptyRoomTimeout: n.cfg.Rooms.EmptyTimeout, Room: n.roomConfig, Log: n.log,
	})
	return err
}

// roomConfig says how the room with a name is mixed.
func (n *node) roomConfig(name string) mixer.RoomConfig {
	o, audio := n.cfg.RoomOptions(name), n.cfg.Audio
	c := mixer.RoomConfig{
		Speakers: o.Speakers, Channels: 1, FrameMs: o.PacketMs, Leveling: o.Leveling, Music: o.Music,
		Encoder: &mixer.EncoderConfig{BitrateBps: o.BitrateBps, FEC: audio.FEC, DTX: audio.DTX, Complexity: audio.Complexity},
	}
	if o.Stereo {
		c.Channels = 2
	}
	if o.Speakers == 0 {
		c.Speakers = mixer.Everybody
	}
	return c
}

func newDecoder(f neteq.Format, channels int) (neteq.Decoder, error) {
	if strings.EqualFold(f.Name, "opus") {
		return opus.NewDecoder(channels)
	}
	return codec.NewDecoder(f.Name, channels)
}

func newEncoder(c mixer.EncoderConfig) (mixer.Encoder, error) {
	return opus.NewEncoder(opus.EncoderConfig{
		Channels: c.Channels, BitrateBps: c.BitrateBps, FEC: c.FEC, DTX: c.DTX, LossPercent: c.LossPercent, Complexity: c.Complexity, Music: c.Music,
	})
}

// newTelephone makes encoders for clients without Opus.
func newTelephone(c mixer.Codec, channels int) (mixer.Encoder, error) {
	return codec.NewEncoder(c.String(), channels)
}

// newPlainEncoder makes encoders without CopyState, for a libopus whose state cannot be copied.
func newPlainEncoder(c mixer.EncoderConfig) (mixer.Encoder, error) {
	e, err := newEncoder(c)
	return struct{ mixer.Encoder }{e}, err
}

// buildTLS finds the certificate: given files, or the local CA's.
func (n *node) buildTLS() error {
	if !n.cfg.HTTPS.Enabled && !(n.cfg.TURN.Enabled && n.cfg.TURN.TLSListen.On) {
		return nil
	}
	n.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if n.cfg.HTTPS.CertFile != "" {
		if n.files, err = newFileCert(n.cfg.HTTPS.CertFile, n.cfg.HTTPS.KeyFile, n.log); err != nil {
			return err
		}
		n.tls.GetCertificate = n.files.GetCertificate
		return nil
	}
	var names []string
	if host := n.cfg.ICE.PublicHost; host != "" {
		names = append(names, host)
	}
	n.ca, err = localca.Open(localca.Config{
		Dir: filepath.Join(n.cfg.DataDir, "ca"), Names: names, Addresses: n.certificateAddresses, Log: n.log.Named("localca"),
	})
	if err != nil {
		return fmt.Errorf("%w (data_dir is %s)", err, n.cfg.DataDir)
	}
	n.tls.GetCertificate = n.ca.GetCertificate
	return nil
}

// certificateAddresses is what the local CA's certificate is for: all addresses of now and those behind a NAT.
func (n *node) certificateAddresses() ([]netip.Addr, error) {
	interfaces, err := netaddr.System()
	if err != nil {
		return nil, err
	}
	return append((netaddr.Filter{}).Addrs(interfaces), n.cfg.Media.NAT1To1...), nil
}

func (n *node) buildTurn() error {
	t := n.cfg.TURN
	if !t.Enabled || !t.Listen.On && !t.TLSListen.On {
		return nil
	}
	conf := turn.Config{
		Realm: t.Realm, Secret: []byte(t.Secret), CredentialTTL: t.CredentialTTL,
		RelayAddresses: n.filter().Media(n.interfaces, n.privateOnly()),
		RelayPorts:     turn.PortRange{First: t.RelayPorts.First, Last: t.RelayPorts.Last},
		AllowPeer:      n.allowPeer(), TLSConfig: n.tls, Log: n.log.Named("turn"),
	}
	var err error
	if t.Listen.On {
		conf.UDP, err = netaddr.Concrete(t.Listen.Addr, t.Listen.Port, n.interfaces, n.privateOnly())
		if err != nil {
			return fmt.Errorf("turn.listen: %w", err)
		}
		conf.TCP = conf.UDP
	}
	if t.TLSListen.On {
		conf.TLS, err = netaddr.Concrete(t.TLSListen.Addr, t.TLSListen.Port, n.interfaces, n.privateOnly())
		if err != nil {
			return fmt.Errorf("turn.tls_listen: %w", err)
		}
	}
	n.turn, err = turn.New(conf)
	return err
}

// allowPeer lists whom TURN may relay to: this node's own media sockets, under the addresses that clients know.
func (n *node) allowPeer() func(netip.AddrPort) bool {
	addresses := n.sfu.MediaAddrs()
	for _, a := range slices.Clone(addresses) {
		for _, public := range n.cfg.Media.NAT1To1 {
			if public.Is4() == a.Addr().Is4() {
				addresses = append(addresses, netip.AddrPortFrom(public, a.Port()))
			}
		}
	}
	allowed := make(map[netip.AddrPort]struct{}, 2*len(addresses))
	for _, a := range addresses {
		allowed[a] = struct{}{}
		allowed[netip.AddrPortFrom(a.Addr(), 0)] = struct{}{} // "any port": a permission is for an address
	}
	return func(a netip.AddrPort) bool {
		_, ok := allowed[a]
		return ok
	}
}

func (n *node) buildSignaling() error {
	ice := &iceServers{mode: n.cfg.ICE.Mode, publicHost: n.cfg.ICE.PublicHost, custom: n.cfg.ICE.Servers}
	rooms := signaling.Rooms(n.sfu)
	if n.turn != nil {
		ice.turn = n.turn
		bound := n.turn.Addrs()
		ice.udp, ice.tcp, ice.tls = firstPort(bound.UDP), firstPort(bound.TCP), firstPort(bound.TLS)
		ice.fallback = fallbackHost(bound.UDP, bound.TCP, bound.TLS)
		rooms = newRevokingRooms(n.sfu, n.turn.Revoke)
	}
	conf := signaling.Config{
		Rooms: rooms, ICE: ice, Origins: n.cfg.Origins, ICETransportPolicy: transportPolicy(n.cfg.ICE.Mode),
		Static: static.Handler(n.staticOptions()), Version: versionString(), Log: n.log,
	}
	if !n.cfg.Open() {
		conf.Keys = map[string]string{n.cfg.Auth.Key: n.cfg.Auth.Secret}
	}
	if n.link != nil {
		conf.Cluster = nodes{n.link.Cluster()}
	}
	var err error
	n.signal, err = signaling.New(conf)
	return err
}

func (n *node) staticOptions() static.Options {
	var o static.Options
	if n.link != nil {
		o.Nodes = nodes{n.link.Cluster()}.Members
	}
	if n.cfg.HTTPS.Enabled {
		o.HTTPSPort = int(n.cfg.HTTPS.Listen.Port)
		o.ShareBase = n.shareBase()
	}
	if n.ca != nil {
		o.CA = func() (pem, der []byte, fingerprint string) { return n.ca.PEM(), n.ca.DER(), n.ca.Fingerprint() }
	}
	return o
}

// shareBase is the address that an invitation made on localhost shows to others: the first HTTPS one of the network.
// Empty: there is none, or its port is not known before it is bound.
func (n *node) shareBase() string {
	listen := n.cfg.HTTPS.Listen
	if listen.Port == 0 {
		return ""
	}
	bound, err := netaddr.Concrete(listen.Addr, listen.Port, n.interfaces, n.privateOnly())
	if err != nil {
		return "" // buildHTTP says it
	}
	own := n.filter().Addrs(n.interfaces)
	if lan := urls("https", reachable(bound, own), own); len(lan) > 0 {
		return lan[0]
	}
	return ""
}

// firstPort is the port of a list whose entries share one; 0 if it is empty.
func firstPort(list []netip.AddrPort) uint16 {
	if len(list) == 0 {
		return 0
	}
	return list[0].Port()
}

// fallbackHost is the TURN address for clients that did not say by which name they know this host.
func fallbackHost(lists ...[]netip.AddrPort) string {
	for _, a := range slices.Concat(lists...) {
		if !a.Addr().IsLoopback() {
			return a.Addr().String()
		}
	}
	return "127.0.0.1"
}

// buildHTTP binds the listeners for clients and operators.
func (n *node) buildHTTP() error {
	if listen := n.cfg.HTTP.Listen; listen.On {
		if _, err := n.listen("http", listen, signaling.NewHTTPServer(n.signal.Handler()), nil, n.privateOnly()); err != nil {
			return err
		}
	}
	var err error
	if n.cfg.HTTPS.Enabled {
		n.https, err = n.listen("https", n.cfg.HTTPS.Listen, signaling.NewHTTPServer(n.signal.Handler()), n.tls, n.privateOnly())
		if err != nil {
			return err
		}
	}
	if listen := n.cfg.Admin.Listen; listen.On {
		server := signaling.NewHTTPServer(adminHandler(n.registry(), n.clusterHandler(), n.cfg.Admin.Token, n.cfg.Admin.PProf))
		server.WriteTimeout = 2 * time.Minute // a CPU profile takes the seconds it is asked for
		n.admin, err = n.listen("admin", listen, server, nil, true)
	}
	return err
}

func (n *node) listen(name string, at config.Listen, server *http.Server, conf *tls.Config, privateOnly bool) (*httpListeners, error) {
	addrs, err := netaddr.Expand(at.Addr, at.Port, n.interfaces, privateOnly)
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w", name, err)
	}
	server.ErrorLog = httpErrorLog(n.log.Named(name))
	h, err := listenHTTP(name, server, addrs, conf)
	if err != nil {
		return nil, err
	}
	n.http = append(n.http, h)
	return h, nil
}

func (n *node) registry() *prometheus.Registry {
	sources := metrics.Sources{Version: versionString(), Mixer: n.mixer.Stats, SFU: n.sfu.Stats, Signaling: n.signal.Stats}
	if n.turn != nil {
		sources.TURN = n.turn.Stats
	}
	if n.link != nil {
		sources.Cluster = n.link.Stats
	}
	return metrics.NewRegistry(sources)
}

// parts lists what runs.
func (n *node) parts() []part {
	out := []part{{"mixer", n.mixer.Run}, {"sfu", n.sfu.Run}, {"signaling", n.signal.Run}}
	if n.link != nil {
		out = append(out, part{"cluster", n.link.Run}, part{"drain", n.drainOnRequest})
	}
	if n.turn != nil {
		out = append(out, part{"turn", n.turn.Run})
	}
	if n.files != nil {
		out = append(out, part{"certificate", n.files.Run})
	}
	if n.ca != nil {
		out = append(out, part{"certificate", n.refreshCertificate})
	}
	for _, h := range n.http {
		out = append(out, part{h.name, h.Run})
	}
	return out
}

// refreshCertificate keeps the local CA's certificate in step with this machine's addresses and ahead of its end.
func (n *node) refreshCertificate(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := n.ca.Refresh(); err != nil {
				n.log.Error("the certificate was not renewed", zap.Error(err))
			}
		}
	}
}

// drain refuses joins, tells clients and takes everybody out of the rooms.
func (n *node) drain(ctx context.Context) {
	n.leaveCluster()
	n.signal.Drain(ctx)
	n.sfu.Drain(ctx)
}

// abandon closes what newNode had opened before it failed.
func (n *node) abandon() {
	for _, h := range n.http {
		h.close()
	}
	if n.turn != nil {
		_ = n.turn.Close() // always nil
	}
	if n.link != nil {
		_ = n.link.Close() // only of the socket
	}
	if n.sfu != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.sfu.Run(ended) // closes its sockets at once
	}
}

// alive is asked by the watchdog: rooms that should tick do.
func (n *node) alive() bool {
	st := n.mixer.Stats()
	return n.ticking.advanced(st.Ticks+st.Skipped, st.ActiveRooms > 0)
}

// progress tells whether a counter that should grow has grown since it was last looked at.
type progress struct {
	last uint64
	busy bool // it should already have been growing then
}

func (p *progress) advanced(now uint64, busy bool) bool {
	stuck := busy && p.busy && now == p.last
	p.last, p.busy = now, busy
	return !stuck
}

// printStart says where the node is to be found.
func (n *node) printStart(w io.Writer, qr bool) {
	own := n.filter().Addrs(n.interfaces)
	info := startInfo{
		version: versionString(), open: n.cfg.Open(), insecure: n.cfg.InsecureOpen, mode: n.cfg.ICE.Mode, qr: qr,
	}
	for _, h := range n.http {
		switch h.name {
		case "http":
			info.http = urls("http", h.addrs, own)
		case "https":
			info.https = urls("https", h.addrs, own)
			info.lan = urls("https", reachable(h.addrs, own), own)
		case "admin":
			info.admin = strings.Join(urls("http", h.addrs, own), " ")
		}
	}
	if n.ca != nil {
		info.caPrint = n.ca.Fingerprint()
		if len(info.lan) > 0 {
			info.trustPage = info.lan[0] + "/ca"
		}
	}
	for _, a := range n.cfg.Media.NAT1To1 {
		info.nat = append(info.nat, a.String())
	}
	info.media = endpoints("udp", n.sfu.MediaAddrs())
	if port := n.cfg.Media.TCPPort; port != 0 {
		var tcp []netip.AddrPort
		for _, a := range n.filter().Media(n.interfaces, n.privateOnly()) {
			tcp = append(tcp, netip.AddrPortFrom(a, uint16(port)))
		}
		info.media = append(info.media, endpoints("tcp", tcp)...)
	}
	if n.turn != nil {
		bound := n.turn.Addrs()
		info.turn = slices.Concat(endpoints("udp", bound.UDP), endpoints("tcp", bound.TCP), endpoints("tls", bound.TLS))
	}
	info.print(w)
}

// reachable keeps the addresses that other machines can use: not loopback, not the bridges that are filtered out.
func reachable(bound []netip.AddrPort, own []netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	for _, b := range bound {
		if b.Addr().IsUnspecified() {
			for _, a := range own {
				if !a.IsLoopback() && (a.Is4() || !b.Addr().Is4()) {
					out = append(out, netip.AddrPortFrom(a, b.Port()))
				}
			}
			continue
		}
		if !b.Addr().IsLoopback() && slices.Contains(own, b.Addr()) {
			out = append(out, b)
		}
	}
	return out
}
