package neteq

import (
	"errors"
	"testing"
	"time"
)

func TestBeforeTheFirstPacket(t *testing.T) { // 7.13, items 122 and 130
	b := newBench(t, Config{})
	for range 100 {
		b.frame[5] = 9
		if r := b.tick(); r.Speech != Silence {
			t.Fatalf("%+v", r)
		}
	}
	if rms(b.out) != 0 {
		t.Error("sound from nowhere")
	}
	if s := b.n.Stats(); s.TotalSamplesReceived != 0 || s.ConcealedSamples != 0 || s.ConcealmentEvents != 0 || s.InterruptionCount != 0 {
		t.Errorf("counted before the first packet: %+v", s)
	}
}

func TestPerfectLinkPlaysEverySampleUnchanged(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = voice(120)
	b.run(10*time.Second, nil)
	s := b.n.Stats()
	if s.ConcealedSamples != 0 || s.InsertedSamplesForDeceleration != 0 || s.RemovedSamplesForAcceleration != 0 {
		t.Fatalf("a perfect link was touched: %+v", s)
	}
	// After the first 10 ms (fade-in) the output is the input, delayed.
	want := b.payload(0, 48000)
	delay := -1
	for d := 0; d < 4800 && delay < 0; d++ {
		same := true
		for i := 2000; i < 4000; i++ {
			if b.out[d+i] != float32(int16(uint16(want[2*i])<<8|uint16(want[2*i+1])))/32768 {
				same = false
				break
			}
		}
		if same {
			delay = d
		}
	}
	if delay < 0 {
		t.Fatal("the input is not in the output")
	}
	if got := meanDelayMs(s); got > 22 {
		t.Errorf("mean delay %.1f ms", got)
	}
}

func TestUnknownPayloadType(t *testing.T) { // items 2 and 131
	b := newBench(t, Config{})
	p := b.next()
	p.PayloadType = 33
	if err := b.n.Insert(p, 0); !errors.Is(err, ErrUnknownPayloadType) {
		t.Errorf("got %v", err)
	}
	if err := b.n.Insert(&Packet{PayloadType: testPT}, 0); !errors.Is(err, ErrEmptyPayload) {
		t.Errorf("got %v", err)
	}
	if b.n.buf.len() != 0 || b.n.haveNewest {
		t.Error("a refused packet left something")
	}
	b.sig = sine(300, 0.5)
	b.run(time.Second, nil)
	if s := b.n.Stats(); s.ConcealedSamples != 0 || s.InvalidPackets != 1 {
		t.Errorf("%+v", s)
	}
}

