package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const header = "| | CPU-ms/s | per participant-s | µs/packet | packets/s | gap p99 | p99.9 | max | delay p50 | p95 | tick late p99.9 | KiB each | goroutines each | crowd | |\n" +
	"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"

// measured is the part of the series in which the crowd was complete.
func (r *result) measured() series { return r.series.between(r.report.Started, r.report.Seconds) }

// row is the result as a line of the table.
func (r *result) row(st step) string {
	p := &r.report
	there := float64(st.rooms * st.size)
	cells := []string{st.label}
	add := func(format string, args ...any) { cells = append(cells, fmt.Sprintf(format, args...)) }
	if s := p.Server; s != nil {
		add("%.0f", s.CPUMsPerSecond)
		add("%.3f", s.CPUMsPerParticipantSecond)
		add("%.1f", s.CPUMicrosPerPacket)
	} else {
		cells = append(cells, "", "", "")
	}
	add("%.0f", p.Received.PacketsPerSecond+p.Sent.PacketsPerSecond)
	add("%.1f", p.GapMs.P99)
	add("%.1f", p.GapMs.P999)
	add("%.1f", p.GapMs.Max)
	if p.DelayMs.N > 0 {
		add("%.1f", p.DelayMs.P50)
		add("%.1f", p.DelayMs.P95)
	} else {
		cells = append(cells, "", "")
	}
	cells = append(cells, r.measured().lateness())
	if s := p.Server; s != nil {
		add("%.0f", (float64(s.RSSBytes)-float64(s.RSSBytesBefore))/1024/there)
	} else {
		cells = append(cells, "")
	}
	if g := r.measured().most("go_goroutines") - r.series.first("go_goroutines"); g > 0 {
		add("%.1f", g/there)
	} else {
		cells = append(cells, "")
	}
	add("%.0f %%", 100*p.Generator.Busy)
	verdict := "holds"
	if !p.OK {
		verdict = "fails"
	}
	if p.Generator.Bottleneck {
		verdict += ", crowd is a bottleneck"
	}
	cells = append(cells, verdict)
	return "| " + strings.Join(cells, " | ") + " |"
}

// notes say why a step failed, and how a long one went.
func (r *result) notes() []string {
	var notes []string
	for _, c := range r.report.Checks {
		if !c.OK {
			notes = append(notes, fmt.Sprintf("%s: %s, want %s", c.Name, c.Value, c.Limit))
		}
	}
	notes = append(notes, r.report.Generator.Why...)
	if r.report.Crowd.Churn > 0 {
		notes = append(notes, fmt.Sprintf("%d came, %d failed, %d lost; %d of %d voices missing, %d wrong, %d own, silence %.2f %%",
			r.report.Joins.Joined, r.report.Joins.Failed, r.report.Joins.Lost, r.report.Audio.Missing, r.report.Audio.Expected,
			r.report.Audio.Wrong, r.report.Audio.Own, 100*r.report.Audio.SilentShare))
		for _, name := range []string{"go_goroutines", "process_open_fds", "go_memstats_heap_inuse_bytes", "process_resident_memory_bytes"} {
			a, b := r.measured().thirds(name)
			notes = append(notes, fmt.Sprintf("%s: median of the second third %.0f, of the last %.0f", name, a, b))
		}
	}
	return notes
}

// series is what /metrics showed, once a second.
type series []metrics

// lookedAt is the name under which metrics keep their time, in seconds since 1970.
const lookedAt = " at"

// between are the looks from one time to another.
func (s series) between(from time.Time, seconds float64) (out series) {
	start := float64(from.UnixNano()) / 1e9
	for _, m := range s {
		if m[lookedAt] >= start && m[lookedAt] <= start+seconds {
			out = append(out, m)
		}
	}
	return out
}

// follower looks at a server's metrics until end.
type follower struct {
	stop chan struct{}
	all  series
	wg   sync.WaitGroup
}

func follow(s *server) *follower {
	f := &follower{stop: make(chan struct{})}
	f.wg.Go(func() { // end waits
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			if m, err := s.scrape(); err == nil && m != nil {
				m[lookedAt] = float64(time.Now().UnixNano()) / 1e9
				f.all = append(f.all, m)
			}
			select {
			case <-every.C:
			case <-f.stop:
				return
			}
		}
	})
	return f
}

func (f *follower) end() series {
	close(f.stop)
	f.wg.Wait()
	return f.all
}

func (s series) first(name string) float64 {
	if len(s) == 0 {
		return 0
	}
	return s[0][name]
}

func (s series) most(name string) (v float64) {
	for _, m := range s {
		v = max(v, m[name])
	}
	return v
}

// thirds are the medians of the second and the last third.
func (s series) thirds(name string) (second, last float64) {
	n := len(s) / 3
	median := func(part series) float64 {
		var values []float64
		for _, m := range part {
			values = append(values, m[name])
		}
		if len(values) == 0 {
			return 0
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return median(s[n : 2*n]), median(s[2*n:])
}

// lateness is the bucket of mixer_tick_lateness_seconds that p99.9 falls in.
func (s series) lateness() string {
	const name = "mixer_tick_lateness_seconds_bucket "
	if len(s) < 2 {
		return ""
	}
	from, to := s[0], s[len(s)-1]
	type bucket struct{ bound, count float64 }
	var buckets []bucket
	for key, v := range to {
		if le, ok := strings.CutPrefix(key, name); ok {
			bound, err := strconv.ParseFloat(le, 64)
			if err == nil {
				buckets = append(buckets, bucket{bound, v - from[key]})
			}
		}
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return int(math.Copysign(1, a.bound-b.bound)) })
	if len(buckets) == 0 || buckets[len(buckets)-1].count == 0 {
		return ""
	}
	want := 0.999 * buckets[len(buckets)-1].count
	for _, b := range buckets {
		if b.count >= want {
			return fmt.Sprintf("≤ %g ms", 1000*b.bound)
		}
	}
	return ""
}
