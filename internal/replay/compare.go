package replay

import (
	"io"
	"math"
)

// What is asked of us against libwebrtc's NetEq (M150) on the same packets.
const (
	aimDelayRatio     = 0.85  // mean delay over all traces
	aimDelayAboveMs   = 10    // above the spread, on any trace
	aimConcealedAbove = 0.003 // above the spread, on any trace
	aimStutterRatio   = 0.8   // sum over all traces
	aimPESQGain       = 0.2   // mean over all traces
	aimPESQBelow      = 0.05  // below the spread, on any trace
)

// Verdict places a figure against the spread of the reference over the pull phases: what lies inside is chance.
type Verdict string

const (
	Better Verdict = "better"
	Chance Verdict = "chance"
	Worse  Verdict = "worse"
)

// Figure is one figure of a trace: the mean over our phases, and the reference's.
type Figure struct {
	Ours      float64    `json:"ours"`
	Reference float64    `json:"reference"` // as recorded
	Spread    [2]float64 `json:"spread"`    // over the reference's phases
	Verdict   Verdict    `json:"verdict"`
	Missed    bool       `json:"missed"` // an aim for single traces
}

// Row compares one trace.
type Row struct {
	Trace       string  `json:"trace"`
	Phases      int     `json:"phases"`
	Concealed   Figure  `json:"concealed_ratio"`
	Stutter     Figure  `json:"stutter_share"`
	Delay       Figure  `json:"jitter_buffer_delay_mean_ms"`
	Target      Figure  `json:"target_delay_mean_ms"`
	PESQ        *Figure `json:"pesq_wb_mean,omitempty"`
	Accelerated float64 `json:"accelerate_ratio"`
	Decelerated float64 `json:"preemptive_ratio"`
	CPU         float64 `json:"cpu_ms_per_audio_s"`
}

// Aim is something asked of the whole set, or of every trace.
type Aim struct {
	Text   string   `json:"text"`
	Value  float64  `json:"value"`
	Limit  float64  `json:"limit"`
	Met    bool     `json:"met"`
	Traces []string `json:"traces,omitempty"` // that miss it
}

// Comparison is ours beside a reference.
type Comparison struct {
	Peer    string   `json:"peer"`
	Policy  string   `json:"policy,omitempty"`
	Rows    []Row    `json:"traces"`
	Unknown []string `json:"not_in_reference,omitempty"`
	Mean    Row      `json:"mean"`
	Aims    []Aim    `json:"aims"`
}

// Met reports whether every aim is.
func (c *Comparison) Met() bool {
	for _, a := range c.Aims {
		if !a.Met {
			return false
		}
	}
	return true
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
	k := 1 / float64(max(1, len(r.Phases)))
	return means{m.concealed * k, m.stutter * k, m.delay * k, m.target * k, m.accelerate * k, m.preemptive * k, m.cpu * k}
}

// NewComparison compares results with a reference, trace by trace. scores may be nil.
func NewComparison(results []Result, ref *Reference, scores Scores) *Comparison {
	c := &Comparison{Peer: ref.name()}
	for i := range results {
		r := ref.trace(results[i].Trace)
		if r == nil {
			c.Unknown = append(c.Unknown, results[i].Trace)
			continue
		}
		m := results[i].means()
		row := Row{Trace: r.Trace, Phases: len(results[i].Phases), Accelerated: m.accelerate, Decelerated: m.preemptive, CPU: m.cpu,
			Concealed: figure(m.concealed, r.ConcealedRatio, r.PhaseSpread["concealed_ratio"], 0.5e-5),
			Stutter:   figure(m.stutter, r.StutterShare, r.PhaseSpread["stutter_share"], 0.5e-5),
			Delay:     figure(m.delay, r.JitterBufferDelayMeanMs, r.PhaseSpread["jitter_buffer_delay_mean_ms"], 0.05),
			Target:    figure(m.target, r.TargetDelayMeanMs, r.PhaseSpread["target_delay_mean_ms"], 0.05),
		}
		row.Concealed.Missed = row.Concealed.Ours > row.Concealed.Spread[1]+aimConcealedAbove
		row.Delay.Missed = row.Delay.Ours > row.Delay.Spread[1]+aimDelayAboveMs
		row.Stutter.Missed = row.Stutter.Spread[1] == 0 && row.Stutter.Ours > 0
		if ours, scored := scores[r.Trace]; scored && r.PESQMean != nil {
			f := figure(-ours, -*r.PESQMean, negated(r.PhaseSpread["pesq_wb_mean"]), 0.5e-3)
			f.Ours, f.Reference, f.Spread = ours, *r.PESQMean, [2]float64{-f.Spread[1], -f.Spread[0]}
			f.Missed = f.Ours < f.Spread[0]-aimPESQBelow
			row.PESQ = &f
		}
		c.Rows = append(c.Rows, row)
	}
	c.average()
	c.judge()
	return c
}

