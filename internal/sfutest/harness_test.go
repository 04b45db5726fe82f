package sfutest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"parley/internal/codec"
	"parley/internal/opus"
	"parley/internal/testkit"
	"parley/internal/testkit/netsim"
	"parley/mixer"
	"parley/neteq"
	"parley/sfu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen, on a machine that is busy.
const patience = 40 * time.Second

// newNode is a node with the real codecs, running, on loopback.
func newNode(t *testing.T) *sfu.Node {
	t.Helper()
	mix, err := mixer.New(mixer.Config{
		NewDecoder: func(f neteq.Format, channels int) (neteq.Decoder, error) {
			if strings.EqualFold(f.Name, "opus") {
				return opus.NewDecoder(channels)
			}
			return codec.NewDecoder(f.Name, channels)
		},
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
		NewTelephone: func(c mixer.Codec, channels int) (mixer.Encoder, error) {
			return codec.NewEncoder(c.String(), channels)
		},
		KeyTones: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := sfu.New(sfu.Config{Mixer: mix, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(f func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		t.Cleanup(func() { cancel(); wg.Wait() })
	}
	run(mix.Run)
	run(n.Run)
	return n
}

// observer hands out the statistics events of a participant, the newest first.
type observer struct{ stats chan sfu.Stats }

func (o *observer) Event(e sfu.Event) {
	s, ok := e.(sfu.StatsEvent)
	if !ok {
		return
	}
	for {
		select {
		case o.stats <- s.Stats:
			return
		default:
		}
		select {
		case <-o.stats:
		default:
		}
	}
}

type options struct {
	codecs  []webrtc.RTPCodecParameters // the first is what is sent
	nack    bool
	network *netsim.Conditions // of the way to the node
	back    netsim.Conditions  // of the way from the node, where network is given
}

func audio(pt uint8, name string, clock uint32, channels uint16) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(pt),
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/" + name, ClockRate: clock, Channels: channels}}
}

// client is a participant that sends any payloads and decodes the mix.
type client struct {
	t      *testing.T
	n      *sfu.Node
	id     string
	pc     *webrtc.PeerConnection
	track  *track
	answer string
	stats  chan sfu.Stats

	mu    sync.Mutex
	pcm   []float32 // the mix, the newest second of it
	heard map[uint16]bool
	// of the newest packets
	lastStamp, last20 uint32
	first             uint16
	last              uint16
}

// track lets a test write any RTP packet.
type track struct {
	bound  chan struct{}
	once   sync.Once
	ssrc   uint32
	writer webrtc.TrackLocalWriter
}

func (tr *track) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	tr.writer, tr.ssrc = ctx.WriteStream(), uint32(ctx.SSRC())
	tr.once.Do(func() { close(tr.bound) })
	return ctx.CodecParameters()[0], nil
}
func (tr *track) Unbind(webrtc.TrackLocalContext) error { return nil }
func (tr *track) ID() string                            { return "mic" }
func (tr *track) RID() string                           { return "" }
func (tr *track) StreamID() string                      { return "me" }
func (tr *track) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeAudio }

func join(t *testing.T, n *sfu.Node, o options) *client {
	t.Helper()
	c := &client{t: t, n: n, track: &track{bound: make(chan struct{})}, stats: make(chan sfu.Stats, 1)}
	joined, err := n.Join(t.Context(), sfu.JoinRequest{Room: "room", Publish: true, Subscribe: true, Observer: &observer{c.stats}})
	if err != nil {
		t.Fatal(err)
	}
	c.id = joined.Participant
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	for i, p := range o.codecs {
		if o.nack && i == 0 {
			p.RTCPFeedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}}
		}
		if err := engine.RegisterCodec(p, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
	if o.nack {
		responder, err := nack.NewResponderInterceptor()
		if err != nil {
			t.Fatal(err)
		}
		generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(40 * time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		registry.Add(responder)
		registry.Add(generator)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	c.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	transceiver, err := c.pc.AddTransceiverFromTrack(c.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() { // the responder sees what is read
		for buf := make([]byte, 1500); ; {
			if _, _, err := transceiver.Sender().Read(buf); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		if err := c.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
		reader.Wait()
	})
	c.pc.OnTrack(func(r *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.hear(r) })
	up := make(chan struct{})
	var once sync.Once
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(up) })
		}
	})
	c.negotiate(o)
	select {
	case <-up:
	case <-time.After(patience):
		t.Fatal("not connected")
	}
	<-c.track.bound
	return c
}

var hostCandidate = regexp.MustCompile(`(?m)^(a=candidate:\S+ \d udp \d+ 127\.0\.0\.1) (\d+) `)

