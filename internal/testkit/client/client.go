package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Config says where to join and how the offer looks.
type Config struct {
	BaseURL string // "http://127.0.0.1:8080"
	Room    string
	Name    string // open servers take it from the query
	Token   string // JWT; empty: none
	Listen  bool   // WHEP, recvonly; else WHIP, sendrecv

	PayloadType  uint8  // of Opus; 0 is 111
	Codec        string // the name in rtpmap; empty is "opus"
	Fmtp         string // empty: no fmtp line
	FeedbackNACK bool   // offers "nack" and keeps it in rtcp-fb

	// EditOffer may change the offer before it is sent; nil leaves it.
	EditOffer func(sdp string) string
	// OnPacket sees every packet of the mix as it arrives, before it is decoded; nil: nobody. It must not keep p.
	OnPacket func(p *rtp.Packet, at time.Time)
	// NoDecode leaves the mix undecoded: Heard stays empty. For load.
	NoDecode bool
	// HTTP makes the requests; nil is http.DefaultClient.
	HTTP *http.Client
	// Settings may change ICE before the connection is made; nil leaves it.
	Settings func(*webrtc.SettingEngine)
}

// Client is one participant. Its methods may be called from any goroutine.
type Client struct {
	cfg      Config
	pc       *webrtc.PeerConnection
	track    *webrtc.TrackLocalStaticRTP
	resource string // session URL; empty before Join
	etag     string
	answer   string
	offer    string

	connected chan struct{}
	failed    chan struct{}
	once      [2]sync.Once
	reader    sync.WaitGroup

	send  sender
	heard heard
}

// StatusError is an HTTP answer other than the one asked for.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

// Join makes the request and waits until media can flow. Close must be called when it succeeded.
func Join(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.PayloadType == 0 {
		cfg.PayloadType = 111
	}
	if cfg.Codec == "" {
		cfg.Codec = "opus"
	}
	c := &Client{cfg: cfg, connected: make(chan struct{}), failed: make(chan struct{})}
	if err := c.join(ctx); err != nil {
		c.abandon()
		return nil, fmt.Errorf("join %s: %w", cfg.Room, err)
	}
	return c, nil
}

func (c *Client) join(ctx context.Context) error {
	if err := c.connect(); err != nil {
		return err
	}
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.offer = c.pc.LocalDescription().SDP
	if c.cfg.EditOffer != nil {
		c.offer = c.cfg.EditOffer(c.offer)
	}
	if err := c.post(ctx); err != nil {
		return err
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.answer}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	select {
	case <-c.connected:
		return nil
	case <-c.failed:
		return errors.New("peer connection failed")
	case <-ctx.Done():
		return fmt.Errorf("peer connection: %w", ctx.Err())
	}
}

// connect makes the peer connection: one codec, no extensions, no interceptors, loopback allowed.
func (c *Client) connect() error {
	codec := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/" + c.cfg.Codec, ClockRate: 48000, Channels: 2, SDPFmtpLine: c.cfg.Fmtp},
		PayloadType:        webrtc.PayloadType(c.cfg.PayloadType),
	}
	if c.cfg.FeedbackNACK {
		codec.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}}
	}
	var media webrtc.MediaEngine
	if err := media.RegisterCodec(codec, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if c.cfg.Settings != nil {
		c.cfg.Settings(&settings)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	c.pc = pc
	pc.OnConnectionStateChange(c.stateChanged)
	pc.OnTrack(c.onTrack)
	if c.cfg.Listen {
		_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		return err
	}
	c.track, err = webrtc.NewTrackLocalStaticRTP(codec.RTPCodecCapability, "audio", "client")
	if err != nil {
		return err
	}
	_, err = pc.AddTransceiverFromTrack(c.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	return err
}

func (c *Client) stateChanged(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		c.once[0].Do(func() { close(c.connected) })
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		c.once[1].Do(func() { close(c.failed) })
	}
}

func (c *Client) onTrack(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	c.reader.Go(func() { c.read(remote) })
}

// post sends the offer and takes the session URL and the answer from the 201.
func (c *Client) post(ctx context.Context) error {
	kind := "/whip/"
	if c.cfg.Listen {
		kind = "/whep/"
	}
	target := c.cfg.BaseURL + kind + url.PathEscape(c.cfg.Room)
	if c.cfg.Name != "" {
		target += "?name=" + url.QueryEscape(c.cfg.Name)
	}
	res, body, err := c.do(ctx, http.MethodPost, target, "application/sdp", c.offer)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return &StatusError{res.StatusCode, body}
	}
	c.answer, c.etag = body, res.Header.Get("ETag")
	base, err := url.Parse(target)
	if err != nil {
		return err
	}
	location, err := base.Parse(res.Header.Get("Location"))
	if err != nil || res.Header.Get("Location") == "" {
		return fmt.Errorf("header Location %q: %w", res.Header.Get("Location"), err)
	}
	c.resource = location.String()
	return nil
}

func (c *Client) do(ctx context.Context, method, target, contentType, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res, string(text), err
}

// Resource is the session URL, Answer the SDP that came with it, Offer the SDP that was sent.
func (c *Client) Resource() string { return c.resource }

// Answer is the server's SDP.
func (c *Client) Answer() string { return c.answer }

// Offer is the SDP that was sent.
func (c *Client) Offer() string { return c.offer }

// Failed is closed when the connection has failed or was closed by either side.
func (c *Client) Failed() <-chan struct{} { return c.failed }

// Close leaves with DELETE and waits for the reader.
func (c *Client) Close(ctx context.Context) error {
	var err error
	if c.resource != "" {
		var res *http.Response
		var body string
		if res, body, err = c.do(ctx, http.MethodDelete, c.resource, "", ""); err == nil && res.StatusCode/100 != 2 {
			err = &StatusError{res.StatusCode, body}
		}
	}
	c.abandon()
	return err
}

// Vanish closes the connection without DELETE.
func (c *Client) Vanish() { c.abandon() }

func (c *Client) abandon() {
	if c.pc != nil {
		_ = c.pc.Close()
	}
	c.reader.Wait()
}
