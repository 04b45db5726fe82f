package mixer

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/neteq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a mixer whose clock the test moves, with buffers and encoders that the test can look into.
type lab struct {
	t         testing.TB
	m         *Mixer
	now       time.Duration
	encoders  []*fakeEncoder
	next      *fakeBuffer // for the next source
	noCopy    bool        // encoders cannot be forked
	refuse    bool        // encoders cannot be made
	redundant bool        // listeners agree to get frames twice
	record    bool        // encoders keep what they encode
	onEncode  func(*fakeEncoder)
	panics    uint64 // rooms that are meant to panic
}

func newLab(t testing.TB, workers int) *lab {
	l := &lab{t: t, record: true}
	m, err := New(Config{
		Workers: workers,
		NewDecoder: func(neteq.Format, int) (neteq.Decoder, error) {
			panic("no decoder in this test")
		},
		NewEncoder: l.newEncoder,
		Clock:      func() time.Duration { return l.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.newBuffer = func(_ SourceConfig, channels int) (jitterBuffer, error) {
		b := l.next
		l.next = nil
		if b == nil {
			b = &fakeBuffer{}
		}
		b.channels = channels
		return b, nil
	}
	l.m = m
	t.Cleanup(func() {
		if n := m.Stats().Panics; n != l.panics {
			t.Errorf("%d rooms panicked, want %d", n, l.panics)
		}
	})
	return l
}

func (l *lab) newEncoder(cfg EncoderConfig) (Encoder, error) {
	if l.refuse {
		return nil, errTest
	}
	e := &fakeEncoder{lab: l, id: len(l.encoders), cfg: cfg, complexity: cfg.Complexity, bitrate: cfg.BitrateBps, loss: cfg.LossPercent, hash: 14695981039346656037}
	l.encoders = append(l.encoders, e)
	if l.noCopy {
		return plainEncoder{e}, nil
	}
	return e, nil
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("not today")

func (l *lab) room(cfg RoomConfig) *Room {
	l.t.Helper()
	r, err := l.m.NewRoom("r", cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// tick moves the clock on by 10 ms and runs what is due.
func (l *lab) tick() { l.advance(tickDuration) }

func (l *lab) ticks(n int) {
	for range n {
		l.tick()
	}
}

func (l *lab) advance(d time.Duration) {
	l.now += d
	l.m.Step()
}

func (l *lab) source(r *Room, owner string, b *fakeBuffer) *Source {
	l.t.Helper()
	l.next = b
	s, err := r.AddSource(SourceConfig{Owner: owner, Formats: map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}, Channels: b.channels})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) listener(r *Room, owner string) (*Listener, *recorder) {
	l.t.Helper()
	rec := &recorder{lab: l}
	x, err := r.AddListener(ListenerConfig{Owner: owner, Sink: rec, Redundant: l.redundant})
	if err != nil {
		l.t.Fatal(err)
	}
	return x, rec
}

// fakeBuffer yields what sound says for its k-th pull; nil is silence.
type fakeBuffer struct {
	sound    func(k int, frame []float32)
	channels int
	pulls    int
	skips    int
	gaps     int
	inserted []uint16
	played   [][]float32
	keep     bool
	busy     bool // says that something is buffered even in silence
	onGet    func(now time.Duration)
	missing  []uint16      // what NACKs returns
	rtt      time.Duration // what NACKs was told last
	atTime   func(now time.Duration, frame []float32)
	guess    func(p *neteq.Packet) int // level of a packet; nil: -35
	delay    time.Duration             // from insertion to play; 0: 20 ms
}

func (b *fakeBuffer) Forecast(p *neteq.Packet, now time.Duration) (neteq.Forecast, bool) {
	f := neteq.Forecast{LevelDBov: -35}
	if b.guess != nil {
		f.LevelDBov = b.guess(p)
	}
	f.Start = now + 20*time.Millisecond
	if b.delay != 0 {
		f.Start = now + b.delay
	}
	f.End = f.Start + 20*time.Millisecond
	return f, true
}

func (b *fakeBuffer) Insert(p *neteq.Packet, _ time.Duration) error {
	if len(p.Payload) == 0 {
		return errTest
	}
	b.inserted = append(b.inserted, p.SequenceNumber)
	return nil
}

func (b *fakeBuffer) Get(frame []float32, now time.Duration) neteq.Result {
	if b.onGet != nil {
		b.onGet(now)
	}
	clear(frame)
	if b.sound != nil {
		b.sound(b.pulls, frame)
	}
	if b.atTime != nil {
		b.atTime(now, frame)
	}
	b.pulls++
	if b.keep {
		b.played = append(b.played, append([]float32(nil), frame...))
	}
	if peakOf(frame) == 0 {
		return neteq.Result{Speech: neteq.Silence, Muted: !b.busy}
	}
	return neteq.Result{Speech: neteq.Speech}
}

func (b *fakeBuffer) Skip(time.Duration) {
	b.skips++
	if b.keep {
		b.played = append(b.played, make([]float32, frameSamples*max(1, b.channels)))
	}
}
func (b *fakeBuffer) DeclareGap() { b.gaps++ }
func (b *fakeBuffer) NACKs(dst []uint16, _, rtt time.Duration) []uint16 {
	b.rtt = rtt
	return append(dst, b.missing...)
}
func (b *fakeBuffer) Stats() neteq.Stats {
	return neteq.Stats{PacketsReceived: uint64(len(b.inserted))}
}

// constant yields a constant.
func constant(v float32) func(int, []float32) {
	return func(_ int, frame []float32) {
		for i := range frame {
			frame[i] = v
		}
	}
}

// noise yields noise, different for each seed and tick, and the same whenever asked.
func noise(seed uint64, amplitude float32) func(int, []float32) {
	return func(k int, frame []float32) {
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		for i := range frame {
			frame[i] = amplitude * (2*rng.Float32() - 1)
		}
	}
}

// during lets sound through for pulls in [from, to).
func during(from, to int, sound func(int, []float32)) func(int, []float32) {
	return func(k int, frame []float32) {
		if k >= from && k < to {
			sound(k, frame)
		}
	}
}

// fakeEncoder yields payloads that depend on every sample it has ever encoded, and can be found by what they say.
type fakeEncoder struct {
	lab        *lab
	id         int
	cfg        EncoderConfig
	hash       uint64
	silence    int
	loss       int
	complexity int
	bitrate    int
	samples    int // of the last frame, per channel
	calls      int
	resets     int
	frames     [][]float32
	last       []float32
}

const fakePayload = 16

func (e *fakeEncoder) Encode(pcm []float32, out []byte) (int, error) {
	if n := len(pcm) / e.cfg.Channels; n != 480 && n != 960 && n != 1920 {
		return 0, errTest
	}
	e.calls++
	e.samples = len(pcm) / e.cfg.Channels
	if e.lab.onEncode != nil {
		e.lab.onEncode(e)
	}
	h := e.hash
	for _, v := range pcm {
		h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
	}
	top := peakOf(pcm)
	loud := top > silentPeak
	if !(top <= 1) {
		e.lab.t.Errorf("encoder was given a peak of %v", top)
	}
	e.hash = h
	e.last = append(e.last[:0], pcm...)
	if e.lab.record {
		e.frames = append(e.frames, append([]float32(nil), pcm...))
	}
	if loud {
		e.silence = 0
	} else {
		e.silence++
	}
	if e.cfg.DTX && e.silence > 10 {
		out[0] = 0xD0
		return 1, nil
	}
	binary.BigEndian.PutUint32(out, uint32(e.id))
	binary.BigEndian.PutUint32(out[4:], uint32(len(e.frames)-1))
	binary.BigEndian.PutUint64(out[8:], h)
	return fakePayload, nil
}

func (e *fakeEncoder) SetBitrate(bps int) error { e.bitrate = bps; return nil }
func (e *fakeEncoder) SetComplexity(complexity int) error {
	e.complexity = complexity
	return nil
}
func (e *fakeEncoder) SetPacketLoss(percent int) error { e.loss = percent; return nil }
func (e *fakeEncoder) Reset() error {
	e.resets++
	e.hash, e.silence = 14695981039346656037, 0
	return nil
}

func (e *fakeEncoder) CopyState(from any) error {
	src, ok := from.(*fakeEncoder)
	if !ok {
		return errTest
	}
	e.hash, e.silence, e.loss, e.complexity, e.bitrate = src.hash, src.silence, src.loss, src.complexity, src.bitrate
	return nil
}

// plainEncoder hides everything but the interface.
type plainEncoder struct{ Encoder }

// buses returns those of a room.
func (r *Room) buses() []*bus {
	var all []*bus
	for _, m := range r.mixes {
		for _, b := range m.buses {
			if b != nil {
				all = append(all, b)
			}
		}
	}
	return all
}

// recorder is a sink that keeps what it is given, with the samples that were encoded.
type recorder struct {
	lab    *lab
	frames []Frame
	pcm    [][]float32 // nil for a frame of DTX
	tick   []time.Duration
	count  int
	fail   bool
}

func (r *recorder) WriteFrame(f Frame) {
	if r.fail {
		panic("sink")
	}
	r.count++
	if !r.lab.record {
		return
	}
	var pcm []float32
	if len(f.Payload) == fakePayload {
		e := r.lab.encoders[binary.BigEndian.Uint32(f.Payload)]
		pcm = e.frames[binary.BigEndian.Uint32(f.Payload[4:])]
	}
	f.Payload = append([]byte(nil), f.Payload...)
	f.Redundant = append([]byte(nil), f.Redundant...)
	r.frames = append(r.frames, f)
	r.pcm = append(r.pcm, pcm)
	r.tick = append(r.tick, r.lab.now)
}

// heard lays what was received out in time, from the first timestamp on; what was not sent is silence.
func (r *recorder) heard(channels int) []float32 {
	if len(r.frames) == 0 {
		return nil
	}
	first, last := r.frames[0].Timestamp, r.frames[len(r.frames)-1].Timestamp
	out := make([]float32, (int(last-first)+r.frames[len(r.frames)-1].Samples)*channels)
	for i, f := range r.frames {
		copy(out[int(f.Timestamp-first)*channels:], r.pcm[i])
	}
	return out
}

func (r *recorder) reset() { r.frames, r.pcm, r.tick, r.count = nil, nil, nil, 0 }
