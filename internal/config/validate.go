package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"parley/internal/netaddr"
)

const (
	minSecretBytes = 32  // HS256: a key shorter than the hash weakens it (RFC 7518 section 3.2)
	minAdminToken  = 16  // beyond guessing over HTTP
	maxMediaPorts  = 256 // one socket and one reader for each port and address
)

// validate checks everything that can be checked without opening a socket and reports all faults.
func (l *Loaded) validate() error {
	v := &validation{l: l}
	v.listeners()
	v.auth()
	v.origins()
	v.media()
	v.ice()
	v.turn()
	v.limits()
	v.rooms()
	v.cluster()
	return errors.Join(v.errs...)
}

type validation struct {
	l    *Loaded
	errs []error
}

// fail reports a fault of one key.
func (v *validation) fail(path, format string, args ...any) {
	v.errs = append(v.errs, v.l.at(path, fmt.Errorf(format, args...)))
}

// within checks a number against its range.
func (v *validation) within(path string, value, low, high int) {
	if value < low || value > high {
		v.fail(path, "%d is not between %d and %d", value, low, high)
	}
}

func (v *validation) span(path string, value, low, high time.Duration) {
	if value < low || value > high {
		v.fail(path, "%s is not between %s and %s", formatDuration(value), formatDuration(low), formatDuration(high))
	}
}

// binding is a port that the node will open.
type binding struct {
	path  string
	tcp   bool
	addr  netip.Addr // zero: all
	ports PortRange
}

func (v *validation) listeners() {
	c := &v.l.Config
	if !c.HTTP.Listen.On && !(c.HTTPS.Enabled && c.HTTPS.Listen.On) {
		v.fail("http.listen", "neither HTTP nor HTTPS is on; nobody could join")
	}
	if c.HTTPS.Enabled && !c.HTTPS.Listen.On {
		v.fail("https.listen", "is empty; to turn HTTPS off set https.enabled to false")
	}
	if (c.HTTPS.CertFile == "") != (c.HTTPS.KeyFile == "") {
		given, missing := "https.cert_file", "https.key_file"
		if c.HTTPS.CertFile == "" {
			given, missing = missing, given
		}
		v.fail(given, "is given without %s", missing)
	}
	if c.Open() && !c.InsecureOpen {
		for _, b := range v.bindings() {
			if b.tcp && b.addr.IsValid() && !b.addr.IsUnspecified() && !netaddr.Private(b.addr) {
				v.errs = append(v.errs, v.l.at(b.path, netaddr.PublicError(b.addr)))
			}
		}
	}
	if a := c.Admin.Listen; a.All() || a.On && a.Addr.IsValid() && !netaddr.Private(a.Addr) {
		v.fail("admin.listen", "metrics and profiles must not be on a public address; use loopback or a private one")
	}
	if token := c.Admin.Token; token != "" && (len(token) < minAdminToken || strings.ContainsFunc(token, notVisible)) {
		v.fail("admin.token", "must be %d or more printable characters without spaces", minAdminToken)
	}
	v.collisions()
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

func (v *validation) bindings() []binding {
	c := &v.l.Config
	var out []binding
	add := func(path string, tcp bool, on bool, listen Listen) {
		if on && listen.On {
			out = append(out, binding{path, tcp, listen.Addr, PortRange{listen.Port, listen.Port}})
		}
	}
	add("http.listen", true, true, c.HTTP.Listen)
	add("https.listen", true, c.HTTPS.Enabled, c.HTTPS.Listen)
	add("admin.listen", true, true, c.Admin.Listen)
	add("turn.listen", true, c.TURN.Enabled, c.TURN.Listen)
	add("turn.tls_listen", true, c.TURN.Enabled, c.TURN.TLSListen)
	add("turn.listen", false, c.TURN.Enabled, c.TURN.Listen)
	if c.TURN.Enabled && !c.TURN.RelayPorts.IsZero() {
		out = append(out, binding{"turn.relay_ports", false, netip.Addr{}, c.TURN.RelayPorts})
	}
	if c.Media.TCPPort > 0 && c.Media.TCPPort <= 65535 {
		port := uint16(c.Media.TCPPort)
		out = append(out, binding{"media.tcp_port", true, netip.Addr{}, PortRange{port, port}})
	}
	if c.Cluster.On() {
		add("cluster.listen", true, true, c.Cluster.Listen)
		add("cluster.trunk_listen", false, true, c.Cluster.TrunkListen)
	}
	return append(out, binding{"media.udp_ports", false, netip.Addr{}, c.Media.UDPPorts})
}

// collisions finds two listeners that want the same port.
func (v *validation) collisions() {
	all := v.bindings()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.tcp != b.tcp || a.ports.First == 0 || !a.ports.Overlaps(b.ports) || !overlap(a.addr, b.addr) {
				continue
			}
			kind := "udp"
			if a.tcp {
				kind = "tcp"
			}
			v.fail(b.path, "%s/%s overlaps %s/%s of %s", b.ports, kind, a.ports, kind, a.path)
		}
	}
}

