package main

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
)

func ports(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func TestSummary(t *testing.T) {
	list := append(endpoints("udp", ports("10.0.0.1:1000", "[fd00::1]:1000", "10.0.0.1:1001", "[fd00::1]:1001", "10.0.0.1:1003")),
		endpoints("tcp", ports("10.0.0.1:1004"))...)
	if got, want := fmt.Sprintf("%q", summary(list)), `["10.0.0.1  1000-1001/udp 1003/udp 1004/tcp" "fd00::1  1000-1001/udp"]`; got != want {
		t.Errorf("summary %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(compact(list)), "[10.0.0.1:1000-1001/udp 10.0.0.1:1003/udp 10.0.0.1:1004/tcp [fd00::1]:1000-1001/udp]"; got != want {
		t.Errorf("compact %s, want %s", got, want)
	}
}

func TestURLs(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("127.0.0.1")}
	if got := fmt.Sprint(urls("https", ports("[::]:1", "0.0.0.0:2", "10.0.0.1:3"), own)); got !=
		"[https://192.168.1.2:1 https://[fd00::2]:1 https://127.0.0.1:1 https://192.168.1.2:2 https://127.0.0.1:2 https://10.0.0.1:3]" {
		t.Errorf("urls %s", got)
	}
	if got := fmt.Sprint(reachable(ports("[::]:1", "127.0.0.1:2", "172.17.0.1:3", "192.168.1.2:4"), own)); got !=
		"[192.168.1.2:1 [fd00::2]:1 192.168.1.2:4]" {
		t.Errorf("reachable %s", got)
	}
}

func TestStartOutput(t *testing.T) {
	info := startInfo{
		version: "v1", open: true, mode: "lan", http: []string{"http://127.0.0.1:8080"},
		https: []string{"https://192.168.1.2:8443", "https://127.0.0.1:8443"}, lan: []string{"https://192.168.1.2:8443"},
		nat: []string{"203.0.113.9"}, trustPage: "https://192.168.1.2:8443/ca", caPrint: "AB:CD", qr: true,
		media: endpoints("udp", ports("192.168.1.2:10000", "192.168.1.2:10001")), turn: endpoints("udp", ports("192.168.1.2:3478")),
	}
	text := func() string {
		var b strings.Builder
		info.print(&b)
		return b.String()
	}
	out := text()
	for _, want := range []string{
		"On this machine  http://127.0.0.1:8080\n", "On this network  https://192.168.1.2:8443\n", "https://192.168.1.2:8443/ca",
		"SHA-256 AB:CD", "192.168.1.2  10000-10001/udp\n", "also known as  203.0.113.9\n", "not advertised in mode lan", "Open server:", "█",
		"\nparley ready http=http://127.0.0.1:8080 https=https://192.168.1.2:8443,https://127.0.0.1:8443 media=192.168.1.2:10000-10001/udp turn=192.168.1.2:3478/udp\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	info.insecure, info.qr, info.mode, info.turn = true, false, "relay", nil
	out = text()
	if !strings.Contains(out, "OPEN SERVER ON EVERY ADDRESS") || strings.Contains(out, "█") || strings.Contains(out, "not advertised") ||
		!strings.HasSuffix(out, " turn=off\n") {
		t.Errorf("insecure, without QR and TURN:\n%s", out)
	}
	info.open = false
	if out = text(); regexp.MustCompile(`(?i)open server`).MatchString(out) {
		t.Errorf("a server with a key calls itself open:\n%s", out)
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) || isTerminal(&strings.Builder{}) {
		t.Error("neither /dev/null nor a string is a terminal")
	}
}
