package neteqtest

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
)

var update = flag.Bool("update", false, "write testdata/networks.json anew")

// figures are what a listener has of a network.
type figures struct {
	StutterPercent   float64 `json:"stutter_percent"`
	ConcealedPercent float64 `json:"concealed_percent"`
	DelayMs          float64 `json:"delay_ms"`
}

const networksFile = "testdata/networks.json"

// Item 180: stutter, concealment and delay on a set of networks, against the stored best. None may become worse by more than a
// twentieth; what is better on purpose is stored with -update.
func TestNetworks(t *testing.T) {
	if underRace {
		t.Skip("nothing here runs at the same time as anything else")
	}
	t.Parallel()
	var stored map[string]figures
	if data, err := os.ReadFile(networksFile); err == nil {
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
	} else if !*update {
		t.Fatal(err)
	}
	packets := talk(t, 60*second, opus.EncoderConfig{})
	r := source(31)
	bursts := func(every, length, jitter time.Duration) func(int, time.Duration) time.Duration {
		return FIFO(func(_ int, at time.Duration) time.Duration {
			if at > second && at%every < 20*millisecond {
				return length
			}
			return time.Duration(r.ExpFloat64() * float64(jitter))
		})
	}
	plain := func(f func(int, time.Duration) time.Duration) func() []replay.Packet {
		return func() []replay.Packet { return Delay(packets, f) }
	}
	lossy := func(share float64, red int) func() []replay.Packet {
		return func() []replay.Packet {
			if red == 0 {
				return Delay(packets, Loss(share, 41))
			}
			return Delay(RED(packets, red), Loss(share, 41))
		}
	}
	got := map[string]figures{}
	for _, c := range []struct {
		name string
		make func() []replay.Packet
	}{
		{"wifi_good", plain(bursts(7*second, 40*millisecond, 2*millisecond))},
		{"wifi_congested", plain(bursts(3*second, 300*millisecond, 8*millisecond))},
		{"lte_handover", plain(bursts(14*second, 600*millisecond, 6*millisecond))},
		{"loss5", lossy(0.05, 0)}, {"loss5_red1", lossy(0.05, 1)}, {"loss5_red2", lossy(0.05, 2)},
		{"loss10", lossy(0.10, 0)}, {"loss10_red1", lossy(0.10, 1)}, {"loss10_red2", lossy(0.10, 2)},
		{"loss20", lossy(0.20, 0)}, {"loss20_red1", lossy(0.20, 1)}, {"loss20_red2", lossy(0.20, 2)},
	} {
		_, s := play(t, c.make(), replay.Options{})
		round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
		f := figures{round(100 * s.StutterShare), round(100 * s.ConcealedRatio), round(s.JitterBufferDelayMeanMs)}
		got[c.name] = f
		want, known := stored[c.name]
		if *update {
			continue
		}
		worse := func(got, want, grain float64) bool { return got > 1.05*want+grain }
		if !known || worse(f.StutterPercent, want.StutterPercent, 0.02) || worse(f.ConcealedPercent, want.ConcealedPercent, 0.02) ||
			worse(f.DelayMs, want.DelayMs, 0.5) {
			t.Errorf("%s: %+v, stored %+v", c.name, f, want)
		}
	}
	if !*update {
		return
	}
	data, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(networksFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