func TestRegister(t *testing.T) { // items 28 and 29
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ok := func() (Decoder, error) { return &pcmDecoder{channels: 1}, nil }
	for _, c := range []struct {
		pt   uint8
		f    Format
		make func() (Decoder, error)
		want error
	}{
		{111, Format{Name: "Opus", ClockRateHz: 48000, Channels: 2}, ok, nil},
		{111, Format{Name: "opus", ClockRateHz: 48000}, ok, ErrRegistered},
		{0, Format{Name: "PCMU", ClockRateHz: 8000}, ok, nil},
		{8, Format{Name: "pcma", ClockRateHz: 8000}, ok, nil},
		{9, Format{Name: "G722", ClockRateHz: 8000}, ok, nil},
		{13, Format{Name: "cn", ClockRateHz: 8000}, nil, nil},
		{101, Format{Name: "TELEPHONE-EVENT", ClockRateHz: 48000}, nil, nil},
		{63, Format{Name: "Red", ClockRateHz: 48000}, nil, nil},
		{200, Format{Name: "opus", ClockRateHz: 48000}, ok, ErrFormat},
		{20, Format{Name: "speex", ClockRateHz: 16000}, ok, ErrFormat},
		{21, Format{Name: "opus", ClockRateHz: 44100}, ok, ErrFormat},
		{22, Format{Name: "opus", ClockRateHz: 0}, ok, ErrFormat},
		{23, Format{Name: "PCMU", ClockRateHz: 8000}, nil, ErrFormat},
	} {
		if err := n.Register(c.pt, c.f, c.make); !errors.Is(err, c.want) {
			t.Errorf("%d %+v: %v, want %v", c.pt, c.f, err, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{Channels: 3}, {Channels: -1}, {MaxPackets: 1}, {MaxPackets: 1 << 20}, {Policy: 99},
		{MinDelay: time.Second, MaxDelay: ms(10)}, {MaxDelay: time.Hour}} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	b := newBench(t, Config{})
	if err := b.n.SetDelayBounds(ms(100), ms(50)); !errors.Is(err, ErrDelayBounds) {
		t.Errorf("min over max: %v", err)
	}
	if err := b.n.SetDelayBounds(ms(150), ms(300)); err != nil {
		t.Fatal(err)
	}
	b.sig = voice(130)
	b.run(5*time.Second, nil)
	if d := b.n.Stats().PlayoutDelay; d < ms(145) || d > ms(185) {
		t.Errorf("delay %v with a minimum of 150 ms", d)
	}
	if err := b.n.SetDelayBounds(0, 0); err != nil {
		t.Fatal(err)
	}
	b.run(20*time.Second, nil)
	if d := b.n.Stats().PlayoutDelay; d > ms(110) { // a voice without pauses is stretched down to 80 ms above target
		t.Errorf("delay %v after the minimum was lifted", d)
	}
}

func TestWrongFrameLength(t *testing.T) {
	b := newBench(t, Config{Channels: 2})
	for _, k := range []int{0, 1, 480, 961} {
		if r := b.n.Get(make([]float32, k), 0); r.Operation != OpSilence {
			t.Errorf("%d samples: %+v", k, r)
		}
	}
}

func TestOneLostPacketIsConcealedInItsLength(t *testing.T) { // item 67
	for _, p := range []Policy{PolicyAdaptive, PolicyM150} {
		b := newBench(t, Config{Policy: p})
		b.sig = voice(150)
		b.dec.conceal = func(pcm []float32) { clear(pcm) }
		b.run(10*time.Second, nil)
		before := b.n.Stats()
		b.run(time.Second, func(k int) time.Duration {
			if k == 20 {
				return -1
			}
			return 0
		})
		s := b.n.Stats()
		concealed := s.ConcealedSamples - before.ConcealedSamples
		if events := s.ConcealmentEvents - before.ConcealmentEvents; events != 1 {
			t.Errorf("policy %d: %d events", p, events)
		}
		if p == PolicyAdaptive && concealed != 960 {
			t.Errorf("concealed %d samples for a loss of 960", concealed)
		}
		if p == PolicyM150 && (concealed < 700 || concealed > 1300) {
			t.Errorf("M150: concealed %d samples for a loss of 960", concealed)
		}
		if d := s.PlayoutDelay - before.PlayoutDelay; d < -ms(11) || d > ms(11) {
			t.Errorf("policy %d: the loss moved the delay by %v", p, d)
		}
	}
}

func TestLatePacketIsPlayedAfterTheConcealment(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = sine(200, 0.5)
	b.run(10*time.Second, nil)
	before := b.n.Stats()
	// The network holds everything back for 100 ms, then delivers at once.
	stall := b.now + ms(300)
	b.run(time.Second, func(k int) time.Duration {
		due := 11*time.Millisecond + time.Duration(k)*ms(20) + stall - ms(300)
		if due >= stall && due < stall+ms(100) {
			return stall + ms(100) - due
		}
		return 0
	})
	s := b.n.Stats()
	if s.LatePackets != before.LatePackets || s.PacketsDiscarded != before.PacketsDiscarded {
		t.Errorf("%d packets thrown away", s.PacketsDiscarded-before.PacketsDiscarded)
	}
	if c := s.ConcealedSamples - before.ConcealedSamples; c < 60*48 || c > 110*48 {
		t.Errorf("concealed %d ms", c/48)
	}
	if s.DelayedOutageEvents != before.DelayedOutageEvents+1 {
		t.Errorf("%d delayed outages", s.DelayedOutageEvents-before.DelayedOutageEvents)
	}
}

func TestDuplicatesChangeOnlyACounter(t *testing.T) {
	one, two := newBench(t, Config{}), newBench(t, Config{})
	for i, b := range []*bench{one, two} {
		b.sig = voice(110)
		for k := range 200 {
			p := b.next()
			at := b.now + ms(1)
			b.insert(p, at)
			if i == 1 && k%3 == 0 {
				b.insert(p, at)
				b.insert(p, at+ms(3))
			}
			b.tick()
			b.tick()
		}
	}
	for i := range one.out {
		if one.out[i] != two.out[i] {
			t.Fatalf("sample %d differs", i)
		}
	}
	s := two.n.Stats()
	if s.DuplicatePackets != 134 || s.PacketsDiscarded != 0 {
		t.Errorf("%d duplicates, %d discarded", s.DuplicatePackets, s.PacketsDiscarded)
	}
}

func TestFlush(t *testing.T) { // item 155
	b := newBench(t, Config{})
	b.sig = sine(300, 0.3)
	b.run(2*time.Second, nil)
	before := b.n.Stats()
	for range 5 {
		b.insert(b.next(), b.now)
	}
	b.n.Flush()
	if s := b.n.Stats(); s.BufferedPackets != 0 || s.TotalSamplesReceived != before.TotalSamplesReceived {
		t.Errorf("%+v", s)
	}
	b.ts += 1 << 30
	b.run(time.Second, nil)
	if s := b.n.Stats(); s.ConcealedSamples != before.ConcealedSamples || s.TotalSamplesReceived <= before.TotalSamplesReceived {
		t.Errorf("after the flush: %+v", s)
	}
}

func TestSSRCChangeKeepsTheTarget(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = voice(120)
	b.run(20*time.Second, func(k int) time.Duration { return ms(k * 7 % 60) })
	target := b.n.Stats().TargetDelay
	p := b.next()
	p.SSRC, p.Timestamp = 99, p.Timestamp+1<<31
	b.insert(p, b.now)
	s := b.n.Stats()
	if s.TargetDelay != target || s.StreamResets != 1 {
		t.Errorf("target %v, was %v, %d resets", s.TargetDelay, target, s.StreamResets)
	}
}

func TestTimestampJump(t *testing.T) { // M-01
	for _, jump := range []uint32{1 << 31, 10 * 3600 * 48000, 1<<32 - 20*48000, 6 * 48000} {
		b := newBench(t, Config{})
		b.sig = sine(300, 0.5)
		b.run(3*time.Second, nil)
		before := b.n.Stats()
		b.ts += jump
		b.run(3*time.Second, nil)
		s := b.n.Stats()
		if c := s.ConcealedSamples - before.ConcealedSamples; c > 100*48 {
			t.Errorf("jump %d: concealed %d ms", jump, c/48)
		}
		if level := rms(b.out[len(b.out)-48000:]); level < 0.3 {
			t.Errorf("jump %d: level %.3f afterwards", jump, level)
		}
		if s.StreamResets != before.StreamResets+1 {
			t.Errorf("jump %d: %d resets", jump, s.StreamResets)
		}
	}
}

func TestDeclaredGap(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = sine(300, 0.5)
	b.run(3*time.Second, nil)
	before := b.n.Stats()
	b.n.DeclareGap()
	from := len(b.out)
	for range 300 {
		b.tick()
	}
	if l := rms(b.out[from+5*480:]); l != 0 {
		t.Errorf("level %g during the declared gap", l)
	}
	for i := from; i < from+2400; i++ {
		if d := b.out[i] - b.out[i-1]; d > 0.05 || d < -0.05 {
			t.Fatalf("step of %.3f at the start of the gap", d)
		}
	}
	s := b.n.Stats()
	if s.ConcealedSamples != before.ConcealedSamples || s.StutterSamples != 0 {
		t.Errorf("a declared gap was counted as concealment: %d samples", s.ConcealedSamples-before.ConcealedSamples)
	}
	b.ts += 300 * 480
	from = len(b.out)
	b.run(time.Second, nil)
	if rms(b.out[from+6*480:]) < 0.3 {
		t.Error("no sound after the gap")
	}
}

func TestDecoderErrorIsConcealed(t *testing.T) { // item 139
	b := newBench(t, Config{})
	b.sig = voice(140)
	count := 0
	b.dec.fail = func([]byte) bool { count++; return count == 100 }
	b.run(5*time.Second, nil)
	s := b.n.Stats()
	if s.DecodeErrors != 1 || s.ConcealmentEvents != 1 || s.ConcealedSamples < 900 || s.ConcealedSamples > 1700 {
		t.Errorf("%d errors, %d events, %d samples concealed", s.DecodeErrors, s.ConcealmentEvents, s.ConcealedSamples)
	}
}

func TestWrapInvariance(t *testing.T) { // item 143
	var want []float32
	for i, start := range []struct {
		seq uint16
		ts  uint32
	}{{1000, 5000}, {0xffff - 10, 0xffffffff - 5000}, {0xffff, 0xffffffff}, {0x7ff0, 0x7ffff000}} {
		b := newBench(t, Config{})
		b.seq, b.ts = start.seq, start.ts
		b.sig = voice(117)
		b.run(5*time.Second, func(k int) time.Duration {
			if k%17 == 3 {
				return -1
			}
			return ms(k * 11 % 47)
		})
		if i == 0 {
			want = b.out
			continue
		}
		for k := range want {
			if want[k] != b.out[k] {
				t.Fatalf("start %+v: sample %d differs", start, k)
			}
		}
	}
}

func TestSkipAndReturn(t *testing.T) { // item 173
	heard, skipped := newBench(t, Config{}), newBench(t, Config{})
	for _, b := range []*bench{heard, skipped} {
		b.sig = sine(300, 0.5)
		b.run(5*time.Second, nil)
	}
	decodes := skipped.dec.decodes
	for range 3000 {
		for _, b := range []*bench{heard, skipped} {
			b.insert(b.next(), b.now+ms(1))
		}
		heard.tick()
		heard.tick()
		for range 2 {
			skipped.now += tickDuration
			skipped.n.Skip(skipped.now)
		}
	}
	if skipped.dec.decodes != decodes {
		t.Errorf("%d packets decoded while skipping", skipped.dec.decodes-decodes)
	}
	s := skipped.n.Stats()
	if s.PacketsDiscarded != 0 || s.SkippedSamples != 6000*480 {
		t.Errorf("discarded %d, skipped %d", s.PacketsDiscarded, s.SkippedSamples)
	}
	before := len(skipped.out)
	for range 200 {
		for _, b := range []*bench{heard, skipped} {
			b.insert(b.next(), b.now+ms(1))
			b.tick()
			b.tick()
		}
	}
	if l := rms(skipped.out[before+480 : before+960]); l < 0.3 {
		t.Errorf("level %.3f in the second tick after the return", l)
	}
	for i := before + 1; i < before+4800; i++ {
		if d := skipped.out[i] - skipped.out[i-1]; d > 0.05 || d < -0.05 {
			t.Fatalf("step of %.3f %d samples after the return", d, i-before)
		}
	}
	a, b := heard.n.Stats().PlayoutDelay, skipped.n.Stats().PlayoutDelay
	if d := a - b; d > ms(20) || d < -ms(20) {
		t.Errorf("delay %v after skipping, %v without", b, a)
	}
}

// Decoders of a source that nobody has heard for a minute are given back (5.4), and it is heard as before when it is again.
func TestDecodersAreGivenBack(t *testing.T) {
	b := newBench(t, Config{})
	made := 0
	if err := b.n.Register(testPT+1, Format{Name: "L16", ClockRateHz: sampleRate}, func() (Decoder, error) { made++; return &pcmDecoder{channels: 1}, nil }); err != nil {
		t.Fatal(err)
	}
	b.sig = sine(300, 0.5)
	send := func() {
		p := b.next()
		p.PayloadType = testPT + 1
		b.insert(p, b.now+ms(1))
	}
	for _, c := range []struct {
		skipped time.Duration
		made    int
	}{{0, 1}, {59 * time.Second, 1}, {61 * time.Second, 2}, {time.Second, 2}} {
		for range c.skipped / ms(20) {
			send()
			for range 2 {
				b.now += tickDuration
				b.n.Skip(b.now)
			}
		}
		concealed := b.n.Stats().ConcealedSamples
		from := len(b.out)
		for range 20 {
			send()
			b.tick()
			b.tick()
		}
		if made != c.made || b.n.Stats().ConcealedSamples != concealed {
			t.Errorf("after %v: %d decoders made, want %d", c.skipped, made, c.made)
		}
		if l := rms(b.out[from+30*millisecond:]); l < 0.33 {
			t.Errorf("after %v: level %.3f", c.skipped, l)
		}
	}
}
