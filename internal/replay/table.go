package replay

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

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

// Write prints a table for people: for each trace ours, the reference's and its spread, and what lies outside of it; then the
// means and the aims.
func (c *Comparison) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	pesq := c.Mean.PESQ != nil
	head := "trace\tconcealed %\tref\tspread\tstutter %\tref\tspread\tdelay ms\tref\tspread\t"
	if pesq {
		head += "PESQ\tref\tspread\t"
	}
	fmt.Fprintln(t, head+"  outside the spread")
	for i := range c.Rows {
		c.Rows[i].write(t, pesq)
	}
	if len(c.Rows) > 1 {
		c.Mean.write(t, pesq)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(c.Rows) > 0 {
		fmt.Fprintf(w, "\nOurs: mean over %d pull phase(s). ref: %s, as recorded; spread: its lowest and highest over the phases.\n"+
			"Outside: better, worse; inside is chance. !: misses an aim.\n\n", c.Mean.Phases, c.Peer)
	}
	for _, a := range c.Aims {
		mark := "met   "
		if !a.Met {
			mark = "MISSED"
		}
		value := fmt.Sprintf("%.3f (aim %.3g)", a.Value, a.Limit)
		if a.Limit == 0 {
			value = fmt.Sprintf("%.0f", a.Value)
		}
		if len(a.Traces) > 0 {
			value += ": " + strings.Join(a.Traces, ", ")
		}
		fmt.Fprintf(w, "%s  %s: %s\n", mark, a.Text, value)
	}
	if len(c.Unknown) > 0 {
		fmt.Fprintf(w, "not in the reference: %s\n", strings.Join(c.Unknown, ", "))
	}
	return nil
}

func (r *Row) write(w io.Writer, pesq bool) {
	var notes []string
	cell := func(f *Figure, scale float64, format, name string) {
		n := func(v float64) string { return fmt.Sprintf(format, v*scale) }
		between := n(f.Spread[0])
		if between != n(f.Spread[1]) {
			between += ".." + n(f.Spread[1])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t", n(f.Ours), n(f.Reference), between)
		if f.Verdict != Chance {
			note := name + " " + string(f.Verdict)
			if f.Missed {
				note += "!"
			}
			notes = append(notes, note)
		}
	}
	fmt.Fprintf(w, "%s\t", r.Trace)
	cell(&r.Concealed, 100, "%.2f", "concealed")
	cell(&r.Stutter, 100, "%.2f", "stutter")
	cell(&r.Delay, 1, "%.1f", "delay")
	if r.PESQ != nil {
		cell(r.PESQ, 1, "%.3f", "PESQ")
	} else if pesq {
		fmt.Fprint(w, "-\t-\t-\t")
	}
	fmt.Fprintf(w, "  %s\n", strings.Join(notes, ", "))
}

// WriteJSON writes the comparison as JSON.
func (c *Comparison) WriteJSON(w io.Writer) error { return writeJSON(w, c) }
