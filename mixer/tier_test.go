package mixer

import (
	"math"
	"testing"
	"time"
)

func TestQuality(t *testing.T) {
	const ms = time.Millisecond
	good, fair, bad := Report{}, Report{Loss: 0.05}, Report{Loss: 0.15}
	type step struct {
		report Report
		after  time.Duration // the step before
		want   Tier
	}
	repeat := func(n int, s step) (out []step) {
		for range n {
			out = append(out, s)
		}
		return out
	}
	for name, steps := range map[string][]step{
		"nothing wrong":         repeat(30, step{good, time.Second, Excellent}),
		"one bad report":        {{good, 0, Excellent}, {fair, time.Second, Excellent}, {good, time.Second, Excellent}, {fair, time.Second, Excellent}},
		"two bad reports":       {{fair, 0, Excellent}, {fair, time.Second, Good}},
		"a heavy loss":          {{bad, 0, Poor}},
		"jitter":                {{Report{Jitter: 35 * ms}, 0, Excellent}, {Report{Jitter: 90 * ms}, time.Second, Poor}},
		"round trip":            {{Report{RTT: 600 * ms}, 0, Excellent}, {Report{RTT: 600 * ms}, time.Second, Good}},
		"long, but even":        repeat(30, step{Report{RTT: 300 * ms, Jitter: 10 * ms}, time.Second, Excellent}),
		"not a number":          {{Report{Loss: math.NaN()}, 0, Excellent}, {Report{Loss: math.Inf(-1)}, 0, Excellent}},
		"beyond all":            {{Report{Loss: 7}, 0, Poor}},
		"up, step by step":      append(append([]step{{bad, 0, Poor}, {good, 9900 * ms, Poor}, {good, 200 * ms, Good}}, repeat(9, step{good, time.Second, Good})...), step{good, 1100 * ms, Excellent}),
		"not quite good enough": append([]step{{bad, 0, Poor}}, repeat(60, step{Report{Loss: 0.08}, time.Second, Poor})...),
		"spoilt once":           {{bad, 0, Poor}, {good, 9 * time.Second, Poor}, {bad, time.Second, Poor}, {good, 9900 * ms, Poor}, {good, 200 * ms, Good}},
	} {
		var q quality
		now := time.Hour
		for i, s := range steps {
			now += s.after
			before := q.tier
			if changed := q.take(s.report, now); changed != (q.tier != before) {
				t.Errorf("%s, step %d: says changed %v", name, i, changed)
			}
			if q.tier != s.want {
				t.Errorf("%s, step %d: %v, want %v", name, i, q.tier, s.want)
			}
		}
	}
}

// A link that is good until it is filled is filled less and less often.
func TestTierDoesNotSwing(t *testing.T) {
	var q quality
	rises := 0
	for now := time.Duration(0); now < 30*time.Minute; now += time.Second {
		r := Report{}
		if q.tier == Excellent {
			r.Loss = 0.12
		}
		before := q.tier
		q.take(r, now)
		if before > Excellent && q.tier == Excellent {
			rises++
		}
	}
	if rises < 5 || rises > 16 {
		t.Errorf("filled up %d times in half an hour", rises)
	}
	for now := time.Hour; now < time.Hour+30*time.Minute; now += time.Second {
		q.take(Report{}, now)
	}
	if q.tier != Excellent || q.rise != leastRise {
		t.Errorf("%v, next rise after %v, when all is well", q.tier, q.rise)
	}
}

func TestRedundancyFollowsLoss(t *testing.T) {
	var q quality
	now := time.Hour
	for i, c := range []struct {
		loss  float64
		after time.Duration
		want  bool
	}{
		{0.02, 0, false}, {0.03, time.Second, false}, {0.04, time.Second, true}, {0, 9 * time.Second, true},
		{0.02, time.Second, true}, {0, 9 * time.Second, true}, {0, time.Second, false}, {0.02, time.Second, false},
	} {
		now += c.after
		q.take(Report{Loss: c.loss}, now)
		if q.redundant != c.want {
			t.Errorf("step %d: %v, want %v", i, q.redundant, c.want)
		}
	}
}

func TestBitrateOfTiers(t *testing.T) {
	for _, c := range []struct {
		configured int
		want       [Tiers]int
	}{{40000, [Tiers]int{40000, 24000, 16000}}, {20000, [Tiers]int{20000, 12000, 8000}}, {6000, [Tiers]int{6000, 6000, 6000}}} {
		e := EncoderConfig{BitrateBps: c.configured}
		for tier, want := range c.want {
			if got := e.bitrate(Tier(tier)); got != want {
				t.Errorf("%v of %d: %d, want %d", Tier(tier), c.configured, got, want)
			}
		}
	}
}