func overlap(a, b netip.Addr) bool {
	wild := func(x netip.Addr) bool { return !x.IsValid() || x.IsUnspecified() }
	return wild(a) || wild(b) || a == b
}

func (v *validation) auth() {
	a := v.l.Auth
	switch {
	case a.Secret != "" && a.SecretFile != "" && !v.l.fromFile["auth.secret_file"]:
		v.fail("auth.secret", "is given together with auth.secret_file; keep one")
	case a.Key == "" && a.Secret != "":
		v.fail("auth.key", "is missing: a secret without a key would leave the server open")
	case a.Key != "" && a.Secret == "":
		v.fail("auth.secret", "is missing for the key %q", a.Key)
	case a.Key != "" && len(a.Secret) < minSecretBytes:
		where := "auth.secret"
		if v.l.fromFile["auth.secret_file"] {
			where = "auth.secret_file"
		}
		v.fail(where, "has %d bytes, %d are needed; \"openssl rand -hex 32\" makes a good one", len(a.Secret), minSecretBytes)
	}
	if strings.ContainsFunc(a.Key, notVisible) || len(a.Key) > 128 {
		v.fail("auth.key", "must be at most 128 printable characters without spaces")
	}
}

func (v *validation) origins() {
	for _, o := range v.l.Origins {
		u, err := url.Parse(o)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
			o != u.Scheme+"://"+u.Host || strings.Contains(o, "*") || o != strings.ToLower(o) {
			v.fail("origins", "%q is not an origin as browsers send it: https://host or https://host:port, lower case, no path, no wildcard", o)
		}
	}
}

func (v *validation) media() {
	m := v.l.Media
	if m.UDPPorts.IsZero() {
		v.fail("media.udp_ports", "is empty; media needs at least one port")
	} else if m.UDPPorts.Len() > maxMediaPorts {
		v.fail("media.udp_ports", "%d ports; at most %d make sense", m.UDPPorts.Len(), maxMediaPorts)
	}
	v.within("media.tcp_port", m.TCPPort, 0, 65535)
	for name, globs := range map[string][]string{
		"media.interfaces.include": m.Interfaces.Include, "media.interfaces.exclude": m.Interfaces.Exclude,
	} {
		for _, glob := range globs {
			if _, err := path.Match(glob, ""); err != nil || glob == "" {
				v.fail(name, "%q is not a glob such as eth0 or docker*", glob)
			}
		}
	}
	families := map[bool]int{}
	for _, a := range m.NAT1To1 {
		if !netaddr.Usable(a) || a.IsLoopback() || a.Zone() != "" {
			v.fail("media.nat_1to1", "%s cannot be advertised to clients", a)
		}
		families[a.Is4()]++
	}
	if families[true] > 1 || families[false] > 1 {
		v.fail("media.nat_1to1", "more than one address of a family; which one would a client use?")
	}
}

