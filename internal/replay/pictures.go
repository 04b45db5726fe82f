package replay

import (
	"fmt"
	"math"
	"sort"
	"time"

	"parley/neteq"
)

// plotHeight is the part of the picture of arrivals above its lanes of losses, of 100.
const plotHeight = 86

// arrivals is the picture of packets on their way.
type arrivals struct {
	Played, Reordered, Late, Recovered string // dots: delay at the time of arrival
	Deadline                           string // delay at which packets were taken for playing
	Lost, Saved                        string // marks where a packet is missing
	Duplicates                         string
	Labels, Grid                       []label
	Height                             float64
}

func (o *Outcome) arrivals(units []Unit) arrivals {
	top := 60.0
	for i := range units {
		u := &units[i]
		top = max(top, ms(u.Delay)*1.05)
		if u.Played {
			top = max(top, ms(u.wait())*1.05)
		}
	}
	a := arrivals{Height: plotHeight}
	s := scale{height: plotHeight}
	var step float64
	s.top, step = niceTop(top)
	for v := 0.0; v <= s.top; v += step {
		a.Grid = append(a.Grid, label{At: percent(s.y(v) / 100)})
		a.Labels = append(a.Labels, label{At: percent(s.y(v) / 100), Text: fmt.Sprintf("%g", v)})
	}
	var played, reordered, late, recovered, deadline, lost, saved, again path
	thin := newThinner(len(units))
	for i := range units {
		u := &units[i]
		x, y := o.x(u.Arrival), s.y(ms(u.Delay))
		if u.Played && thin.keep(i) {
			deadline.step(o.x(u.PlayedAt), s.y(ms(u.wait())))
		}
		if !u.Arrived {
			mark := &lost
			if u.Fate == FateRecovered {
				mark = &saved
			}
			mark.op('M', x, plotHeight+4)
			mark.op('V', 100)
			continue
		}
		switch u.Fate {
		case FatePlayed:
			if thin.keep(i) {
				played.dot(x, y)
			}
		case FateReordered:
			reordered.dot(x, y)
		case FateLate:
			late.dot(x, y)
		case FateRecovered:
			recovered.dot(x, y)
		}
		if u.Copies > 0 {
			again.dot(x, y)
		}
	}
	a.Played, a.Reordered, a.Late, a.Recovered = played.String(), reordered.String(), late.String(), recovered.String()
	a.Deadline, a.Lost, a.Saved, a.Duplicates = deadline.String(), lost.String(), saved.String(), again.String()
	return a
}

// thinner leaves out ordinary packets of very long traces.
type thinner struct{ every int }

func newThinner(n int) thinner { return thinner{1 + n/40000} }

func (t thinner) keep(i int) bool { return i%t.every == 0 }

// wait is when a unit was taken for playing, after the fastest it could have come.
func (u *Unit) wait() time.Duration { return u.PlayedAt - u.Arrival + u.Delay }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// realDelay is, for each tick, how long after the fastest of the last two seconds the packet was played that was taken last:
// what the target is meant for.
func (o *Outcome) realDelay(units []Unit) []float64 {
	const window = 2 * time.Second
	byArrival, byPlay := make([]*Unit, 0, len(units)), make([]*Unit, 0, len(units))
	for i := range units {
		if u := &units[i]; u.Arrived {
			byArrival = append(byArrival, u)
		}
		if u := &units[i]; u.Played {
			byPlay = append(byPlay, u)
		}
	}
	sort.SliceStable(byArrival, func(i, j int) bool { return byArrival[i].Arrival < byArrival[j].Arrival })
	sort.SliceStable(byPlay, func(i, j int) bool { return byPlay[i].PlayedAt < byPlay[j].PlayedAt })
	out := make([]float64, len(o.Ticks))
	var fastest []*Unit // candidates for the least delay, rising
	came, played, now := 0, 0, 0.0
	for i := range o.Ticks {
		at := o.Ticks[i].At
		for ; came < len(byArrival) && byArrival[came].Arrival <= at; came++ {
			u := byArrival[came]
			if len(fastest) > 0 && fastest[0].Segment != u.Segment {
				fastest = fastest[:0]
			}
			for len(fastest) > 0 && fastest[len(fastest)-1].Delay >= u.Delay {
				fastest = fastest[:len(fastest)-1]
			}
			fastest = append(fastest, u)
		}
		for len(fastest) > 1 && fastest[0].Arrival < at-window {
			fastest = fastest[1:]
		}
		for ; played < len(byPlay) && byPlay[played].PlayedAt <= at; played++ {
			if u := byPlay[played]; len(fastest) > 0 && fastest[0].Segment == u.Segment {
				now = max(0, ms(u.wait()-fastest[0].Delay))
			}
		}
		out[i] = now
	}
	return out
}