func (c *client) negotiate(o options) {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	text := c.pc.LocalDescription().SDP
	if o.network != nil { // the node must not find the way around the proxy
		text = hostCandidate.ReplaceAllString(text, "${1} 9 ")
	}
	if c.answer, err = c.n.Offer(c.t.Context(), c.id, text); err != nil {
		c.t.Fatal(err)
	}
	answer := c.answer
	if o.network != nil {
		m := hostCandidate.FindStringSubmatch(answer)
		if m == nil {
			c.t.Fatalf("no candidate in\n%s", answer)
		}
		proxy, err := netsim.ListenUDP("127.0.0.1:0", "127.0.0.1:"+m[2], netsim.Conditions{}, netsim.Conditions{}, 7)
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = proxy.Run(ctx) })
		c.t.Cleanup(func() { cancel(); wg.Wait() })
		answer = hostCandidate.ReplaceAllString(answer, fmt.Sprintf("${1} %d ", proxy.Addr().Port()))
		defer func() {
			if err := proxy.Set(*o.network, o.back); err != nil {
				c.t.Fatal(err)
			}
		}()
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		c.t.Fatal(err)
	}
}

// hear decodes the mix.
func (c *client) hear(r *webrtc.TrackRemote) {
	var d neteq.Decoder
	var err error
	_, name, _ := strings.Cut(r.Codec().MimeType, "/")
	opus48 := strings.EqualFold(name, "opus")
	if opus48 {
		d, err = opus.NewDecoder(1)
	} else {
		d, err = codec.NewDecoder(name, 1)
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	var before *rtp.Packet
	var pcm [5760]float32
	for {
		p, _, err := r.ReadRTP()
		if err != nil {
			return
		}
		n, err := d.Decode(p.Payload, pcm[:])
		if err != nil {
			continue
		}
		if before != nil && !opus48 && p.SequenceNumber == before.SequenceNumber+1 && !p.Marker && (p.Timestamp-before.Timestamp)%160 != 0 {
			c.t.Errorf("a packet of %s is %d samples after the one before", name, p.Timestamp-before.Timestamp)
		}
		before = p
		c.mu.Lock()
		c.last20 = p.Timestamp - c.lastStamp
		c.lastStamp = p.Timestamp
		if c.heard == nil {
			c.heard, c.first, c.last = map[uint16]bool{}, p.SequenceNumber, p.SequenceNumber
		}
		c.heard[p.SequenceNumber] = true
		if int16(p.SequenceNumber-c.last) > 0 {
			c.last = p.SequenceNumber
		}
		c.pcm = append(c.pcm, pcm[:n]...)
		if len(c.pcm) > 48000 {
			c.pcm = c.pcm[len(c.pcm)-48000:]
		}
		c.mu.Unlock()
	}
}

// packets returns how many packets of the mix there were until 50 before now, and how many of them did not come.
func (c *client) packets() (sent, missing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq := c.first; c.heard != nil && int16(c.last-50-seq) > 0; seq++ {
		sent++
		if !c.heard[seq] {
			missing++
		}
	}
	return sent, missing
}

// awaitTone waits until the last 200 ms of the mix have a tone of about the level.
func (c *client) awaitTone(hz, levelDBFS float64) {
	c.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	got := -200.0
	for {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("no tone of %v Hz: %.1f dBFS, want %.1f", hz, got, levelDBFS)
		}
		c.mu.Lock()
		if n := len(c.pcm); n >= 9600 {
			got = testkit.ToneLevel(c.pcm[n-9600:], hz)
		}
		c.mu.Unlock()
		if math.Abs(got-levelDBFS) < 2 {
			return
		}
	}
}

// sender makes 20 ms after 20 ms of a stream.
type sender struct {
	header rtp.Header
	next   func(s *sender) []byte // makes one payload; sets PayloadType, and the timestamp after it by step
	step   uint32
}

// send sends until the test ends or stop is closed.
func (c *client) send(s *sender, stop <-chan struct{}) (wait func()) {
	s.header.Version, s.header.SSRC = 2, c.track.ssrc
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
			}
			payload := s.next(s)
			_, _ = c.track.writer.WriteRTP(&s.header, payload) // a connection that closes ends the test
			s.header.SequenceNumber++
			s.header.Timestamp += s.step
		}
	})
	return wg.Wait
}

// start sends and returns what stops it; it is stopped at the end of the test.
func (c *client) start(s *sender) (stop func()) {
	done := make(chan struct{})
	wait := c.send(s, done)
	var once sync.Once
	stop = func() { once.Do(func() { close(done); wait() }) }
	c.t.Cleanup(stop)
	return stop
}

// toneAt makes a tone sample after sample.
func toneAt(hz, amplitude float64, rate int) func() float64 {
	k := -1
	return func() float64 {
		k++
		return amplitude * math.Sin(2*math.Pi*hz*float64(k)/float64(rate))
	}
}