func (v *validation) ice() {
	c := v.l.ICE
	if c.Mode == ModeCustom && len(c.Servers) == 0 {
		v.fail("ice.servers", "is empty, but ice.mode is custom")
	}
	if c.Mode != ModeCustom && len(c.Servers) > 0 {
		v.fail("ice.servers", "is used in mode custom only, and ice.mode is %s", c.Mode)
	}
	for _, s := range c.Servers {
		if len(s.URLs) == 0 {
			v.fail("ice.servers", "an entry has no urls")
		}
		for _, u := range s.URLs {
			if err := checkICEURL(u, s); err != nil {
				v.fail("ice.servers", "%q %w", u, err)
			}
		}
	}
	if c.PublicHost != "" && !validHost(c.PublicHost) {
		v.fail("ice.public_host", "%q is neither a host name nor an address (no scheme, no port, no brackets)", c.PublicHost)
	}
	if (c.Mode == ModePublic || c.Mode == ModeRelay) && (!v.l.TURN.Enabled || !v.l.TURN.Listen.On && !v.l.TURN.TLSListen.On) {
		v.fail("ice.mode", "%s needs the TURN server, and it is off", c.Mode)
	}
}

// checkICEURL checks a STUN or TURN URI (RFC 7064, RFC 7065).
func checkICEURL(s string, server ICEServer) error {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || !slices.Contains([]string{"stun", "stuns", "turn", "turns"}, scheme) {
		return errors.New("is not a stun:, stuns:, turn: or turns: address")
	}
	hostPort, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery && query != "transport=udp" && query != "transport=tcp" {
		return errors.New("has a query other than transport=udp or transport=tcp")
	}
	host := hostPort
	if i := strings.LastIndexByte(hostPort, ':'); i >= 0 && !strings.HasSuffix(hostPort, "]") {
		if port, err := parsePort(hostPort[i+1:]); err != nil || port == 0 {
			return errors.New("has no valid port")
		}
		host = hostPort[:i]
	}
	if !validHost(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")) {
		return errors.New("has no valid host")
	}
	if strings.HasPrefix(scheme, "turn") && (server.Username == "" || server.Credential == "") {
		return errors.New("needs username and credential")
	}
	return nil
}

// validHost accepts an IP address without zone or a DNS name (RFC 1123).
func validHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	// A last label of digits only would be a mistyped IPv4 address (RFC 3696 section 2).
	return strings.ContainsFunc(s[strings.LastIndexByte(s, '.')+1:], func(r rune) bool { return r < '0' || r > '9' })
}

func (v *validation) turn() {
	t := v.l.TURN
	if !t.Enabled {
		return
	}
	if t.Secret != "" && len(t.Secret) < minSecretBytes {
		v.fail("turn.secret", "has %d bytes, %d are needed", len(t.Secret), minSecretBytes)
	}
	if t.Realm == "" || len(t.Realm) > 128 || strings.ContainsAny(t.Realm, "\"\\\r\n\x00") {
		v.fail("turn.realm", "must be 1 to 128 characters without quotes") // RFC 8489 section 14.9
	}
	v.span("turn.credential_ttl", t.CredentialTTL, 30*time.Second, 24*time.Hour)
}

func (v *validation) limits() {
	c := &v.l.Config
	v.within("rooms.max_participants", c.Rooms.MaxParticipants, 1, 100000)
	v.within("rooms.max_total", c.Rooms.MaxTotal, 1, 1000000)
	if c.Rooms.MaxParticipants > c.Rooms.MaxTotal {
		v.fail("rooms.max_participants", "%d is more than rooms.max_total (%d)", c.Rooms.MaxParticipants, c.Rooms.MaxTotal)
	}
	v.span("rooms.empty_timeout", c.Rooms.EmptyTimeout, 0, 24*time.Hour)
	v.within("audio.bitrate", c.Audio.Bitrate, 6000, 510000) // RFC 6716 section 2.1.1
	v.within("audio.complexity", c.Audio.Complexity, 0, 10)
	v.within("audio.speakers", c.Audio.Speakers, 0, 1000)
	if c.Audio.PacketMs != 10 && c.Audio.PacketMs != 20 {
		v.fail("audio.packet_ms", "%d is neither 10 nor 20", c.Audio.PacketMs)
	}
	v.span("drain_timeout", c.DrainTimeout, 0, 10*time.Minute)
}