// delays is the picture of what the buffer wants and has.
type delays struct {
	Target, Playout, Buffered string
	Labels, Grid              []label
}

func (o *Outcome) delays(real []float64) delays {
	top := 60.0
	for i := range o.Ticks {
		st := &o.Ticks[i].Stats
		top = max(top, ms(st.TargetDelay)*1.05, real[i]*1.05, ms(st.CurrentDelay)*1.02)
	}
	var d delays
	s := scale{height: 100}
	var step float64
	s.top, step = niceTop(top)
	for v := 0.0; v <= s.top; v += step {
		d.Grid = append(d.Grid, label{At: percent(s.y(v) / 100)})
		d.Labels = append(d.Labels, label{At: percent(s.y(v) / 100), Text: fmt.Sprintf("%g", v)})
	}
	var target, playout, buffered path
	var was [3]float64
	const most = 8000
	stride := 1 + len(o.Ticks)/most
	for i := 0; i < len(o.Ticks); i += stride {
		var highest [3]float64
		for k := i; k < min(i+stride, len(o.Ticks)); k++ {
			st := &o.Ticks[k].Stats
			highest[0] = max(highest[0], ms(st.TargetDelay))
			highest[1] = max(highest[1], real[k])
			highest[2] = max(highest[2], ms(st.CurrentDelay))
		}
		for k, p := range []*path{&target, &playout, &buffered} {
			if y := math.Round(10*s.y(highest[k])) / 10; i == 0 || y != was[k] {
				p.step(float64(i)*10, y)
				was[k] = y
			}
		}
	}
	width := float64(len(o.Ticks)) * 10
	for _, p := range []*path{&target, &playout, &buffered} {
		p.op('H', width)
	}
	buffered.op('V', 100)
	buffered.op('H', 0)
	buffered.op('Z')
	d.Target, d.Playout, d.Buffered = target.String(), playout.String(), buffered.String()
	return d
}

// band is all stretches of one class of operations.
type band struct{ Class, Path string }

// classes are the colours of operations, in the order in which they are painted: what is rare and bad lies on top.
var classes = []string{"normal", "noise", "silence", "merge", "slower", "faster", "fec", "invented", "other"}

var classLabels = map[string]string{"normal": "as sent", "noise": "comfort noise", "silence": "silence", "merge": "joined", "slower": "slower",
	"faster": "faster", "fec": "recovered", "invented": "invented", "other": "other"}

// class is the colour of an operation.
func class(op neteq.Operation) string {
	switch op {
	case neteq.OpNormal:
		return "normal"
	case neteq.OpMerge:
		return "merge"
	case neteq.OpExpand, neteq.OpCodecPLC:
		return "invented"
	case neteq.OpFEC:
		return "fec"
	case neteq.OpAccelerate, neteq.OpFastAccelerate:
		return "faster"
	case neteq.OpPreemptiveExpand:
		return "slower"
	case neteq.OpRFC3389CNG, neteq.OpCodecCNG:
		return "noise"
	case neteq.OpSilence, neteq.OpMuted, neteq.OpSkipped:
		return "silence"
	}
	return "other"
}

