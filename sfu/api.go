package sfu

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
)

// ICE timing: consent is checked every 2 s, a silent path is disconnected after 5 s, failed 10 s later.
const (
	iceDisconnected = 5 * time.Second
	iceFailed       = 10 * time.Second
	iceKeepalive    = 2 * time.Second
)

const (
	replayWindow   = 128      // packets, SRTP and SRTCP
	streamPackets  = 128      // between pion and a track's reader: 2.5 s of audio
	streamBytes    = 32 << 10 // and in bytes
	receiveMTU     = 1500
	resendKept     = 64 // packets of ours that a client may ask for again: 1.3 s
	sctpMessage    = 64 << 10
	sctpBuffer     = 256 << 10
	certificateFor = 7 * 24 * time.Hour // a certificate of pion's lives for a month; ours change weekly
)

// apis makes peer connections with this node's settings.
type apis struct {
	node    *Node
	net     transport.Net // the interfaces as they were at start; saves enumerating them for every peer
	loggers *pionLoggers

	mu          sync.Mutex
	certificate *webrtc.Certificate
	made        time.Time
}

// cert returns the node's certificate, one for all peers: a key pair per peer would cost more than the handshake.
func (a *apis) cert(now time.Time) (webrtc.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.certificate == nil || now.Sub(a.made) > certificateFor {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return webrtc.Certificate{}, fmt.Errorf("make the DTLS key: %w", err)
		}
		c, err := webrtc.GenerateCertificate(key)
		if err != nil {
			return webrtc.Certificate{}, fmt.Errorf("make the DTLS certificate: %w", err)
		}
		a.certificate, a.made = c, now
	}
	return *a.certificate, nil
}

// newPeerConnection makes a peer connection on one media port, for the payload types of r. Its RTP packets go the way that the
// lane says.
func (a *apis) newPeerConnection(port *mediaPort, lane *lane, r *remote) (*webrtc.PeerConnection, error) {
	cert, err := a.cert(time.Now())
	if err != nil {
		return nil, err
	}
	engine, err := mediaEngine(r)
	if err != nil {
		return nil, err
	}
	interceptors, err := a.interceptors(r)
	if err != nil {
		return nil, err
	}
	settings, err := a.settings(port, lane)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{cert}})
	if err != nil {
		return nil, fmt.Errorf("make a peer connection: %w", err)
	}
	return pc, nil
}

// mediaEngine knows exactly the client's payload types that we take, so that pion's matching has nothing to decide.
func mediaEngine(r *remote) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	var feedback []webrtc.RTCPFeedback
	if r.useTWCC() {
		feedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBTransportCC}}
		err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: extTWCC}, webrtc.RTPCodecTypeAudio)
		if err != nil {
			return nil, fmt.Errorf("register transport-cc: %w", err)
		}
	}
	if r.nack {
		feedback = append(feedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBNACK})
	}
	var codecs []webrtc.RTPCodecParameters
	if r.opus >= 0 {
		codecs = append(codecs, webrtc.RTPCodecParameters{
			PayloadType: webrtc.PayloadType(r.opus),
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
				SDPFmtpLine: opusFmtpPion, RTCPFeedback: feedback},
		})
	}
	if r.red >= 0 {
		codecs = append(codecs, webrtc.RTPCodecParameters{
			PayloadType: webrtc.PayloadType(r.red),
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2,
				SDPFmtpLine: r.redFmtp},
		})
	}
	for _, f := range r.others {
		c := webrtc.RTPCodecParameters{
			PayloadType:        webrtc.PayloadType(f.pt),
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/" + f.name, ClockRate: uint32(f.clock)},
		}
		if f.pt == r.primary() {
			c.RTCPFeedback = feedback
		}
		codecs = append(codecs, c)
	}
	for _, c := range codecs {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, fmt.Errorf("register payload type %d: %w", c.PayloadType, err)
		}
	}
	return m, nil
}

