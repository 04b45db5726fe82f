package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley/neteq"
)

// ParsePolicy reads a policy's name.
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

// Batch is a set of traces to replay at several pull phases.
type Batch struct {
	Traces  []string
	Phases  []time.Duration
	Out     string // directory for NAME_pPHASE.wav, .csv and .json; "": none
	Options Options
}

// Result holds the summaries of one trace, one per phase.
type Result struct {
	Trace  string
	Phases []Summary
}

// Run replays everything.
func (b *Batch) Run() ([]Result, error) {
	phases := b.Phases
	if len(phases) == 0 {
		phases = []time.Duration{0}
	}
	var results []Result
	for _, path := range b.Traces {
		packets, err := ReadTrace(path)
		if err != nil {
			return nil, err
		}
		r := Result{Trace: TraceName(path)}
		for _, phase := range phases {
			o := b.Options
			o.Name, o.Phase = r.Trace, phase
			out, err := Run(packets, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			s := out.Summarize()
			r.Phases = append(r.Phases, s)
			if b.Out != "" {
				name := fmt.Sprintf("%s_p%d", r.Trace, phase/(100*time.Microsecond))
				if err := out.Save(filepath.Join(b.Out, name)); err != nil {
					return nil, err
				}
			}
		}
		results = append(results, r)
	}
	return results, nil
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
		{".json", func(w io.Writer) error { e := json.NewEncoder(w); e.SetIndent("", " "); return e.Encode(s) }},
	} {
		if err := save(base+f.ending, f.write); err != nil {
			return err
		}
	}
	return nil
}

func save(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
