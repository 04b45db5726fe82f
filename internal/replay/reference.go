package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
)

// Reference is a reference file: what a receiver made of traces.
type Reference struct {
	Peer   map[string]any `json:"peer"`
	Method map[string]any `json:"method"`
	Traces []Summary      `json:"traces"`
}

// ReadReference reads a reference file, of another receiver or of Reference.Write.
func ReadReference(path string) (*Reference, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Reference
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTrace, path, err)
	}
	if len(r.Traces) == 0 {
		return nil, fmt.Errorf("%w: %s: no traces", ErrTrace, path)
	}
	return &r, nil
}

// name says whose figures these are.
func (r *Reference) name() string {
	if name, ok := r.Peer["name"].(string); ok && name != "" {
		return name
	}
	return "reference"
}

func (r *Reference) trace(name string) *Summary {
	for i := range r.Traces {
		if r.Traces[i].Trace == name {
			return &r.Traces[i]
		}
	}
	return nil
}

// NewReference makes a reference of own results, to compare later ones with.
func NewReference(results []Result, policy string) *Reference {
	r := &Reference{
		Peer: map[string]any{"name": "Parley NetEq", "policy": policy},
		Method: map[string]any{
			"time":                "virtual; 10 ms pulled at every multiple of 10 ms (plus the phase) from the first after the first arrival to the last arrival; figures are of the first phase",
			"concealed_ratio":     "concealed_samples / total_samples_received",
			"stutter_share":       "share of time in runs over 200 ms of 10 ms frames that are at least half concealed",
			"jitter_buffer_delay": "jitter_buffer_delay / jitter_buffer_emitted_count, per emitted sample",
			"ratios":              "removed_samples_for_acceleration and inserted_samples_for_deceleration over total_samples_received",
			"cpu":                 "process CPU ms per second of audio for insert plus pull, decoding included, one run",
			"phase_spread":        "lowest and highest value over the pull phases",
		},
	}
	for i := range results {
		r.Traces = append(r.Traces, results[i].Summary())
	}
	return r
}

// Write writes the file.
func (r *Reference) Write(w io.Writer) error {
	out := *r
	out.Traces = make([]Summary, len(r.Traces))
	for i := range r.Traces {
		out.Traces[i] = r.Traces[i].rounded()
	}
	return writeJSON(w, out)
}

// Scores are the PESQ of traces, each the mean over the phases that were scored.
type Scores map[string]float64

// phaseSuffix is what Batch puts behind a trace's name.
var phaseSuffix = regexp.MustCompile(`_p\d+$`)

// ReadScores reads what a scorer wrote: JSON objects with "trace" (its phase, as in "ge10_p25", left aside) and "pesq_wb_mean",
// one after the other, in an array, or in "traces" as in a reference file.
func ReadScores(path string) (Scores, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := parseScores(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parseScores(b []byte) (Scores, error) {
	type score struct {
		Trace  string   `json:"trace"`
		PESQ   *float64 `json:"pesq_wb_mean"`
		Traces []struct {
			Trace string   `json:"trace"`
			PESQ  *float64 `json:"pesq_wb_mean"`
		} `json:"traces"`
	}
	var all []score
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		var list []score
		if err == nil && len(raw) > 0 && raw[0] == '[' {
			err = json.Unmarshal(raw, &list)
		} else if err == nil {
			list = make([]score, 1)
			err = json.Unmarshal(raw, &list[0])
		}
		if err != nil {
			return nil, fmt.Errorf("%w: scores: %w", ErrTrace, err)
		}
		all = append(all, list...)
	}
	sum, count := Scores{}, map[string]float64{}
	add := func(trace string, pesq *float64) {
		if trace == "" || pesq == nil {
			return
		}
		trace = phaseSuffix.ReplaceAllString(trace, "")
		sum[trace] += *pesq
		count[trace]++
	}
	for _, s := range all {
		add(s.Trace, s.PESQ)
		for _, t := range s.Traces {
			add(t.Trace, t.PESQ)
		}
	}
	if len(sum) == 0 {
		return nil, fmt.Errorf("%w: no scores", ErrTrace)
	}
	for trace := range sum {
		sum[trace] /= count[trace]
	}
	return sum, nil
}
