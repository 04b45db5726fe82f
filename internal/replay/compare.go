package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// Reference is the part of a reference file that comparisons use.
type Reference struct {
	Traces []struct {
		Summary
		Spread map[string][2]float64 `json:"phase_spread"`
	} `json:"traces"`
}

// ReadReference reads the summaries of another receiver.
func ReadReference(path string) (*Reference, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Reference
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTrace, path, err)
	}
	return &r, nil
}

// means of the phases of one trace.
type means struct{ concealed, stutter, delay, target, accelerate, preemptive, cpu float64 }

func (r *Result) means() means {
	var m means
	for i := range r.Phases {
		s := &r.Phases[i]
		m.concealed += s.ConcealedRatio
		m.stutter += s.StutterShare
		m.delay += s.JitterBufferDelayMeanMs
		m.target += s.TargetDelayMeanMs
		m.accelerate += s.AccelerateRatio
		m.preemptive += s.PreemptiveRatio
		m.cpu += s.CPUMsPerAudioS
	}
	k := 1 / float64(len(r.Phases))
	return means{m.concealed * k, m.stutter * k, m.delay * k, m.target * k, m.accelerate * k, m.preemptive * k, m.cpu * k}
}

// Table prints the mean over the phases of every trace.
func Table(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "trace\tconcealed %\tstutter %\tdelay ms\ttarget ms\taccelerated %\tdecelerated %\tcpu ms/s\t")
	for i := range results {
		m := results[i].means()
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t\n", results[i].Trace, 100*m.concealed, 100*m.stutter,
			m.delay, m.target, 100*m.accelerate, 100*m.preemptive, m.cpu)
	}
	return t.Flush()
}

// Compare prints ours beside the reference and marks what lies outside the aims: more than 0.3 points of concealment or
// 10 ms of delay above the reference's spread, stuttering where the reference has none.
func Compare(w io.Writer, results []Result, ref *Reference) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "trace\tconcealed %\treference\tstutter %\treference\tdelay ms\treference\tspread\taccelerated %\treference\tdecelerated %\t\t")
	var sum, sumRef means
	count := 0
	for i := range results {
		m := results[i].means()
		for k := range ref.Traces {
			r := &ref.Traces[k]
			if r.Trace != results[i].Trace {
				continue
			}
			count++
			mark := ""
			c, d, st := r.Spread["concealed_ratio"], r.Spread["jitter_buffer_delay_mean_ms"], r.Spread["stutter_share"]
			if m.concealed > c[1]+0.003 {
				mark += " CONCEALED"
			}
			if m.delay > d[1]+10 {
				mark += " DELAY"
			}
			if st[1] == 0 && m.stutter > 0 {
				mark += " STUTTER"
			}
			mid := func(x [2]float64) float64 { return (x[0] + x[1]) / 2 }
			sum.concealed += m.concealed
			sum.stutter += m.stutter
			sum.delay += m.delay
			sumRef.concealed += mid(c)
			sumRef.stutter += mid(st)
			sumRef.delay += mid(d)
			fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f-%.0f\t%.2f\t%.2f\t%.2f\t%s\t\n", r.Trace, 100*m.concealed,
				100*mid(c), 100*m.stutter, 100*mid(st), m.delay, mid(d), d[0], d[1], 100*m.accelerate, 100*r.AccelerateRatio,
				100*m.preemptive, mark)
		}
	}
	if count > 0 {
		fmt.Fprintf(t, "sum or mean\t%.3f\t%.3f\t%.2f\t%.2f\t%.1f\t%.1f\t\t\t\t\tdelay x %.3f, stutter x %.3f\t\n", 100*sum.concealed, 100*sumRef.concealed,
			100*sum.stutter, 100*sumRef.stutter, sum.delay/float64(count), sumRef.delay/float64(count),
			sum.delay/sumRef.delay, sum.stutter/sumRef.stutter)
	}
	return t.Flush()
}
