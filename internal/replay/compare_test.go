package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func number(v float64) *float64 { return &v }

func testReference() *Reference {
	trace := func(name string, concealed, delay, stutter, pesq float64) Summary {
		return Summary{Trace: name, ConcealedRatio: concealed, JitterBufferDelayMeanMs: delay, StutterShare: stutter, PESQMean: number(pesq),
			PhaseSpread: map[string]*[2]float64{"concealed_ratio": {concealed - 0.001, concealed + 0.001},
				"jitter_buffer_delay_mean_ms": {delay - 5, delay + 5}, "stutter_share": {stutter, stutter}, "pesq_wb_mean": {pesq - 0.1, pesq}}}
	}
	return &Reference{Peer: map[string]any{"name": "other"}, Traces: []Summary{trace("a", 0.01, 50, 0, 3), trace("b", 0.05, 100, 0.02, 2)}}
}

func TestComparison(t *testing.T) {
	results := []Result{
		{"a", []Summary{{ConcealedRatio: 0.008, JitterBufferDelayMeanMs: 44, StutterShare: 0.001}, {ConcealedRatio: 0.010, JitterBufferDelayMeanMs: 50, StutterShare: 0.001}}},
		{"b", []Summary{{ConcealedRatio: 0.055, JitterBufferDelayMeanMs: 120, StutterShare: 0.01}}},
		{"c", []Summary{{}}},
	}
	c := NewComparison(results, testReference(), Scores{"a": 3.3, "b": 1.8})
	if c.Peer != "other" || len(c.Rows) != 2 || len(c.Unknown) != 1 || c.Unknown[0] != "c" {
		t.Fatalf("%+v", c)
	}
	type verdict struct {
		v      Verdict
		missed bool
	}
	of := func(f Figure) verdict { return verdict{f.Verdict, f.Missed} }
	a, b := c.Rows[0], c.Rows[1]
	for _, tc := range []struct {
		name      string
		got, want verdict
	}{
		{"a concealed 0.9 % in 0.9..1.1 %", of(a.Concealed), verdict{Chance, false}},
		{"a delay 47 in 45..55", of(a.Delay), verdict{Chance, false}},
		{"a stutters, the other does not", of(a.Stutter), verdict{Worse, true}},
		{"a PESQ 3.3 above 2.9..3.0", of(*a.PESQ), verdict{Better, false}},
		{"b concealed 0.4 points above the spread", of(b.Concealed), verdict{Worse, true}},
		{"b delay 15 ms above the spread", of(b.Delay), verdict{Worse, true}},
		{"b stutters less", of(b.Stutter), verdict{Better, false}},
		{"b PESQ 1.8 below 1.9..2.0", of(*b.PESQ), verdict{Worse, true}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if math.Abs(a.Concealed.Ours-0.009) > 1e-12 || a.PESQ.Spread != [2]float64{2.9, 3} || c.Mean.Delay.Ours != 83.5 || c.Mean.Delay.Reference != 75 {
		t.Errorf("figures %+v, means %+v", a, c.Mean)
	}
	met := map[string]bool{}
	for _, aim := range c.Aims {
		met[aim.Text] = aim.Met
	}
	want := map[string]bool{"mean delay, ours over the reference's": false, "traces with a delay more than 10 ms above the spread": false,
		"concealed share summed over the traces, ours over the reference's": false, "traces with a concealed share more than 0.3 points above the spread": false,
		"stutter summed over the traces, ours over the reference's": true, "traces that stutter where the reference does not": false,
		"mean PESQ above the reference's (at least)": false, "traces with a PESQ more than 0.05 below the spread": false}
	for text, m := range want {
		if got, has := met[text]; !has || got != m {
			t.Errorf("aim %q: met %v, want %v", text, got, m)
		}
	}
	if len(met) != len(want) || c.Met() {
		t.Errorf("aims %v", met)
	}

	var table, raw bytes.Buffer
	if err := c.Write(&table); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"stutter worse!, PESQ better", "concealed worse!, stutter better, delay worse!, PESQ worse!", "45.0..55.0", "mean",
		"MISSED  mean delay, ours over the reference's: 1.113 (aim 0.85)", "MISSED  traces that stutter where the reference does not: 1: a",
		"met     stutter summed", "not in the reference: c"} {
		if !strings.Contains(table.String(), line) {
			t.Errorf("table lacks %q:\n%s", line, table.String())
		}
	}
	if err := c.WriteJSON(&raw); err != nil {
		t.Fatal(err)
	}
	var back Comparison
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || len(back.Rows) != 2 || back.Rows[1].Delay != b.Delay {
		t.Errorf("JSON: %v\n%s", err, raw.String())
	}
}

func TestComparisonWithItself(t *testing.T) {
	results := []Result{{"a", []Summary{{Trace: "a", ConcealedRatio: 0.01234567, JitterBufferDelayMeanMs: 44.44}}}}
	var b bytes.Buffer
	if err := NewReference(results, "adaptive").Write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "summary.json")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := ReadReference(path)
	if err != nil {
		t.Fatal(err)
	}
	c := NewComparison(results, ref, nil)
	for _, f := range []Figure{c.Rows[0].Concealed, c.Rows[0].Delay, c.Rows[0].Stutter, c.Rows[0].Target} {
		if f.Verdict != Chance || f.Missed {
			t.Errorf("against itself: %+v", f)
		}
	}
	if c.Peer != "Parley NetEq" || c.Rows[0].PESQ != nil {
		t.Errorf("%+v", c)
	}
	for name, text := range map[string]string{"no JSON": "x", "no traces": "{}"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReference(path); !errors.Is(err, ErrTrace) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpread(t *testing.T) {
	r := Result{"a", []Summary{{ConcealedRatio: 0.2, PESQMean: number(3)}, {ConcealedRatio: 0.1, PESQMean: number(4)}, {ConcealedRatio: 0.3, PESQMean: number(2)}}}
	s := r.Summary()
	if *s.PhaseSpread["concealed_ratio"] != [2]float64{0.1, 0.3} || *s.PhaseSpread["pesq_wb_mean"] != [2]float64{2, 4} ||
		s.PhaseSpread["playout_lag_mean_ms"] != nil || s.ConcealedRatio != 0.2 {
		t.Errorf("%+v", s)
	}
	r.Phases[1].PESQMean = nil // not all phases were scored
	if s = r.Summary(); s.PhaseSpread["pesq_wb_mean"] != nil {
		t.Error("a spread over some phases only")
	}
}

func TestScores(t *testing.T) {
	for name, text := range map[string]string{
		"one after the other": `{"trace":"a_p0","pesq_wb_mean":3} {"trace":"a_p25","pesq_wb_mean":4}` + "\n" + `{"trace":"b","pesq_wb_mean":2}`,
		"array":               `[{"trace":"a","pesq_wb_mean":3.5},{"trace":"b","pesq_wb_mean":2}]`,
		"reference file":      `{"traces":[{"trace":"a","pesq_wb_mean":3.5},{"trace":"b","pesq_wb_mean":2},{"trace":"c","pesq_wb_mean":null}]}`,
	} {
		s, err := parseScores([]byte(text))
		if err != nil || len(s) != 2 || s["a"] != 3.5 || s["b"] != 2 {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "{}", "x", `[{"trace":1}]`, `{"trace":"a"}`} {
		if _, err := parseScores([]byte(bad)); !errors.Is(err, ErrTrace) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPolicyNames(t *testing.T) {
	for _, name := range Policies {
		p, err := ParsePolicy(name)
		if err != nil || PolicyName(p) != name {
			t.Errorf("%s: %v %s", name, err, PolicyName(p))
		}
	}
	if _, err := ParsePolicy("x"); err == nil {
		t.Error("policy x")
	}
}

func TestBatch(t *testing.T) {
	dir := t.TempDir()
	var bases []string
	o := tinyOptions()
	b := Batch{Traces: []string{"testdata/tiny.csv"}, Phases: []time.Duration{0, 2500 * time.Microsecond}, Out: dir, Options: o,
		Each: func(o *Outcome, base string) error { bases = append(bases, filepath.Base(base)); return nil }}
	results, err := b.Run()
	if err != nil || len(results) != 1 || results[0].Trace != "tiny" || len(results[0].Phases) != 2 {
		t.Fatalf("%v %+v", err, results)
	}
	if strings.Join(bases, " ") != "tiny_p0 tiny_p25" {
		t.Errorf("files %v", bases)
	}
	for _, name := range []string{"tiny_p0.wav", "tiny_p25.csv", "tiny_p25.json"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if TraceName("x/y.csv.gz") != "y" || TraceName("y.pcap") != "y" {
		t.Error("names of traces")
	}
}