// interceptors: receiver and sender reports; where agreed, transport-wide feedback, and packets sent again when the client
// asks. What we ask for again is NetEq's to decide.
func (a *apis) interceptors(r *remote) (*interceptor.Registry, error) {
	registry := &interceptor.Registry{}
	receiver, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(a.loggers))
	if err != nil {
		return nil, fmt.Errorf("receiver reports: %w", err)
	}
	sender, err := report.NewSenderInterceptor(report.WithSenderLoggerFactory(a.loggers))
	if err != nil {
		return nil, fmt.Errorf("sender reports: %w", err)
	}
	registry.Add(receiver)
	registry.Add(sender)
	if r.useTWCC() {
		feedback, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(a.loggers))
		if err != nil {
			return nil, fmt.Errorf("transport-wide feedback: %w", err)
		}
		registry.Add(feedback)
	}
	if r.nack {
		responder, err := nack.NewResponderInterceptor(nack.ResponderSize(resendKept), nack.WithResponderLoggerFactory(a.loggers))
		if err != nil {
			return nil, fmt.Errorf("sending again: %w", err)
		}
		registry.Add(responder)
	}
	return registry, nil
}

// settings are the secure ones: nothing is asked, dialled or resolved; every buffer is bounded.
func (a *apis) settings(port *mediaPort, lane *lane) (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	s.LoggerFactory = a.loggers
	s.SetNet(a.net)
	s.SetICEUDPMux(peerMux{port.muxes, lane})
	types := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if a.node.tcp != nil {
		s.SetICETCPMux(a.node.tcp)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	s.SetNetworkTypes(types)
	s.SetIPFilter(a.node.isLocal)
	s.SetIncludeLoopbackCandidate(true) // of our addresses only, which IPFilter holds
	s.SetRemoteIPFilter(reachable)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.DisableActiveTCP(true)
	t := &a.node.timing
	s.SetICETimeouts(t.iceDisconnected, t.iceFailed, t.iceKeepalive)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.SetSRTCPReplayProtectionWindow(replayWindow)
	s.SetDTLSReplayProtectionWindow(replayWindow)
	s.SetReceiveMTU(receiveMTU)
	s.SetSCTPMaxMessageSize(sctpMessage)
	s.SetSCTPMaxReceiveBufferSize(sctpBuffer)
	s.SetFireOnTrackBeforeFirstRTP(true)
	s.SetHandleUndeclaredSSRCWithoutAnswer(true)
	s.BufferFactory = streamBuffer
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleClient); err != nil {
		return s, fmt.Errorf("set the DTLS role: %w", err)
	}
	if rules := a.rewriteRules(); len(rules) > 0 {
		if err := s.SetICEAddressRewriteRules(rules...); err != nil {
			return s, fmt.Errorf("set the 1:1 NAT addresses: %w", err)
		}
	}
	return s, nil
}

// rewriteRules advertise each 1:1 NAT address beside the local ones of its family: a client on this side of the NAT
// still finds the short way.
func (a *apis) rewriteRules() []webrtc.ICEAddressRewriteRule {
	var rules []webrtc.ICEAddressRewriteRule
	for _, addr := range a.node.cfg.NAT1To1 {
		rules = append(rules, webrtc.ICEAddressRewriteRule{
			External:        []string{addr.String()},
			AsCandidateType: webrtc.ICECandidateTypeHost,
			Mode:            webrtc.ICEAddressRewriteAppend,
		})
	}
	return rules
}

// reachable is the last gate for remote addresses, also for those that a packet came from (peer-reflexive, which
// needs our ICE password): a person on this host may call from loopback, nobody calls from a multicast address.
func reachable(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && !a.IsUnspecified() && !a.IsMulticast() && a.Unmap() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isLocal tells if an interface address is one that we listen on.
func (n *Node) isLocal(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && slices.Contains(n.cfg.Addresses, a.Unmap())
}

// streamBuffer bounds what waits between SRTP and whoever reads a stream; pion's default is 1 MB each.
func streamBuffer(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	b := packetio.NewBuffer()
	b.SetLimitCount(streamPackets)
	b.SetLimitSize(streamBytes)
	return b
}
