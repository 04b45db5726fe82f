package netaddr

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var (
	lo     = Interface{"lo", addrs("127.0.0.1", "::1")}
	eth    = Interface{"eth0", addrs("fd00::2", "192.168.1.20")}
	docker = Interface{"docker0", addrs("172.17.0.1")}
	public = Interface{"ens5", addrs("2001:db8::5", "203.0.113.5")}
)

func TestPrivate(t *testing.T) {
	for _, s := range []string{"127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fd00::1", "fc00::1", "::ffff:10.0.0.1"} {
		if !Private(netip.MustParseAddr(s)) {
			t.Errorf("%s is private", s)
		}
	}
	for _, s := range []string{"8.8.8.8", "172.32.0.1", "172.15.0.1", "169.254.1.1", "100.64.0.1", "192.0.2.1", "203.0.113.1", "0.0.0.0", "::", "2001:db8::1", "fe80::1", "fec0::1", "::ffff:8.8.8.8", "224.0.0.1"} {
		if Private(netip.MustParseAddr(s)) {
			t.Errorf("%s is not private", s)
		}
	}
}

func TestUsable(t *testing.T) {
	for s, want := range map[string]bool{
		"10.0.0.1": true, "8.8.8.8": true, "127.0.0.1": true, "fd00::1": true, "2001:db8::1": true,
		"fe80::1": false, "169.254.1.1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
	} {
		if got := Usable(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	if Usable(netip.Addr{}) {
		t.Error("the zero address is not usable")
	}
}

func TestFilter(t *testing.T) {
	all := []Interface{lo, docker, eth}
	prefix := netip.MustParsePrefix
	for _, tc := range []struct {
		name   string
		filter Filter
		want   []netip.Addr
	}{
		{"all", Filter{}, addrs("172.17.0.1", "192.168.1.20", "fd00::2", "127.0.0.1", "::1")},
		{"exclude", Filter{ExcludeInterfaces: []string{"docker*"}}, addrs("192.168.1.20", "fd00::2", "127.0.0.1", "::1")},
		{"include", Filter{IncludeInterfaces: []string{"e*"}}, addrs("192.168.1.20", "fd00::2")},
		{"exclude wins over a glob", Filter{IncludeInterfaces: []string{"*"}, ExcludeInterfaces: []string{"docker*", "lo"}}, addrs("192.168.1.20", "fd00::2")},
		{"a name wins over exclude", Filter{IncludeInterfaces: []string{"docker0"}, ExcludeInterfaces: []string{"docker*"}}, addrs("172.17.0.1")},
		{"include prefix", Filter{IncludePrefixes: []netip.Prefix{prefix("192.168.0.0/16")}}, addrs("192.168.1.20")},
		{"exclude prefix", Filter{ExcludePrefixes: []netip.Prefix{prefix("fd00::/8"), prefix("127.0.0.0/8"), prefix("::1/128")}}, addrs("172.17.0.1", "192.168.1.20")},
		{"none", Filter{IncludeInterfaces: []string{"wlan0"}}, nil},
	} {
		if got := tc.filter.Addrs(all); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if err := (Filter{IncludeInterfaces: []string{"eth[0"}}).Check(); err == nil {
		t.Error("a malformed glob was accepted")
	}
	if err := (Filter{IncludeInterfaces: []string{"eth[01]"}, ExcludeInterfaces: []string{"docker*"}}).Check(); err != nil {
		t.Error(err)
	}
}

func TestMedia(t *testing.T) {
	noDocker := Filter{ExcludeInterfaces: []string{"docker*"}}
	for _, tc := range []struct {
		name        string
		interfaces  []Interface
		privateOnly bool
		want        []netip.Addr
	}{
		{"LAN", []Interface{lo, docker, eth}, true, addrs("192.168.1.20", "fd00::2")},
		{"LAN and internet, open", []Interface{lo, eth, public}, true, addrs("192.168.1.20", "fd00::2")},
		{"LAN and internet, keyed", []Interface{lo, eth, public}, false, addrs("192.168.1.20", "203.0.113.5", "fd00::2", "2001:db8::5")},
		{"internet only, open", []Interface{lo, public}, true, addrs("127.0.0.1")},
		{"no network", []Interface{lo}, true, addrs("127.0.0.1")},
		{"IPv6 LAN only", []Interface{lo, {"eth0", addrs("fd00::2")}}, true, addrs("fd00::2", "127.0.0.1")},
		{"IPv6 loopback only", []Interface{{"lo", addrs("::1")}}, true, addrs("::1")},
		{"IPv6 LAN without IPv4 loopback", []Interface{{"lo", addrs("::1")}, {"eth0", addrs("fd00::2")}}, true, addrs("fd00::2")},
		{"nothing", nil, true, nil},
	} {
		if got := noDocker.Media(tc.interfaces, tc.privateOnly); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestExpand(t *testing.T) {
	all := []Interface{lo, docker, eth, public}
	zero, v4, v6 := netip.Addr{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()
	for _, tc := range []struct {
		name        string
		addr        netip.Addr
		privateOnly bool
		expand      string
		concrete    string
	}{
		{"all, open", zero, true,
			"[172.17.0.1:9 192.168.1.20:9 [fd00::2]:9 127.0.0.1:9 [::1]:9]", "[172.17.0.1:9 192.168.1.20:9 [fd00::2]:9 127.0.0.1:9 [::1]:9]"},
		{"all IPv4, open", v4, true, "[172.17.0.1:9 192.168.1.20:9 127.0.0.1:9]", "[172.17.0.1:9 192.168.1.20:9 127.0.0.1:9]"},
		{"all IPv6, open", v6, true, "[[fd00::2]:9 [::1]:9]", "[[fd00::2]:9 [::1]:9]"},
		{"all, keyed", zero, false, "[[::]:9]",
			"[172.17.0.1:9 192.168.1.20:9 203.0.113.5:9 [fd00::2]:9 [2001:db8::5]:9 127.0.0.1:9 [::1]:9]"},
		{"all IPv4, keyed", v4, false, "[0.0.0.0:9]", "[172.17.0.1:9 192.168.1.20:9 203.0.113.5:9 127.0.0.1:9]"},
		{"one, open", netip.MustParseAddr("192.168.1.20"), true, "[192.168.1.20:9]", "[192.168.1.20:9]"},
		{"public, keyed", netip.MustParseAddr("203.0.113.5"), false, "[203.0.113.5:9]", "[203.0.113.5:9]"},
		{"public, open", netip.MustParseAddr("203.0.113.5"), true, "error", "error"},
	} {
		for what, call := range map[string]func(netip.Addr, uint16, []Interface, bool) ([]netip.AddrPort, error){"expand": Expand, "concrete": Concrete} {
			want := tc.expand
			if what == "concrete" {
				want = tc.concrete
			}
			got, err := call(tc.addr, 9, all, tc.privateOnly)
			text := fmt.Sprint(got)
			if err != nil {
				text = "error"
			}
			if text != want {
				t.Errorf("%s %s: %s (%v), want %s", what, tc.name, text, err, want)
			}
		}
	}
	if _, err := Expand(zero, 9, []Interface{public}, true); err == nil || !strings.Contains(err.Error(), "ens5 203.0.113.5") {
		t.Errorf("no private address: %v", err)
	}
	if _, err := Expand(netip.MustParseAddr("203.0.113.5"), 9, nil, true); err == nil || !strings.Contains(err.Error(), "--insecure-open") {
		t.Errorf("the refusal does not say what to do: %v", err)
	}
}

func TestSystem(t *testing.T) {
	list, err := System()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		for _, a := range i.Addrs {
			if !Usable(a) || a.Zone() != "" || a.Is4In6() {
				t.Errorf("%s lists %s", i.Name, a)
			}
		}
	}
}
