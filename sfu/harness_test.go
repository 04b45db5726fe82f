package sfu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"parley/mixer"
	"parley/neteq"
)

// patience is how long a test waits for something that must happen. Nothing is asserted about time but that.
const patience = 30 * time.Second

// The codec of these tests is PCM that looks like Opus from outside: a TOC of 20 ms CELT, then 160 samples of 16 bits
// at 8 kHz. It keeps the tests free of cgo and lets them look at the sound in a packet.
const (
	tocPCM      = 31 << 3
	pcmSamples  = 160
	pcmPayload  = 1 + 2*pcmSamples
	pcmRateHz   = 8000
	pcmDecimate = 6
)

type pcmDecoder struct{ last float32 }

var errPCM = errors.New("not a PCM payload")

func (d *pcmDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	if len(payload) != pcmPayload || payload[0] != tocPCM || len(pcm) < 960 {
		return 0, errPCM
	}
	for i := range pcmSamples {
		v := float32(int16(binary.BigEndian.Uint16(payload[1+2*i:]))) / 32768
		for k := range pcmDecimate {
			pcm[pcmDecimate*i+k] = d.last + (v-d.last)*float32(k+1)/pcmDecimate
		}
		d.last = v
	}
	return 960, nil
}

func (d *pcmDecoder) DecodeFEC([]byte, []float32) (int, error) { return 0, errPCM }
func (d *pcmDecoder) Conceal(pcm []float32) (int, error)       { clear(pcm); return len(pcm), nil }
func (d *pcmDecoder) Reset() error                             { d.last = 0; return nil }

type pcmEncoder struct{}

func (pcmEncoder) Encode(pcm []float32, out []byte) (int, error) {
	if len(pcm) != 960 || len(out) < pcmPayload {
		return 0, errPCM
	}
	out[0] = tocPCM
	silent := true
	for i := range pcmSamples {
		var sum float32
		for _, v := range pcm[pcmDecimate*i : pcmDecimate*(i+1)] {
			sum += v
		}
		v := int16(max(-32768, min(32767, sum/pcmDecimate*32768)))
		silent = silent && v == 0
		binary.BigEndian.PutUint16(out[1+2*i:], uint16(v))
	}
	if silent {
		return 1, nil
	}
	return pcmPayload, nil
}

func (pcmEncoder) SetBitrate(int) error    { return nil }
func (pcmEncoder) SetPacketLoss(int) error { return nil }
func (pcmEncoder) SetComplexity(int) error { return nil }

// tone writes frames of a sine.
type tone struct {
	hz    float64
	phase float64
}

func (s *tone) frame() []byte {
	out := make([]byte, pcmPayload)
	out[0] = tocPCM
	for i := range pcmSamples {
		binary.BigEndian.PutUint16(out[1+2*i:], uint16(int16(8000*math.Sin(s.phase))))
		s.phase += 2 * math.Pi * s.hz / pcmRateHz
	}
	return out
}

// power is the share of a payload's energy at hz (Goertzel), 0 for silence.
func power(payload []byte, hz float64) float64 {
	if len(payload) != pcmPayload {
		return 0
	}
	c := 2 * math.Cos(2*math.Pi*hz/pcmRateHz)
	var a, b, energy float64
	for i := range pcmSamples {
		x := float64(int16(binary.BigEndian.Uint16(payload[1+2*i:])))
		energy += x * x
		a, b = x+c*a-b, a
	}
	if energy < 1e6 {
		return 0
	}
	return (a*a + b*b - c*a*b) / (energy * pcmSamples / 2)
}

// testNode is a node with its mixer, running.
type testNode struct {
	*Node
	t testing.TB
}

type nodeOption func(*Config, *timing)

func newTestNode(t testing.TB, options ...nodeOption) *testNode {
	t.Helper()
	log := zap.NewNop()
	if testing.Verbose() {
		log = zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	}
	mix, err := mixer.New(mixer.Config{
		NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) { return &pcmDecoder{}, nil },
		NewEncoder: func(mixer.EncoderConfig) (mixer.Encoder, error) { return pcmEncoder{}, nil },
		Log:        log,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Mixer: mix, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Log: log,
	}
	tm := defaultTiming
	for _, o := range options {
		o(&cfg, &tm)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.timing = tm
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := mix.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("mixer: %v", err)
		}
	})
	nodeCtx, nodeCancel := context.WithCancel(context.Background())
	var nodeWG sync.WaitGroup
	nodeWG.Go(func() {
		if err := n.Run(nodeCtx); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	t.Cleanup(func() {
		nodeCancel()
		nodeWG.Wait()
		cancel()
		wg.Wait()
	})
	return &testNode{Node: n, t: t}
}

// recorder is an Observer that a test can wait on.
type recorder struct {
	mu     sync.Mutex
	events []Event
	news   chan struct{}
}

func newRecorder() *recorder { return &recorder{news: make(chan struct{}, 1)} }

func (r *recorder) Event(e Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// await returns the first event that match takes, and forgets the events before it.
func await[E Event](t *testing.T, r *recorder, what string, match func(E) bool) E {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		for i, e := range r.events {
			if m, ok := e.(E); ok && match(m) {
				r.events = r.events[i+1:]
				r.mu.Unlock()
				return m
			}
		}
		r.mu.Unlock()
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("no event: %s", what)
		}
	}
}

