// Command neteqreplay runs packet traces through NetEq and writes WAV, CSV and JSON for each, as "parley neteq replay" does;
// it exists for the development of the neteq package.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

func main() {
	out := flag.String("out", "", "directory for WAV, CSV and JSON; empty: only the table")
	reference := flag.String("reference", "", "reference summaries to compare with")
	phases := flag.String("phases", "0", "pull phases in ms, separated by commas")
	policy := flag.String("policy", "adaptive", "adaptive, m150, levels, network or fixed")
	fixed := flag.Duration("fixed", 100*time.Millisecond, "delay of policy fixed")
	flag.Parse()
	if err := run(flag.Args(), *out, *reference, *phases, *policy, *fixed); err != nil {
		fmt.Fprintln(os.Stderr, "neteqreplay:", err)
		os.Exit(1)
	}
}

func run(traces []string, out, reference, phases, policy string, fixed time.Duration) error {
	p, err := replay.ParsePolicy(policy)
	if err != nil {
		return err
	}
	batch := replay.Batch{
		Traces: traces, Out: out, Options: replay.Options{Config: neteq.Config{Policy: p, FixedDelay: fixed},
			NewDecoder: func(_ neteq.Format, channels int) (neteq.Decoder, error) { return opus.NewDecoder(channels) }},
	}
	for _, s := range strings.Split(phases, ",") {
		var ms float64
		if _, err := fmt.Sscanf(s, "%g", &ms); err != nil {
			return fmt.Errorf("phase %q: %w", s, err)
		}
		batch.Phases = append(batch.Phases, time.Duration(ms*float64(time.Millisecond)))
	}
	results, err := batch.Run()
	if err != nil {
		return err
	}
	if reference != "" {
		ref, err := replay.ReadReference(reference)
		if err != nil {
			return err
		}
		return replay.Compare(os.Stdout, results, ref)
	}
	return replay.Table(os.Stdout, results)
}
