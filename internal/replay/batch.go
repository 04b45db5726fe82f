package replay

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley/neteq"
)

// Policies are the names ParsePolicy knows.
var Policies = []string{"adaptive", "m150", "levels", "network", "fixed"}

// ParsePolicy reads a policy's name; "" is adaptive.
func ParsePolicy(name string) (neteq.Policy, error) {
	switch name {
	case "adaptive", "":
		return neteq.PolicyAdaptive, nil
	case "m150":
		return neteq.PolicyM150, nil
	case "levels":
		return neteq.PolicyLevels, nil
	case "network":
		return neteq.PolicyNetwork, nil
	case "fixed":
		return neteq.PolicyFixed, nil
	}
	return 0, fmt.Errorf("replay: unknown policy %q", name)
}

// PolicyName is the inverse of ParsePolicy.
func PolicyName(p neteq.Policy) string {
	for _, name := range Policies {
		if q, err := ParsePolicy(name); err == nil && q == p {
			return name
		}
	}
	return "unknown"
}

// Batch is a set of traces to replay at several pull phases.
type Batch struct {
	Traces    []string
	Phases    []time.Duration // none: 0
	Out       string          // directory for the files of Outcome.Save; "": none
	Options   Options
	Selection Selection
	// Name is the base name of a replay's files; nil: NAME_pPHASE, in units of 0.1 ms.
	Name func(trace string, phase time.Duration) string
	// Each, when not nil, sees every outcome after its files were written; base is where they are, "" without Out.
	Each func(o *Outcome, base string) error
}

// Result holds the summaries of one trace, one per phase.
type Result struct {
	Trace  string
	Phases []Summary
}

// Run replays everything, one after the other, so that processor times can be compared.
func (b *Batch) Run() ([]Result, error) {
	phases := b.Phases
	if len(phases) == 0 {
		phases = []time.Duration{0}
	}
	var results []Result
	for _, path := range b.Traces {
		recording, err := Open(path)
		if err != nil {
			return nil, err
		}
		packets, err := recording.Select(b.Selection)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r := Result{Trace: TraceName(path)}
		for _, phase := range phases {
			s, err := b.one(r.Trace, phase, packets)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			r.Phases = append(r.Phases, s)
		}
		results = append(results, r)
	}
	return results, nil
}

func (b *Batch) one(trace string, phase time.Duration, packets []Packet) (Summary, error) {
	o := b.Options
	o.Name, o.Phase = trace, phase
	out, err := Run(packets, o)
	if err != nil {
		return Summary{}, err
	}
	base := ""
	if b.Out != "" {
		name := fmt.Sprintf("%s_p%d", trace, phase/(100*time.Microsecond))
		if b.Name != nil {
			name = b.Name(trace, phase)
		}
		base = filepath.Join(b.Out, name)
		if err := out.Save(base); err != nil {
			return Summary{}, err
		}
	}
	if b.Each != nil {
		if err := b.Each(out, base); err != nil {
			return Summary{}, err
		}
	}
	return out.Summarize(), nil
}

// Summary is the trace's summary at the first phase, with the spread over all of them.
func (r *Result) Summary() Summary {
	if len(r.Phases) == 0 {
		return Summary{Trace: r.Trace, Operations: map[string]int{}, PhaseSpread: spread(nil)}
	}
	s := r.Phases[0]
	s.PhaseSpread = spread(r.Phases)
	return s
}

// TraceName is the file's name without directory and endings.
func TraceName(path string) string {
	name := filepath.Base(path)
	name = strings.TrimSuffix(name, ".gz")
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Save writes base.wav, base.csv and base.json.
func (o *Outcome) Save(base string) error {
	s := o.Summarize()
	for _, f := range []struct {
		ending string
		write  func(io.Writer) error
	}{
		{".wav", o.WriteWAV},
		{".csv", o.WriteCSV},
		{".json", s.WriteJSON},
	} {
		if err := SaveFile(base+f.ending, f.write); err != nil {
			return err
		}
	}
	return nil
}

// SaveFile writes a file through write.
func SaveFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close() // the first error is the one to tell
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