// client is a participant's end: a pion peer connection with a tone for a microphone.
type client struct {
	t     testing.TB
	n     *testNode
	id    string
	pc    *webrtc.PeerConnection
	track *rawTrack
	up    chan struct{} // closed when connected
	heard chan *rtp.Packet
	stop  func()
	once  sync.Once
	seen  *recorder
	rtcp  chan rtcp.Packet
}

type clientOptions struct {
	room      string
	name      string
	kind      Kind
	pt        uint8
	red       uint8
	direction webrtc.RTPTransceiverDirection
	hz        float64 // 0: sends nothing
	munge     func(string) string
	send      func(c *client, h *rtp.Header, payload []byte) // instead of plain packets
	deny      func(*JoinRequest)
	tcp, v6   bool
	reports   bool           // sends and wants RTCP reports and transport-wide feedback
	socket    net.PacketConn // instead of sockets of its own
}

// rawTrack lets a client write any RTP packet.
type rawTrack struct {
	pt     uint8
	ssrc   uint32
	bound  chan struct{}
	once   sync.Once
	writer webrtc.TrackLocalWriter
}

func (r *rawTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, c := range ctx.CodecParameters() {
		if c.PayloadType == webrtc.PayloadType(r.pt) {
			r.writer, r.ssrc = ctx.WriteStream(), uint32(ctx.SSRC())
			r.once.Do(func() { close(r.bound) })
			return c, nil
		}
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("payload type %d was not agreed", r.pt)
}

func (r *rawTrack) Unbind(webrtc.TrackLocalContext) error { return nil }
func (r *rawTrack) ID() string                            { return "mic" }
func (r *rawTrack) RID() string                           { return "" }
func (r *rawTrack) StreamID() string                      { return "me" }
func (r *rawTrack) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeAudio }

func clientAPI(t testing.TB, o clientOptions) *webrtc.API {
	t.Helper()
	m := &webrtc.MediaEngine{}
	codecs := []webrtc.RTPCodecParameters{{
		PayloadType:        webrtc.PayloadType(o.pt),
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
	}}
	if o.red != 0 {
		codecs = append(codecs, webrtc.RTPCodecParameters{
			PayloadType: webrtc.PayloadType(o.red),
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2,
				SDPFmtpLine: fmt.Sprintf("%d/%d", o.pt, o.pt)},
		})
	}
	for _, c := range codecs {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && (ip.To4() == nil) == o.v6 })
	s.SetHandleUndeclaredSSRCWithoutAnswer(true)
	if o.socket != nil {
		s.SetICEUDPMux(webrtc.NewICEUDPMux(nil, o.socket))
	}
	switch {
	case o.tcp:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	case o.v6:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
	default:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}
	registry := &interceptor.Registry{}
	if o.reports {
		m.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, webrtc.RTPCodecTypeAudio)
		if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, registry); err != nil {
			t.Fatal(err)
		}
		if err := webrtc.ConfigureRTCPReports(registry); err != nil {
			t.Fatal(err)
		}
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s), webrtc.WithInterceptorRegistry(registry))
}

