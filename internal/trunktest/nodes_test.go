package trunktest

import (
	"bytes"
	"context"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley/cluster/trunk"
	"parley/cluster/trunk/media"
	"parley/internal/opus"
	"parley/internal/testkit/netsim"
	"parley/mixer"
	"parley/neteq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	frame = 960 // samples in 20 ms
	tick  = 10 * time.Millisecond
)

var formats = map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}

// pipe is a UDP socket in memory with one peer, over a path that delays and loses.
type pipe struct {
	addr netip.AddrPort
	peer *pipe
	mu   sync.Mutex
	link *netsim.Link
	in   chan []byte
	dead chan struct{}
	once sync.Once
	sent int // bytes
}

func newPipes(c netsim.Conditions) (a, b *pipe) {
	a = &pipe{addr: netip.MustParseAddrPort("10.0.0.1:1"), link: netsim.NewLink(c, 1), in: make(chan []byte, 1024), dead: make(chan struct{})}
	b = &pipe{addr: netip.MustParseAddrPort("10.0.0.2:1"), link: netsim.NewLink(c, 2), in: make(chan []byte, 1024), dead: make(chan struct{}), peer: a}
	a.peer = b
	return a, b
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(b, d), net.UDPAddrFromAddrPort(p.peer.addr), nil
	case <-p.dead:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += len(b)
	first, second := p.link.Send(0, len(b))
	for _, after := range []time.Duration{first, second} {
		if after >= 0 {
			d := bytes.Clone(b)
			time.AfterFunc(after, func() {
				select {
				case p.peer.in <- d:
				default:
				}
			})
		}
	}
	return len(b), nil
}

func (p *pipe) Close() error                     { p.once.Do(func() { close(p.dead) }); return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return p.Close() }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(p.addr) }

// node is a mixer with one room, and its end of the trunk.
type node struct {
	t      *testing.T
	name   string
	mixer  *mixer.Mixer
	room   *mixer.Room
	trunks *trunk.Trunks
	outlet *media.Outlet
	inlet  *media.Inlet
	pipe   *pipe
	remote *mixer.Source // of the last participant of the other node
	stop   func()
}

func newNode(t *testing.T, name, other string, p *pipe, clock func() time.Duration, speakers int) *node {
	t.Helper()
	n := &node{t: t, name: name, pipe: p}
	var err error
	n.mixer, err = mixer.New(mixer.Config{
		Workers: 1, Clock: clock,
		NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) },
		NewEncoder: func(c mixer.EncoderConfig) (mixer.Encoder, error) { return opus.NewEncoder(opus.EncoderConfig(c)) },
	})
	must(t, err)
	n.room, err = n.mixer.NewRoom("room", mixer.RoomConfig{Speakers: speakers})
	must(t, err)
	n.inlet, err = media.NewInlet(media.InletConfig{
		Now: n.mixer.Now,
		AddSource: func(_, participant string, formats map[uint8]neteq.Format) (media.Source, error) {
			s, err := n.room.AddSource(mixer.SourceConfig{Owner: participant, Formats: formats})
			n.remote = s
			return s, err
		},
	})
	must(t, err)
	n.trunks, err = trunk.New(trunk.Config{
		Conn: p, Node: name, Secret: make([]byte, 32), Epoch: 1, OnPacket: n.inlet.Packet, OnStream: n.inlet.Stream,
	})
	must(t, err)
	n.outlet, err = media.NewOutlet(n.trunks, "room", max(1, speakers))
	must(t, err)
	n.outlet.SetNodes([]string{other})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.trunks.Run(ctx) }() // stop waits for it
	n.stop = func() { cancel(); must(t, <-done) }
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// talker sends sound to its node, which mixes it and may send it on.
type talker struct {
	source *mixer.Source
	talker *media.Talker
	enc    *opus.Encoder
	sound  func(n int) float32
	n      int
	packet neteq.Packet
	buf    [1275]byte
	pcm    [frame]float32
	levels bool
}