// figure judges a figure of which less is better; digit is half of the last digit that the reference was written with.
func figure(ours, reference float64, spread *[2]float64, digit float64) Figure {
	f := Figure{Ours: ours, Reference: reference, Spread: [2]float64{reference, reference}, Verdict: Chance}
	if spread != nil {
		f.Spread = *spread
	}
	switch {
	case ours < f.Spread[0]-digit:
		f.Verdict = Better
	case ours > f.Spread[1]+digit:
		f.Verdict = Worse
	}
	return f
}

func negated(s *[2]float64) *[2]float64 {
	if s == nil {
		return nil
	}
	return &[2]float64{-s[1], -s[0]}
}

// average fills the row of means; of PESQ over the traces that have one.
func (c *Comparison) average() {
	c.Mean.Trace = "mean"
	n := float64(max(1, len(c.Rows)))
	scored := 0.0
	var pesq Figure
	add := func(sum *Figure, f *Figure) {
		sum.Ours += f.Ours
		sum.Reference += f.Reference
		sum.Spread[0] += f.Spread[0]
		sum.Spread[1] += f.Spread[1]
	}
	divide := func(f *Figure, by float64, less bool) {
		*f = Figure{Ours: f.Ours / by, Reference: f.Reference / by, Spread: [2]float64{f.Spread[0] / by, f.Spread[1] / by}, Verdict: Chance}
		below, above := Better, Worse
		if !less {
			below, above = Worse, Better
		}
		if f.Ours < f.Spread[0] {
			f.Verdict = below
		} else if f.Ours > f.Spread[1] {
			f.Verdict = above
		}
	}
	for i := range c.Rows {
		r := &c.Rows[i]
		c.Mean.Phases = max(c.Mean.Phases, r.Phases)
		add(&c.Mean.Concealed, &r.Concealed)
		add(&c.Mean.Stutter, &r.Stutter)
		add(&c.Mean.Delay, &r.Delay)
		add(&c.Mean.Target, &r.Target)
		c.Mean.Accelerated += r.Accelerated / n
		c.Mean.Decelerated += r.Decelerated / n
		c.Mean.CPU += r.CPU / n
		if r.PESQ != nil {
			scored++
			add(&pesq, r.PESQ)
		}
	}
	for _, f := range []*Figure{&c.Mean.Concealed, &c.Mean.Stutter, &c.Mean.Delay, &c.Mean.Target} {
		divide(f, n, true)
	}
	if scored > 0 {
		divide(&pesq, scored, false)
		c.Mean.PESQ = &pesq
	}
}

// judge fills the aims.
func (c *Comparison) judge() {
	if len(c.Rows) == 0 {
		return
	}
	ratio := func(ours, reference float64) float64 {
		if reference == 0 {
			if ours == 0 {
				return 0
			}
			return math.MaxFloat64
		}
		return ours / reference
	}
	most := func(text string, value, limit float64) {
		c.Aims = append(c.Aims, Aim{Text: text, Value: value, Limit: limit, Met: value <= limit})
	}
	none := func(text string, missed func(*Row) bool) {
		a := Aim{Text: text}
		for i := range c.Rows {
			if missed(&c.Rows[i]) {
				a.Traces = append(a.Traces, c.Rows[i].Trace)
			}
		}
		a.Value = float64(len(a.Traces))
		a.Met = len(a.Traces) == 0
		c.Aims = append(c.Aims, a)
	}
	m := &c.Mean
	most("mean delay, ours over the reference's", ratio(m.Delay.Ours, m.Delay.Reference), aimDelayRatio)
	none("traces with a delay more than 10 ms above the spread", func(r *Row) bool { return r.Delay.Missed })
	most("concealed share summed over the traces, ours over the reference's", ratio(m.Concealed.Ours, m.Concealed.Reference), 1)
	none("traces with a concealed share more than 0.3 points above the spread", func(r *Row) bool { return r.Concealed.Missed })
	most("stutter summed over the traces, ours over the reference's", ratio(m.Stutter.Ours, m.Stutter.Reference), aimStutterRatio)
	none("traces that stutter where the reference does not", func(r *Row) bool { return r.Stutter.Missed })
	if m.PESQ != nil {
		gain := m.PESQ.Ours - m.PESQ.Reference
		c.Aims = append(c.Aims, Aim{Text: "mean PESQ above the reference's (at least)", Value: gain, Limit: aimPESQGain, Met: gain >= aimPESQGain})
		none("traces with a PESQ more than 0.05 below the spread", func(r *Row) bool { return r.PESQ != nil && r.PESQ.Missed })
	}
}

// Compare prints ours beside the reference, see Comparison.Write.
func Compare(w io.Writer, results []Result, ref *Reference) error {
	return NewComparison(results, ref, nil).Write(w)
}
