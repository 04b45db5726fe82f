package neteq

import (
	"testing"
	"time"
)

// nackCall is a sender that loses some packets on the way and sends again what it is asked for.
type nackCall struct {
	loss     int // one packet in this many
	jitter   time.Duration
	rtt      time.Duration
	lost     int
	asked    map[uint16]int
	sent     map[uint16]*Packet
	requests int
}

// run lets d pass; packets are lost from the given time on.
func (c *nackCall) run(b *bench, d time.Duration) {
	type flight struct {
		p  *Packet
		at time.Duration
	}
	var flights []flight
	random := uint32(1)
	next := func(n uint32) uint32 {
		random = random*1664525 + 1013904223
		return random >> 8 % n
	}
	due, end := b.now+time.Millisecond, b.now+d
	var list []uint16
	for b.now < end {
		for due <= b.now+tickDuration {
			p := b.next()
			c.sent[p.SequenceNumber] = p
			if c.loss > 0 && next(uint32(c.loss)) == 0 {
				c.lost++
			} else {
				flights = append(flights, flight{p, due + time.Duration(next(1+uint32(c.jitter)))})
			}
			due += ms(20)
		}
		b.now += tickDuration
		for i := 0; i < len(flights); i++ {
			if f := flights[i]; f.at <= b.now {
				b.insert(f.p, f.at)
				flights = append(flights[:i], flights[i+1:]...)
				i--
			}
		}
		b.last = b.n.Get(b.frame, b.now)
		list = b.n.NACKs(list[:0], b.now, c.rtt)
		for _, s := range list {
			c.asked[s]++
			c.requests++
			if next(100) >= 2 { // requests and answers get lost, too
				flights = append(flights, flight{c.sent[s], b.now + c.rtt})
			}
		}
	}
}

func newNackCall(loss int, rtt time.Duration) *nackCall {
	return &nackCall{loss: loss, rtt: rtt, asked: map[uint16]int{}, sent: map[uint16]*Packet{}}
}

var nackAware = &NackConfig{PlayoutAware: true}

// The figures of 6.12: of 5 % lost at a round trip of 60 ms nine in ten come back in time, with few requests.
func TestNACKsRecover(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"target 80 ms", Config{MinDelay: ms(80), Nack: nackAware}},
		{"target 100 ms", Config{MinDelay: ms(100), MaxDelay: ms(100), Nack: nackAware}},
		{"target of its own", Config{Nack: nackAware}},
		{"M150", Config{Policy: PolicyM150, Nack: nackAware}},
	} {
		b := newBench(t, c.cfg)
		b.sig = sine(220, 0.1)
		call := newNackCall(20, ms(60))
		call.run(b, 20*time.Second) // the target finds its place
		before, lost := b.n.Stats(), call.lost
		call.requests = 0
		call.run(b, 60*time.Second)
		s := b.n.Stats()
		concealed := float64(s.ConcealedSamples-before.ConcealedSamples) / 960
		n := call.lost - lost
		delay := (s.JitterBufferDelay - before.JitterBufferDelay) * 1000 / float64(s.JitterBufferEmittedCount-before.JitterBufferEmittedCount)
		t.Logf("%s: %d lost, %d requests, %.0f packets concealed, mean delay %.0f ms", c.name, n, call.requests, concealed, delay)
		if concealed > 0.1*float64(n) {
			t.Errorf("%s: %.0f of %d lost packets concealed", c.name, concealed, n)
		}
		if float64(call.requests) > 1.3*float64(n) {
			t.Errorf("%s: %d requests for %d losses", c.name, call.requests, n)
		}
		for seq, times := range call.asked {
			if times > nackMaxRequests {
				t.Errorf("%s: %d asked for %d times", c.name, seq, times)
			}
		}
	}
}