func (n *node) talker(owner string, sound func(int) float32, levels bool) *talker {
	s, err := n.room.AddSource(mixer.SourceConfig{Owner: owner, Formats: formats})
	must(n.t, err)
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBps: 32000, Complexity: 5, FEC: true})
	must(n.t, err)
	return &talker{
		source: s, enc: e, sound: sound, levels: levels, packet: neteq.Packet{SequenceNumber: 65000, Timestamp: 1 << 31, SSRC: 7, PayloadType: 111},
		talker: n.outlet.Add(media.TalkerConfig{Participant: owner, SourceEpoch: 7, Formats: formats, Level: s.Expect}),
	}
}

func (x *talker) send(t *testing.T, now time.Duration) {
	for i := range x.pcm {
		x.pcm[i] = x.sound(x.n + i)
	}
	x.n += frame
	size, err := x.enc.Encode(x.pcm[:], x.buf[:])
	must(t, err)
	p := &x.packet
	p.Payload, p.HasAudioLevel = x.buf[:size], x.levels
	p.SequenceNumber++
	p.Timestamp += frame
	if x.levels {
		p.AudioLevel = uint8(max(0, min(127, -energyDB(x.pcm[:]))))
	}
	x.source.Push(p, now)
	x.talker.Push(p, now)
}

// ear decodes what a listener is sent.
type ear struct {
	t     *testing.T
	dec   *opus.Decoder
	pcm   []float32
	next  uint32
	begun bool
}

func (n *node) ear(owner string) *ear {
	d, err := opus.NewDecoder(1)
	must(n.t, err)
	e := &ear{t: n.t, dec: d}
	_, err = n.room.AddListener(mixer.ListenerConfig{Owner: owner, Sink: e})
	must(n.t, err)
	return e
}

func (e *ear) WriteFrame(f mixer.Frame) {
	var pcm [frame]float32
	if !e.begun {
		e.begun, e.next = true, f.Timestamp
	}
	for ; int32(f.Timestamp-e.next) >= frame; e.next += frame { // not sent: silence
		e.dec.Conceal(pcm[:])
		e.pcm = append(e.pcm, pcm[:]...)
	}
	e.next += frame
	if n, err := e.dec.Decode(f.Payload, pcm[:]); err != nil || n != frame {
		e.t.Errorf("frame at %d: %d samples, %v", f.Timestamp, n, err)
	}
	e.pcm = append(e.pcm, pcm[:]...)
}

func energyDB(x []float32) float64 {
	sum := 1e-13
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(x)))
}

// firstLoud is the first sample from which on 2.5 ms are louder than level, -1 if none is.
func firstLoud(pcm []float32, level float64) int {
	for i := 0; i+120 <= len(pcm); i += 12 {
		if energyDB(pcm[i:i+120]) > level {
			return i
		}
	}
	return -1
}

// call is two nodes, in virtual time.
type call struct {
	t     *testing.T
	a, b  *node
	start time.Time
	n     int
}

func newCall(t *testing.T, path netsim.Conditions, speakers int) *call {
	c := &call{t: t, start: time.Now()}
	clock := func() time.Duration { return time.Since(c.start) }
	pa, pb := newPipes(path)
	c.a, c.b = newNode(t, "a", "b", pa, clock, speakers), newNode(t, "b", "a", pb, clock, speakers)
	c.a.trunks.Connect("b", pb.addr, 1)
	c.b.trunks.Connect("a", pa.addr, 1)
	return c
}

func (c *call) run(d time.Duration, talkers ...*talker) {
	for end := time.Since(c.start) + d; time.Since(c.start) < end; c.n++ {
		if c.n%2 == 0 {
			for _, x := range talkers {
				x.send(c.t, time.Since(c.start))
			}
		}
		time.Sleep(tick)
		synctest.Wait()
		c.a.mixer.Step()
		c.b.mixer.Step()
	}
}

func (c *call) close() {
	c.a.stop()
	c.b.stop()
	c.a.room.Close()
	c.b.room.Close()
}

func tone(hz, amplitude float64) func(int) float32 {
	return func(n int) float32 { return float32(amplitude * math.Sin(2*math.Pi*hz*float64(n)/48000)) }
}
