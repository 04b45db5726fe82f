package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pion/stun/v4"
	"golang.org/x/time/rate"
)

const (
	joinsAtOnce = 64
	keepDTLS    = 2 * time.Second // after a handshake, to answer messages that come again
	maxReasons  = 5
	voiceShift  = 5 // between the first voices of rooms
)

// run is one measurement.
type run struct {
	cfg      Config
	epoch    time.Time
	host     netip.Addr // where signaling is
	identity *identity
	signaler signaler
	loops    []*loop
	rooms    []*room
	seats    []*chair
	tracks   tracks
	wg       sync.WaitGroup // all goroutines

	mu     sync.Mutex
	nextID int
	joins  Joins
	took   *hist
}

// chair is a seat in a room: somebody sits in it, or nobody when they have left.
type chair struct {
	room  *room
	index int

	mu       sync.Mutex
	peer     *peer
	session  session
	speaking bool // whoever sits there speaks
	changing bool // somebody is leaving it, and somebody else coming
}

// Measure runs a crowd and reports. The report is there whenever the crowd came to be measured, whatever it found; a run that
// ctx ends is reported as far as it got.
func Measure(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, epoch: time.Now(), took: newHist()}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	var loops sync.WaitGroup
	for _, l := range r.loops {
		loops.Go(l.run)
	}
	defer loops.Wait()
	defer func() {
		for _, l := range r.loops {
			l.stop()
		}
	}()
	defer r.signaler.close()
	return r.measure(ctx)
}

func (r *run) prepare(ctx context.Context) error {
	var err error
	if r.host, err = resolve(ctx, r.cfg.URL); err != nil {
		return err
	}
	if r.identity, err = newIdentity(); err != nil {
		return err
	}
	if err := r.tracks.prepare(&r.cfg); err != nil {
		return err
	}
	if r.signaler, err = newSignaler(&r.cfg); err != nil {
		return err
	}
	for i := range r.cfg.Rooms {
		// Rooms begin at different voices, so that one room's are wrong in the next.
		r.rooms = append(r.rooms, newRoom(fmt.Sprintf("%s-%d", r.cfg.RoomPrefix, i), i*voiceShift, r.cfg.Loud))
	}
	for i := range r.cfg.Participants {
		for _, room := range r.rooms {
			r.seats = append(r.seats, &chair{room: room, index: i, speaking: i < r.cfg.Speakers})
		}
	}
	for range cores() {
		l, err := newLoop(r.epoch, r.cfg.Frame, r.cfg.Loss, len(r.cfg.CPUs) > 0)
		if err != nil {
			for _, l := range r.loops {
				l.close()
			}
			return err
		}
		r.loops = append(r.loops, l)
	}
	return nil
}

func newSignaler(cfg *Config) (signaler, error) {
	base := strings.TrimSuffix(cfg.URL, "/")
	token := cfg.Token
	if token == nil {
		token = func(string, string) (string, error) { return "", nil }
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: joinsAtOnce, MaxConnsPerHost: joinsAtOnce, IdleConnTimeout: 30 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.Insecure},
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	if cfg.Via == ViaJanus {
		transport.MaxConnsPerHost = 0 // one is busy with waiting for events
		return newJanus(base, client), nil
	}
	if cfg.Via == ViaWS {
		client.Timeout = 0 // of the socket's whole life
		transport.MaxConnsPerHost = 0
		return &ws{url: "ws" + strings.TrimPrefix(base, "http") + "/ws", origin: base, token: token, client: client}, nil
	}
	return &whip{base: base, whep: cfg.Via == ViaWHEP, token: token, client: client}, nil
}

// resolve finds the address of the server's name.
func resolve(ctx context.Context, base string) (netip.Addr, error) {
	u, err := url.Parse(base)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find %s: %w", u.Hostname(), err)
	}
	for _, a := range addrs {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return addrs[0], nil
}

// join takes a seat and has whoever sits there speak or not.
func (r *run) join(ctx context.Context, c *chair) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.JoinTimeout)
	defer cancel()
	r.mu.Lock()
	r.nextID++
	id := r.nextID
	r.joins.Asked++
	r.mu.Unlock()
	start := time.Now()
	again, err := r.sit(ctx, c, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins.Again += again
	if err != nil {
		if r.joins.Failed++; len(r.joins.Reasons) < maxReasons {
			r.joins.Reasons = append(r.joins.Reasons, fmt.Sprintf("%s: %v", c.room.name, err))
		}
		return err
	}
	r.joins.Joined++
	r.took.add(time.Since(start))
	return nil
}

