// Package echo is the barest WebRTC peer that sends something back: every RTP packet of the client's audio returns as it
// came, decrypted and encrypted and nothing else. Mouth to ear through it is what a browser, its codec and its jitter
// buffer cost without a server in between, which is the base line that measurements subtract.
//
// It refuses to decode, mix, buffer or answer RTCP, and must not be reachable from a network: it has no limits.
package echo

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// Server answers offers. Its zero value is not usable; see New.
type Server struct {
	api *webrtc.API

	mu     sync.Mutex
	peers  []*webrtc.PeerConnection
	closed bool
	wg     sync.WaitGroup
}

// New makes a server for one codec, Opus at payload type 111, with ICE on every local address.
func New() (*Server, error) {
	var media webrtc.MediaEngine
	if err := media.RegisterCodec(codec, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return &Server{api: webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))}, nil
}

var codec = webrtc.RTPCodecParameters{
	RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"},
	PayloadType:        111,
}

// Answer takes an SDP offer with one sendrecv audio section and returns the answer with all candidates in it.
func (s *Server) Answer(offer string) (string, error) {
	pc, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return "", errors.Join(http.ErrServerClosed, pc.Close())
	}
	s.peers = append(s.peers, pc)
	s.mu.Unlock()
	out, err := webrtc.NewTrackLocalStaticRTP(codec.RTPCodecCapability, "echo", "echo")
	if err != nil {
		return "", err
	}
	if _, err := pc.AddTrack(out); err != nil {
		return "", err
	}
	pc.OnTrack(func(in *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		s.wg.Go(func() { reflect(in, out) })
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// reflect ends when the connection does.
func reflect(in *webrtc.TrackRemote, out *webrtc.TrackLocalStaticRTP) {
	buf := make([]byte, 1500)
	for {
		n, _, err := in.Read(buf)
		if err != nil {
			return
		}
		_, _ = out.Write(buf[:n])
	}
}

// ServeHTTP answers a POST with an SDP offer as its body; any page may ask.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "POST an SDP offer", http.StatusMethodNotAllowed)
		return
	}
	offer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	answer, err := s.Answer(string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

// Close ends all connections and waits for their readers.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	peers := s.peers
	s.peers = nil
	s.mu.Unlock()
	var err error
	for _, pc := range peers {
		err = errors.Join(err, pc.Close())
	}
	s.wg.Wait()
	return err
}
