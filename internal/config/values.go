package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Listen is where a listener is put: "127.0.0.1:8080", "[::1]:8080", ":8080" (all addresses), "localhost:8080" or ""
// (off). Host names other than localhost are refused: nothing here waits for DNS.
type Listen struct {
	On   bool
	Addr netip.Addr // the zero Addr: all addresses
	Port uint16     // 0: any free port
}

// All reports whether the listener is meant for every local address, in one or both families.
func (l Listen) All() bool { return l.On && (!l.Addr.IsValid() || l.Addr.IsUnspecified()) }

// String gives the form that UnmarshalText reads.
func (l Listen) String() string {
	switch {
	case !l.On:
		return ""
	case !l.Addr.IsValid():
		return ":" + strconv.Itoa(int(l.Port))
	}
	return netip.AddrPortFrom(l.Addr, l.Port).String()
}

// MarshalText implements encoding.TextMarshaler.
func (l Listen) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Listen) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		*l = Listen{}
		return nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return fmt.Errorf("%q has no port; write host:port or :port", s)
	}
	host, portText := s[:i], s[i+1:]
	port, err := parsePort(portText)
	if err != nil {
		return err
	}
	out := Listen{On: true, Port: port}
	switch {
	case host == "":
	case host == "localhost":
		out.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		out.Addr, err = netip.ParseAddr(host[1 : len(host)-1])
		if err == nil && !out.Addr.Is6() {
			err = errors.New("only IPv6 addresses stand in brackets")
		}
	case strings.Contains(host, ":"):
		err = fmt.Errorf("an IPv6 address stands in brackets: [%s]:%s", host, portText)
	default:
		out.Addr, err = netip.ParseAddr(host)
		if err != nil {
			err = fmt.Errorf("%q is not an IP address (host names are not looked up)", host)
		}
	}
	if err != nil {
		return err
	}
	if out.Addr.Zone() != "" {
		return fmt.Errorf("%q: zones are not supported", host)
	}
	if out.Addr.Is4In6() {
		return fmt.Errorf("%q: write the IPv4 address itself", host)
	}
	if out.Addr.IsMulticast() {
		return fmt.Errorf("%q is a multicast address", host)
	}
	*l = out
	return nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port number", s)
	}
	if n > 65535 {
		return 0, fmt.Errorf("port %d is above 65535", n)
	}
	return uint16(n), nil
}

// PortRange is an inclusive range of ports, "10000-10010", or one port, "10000". The zero PortRange ("") is none.
type PortRange struct{ First, Last uint16 }

// IsZero reports whether the range is empty.
func (r PortRange) IsZero() bool { return r == PortRange{} }

// Len is the number of ports.
func (r PortRange) Len() int {
	if r.IsZero() {
		return 0
	}
	return int(r.Last) - int(r.First) + 1
}

// Contains reports whether the port lies in the range.
func (r PortRange) Contains(port uint16) bool {
	return !r.IsZero() && r.First <= port && port <= r.Last
}

// Overlaps reports whether both ranges have a port in common.
func (r PortRange) Overlaps(o PortRange) bool {
	return !r.IsZero() && !o.IsZero() && r.First <= o.Last && o.First <= r.Last
}

// String gives the form that UnmarshalText reads.
func (r PortRange) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText implements encoding.TextMarshaler.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *PortRange) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		*r = PortRange{}
		return nil
	}
	firstText, lastText, isRange := strings.Cut(s, "-")
	if !isRange {
		lastText = firstText
	}
	first, err := parsePort(strings.TrimSpace(firstText))
	if err != nil {
		return err
	}
	last, err := parsePort(strings.TrimSpace(lastText))
	if err != nil {
		return err
	}
	switch {
	case first == 0:
		return errors.New("port 0 cannot be in a range")
	case first > last:
		return fmt.Errorf("first port %d is above last port %d", first, last)
	}
	*r = PortRange{First: first, Last: last}
	return nil
}

// Addrs is a list of IP addresses.
type Addrs []netip.Addr

// Prefixes is a list of address prefixes.
type Prefixes []netip.Prefix

// ICEServer is one entry of ice.servers, as in W3C RTCIceServer.
type ICEServer struct {
	URLs       []string `yaml:"urls"`
	Username   string   `yaml:"username,omitempty"`
	Credential string   `yaml:"credential,omitempty"`
}
