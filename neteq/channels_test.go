package neteq

import (
	"math"
	"testing"
	"time"
)

// both sends the same to a mono and a stereo instance; in stereo, left and right are as side says.
func both(t *testing.T, d time.Duration, sig func(i int) float64, right float64, packetEvery func(k int) time.Duration, deliver func(k int) time.Duration) (mono, stereo *bench) {
	t.Helper()
	for _, channels := range []int{1, 2} {
		b := newBench(t, Config{Channels: channels})
		b.sig = func(i, c int) float64 {
			if c == 1 {
				return right * sig(i)
			}
			return sig(i)
		}
		type flight struct {
			p  *Packet
			at time.Duration
		}
		var flights []flight
		due := ms(1)
		for k := 0; b.now < d; {
			for due <= b.now+tickDuration {
				if late := deliver(k); late >= 0 {
					flights = append(flights, flight{b.next(), due + late})
				} else {
					b.lose()
				}
				due += packetEvery(k)
				k++
			}
			for i := 0; i < len(flights); i++ {
				if f := flights[i]; f.at <= b.now+tickDuration {
					b.insert(f.p, f.at)
					flights = append(flights[:i], flights[i+1:]...)
					i--
				}
			}
			b.tick()
		}
		if channels == 1 {
			mono = b
		} else {
			stereo = b
		}
	}
	return mono, stereo
}

func steady(int) time.Duration { return ms(20) }
func onTime(int) time.Duration { return 0 }

// Item 157: two channels of the same sound are the mono instance's, sample by sample, whatever the network does.
func TestEqualChannelsAreMono(t *testing.T) {
	for _, c := range []struct {
		name    string
		every   func(int) time.Duration
		deliver func(int) time.Duration
	}{
		{"no jitter", steady, onTime},
		{"sender 10 % fast", func(int) time.Duration { return ms(18) }, onTime},
		{"sender 10 % slow", func(int) time.Duration { return ms(22) }, onTime},
		{"every tenth a second late", steady, func(k int) time.Duration {
			if k%10 == 9 {
				return time.Second
			}
			return 0
		}},
		{"every tenth lost", steady, everyNth(10)}, // item 158
	} {
		sig := voice(130)
		mono, stereo := both(t, 6*time.Second, func(i int) float64 { return sig(i, 0) }, 1, c.every, c.deliver)
		for i, v := range mono.out {
			l, r := stereo.out[2*i], stereo.out[2*i+1]
			if l != r {
				t.Fatalf("%s: channels differ at %d: %v, %v", c.name, i, l, r)
			}
			if d := math.Abs(float64(l - v)); d > 200.0/32768 {
				t.Fatalf("%s: %v in stereo, %v in mono at %d ms", c.name, l, v, i/48)
			}
		}
		if a, b := mono.n.Stats(), stereo.n.Stats(); a.ConcealedSamples != b.ConcealedSamples || a.TotalSamplesReceived != b.TotalSamplesReceived {
			t.Errorf("%s: concealed %d of %d in mono, %d of %d in stereo", c.name, a.ConcealedSamples, a.TotalSamplesReceived,
				b.ConcealedSamples, b.TotalSamplesReceived)
		}
	}
}

// Item 159: a silent channel stays silent through losses and stretches.
func TestSilentChannelStaysSilent(t *testing.T) {
	sig := voice(130)
	_, stereo := both(t, 6*time.Second, func(i int) float64 { return sig(i, 0) }, 0, func(k int) time.Duration { return ms(19 + k/100%3) }, everyNth(7))
	for i := 1; i < len(stereo.out); i += 2 {
		if stereo.out[i] != 0 {
			t.Fatalf("%v at %d ms", stereo.out[i], i/96)
		}
	}
	if s := stereo.n.Stats(); s.ConcealedSamples == 0 {
		t.Error("nothing was concealed")
	}
}

// Item 141: one packet of 120 ms is twelve ticks, in stereo, and concealment goes on from it.
func TestLongFrames(t *testing.T) {
	b := newBench(t, Config{Channels: 2})
	b.packet = 120 * millisecond
	b.sig = func(i, c int) float64 { return sine(220*float64(1+c), 0.2)(i, c) }
	b.insert(b.next(), b.now)
	normal := 0
	for range 14 {
		if b.tick(); b.last.Operation == OpNormal {
			normal++
		}
	}
	if normal != 12 {
		t.Errorf("%d normal ticks", normal)
	}
	for range 10 { // dry
		b.tick()
	}
	if s := b.n.Stats(); s.ConcealmentEvents != 1 {
		t.Errorf("%d concealments", s.ConcealmentEvents)
	}
	for range 3 {
		b.insert(b.next(), b.now)
		for range 12 {
			b.tick()
		}
	}
	if b.last.Speech != Speech {
		t.Errorf("%+v", b.last)
	}
}
