package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"parley/internal/config"
)

type fakeTURN struct{}

func (fakeTURN) Credentials(participant string, _ time.Time) (username, password string, ttl time.Duration) {
	return "1:" + participant, "secret", 5 * time.Minute
}

func TestICEServers(t *testing.T) {
	all := iceServers{turn: fakeTURN{}, udp: 3478, tcp: 3478, tls: 5349, fallback: "192.168.1.2"}
	for _, tc := range []struct {
		name, host string
		change     func(*iceServers)
		want       string
		ttl        time.Duration
	}{
		{"lan", "h", func(s *iceServers) { s.mode = "lan" }, "[]", 0},
		{"public", "h.example", func(s *iceServers) { s.mode = "public" },
			"[{[stun:h.example:3478]  } {[turn:h.example:3478?transport=udp turn:h.example:3478?transport=tcp turns:h.example:5349?transport=tcp] 1:p secret}]", 5 * time.Minute},
		{"relay", "h.example", func(s *iceServers) { s.mode = "relay" },
			"[{[turn:h.example:3478?transport=udp turn:h.example:3478?transport=tcp turns:h.example:5349?transport=tcp] 1:p secret}]", 5 * time.Minute},
		{"IPv6", "fd00::2", func(s *iceServers) { s.mode, s.tls, s.tcp = "public", 0, 0 },
			"[{[stun:[fd00::2]:3478]  } {[turn:[fd00::2]:3478?transport=udp] 1:p secret}]", 5 * time.Minute},
		{"IPv6 in brackets", "[fd00::2]", func(s *iceServers) { s.mode, s.udp, s.tcp = "public", 0, 0 },
			"[{[turns:[fd00::2]:5349?transport=tcp] 1:p secret}]", 5 * time.Minute},
		{"public host wins", "h.example", func(s *iceServers) { s.mode, s.publicHost, s.tls, s.tcp = "relay", "turn.example", 0, 0 },
			"[{[turn:turn.example:3478?transport=udp] 1:p secret}]", 5 * time.Minute},
		{"no usable host", "", func(s *iceServers) { s.mode, s.tls, s.tcp = "relay", 0, 0 },
			"[{[turn:192.168.1.2:3478?transport=udp] 1:p secret}]", 5 * time.Minute},
		{"custom", "h", func(s *iceServers) {
			s.mode, s.custom = "custom", []config.ICEServer{{URLs: []string{"turn:x"}, Username: "u", Credential: "c"}}
		}, "[{[turn:x] u c}]", 0},
	} {
		s := all
		tc.change(&s)
		got, ttl := s.ICEServers("p", tc.host)
		if fmt.Sprint(got) != tc.want || ttl != tc.ttl {
			t.Errorf("%s:\n got %v %v\nwant %s %v", tc.name, got, ttl, tc.want, tc.ttl)
		}
	}
	if transportPolicy("relay") != "relay" || transportPolicy("public") != "all" || transportPolicy("lan") != "all" {
		t.Error("transport policy")
	}
}

func TestAllowPrivateCandidates(t *testing.T) {
	private, public := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.1")
	for _, tc := range []struct {
		setting, mode string
		media         []netip.Addr
		want          bool
	}{
		{"auto", "lan", []netip.Addr{public}, true},
		{"auto", "public", []netip.Addr{private}, true},
		{"auto", "public", []netip.Addr{private, public}, false},
		{"auto", "relay", []netip.Addr{public}, false},
		{"true", "public", []netip.Addr{public}, true},
		{"false", "lan", []netip.Addr{private}, false},
	} {
		cfg := config.Default()
		cfg.ICE.AllowPrivateCandidates, cfg.ICE.Mode = tc.setting, tc.mode
		if got := allowPrivateCandidates(cfg, tc.media); got != tc.want {
			t.Errorf("%s, %s, %v: %v, want %v", tc.setting, tc.mode, tc.media, got, tc.want)
		}
	}
}
