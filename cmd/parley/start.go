package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	qrcode "github.com/skip2/go-qrcode"

	"parley/internal/config"
)

// startInfo is everything that a person wants to know when the node is up.
type startInfo struct {
	version   string
	open      bool   // no key
	insecure  bool   // --insecure-open
	mode      string // ice.mode
	http      []string
	https     []string // those of the network first
	lan       []string // the https addresses that other machines can use
	trustPage string   // where the local CA's certificate is; empty: given certificate
	caPrint   string   // its SHA-256 fingerprint
	media     []endpoint
	nat       []string // addresses that media is advertised under besides
	turn      []endpoint
	admin     string
	qr        bool
}

// print writes it for people, then one line for programs: "parley ready http=… https=… media=… turn=…".
func (s startInfo) print(w io.Writer) {
	var b strings.Builder
	line := func(label string, values ...string) {
		for i, v := range values {
			if i > 0 {
				label = ""
			}
			fmt.Fprintf(&b, "  %-16s %s\n", label, v)
		}
	}
	fmt.Fprintf(&b, "\nParley %s\n\n", s.version)
	line("On this machine", s.http...)
	line("On this network", s.lan...)
	if len(s.lan) == 0 && len(s.https) > 0 {
		line("HTTPS", s.https...)
	}
	if s.qr && len(s.lan) > 0 {
		if code, err := qrcode.New(s.lan[0], qrcode.Low); err == nil { // an address always fits
			fmt.Fprintf(&b, "\n%s\n", code.ToSmallString(false))
		}
	}
	if s.trustPage != "" {
		line("Trust once", s.trustPage+"  (a phone or laptop that should not warn)")
		line("CA fingerprint", "SHA-256 "+s.caPrint)
	}
	line("Media", summary(s.media)...)
	line("  also known as", s.nat...)
	line("STUN, TURN", summary(s.turn)...)
	if len(s.turn) > 0 && s.mode != config.ModePublic && s.mode != config.ModeRelay {
		line("", "(not advertised in mode "+s.mode+")")
	}
	if s.admin != "" {
		line("Metrics", s.admin+"/metrics")
	}
	switch {
	case s.open && s.insecure:
		b.WriteString("\n  OPEN SERVER ON EVERY ADDRESS: no key is configured and --insecure-open is given. Anybody on the internet can use it.\n")
	case s.open:
		b.WriteString("\n  Open server: no key is configured, so everybody who can reach it may join. It listens on loopback and private addresses only.\n")
	}
	fmt.Fprintf(&b, "\nparley ready http=%s https=%s media=%s turn=%s\n",
		orNone(s.http), orNone(s.https), orNone(compact(s.media)), orNone(compact(s.turn)))
	_, _ = io.WriteString(w, b.String()) // a closed terminal must not stop the node
}

// orNone joins values for the line that programs read.
func orNone(values []string) string {
	if len(values) == 0 {
		return "off"
	}
	return strings.Join(values, ",")
}

// urls writes addresses as URLs; a wildcard becomes this machine's addresses.
func urls(scheme string, bound []netip.AddrPort, own []netip.Addr) []string {
	var out []string
	for _, b := range bound {
		if !b.Addr().IsUnspecified() {
			out = append(out, scheme+"://"+b.String())
			continue
		}
		for _, a := range own {
			if b.Addr().Is4() && !a.Is4() {
				continue
			}
			out = append(out, scheme+"://"+netip.AddrPortFrom(a, b.Port()).String())
		}
	}
	return out
}

// endpoint is a socket as bound.
type endpoint struct {
	addr      netip.AddrPort
	transport string // udp, tcp or tls
}

func endpoints(transport string, addrs []netip.AddrPort) []endpoint {
	out := make([]endpoint, len(addrs))
	for i, a := range addrs {
		out[i] = endpoint{a, transport}
	}
	return out
}

// summary writes endpoints one line for each address: "192.168.1.20  10000-10010/udp 10000/tcp". The first lists of
// addresses stay first.
func summary(list []endpoint) []string {
	var out []string
	for _, group := range byAddress(list) {
		var ports []string
		for _, run := range runs(group) {
			ports = append(ports, run.ports()+"/"+run.transport)
		}
		out = append(out, group[0].addr.Addr().String()+"  "+strings.Join(ports, " "))
	}
	return out
}

// compact writes endpoints for programs: "192.168.1.20:10000-10010/udp".
func compact(list []endpoint) []string {
	var out []string
	for _, group := range byAddress(list) {
		for _, run := range runs(group) {
			host := run.addr.Addr().String()
			if run.addr.Addr().Is6() {
				host = "[" + host + "]"
			}
			out = append(out, host+":"+run.ports()+"/"+run.transport)
		}
	}
	return out
}

func byAddress(list []endpoint) [][]endpoint {
	index := map[netip.Addr]int{}
	var out [][]endpoint
	for _, e := range list {
		i, seen := index[e.addr.Addr()]
		if !seen {
			i = len(out)
			index[e.addr.Addr()] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], e)
	}
	return out
}

// portRun is a run of adjacent ports of one address and transport.
type portRun struct {
	endpoint
	last uint16
}

func (r portRun) ports() string {
	first := strconv.Itoa(int(r.addr.Port()))
	if r.last == r.addr.Port() {
		return first
	}
	return first + "-" + strconv.Itoa(int(r.last))
}

func runs(group []endpoint) []portRun {
	var out []portRun
	for _, e := range group {
		if n := len(out); n > 0 && out[n-1].transport == e.transport && out[n-1].last+1 == e.addr.Port() {
			out[n-1].last++
			continue
		}
		out = append(out, portRun{e, e.addr.Port()})
	}
	return out
}