func (r *run) sit(ctx context.Context, c *chair, id int) (again int, err error) {
	name := fmt.Sprintf("load-%d", id)
	own := offer{
		ufrag: randomText(8), pwd: randomText(24), fingerprint: r.identity.fingerprint, direction: "sendrecv", red: r.cfg.RED,
		ssrc: rand.Uint32(),
	}
	c.mu.Lock()
	listen := r.cfg.Via == ViaWHEP && !c.speaking
	c.mu.Unlock()
	if listen {
		own.direction = "recvonly"
	}
	got, again, err := patiently(ctx, r.signaler, seat{c.room.name, name, own.String(), listen})
	if err != nil {
		return again, err
	}
	p, err := r.connect(ctx, c, id, name, own, got.answer)
	if err != nil {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
		defer cancel()
		_ = got.leave(leave) // the first error is the one to tell
		return again, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer, c.session = p, got
	if c.speaking {
		return again, r.speak(c)
	}
	return again, nil
}

// connect does ICE and DTLS and hands the participant to a loop.
func (r *run) connect(ctx context.Context, c *chair, id int, name string, own offer, sdp string) (*peer, error) {
	theirs, err := parseAnswer(sdp)
	if err != nil {
		return nil, err
	}
	remote := theirs.pick(r.host)
	s, err := openSocket(remote)
	if err != nil {
		return nil, err
	}
	p := newPeer(id, name, c.room, s)
	p.ssrc, p.levels = own.ssrc, theirs.levels
	p.red = theirs.red
	address := net.UDPAddrFromAddrPort(remote)
	p.path = newPath(own, theirs, stun.XORMappedAddress{IP: address.IP, Port: address.Port}, rand.Uint64())
	pipe := newPipe(s, address)
	p.pipe = pipe
	if r.decodes(c) {
		p.ear, err = r.newEar(p, c)
		if err != nil {
			s.close()
			return nil, err
		}
	}
	l := r.loops[id%len(r.loops)]
	var added error
	if !l.do(func() { added = l.add(p) }) || added != nil {
		s.close()
		return nil, fmt.Errorf("begin: %w", added)
	}
	k, conn, err := func() (keys, interface{ Close() error }, error) {
		select {
		case <-p.connected:
			return r.identity.shake(ctx, pipe, theirs)
		case <-ctx.Done():
			return keys{}, nil, fmt.Errorf("ice: %w", ctx.Err())
		}
	}()
	if err != nil {
		l.do(func() { l.remove(p) })
		_ = pipe.Close()
		return nil, err
	}
	l.do(func() {
		p.keys = k
		if p.ear != nil {
			p.ear.tones = l.tones
		}
		p.rest(r.tracks.idle)
	})
	r.wg.Go(func() { // measure waits
		timer := time.NewTimer(keepDTLS)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-pipe.closed:
		}
		pipe.mute()
		l.do(func() { p.pipe = nil })
		_ = conn.Close()
	})
	return p, nil
}

func (r *run) newEar(p *peer, c *chair) (*ear, error) {
	voices := Voices
	if r.cfg.Speech != nil {
		voices = 0 // speech has no mark
	}
	return newEar(p.name+" in "+c.room.name, c.room, func() int { return p.voice }, voices, r.cfg.Latency)
}

// decodes says whether who sits there is in the sample: the first speaker and the first listener of each room, and every
// Sample-th participant.
func (r *run) decodes(c *chair) bool {
	if r.cfg.Sample == 0 {
		return false
	}
	return c.index == 0 || c.index == r.cfg.Speakers || c.index%r.cfg.Sample == 0
}

// speak gives whoever sits there a voice. c.mu is held.
func (r *run) speak(c *chair) error {
	v := c.room.speak(time.Since(r.epoch))
	if v < 0 {
		return fmt.Errorf("no voice is left in %s", c.room.name)
	}
	t, err := r.tracks.of(v, r.cfg.Latency && c.index == 0)
	if err != nil {
		return err
	}
	p := c.peer
	p.loop.do(func() { p.speak(v, t) })
	return nil
}

// hush takes it back. c.mu is held.
func (r *run) hush(c *chair) {
	p := c.peer
	if p == nil {
		return
	}
	v := -1
	p.loop.do(func() {
		if v = p.voice; v >= 0 {
			p.hush(r.tracks.silence)
		}
	})
	c.room.hush(v, time.Since(r.epoch))
}

// leave empties a chair.
func (r *run) leave(ctx context.Context, c *chair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peer
	if p == nil {
		return
	}
	r.hush(c)
	c.peer = nil
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	p.loop.do(func() { p.leaving = true })
	err := c.session.leave(ctx)
	var pipe *pipe
	lost := false
	p.loop.do(func() {
		pipe, lost = p.pipe, p.lost
		p.loop.remove(p)
	})
	if pipe != nil {
		_ = pipe.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins.Left++
	if err != nil && !lost && len(r.joins.Reasons) < maxReasons {
		r.joins.Reasons = append(r.joins.Reasons, fmt.Sprintf("leaving %s: %v", c.room.name, err))
	}
}

// everybody calls f for each chair, at most rate times a second and joinsAtOnce at a time, until ctx ends.
func (r *run) everybody(ctx context.Context, perSecond float64, f func(*chair)) {
	limiter := rate.NewLimiter(rate.Limit(perSecond), 1)
	places := make(chan struct{}, joinsAtOnce)
	var all sync.WaitGroup
	for _, c := range r.seats {
		if limiter.Wait(ctx) != nil {
			break
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			f(c)
		})
	}
	all.Wait()
}

func randomText(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}
