package neteqtest

import (
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"syscall"
	"testing"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

// BenchmarkOpus is what a second of sound costs with its decoding, and what libopus alone needs for the same sound: each packet
// that arrived decoded once, in order, and for each that did not its redundancy or its concealment. Times are of this thread's processor, so that other work does not count.
// With TRACES=directory the four recorded traces in it are played in place of ours.
func BenchmarkOpus(b *testing.B) {
	own := func(f func(int, time.Duration) time.Duration, cfg opus.EncoderConfig) func(testing.TB) []replay.Packet {
		return func(t testing.TB) []replay.Packet { return Delay(talk(t, 60*second, cfg), f) }
	}
	fec := opus.EncoderConfig{FEC: true, LossPercent: 10}
	r := source(21)
	stalls := FIFO(func(_ int, at time.Duration) time.Duration { // as over LTE: a scheduler's jitter, and handovers
		if at%(7*second) < 20*millisecond {
			return time.Duration(100+r.IntN(200)) * millisecond
		}
		return time.Duration(r.ExpFloat64() * float64(8*millisecond))
	})
	for _, c := range []struct {
		name string
		make func(testing.TB) []replay.Packet
	}{
		{"clean", own(func(int, time.Duration) time.Duration { return 0 }, opus.EncoderConfig{})},
		{"jitter30", own(Gaussian(30*millisecond, 1), opus.EncoderConfig{})},
		{"ge10", own(Bursts(0.1, 3, 2), fec)},
		{"lte_att", own(Sum(stalls, Loss(0.01, 3)), fec)},
	} {
		b.Run(c.name, func(b *testing.B) {
			packets := recorded(b, c.name)
			if packets == nil {
				packets = c.make(b)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var whole, alone time.Duration
			sound := 0.0
			for b.Loop() {
				cpu, ticks := playThrough(b, packets)
				whole += cpu
				alone += decodeAlone(b, packets)
				sound += float64(ticks) / 100
			}
			b.ReportMetric(whole.Seconds()*1000/sound, "ms/s")
			b.ReportMetric(alone.Seconds()*1000/sound, "libopus-ms/s")
			b.ReportMetric(whole.Seconds()/alone.Seconds(), "ratio")
		})
	}
}

// recorded reads a trace from the directory TRACES, nil without one.
func recorded(t testing.TB, name string) []replay.Packet {
	t.Helper()
	dir := os.Getenv("TRACES")
	if dir == "" {
		return nil
	}
	recording, err := replay.Open(filepath.Join(dir, name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := recording.Select(replay.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// playThrough plays packets as replay.Run does, and keeps nothing. It returns the time that took and the ticks.
func playThrough(t testing.TB, packets []replay.Packet) (time.Duration, int) {
	t.Helper()
	n, err := neteq.New(neteq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for pt, f := range replay.DefaultFormats() {
		if err := n.Register(pt, f, func() (neteq.Decoder, error) { return opus.NewDecoder(1) }); err != nil {
			t.Fatal(err)
		}
	}
	frame := make([]float32, 480)
	started := threadTime()
	next, ticks := 0, 0
	for now := packets[0].Arrival; next < len(packets); now += 10 * time.Millisecond {
		for next < len(packets) && packets[next].Arrival <= now {
			_ = n.Insert(&packets[next].Packet, packets[next].Arrival) // what it refuses is counted
			next++
		}
		n.Get(frame, now)
		ticks++
	}
	return threadTime() - started, ticks
}

// decodeAlone makes all sound with the decoder alone and returns the time that took.
func decodeAlone(t testing.TB, packets []replay.Packet) time.Duration {
	t.Helper()
	order := make([]*replay.Packet, len(packets))
	for i := range packets {
		order[i] = &packets[i]
	}
	sort.SliceStable(order, func(i, j int) bool { return int32(order[i].Timestamp-order[j].Timestamp) < 0 })
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, 5760)
	started := threadTime()
	for i, p := range order {
		if i > 0 {
			lost := int(int32(p.Timestamp-order[i-1].Timestamp))/frameSamples - 1
			if lost < 0 {
				continue // twice
			}
			for k := min(lost, 50); k > 0; k-- { // longer is a pause
				if k == 1 {
					_, err = d.DecodeFEC(p.Payload, pcm[:frameSamples]) // without redundancy this is concealment
				} else {
					_, err = d.Conceal(pcm[:frameSamples])
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := d.Decode(p.Payload, pcm); err != nil {
			t.Fatal(err)
		}
	}
	return threadTime() - started
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var u syscall.Rusage
	const thread = 1 // RUSAGE_THREAD (Linux)
	if err := syscall.Getrusage(thread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