func (n *testNode) newClient(o clientOptions) *client {
	n.t.Helper()
	if o.pt == 0 {
		o.pt = 111
	}
	if o.room == "" {
		o.room = "room"
	}
	if o.direction == 0 {
		o.direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	c := &client{t: n.t, n: n, up: make(chan struct{}), heard: make(chan *rtp.Packet, 4096), rtcp: make(chan rtcp.Packet, 256), seen: newRecorder()}
	req := JoinRequest{Room: o.room, Name: o.name, Kind: o.kind, Publish: true, Subscribe: true, Observer: c.seen}
	if o.deny != nil {
		o.deny(&req)
	}
	joined, err := n.Join(n.t.Context(), req)
	if err != nil {
		n.t.Fatal(err)
	}
	c.id = joined.Participant
	c.connect(o)
	n.t.Cleanup(c.close)
	return c
}

// connect makes the client's peer connection and has its offer answered.
func (c *client) connect(o clientOptions) {
	c.t.Helper()
	pc, err := clientAPI(c.t, o).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.pc = pc
	c.track = &rawTrack{pt: o.pt, bound: make(chan struct{})}
	if o.direction == webrtc.RTPTransceiverDirectionRecvonly {
		_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: o.direction})
	} else {
		_, err = pc.AddTransceiverFromTrack(c.track, webrtc.RTPTransceiverInit{Direction: o.direction})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	var connected sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			connected.Do(func() { close(c.up) })
		}
	})
	read := func(from func() ([]rtcp.Packet, interceptor.Attributes, error)) {
		for {
			packets, _, err := from()
			if err != nil {
				return
			}
			for _, p := range packets {
				select {
				case c.rtcp <- p:
				default:
				}
			}
		}
	}
	if sender := pc.GetTransceivers()[0].Sender(); o.reports && sender != nil {
		go read(sender.ReadRTCP) // ends with the peer connection
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		if o.reports {
			go read(r.ReadRTCP)
		}
		for {
			p, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			select {
			case c.heard <- p:
			default:
			}
		}
	})
	if err := c.negotiate(o.munge, nil); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	c.stop = func() {
		cancel()
		wg.Wait()
	}
	if o.hz > 0 {
		track, up := c.track, c.up
		wg.Go(func() { c.speak(ctx, o, track, up) })
	}
}

// negotiate makes an offer, has it answered and applies the answer.
func (c *client) negotiate(munge func(string) string, options *webrtc.OfferOptions) error {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(options)
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	sdp := c.pc.LocalDescription().SDP
	if munge != nil {
		sdp = munge(sdp)
	}
	answer, err := c.n.Offer(c.t.Context(), c.id, sdp)
	if err != nil {
		return err
	}
	// A client that left out its mid gets an answer without; pion as a client wants one.
	if !strings.Contains(answer, "a=mid:") {
		answer = strings.Replace(answer, "a=ice-ufrag", "a=mid:0\r\na=ice-ufrag", 1)
	}
	return c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// speak sends the tone, 20 ms at a time.
func (c *client) speak(ctx context.Context, o clientOptions, track *rawTrack, up <-chan struct{}) {
	select {
	case <-up:
	case <-ctx.Done():
		return
	}
	<-track.bound
	source := tone{hz: o.hz}
	h := rtp.Header{Version: 2, PayloadType: o.pt, SSRC: track.ssrc, SequenceNumber: 65500, Timestamp: math.MaxUint32 - 9000}
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if o.send != nil {
			o.send(c, &h, source.frame())
		} else {
			_, _ = track.writer.WriteRTP(&h, source.frame())
		}
		h.SequenceNumber++
		h.Timestamp += 960
	}
}

// awaitTone waits until the client hears hz and, in the same packets, none of the others.
func (c *client) awaitTone(hz float64, not ...float64) {
	c.t.Helper()
	deadline := time.After(patience)
	good := 0
	for good < 5 {
		select {
		case p := <-c.heard:
			share := power(p.Payload, hz)
			for _, other := range not {
				if power(p.Payload, other) > 0.01 {
					share = 0
				}
			}
			if share > 0.3 {
				good++
			} else {
				good = 0
			}
		case <-deadline:
			c.t.Fatalf("%s does not hear %v Hz", c.id, hz)
		}
	}
}

// forget throws away what was heard so far.
func (c *client) forget() {
	for {
		select {
		case <-c.heard:
		default:
			return
		}
	}
}

func (c *client) awaitUp() {
	c.t.Helper()
	select {
	case <-c.up:
	case <-time.After(patience):
		c.t.Fatal("not connected")
	}
}

// close ends the client politely.
func (c *client) close() {
	c.once.Do(func() {
		if c.stop != nil {
			c.stop()
		}
		if c.pc != nil {
			_ = c.pc.GracefulClose()
		}
	})
}

// eventually waits for a condition that no event announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func freeTCPPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// freePorts finds a run of UDP ports on loopback that are free now.
func freePorts(t *testing.T, count int) PortRange {
	t.Helper()
	for first := 21000; first < 30000; first += count {
		var open []net.PacketConn
		for p := first; p < first+count; p++ {
			c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				break
			}
			open = append(open, c)
		}
		for _, c := range open {
			_ = c.Close()
		}
		if len(open) == count {
			return PortRange{First: uint16(first), Last: uint16(first + count - 1)}
		}
	}
	t.Fatal("no free ports")
	return PortRange{}
}

func benchNode(b *testing.B) *Node { return newTestNode(b).Node }

// cpuTime is what this process has used, user and system.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
