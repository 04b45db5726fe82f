package main

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"parley/internal/config"
	"parley/signaling"
)

// turnCredentials mints short-lived credentials; *turn.Server does.
type turnCredentials interface {
	Credentials(participant string, now time.Time) (username, password string, ttl time.Duration)
}

// iceServers tells clients which STUN and TURN servers to use, by ice.mode.
type iceServers struct {
	mode       string
	publicHost string             // empty: the host the client used
	fallback   string             // for a client whose Host header is of no use
	custom     []config.ICEServer // mode custom
	turn       turnCredentials    // modes public and relay
	udp, tcp   uint16             // ports; 0: not offered
	tls        uint16
}

// ICEServers implements signaling.ICEServers.
func (s *iceServers) ICEServers(participant, host string) ([]signaling.ICEServer, time.Duration) {
	switch s.mode {
	case config.ModeCustom:
		out := make([]signaling.ICEServer, len(s.custom))
		for i, c := range s.custom {
			out[i] = signaling.ICEServer{URLs: c.URLs, Username: c.Username, Credential: c.Credential}
		}
		return out, 0
	case config.ModePublic, config.ModeRelay:
	default:
		return nil, 0 // lan
	}
	if s.publicHost != "" {
		host = s.publicHost
	} else if host == "" {
		host = s.fallback
	}
	username, credential, ttl := s.turn.Credentials(participant, time.Now())
	at := func(scheme string, port uint16, query string) string {
		return scheme + ":" + hostPort(host, port) + query
	}
	var stun, turn []string
	if s.udp != 0 {
		stun = append(stun, at("stun", s.udp, ""))
		turn = append(turn, at("turn", s.udp, "?transport=udp"))
	}
	if s.tcp != 0 {
		turn = append(turn, at("turn", s.tcp, "?transport=tcp"))
	}
	if s.tls != 0 {
		turn = append(turn, at("turns", s.tls, "?transport=tcp"))
	}
	var out []signaling.ICEServer
	if len(stun) > 0 && s.mode == config.ModePublic {
		out = append(out, signaling.ICEServer{URLs: stun})
	}
	if len(turn) > 0 {
		out = append(out, signaling.ICEServer{URLs: turn, Username: username, Credential: credential})
	}
	return out, ttl
}

// hostPort is net.JoinHostPort for a host that may already be in brackets.
func hostPort(host string, port uint16) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// transportPolicy is what RTCPeerConnection's iceTransportPolicy shall be.
func transportPolicy(mode string) string {
	if mode == config.ModeRelay {
		return "relay"
	}
	return "all"
}

// allowPrivateCandidates decides ice.allow_private_candidates: auto. Private candidates are how calls on a LAN work;
// a node on the internet with strangers as participants must not be made to send packets into its own network.
func allowPrivateCandidates(cfg *config.Config, media []netip.Addr) bool {
	switch cfg.ICE.AllowPrivateCandidates {
	case "true":
		return true
	case "false":
		return false
	}
	if cfg.ICE.Mode == config.ModeLAN {
		return true
	}
	for _, a := range media {
		if !a.IsPrivate() && !a.IsLoopback() {
			return false
		}
	}
	return true
}