func (o *Outcome) bands() []band {
	paths := map[string]*path{}
	for from := 0; from < len(o.Ticks); {
		c := class(o.Ticks[from].Result.Operation)
		to := from + 1
		for to < len(o.Ticks) && class(o.Ticks[to].Result.Operation) == c {
			to++
		}
		if paths[c] == nil {
			paths[c] = &path{}
		}
		paths[c].box(float64(from)*10, float64(to)*10)
		from = to
	}
	var all []band
	for _, c := range classes {
		if p := paths[c]; p != nil {
			all = append(all, band{c, p.String()})
		}
	}
	return all
}

// box draws a rectangle of the picture's full height.
func (p *path) box(from, to float64) {
	p.op('M', from, 0)
	p.op('H', to)
	p.op('V', 100)
	p.op('H', from)
	p.op('Z')
}

// concealments is the picture of invented stretches: a stem as high as the stretch is long.
type concealments struct {
	Short, Long string // up to and over 200 ms
	Spans       string // the stretches themselves, as boxes
	Limit       float64
	HasLimit    bool
	Labels      []label
	Count       int
}

func (o *Outcome) concealments(events []event) concealments {
	const stutter = 200
	top := 40.0
	for _, e := range events {
		top = max(top, e.ms*1.05)
	}
	c := concealments{Count: len(events)}
	s := scale{height: 100}
	var step float64
	s.top, step = niceTop(top)
	for v := 0.0; v <= s.top; v += step {
		c.Labels = append(c.Labels, label{At: percent(s.y(v) / 100), Text: fmt.Sprintf("%g", v)})
	}
	c.Limit, c.HasLimit = percent(s.y(stutter)/100), s.top >= stutter
	var short, long, spans path
	for _, e := range events {
		p := &short
		if e.ms > stutter {
			p = &long
		}
		p.op('M', float64(e.from)*10, 100)
		p.op('V', s.y(e.ms))
		spans.box(float64(e.from)*10, float64(e.to)*10)
	}
	c.Short, c.Long, c.Spans = short.String(), long.String(), spans.String()
	return c
}

// wave is the picture of the sound.
type wave struct {
	Shape, Concealed string
	Peak             string
}

func newWave(mono []float32, width float64, concealed string) wave {
	shape, peak := envelope(mono, width)
	w := wave{Shape: shape, Concealed: concealed, Peak: "silent"}
	if peak > 0 {
		w.Peak = fmt.Sprintf("%.0f dBFS", 20*math.Log10(float64(peak)))
	}
	return w
}

// data is what the page's script shows under the cursor.
func (o *Outcome) data(units []Unit, real []float64) map[string]any {
	const most = 36000
	stride := 1 + len(o.Ticks)/most
	var target, playout, buffered []int
	operations := map[string]int{}
	var names []string
	var ops []int
	for i := 0; i < len(o.Ticks); i += stride {
		t := &o.Ticks[i]
		target = append(target, int(math.Round(ms(t.Stats.TargetDelay))))
		playout = append(playout, int(math.Round(real[i])))
		buffered = append(buffered, int(math.Round(ms(t.Stats.CurrentDelay))))
		name := textOf(t.Result.Operation).label
		if _, known := operations[name]; !known {
			operations[name] = len(names)
			names = append(names, name)
		}
		ops = append(ops, operations[name])
	}
	type packet [4]float64 // time of arrival, delay, fate, sequence number
	packets := []packet{}
	thin := newThinner(len(units))
	for i := range units {
		u := &units[i]
		if u.Fate != FatePlayed || thin.keep(i) {
			packets = append(packets, packet{math.Round(10*o.x(u.Arrival)) / 10, math.Round(10*ms(u.Delay)) / 10, float64(u.Fate), float64(uint16(u.Sequence))})
		}
	}
	return map[string]any{"width": float64(len(o.Ticks)) * 10, "step": 10 * stride, "target": target, "playout": playout, "buffered": buffered,
		"ops": ops, "names": names, "packets": packets, "fates": fateNames}
}
