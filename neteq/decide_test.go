package neteq

import (
	"testing"
	"time"
)

// atDelay is a stream under PolicyM150 with a target of 100 ms, whose next sample has a delay of d by that policy's measure;
// slowest is the delay of the slowest packet in the window.
func atDelay(t *testing.T, d, slowest time.Duration) *NetEq {
	t.Helper()
	b := newBench(t, Config{Policy: PolicyM150, MinDelay: ms(100), MaxDelay: ms(100)})
	b.run(3*time.Second, func(k int) time.Duration {
		return max(0, slowest-ms(20*max(k-130, 130-k))) // in order
	})
	n := b.n
	n.endTS = n.buf.head().timestamp
	is := n.hist.lateness(n.endTS-uint32(n.left()), time.Duration(n.ticks)*tickDuration)
	n.ticks += uint64((d - is) / tickDuration)
	n.tickOp, n.tailOp, n.gen, n.countdown = OpNormal, OpNormal, 0, 0
	return n
}

// Items 60, 61 and 62: what M150's policy does at a target of 100 ms.
func TestDecisionsOfM150(t *testing.T) {
	for _, c := range []struct {
		name           string
		delay, slowest int // ms
		countdown      int
		want           Operation
	}{
		{"as wanted", 100, 0, 0, OpNormal}, {"too much", 150, 0, 0, OpAccelerate}, {"far too much", 500, 0, 0, OpFastAccelerate},
		{"too little", 50, 0, 0, OpPreemptiveExpand},
		{"too much, just after a stretch", 150, 0, 3, OpNormal}, {"far too much, just after a stretch", 500, 0, 3, OpFastAccelerate},
		{"too little, just after a stretch", 50, 0, 3, OpNormal},
		{"riding over a spike", 150, 40, 0, OpNormal}, {"a smaller spike", 150, 20, 0, OpAccelerate},
	} {
		n := atDelay(t, ms(c.delay), ms(c.slowest))
		n.countdown = c.countdown
		n.stretchM150()
		if n.tickOp != c.want {
			t.Errorf("%s: delay %d ms gives %v, want %v", c.name, c.delay, n.tickOp, c.want)
		}
	}
}

// Item 64: in the middle of a stream a packet that comes after a concealment is played at once, however little is buffered.
func TestDecodingIsNotPostponed(t *testing.T) {
	for _, policy := range []Policy{PolicyAdaptive, PolicyM150} {
		b := newBench(t, Config{Policy: policy, MinDelay: ms(300)})
		b.sig = voice(120)
		b.run(3*time.Second, nil)
		for b.last.Operation != OpExpand {
			b.tick()
		}
		for range 3 {
			b.tick()
		}
		decodes := b.dec.decodes
		b.insert(b.next(), b.now)
		b.tick()
		b.tick()
		if b.dec.decodes != decodes+1 {
			t.Errorf("policy %d: the packet waits, last %v", policy, b.last.Operation)
		}
	}
}

// Item 65: the noise of an announced silence ends when the next word has waited for the target, even when its timestamp says
// that it is due much later; and goes on until then.
func TestNoiseEndsWithTheNextWord(t *testing.T) {
	b := newNoiseBench(t, Config{MinDelay: ms(100)})
	b.run(time.Second, nil)
	b.hush(50)
	b.pause(ms(400))
	b.ts += 400 * millisecond
	begin := b.now
	for {
		b.insert(b.next(), b.now)
		b.tick()
		b.tick()
		if b.last.Operation == OpNormal {
			break
		}
		if b.last.Operation != OpRFC3389CNG || b.now-begin > ms(500) {
			t.Fatalf("%v after %v", b.last.Operation, b.now-begin)
		}
	}
	if waited := b.now - begin; waited < ms(90) || waited > ms(130) {
		t.Errorf("the word begins after %v", waited)
	}
}

// Items 15 and 68: a lost packet is concealed in its length, unless what is buffered behind it, with the time since the newest
// came, is 50 ms more than the target: then the hole is closed, and the delay with it.
func TestHoleIsClosedWhenMuchIsBuffered(t *testing.T) {
	for _, policy := range []Policy{PolicyAdaptive, PolicyM150} {
		for _, c := range []struct {
			behind    int // packets behind the hole
			concealed [2]int
		}{{3, [2]int{20, 35}}, {11, [2]int{1, 15}}} {
			b := newBench(t, Config{Policy: policy, MinDelay: ms(100), MaxDelay: ms(100), DisableStretching: true})
			b.sig = sine(317, 0.3)
			b.run(2*time.Second, nil)
			for b.n.buf.len() > 0 {
				b.tick()
			}
			from := len(b.out)
			b.insert(b.next(), b.now)
			b.insert(b.next(), b.now)
			b.lose()
			for range c.behind {
				b.insert(b.next(), b.now)
			}
			for b.n.buf.len() > 0 {
				b.tick()
			}
			if s := b.n.Stats(); int(s.ConcealedSamples) < c.concealed[0]*millisecond || int(s.ConcealedSamples) > c.concealed[1]*millisecond {
				t.Errorf("policy %d, %d packets behind the hole: %d samples concealed", policy, c.behind, s.ConcealedSamples)
			}
			for i := from; i < len(b.out); i++ {
				if d := b.out[i] - b.out[i-1]; d > 0.04 || d < -0.04 { // the tone's own is 0.012
					t.Errorf("policy %d, %d packets behind the hole: a step of %.3f", policy, c.behind, d)
					break
				}
			}
		}
	}
	b := newBench(t, Config{MinDelay: ms(100)})
	b.run(time.Second, nil)
	h := b.n.buf.newest()
	for _, c := range []struct {
		waited int
		want   bool
	}{{0, false}, {10, false}, {150, false}, {151, true}} {
		b.n.now = h.arrival + ms(c.waited)
		if got := b.n.early(h); got != c.want {
			t.Errorf("a packet that has waited %d ms: %v", c.waited, got)
		}
	}
}