// What cannot come in time is not asked for (6.12), and costs no delay.
func TestNACKsOfALongPath(t *testing.T) {
	for _, cfg := range []Config{{MinDelay: ms(80), Nack: nackAware}, {Nack: nackAware}} {
		b := newBench(t, cfg)
		b.sig = sine(220, 0.1)
		call := newNackCall(20, ms(300))
		call.run(b, 30*time.Second)
		if call.requests != 0 {
			t.Errorf("%d requests at a round trip of 300 ms", call.requests)
		}
		if target := b.n.Stats().TargetDelay; target > ms(100) {
			t.Errorf("target %v", target)
		}
	}
}

// Never more than a tenth of what comes: half of the packets lost, a bad network is not made worse.
func TestNACKsAreBounded(t *testing.T) {
	b := newBench(t, Config{MinDelay: ms(200), Nack: nackAware})
	call := newNackCall(2, ms(20))
	call.run(b, 60*time.Second)
	if received := int(b.n.Stats().PacketsReceived); call.requests > received/10+10 || call.requests < received/20 {
		t.Errorf("%d requests for %d packets received", call.requests, received)
	}
}

// A stream without loss is never asked for anything, whatever its jitter; the order is that of sending when no packet
// overtakes another by more than 10 ms.
func TestNACKsWithoutLoss(t *testing.T) {
	b := newBench(t, Config{Nack: nackAware})
	call := newNackCall(0, ms(30))
	call.jitter = ms(15)
	call.run(b, 20*time.Second)
	if call.requests != 0 {
		t.Errorf("%d requests", call.requests)
	}
}

// Reordered packets are asked for once or twice at first, then they get their 10 ms.
func TestNACKsWaitWhereThereIsReordering(t *testing.T) {
	b := newBench(t, Config{MinDelay: ms(120), Nack: nackAware})
	call := newNackCall(0, ms(30))
	call.jitter = ms(28) // every so often a packet overtakes another, by up to 8 ms
	call.run(b, 60*time.Second)
	if call.requests > 3 {
		t.Errorf("%d requests", call.requests)
	}
}

// RED has it already.
func TestNACKsNotForWhatREDHas(t *testing.T) {
	b := newBench(t, Config{MinDelay: ms(100), Nack: nackAware})
	var before []byte
	for k := range 100 {
		p := b.next()
		primary := p.Payload[:200] // of 100 samples
		p.Payload = primary
		if before != nil {
			header := []byte{0x80 | testPT, byte(960 >> 6), byte(960 << 2 & 0xff), 200, testPT}
			p.Payload, p.PayloadType = append(append(header, before...), primary...), 63
		}
		before = primary
		if k%5 != 4 {
			b.insert(p, b.now)
		}
		for range 2 {
			b.tick()
			if list := b.n.NACKs(nil, b.now, ms(20)); len(list) > 1 {
				t.Fatalf("%v", list)
			}
		}
		if k%5 == 0 && k > 0 {
			if n := b.n.nack.Missing(); n != 0 {
				t.Fatalf("packet %d: %d still missing", k, n)
			}
		}
	}
}

func TestNACKsWithoutConfigAndWhileSkipped(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		skip bool
	}{{Config{}, false}, {Config{Nack: nackAware}, true}} {
		b := newBench(t, c.cfg)
		for k := range 200 {
			if p := b.next(); k%7 != 3 {
				b.insert(p, b.now)
			}
			for range 2 {
				b.now += tickDuration
				if c.skip {
					b.n.Skip(b.now)
				} else {
					b.n.Get(b.frame, b.now)
				}
				if list := b.n.NACKs(nil, b.now, ms(5)); len(list) != 0 {
					t.Fatalf("%v", list)
				}
			}
		}
	}
}

func TestNACKsDoNotAllocate(t *testing.T) {
	b := newBench(t, Config{MinDelay: ms(100), Nack: nackAware})
	p := b.next()
	list := make([]uint16, 0, 250)
	k, now := 0, time.Duration(0)
	step := func() {
		k++
		now += ms(20)
		p.SequenceNumber++
		p.Timestamp += 960
		if k%9 != 0 {
			b.insert(p, now)
		}
		b.n.Get(b.frame, now)
		b.n.Get(b.frame, now+tickDuration)
		list = b.n.NACKs(list[:0], now+tickDuration, ms(20))
	}
	for range 500 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
