package neteq

import (
	"testing"
	"time"
)

// Every concealed sample counts as the W3C has it; what the network did to the listener is told apart (neteq.md 4.13).
func TestConcealmentByCause(t *testing.T) {
	for _, c := range []struct {
		name                    string
		gap                     int // packets
		lost                    bool
		paused, network         int // ms
		stutter, networkStutter int // ms
	}{
		{name: "short loss", gap: 5, lost: true, network: 100},
		{name: "long loss", gap: 30, lost: true, network: 600, stutter: 600, networkStutter: 600},
		{name: "loss of seconds", gap: 150, lost: true, network: 3000, stutter: 3000, networkStutter: 3000},
		{name: "short pause", gap: 30, network: 600, stutter: 600},
		{name: "pause", gap: 150, paused: 2000, network: 1000, stutter: 3000},
		{name: "long pause", gap: 500, paused: 9000, network: 1000, stutter: 10000},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.sig = voice(120)
			b.run(3*time.Second, nil)
			for range c.gap {
				if c.lost {
					b.lose()
				} else {
					b.ts += uint32(b.packet)
				}
				b.tick()
				b.tick()
			}
			b.run(2*time.Second, nil)
			s := b.n.Stats()
			near := func(what string, got uint64, want int) {
				if d := int(got)/millisecond - want; d < -45 || d > 45 {
					t.Errorf("%s %d ms, want %d", what, int(got)/millisecond, want)
				}
			}
			near("concealed", s.ConcealedSamples, c.gap*20)
			near("paused", s.PausedSamples, c.paused)
			near("by the network", s.NetworkConcealedSamples, c.network)
			near("stutter", s.StutterSamples, c.stutter)
			near("stutter by the network", s.NetworkStutterSamples, c.networkStutter)
			if s.ConcealedSamples != s.PausedSamples+s.NetworkConcealedSamples || s.ConcealmentEvents != 1 {
				t.Errorf("%d concealed, %d paused, %d by the network in %d events", s.ConcealedSamples, s.PausedSamples,
					s.NetworkConcealedSamples, s.ConcealmentEvents)
			}
		})
	}
}

// A pause that the sender announces only after a while is known as one from then on.
func TestLateDeclaration(t *testing.T) {
	b := newBench(t, Config{})
	b.sig = voice(120)
	b.run(3*time.Second, nil)
	for range 700 {
		b.tick()
	}
	b.n.DeclareGap()
	for range 500 {
		b.tick()
	}
	s := b.n.Stats()
	if d := int(s.ConcealedSamples)/millisecond - 7000; d < -45 || d > 45 {
		t.Errorf("%d ms concealed", int(s.ConcealedSamples)/millisecond)
	}
	if s.NetworkConcealedSamples != sampleRate || s.NetworkStutterSamples != 0 || s.StutterSamples != s.ConcealedSamples {
		t.Errorf("%d of %d samples by the network, stutter %d", s.NetworkConcealedSamples, s.ConcealedSamples, s.StutterSamples)
	}
	if s.DeclaredGapSamples < 499*tickSamples {
		t.Errorf("%d samples declared", s.DeclaredGapSamples)
	}
}
