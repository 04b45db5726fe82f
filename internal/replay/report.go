package replay

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"sort"
	"strings"
	"time"

	"parley/neteq"
)

var (
	//go:embed page/report.html
	pageHTML string
	//go:embed page/report.css
	pageCSS string
	//go:embed page/report.js
	pageJS string
)

var page = template.Must(template.New("report").Parse(pageHTML))

// maxReportAudio bounds the sound that a report may carry, as WAV: six minutes of mono.
const maxReportAudio = 36 << 20

// ReportOptions says what a report has beside the pictures.
type ReportOptions struct {
	Audio bool     // the sound itself, when it is not too long
	PESQ  *float64 // a score from elsewhere; nil: none
}

// report is what the page shows. Times of pictures are in ms from the first tick.
type report struct {
	Name, Setup  string
	Width        int // of all pictures, ms
	Sentence     template.HTML
	Cards        []card
	Arrivals     arrivals
	Delays       delays
	Bands        []band
	Legend       []operationShare
	Concealments concealments
	Longest      []jump
	Wave         wave
	Spectrogram  template.URL
	SpectrumTop  int // Hz
	Audio        template.URL
	AudioMissing string
	Operations   []operationShare
	Statistics   []statistic
	Times        []label // of the axis
	Data         map[string]any
	CSS          template.CSS
	JS           template.JS
}

// card is a headline figure.
type card struct{ Name, Value, Unit, Note, Tone string }

// label is a mark on an axis: at a share of its length, in percent.
type label struct {
	At   float64
	Text string
}

// jump is a concealment the page can go to.
type jump struct {
	From, To float64
	At, Text string
}

// operationShare is a way in which ticks were made.
type operationShare struct {
	Class, Label, Name, Meaning, Share string
	Ticks                              int
}

// WriteReport writes one HTML page that needs nothing else: pictures, figures and, when asked, the sound. The outcome must
// have been watched (Options.Watch), or the fates of packets are unknown.
func (o *Outcome) WriteReport(w io.Writer, options ReportOptions) error {
	r, err := o.report(options)
	if err != nil {
		return err
	}
	return page.Execute(w, r)
}

func (o *Outcome) report(options ReportOptions) (*report, error) {
	if len(o.Ticks) == 0 {
		return nil, fmt.Errorf("%w: nothing was played: no report", ErrTrace)
	}
	units, events, s := o.Units(), o.events(), o.Summarize()
	width := float64(len(o.Ticks)) * 10
	r := &report{Name: o.Name, Width: len(o.Ticks) * 10, SpectrumTop: spectrumTopHz, CSS: template.CSS(pageCSS), JS: template.JS(pageJS)}
	r.Setup = fmt.Sprintf("policy %s · pulled every 10 ms, phase %g ms · %s · %d packets in %s", PolicyName(o.Policy),
		float64(o.Phase)/1e6, o.codecs(), len(o.Packets), seconds(s.Seconds))
	fates := count(units)
	r.Sentence = sentence(s, fates, events)
	r.Cards = cards(s, fates, o.last(), options.PESQ)
	r.Arrivals = o.arrivals(units)
	real := o.realDelay(units)
	r.Delays = o.delays(real)
	r.Bands = o.bands()
	r.Operations = o.operations()
	r.Legend = legend(r.Operations)
	r.Concealments = o.concealments(events)
	r.Longest = o.longest(events)
	mono := o.mono()
	r.Wave = newWave(mono, width, r.Concealments.Spans)
	png, err := spectrogram(mono)
	if err != nil {
		return nil, err
	}
	r.Spectrogram = dataURL("image/png", png)
	if options.Audio {
		if 2*len(o.PCM) > maxReportAudio {
			r.AudioMissing = fmt.Sprintf("The sound is too long to be put into this page; it is in %s.wav.", o.Name)
		} else {
			var b bytes.Buffer
			if err := o.WriteWAV(&b); err != nil {
				return nil, err
			}
			r.Audio = dataURL("audio/wav", b.Bytes())
		}
	}
	r.Statistics = o.statistics()
	r.Times = times(width)
	r.Data = o.data(units, real)
	return r, nil
}

func dataURL(kind string, b []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}

// codecs names the formats of the packets there are.
func (o *Outcome) codecs() string {
	types := (&Stream{Packets: o.Packets}).PayloadTypes()
	var names []string
	for pt := range types {
		name := fmt.Sprintf("payload type %d", pt)
		if f, ok := o.Formats[pt]; ok {
			name = f.Name
		}
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// x is a time on the axis of the pictures.
func (o *Outcome) x(t time.Duration) float64 { return max(0, float64(t-o.Ticks[0].At)/1e6) }

// fates counts sequence numbers by their fate.
type fates struct {
	all, missing, recovered, late, reordered, copies int
}

func count(units []Unit) fates {
	f := fates{all: len(units)}
	for i := range units {
		u := &units[i]
		f.copies += u.Copies
		if !u.Arrived {
			f.missing++
		}
		switch u.Fate {
		case FateRecovered:
			f.recovered++
		case FateLate:
			f.late++
		case FateReordered:
			f.reordered++
		}
	}
	return f
}

func (f fates) share(n int) float64 { return 100 * float64(n) / float64(max(1, f.all)) }

// sentence tells it all to somebody in a hurry.
func sentence(s Summary, f fates, events []event) template.HTML {
	var b strings.Builder
	longest := 0.0
	for _, e := range events {
		longest = max(longest, e.ms)
	}
	if len(events) == 0 {
		fmt.Fprintf(&b, "Nothing had to be invented in %s of sound.", seconds(s.Seconds))
	} else {
		fmt.Fprintf(&b, "Of %s of sound, <strong>%s</strong> had to be invented, in %s; the longest took %.0f ms.", seconds(s.Seconds),
			seconds(s.ConcealedRatio*s.Seconds), places(len(events)), longest)
	}
	fmt.Fprintf(&b, " Packets waited <strong>%.0f ms</strong> in the buffer on average.", s.JitterBufferDelayMeanMs)
	switch {
	case f.missing == 0:
		b.WriteString(" The network lost none.")
	default:
		fmt.Fprintf(&b, " The network lost %d of %d packets (%.1f %%)", f.missing, f.all, f.share(f.missing))
		if f.recovered > 0 {
			fmt.Fprintf(&b, "; %d were recovered from redundancy", f.recovered)
		}
		b.WriteString(".")
	}
	if f.late > 0 {
		fmt.Fprintf(&b, " %d came too late to be played.", f.late)
	}
	return template.HTML(b.String()) // numbers and our own words only
}

func places(n int) string {
	if n == 1 {
		return "one place"
	}
	return fmt.Sprintf("%d places", n)
}

func perMinute(n float64) string {
	if n > 0 && n < 1.5 {
		return "about once a minute"
	}
	return fmt.Sprintf("%.0f times a minute", n)
}

func cards(s Summary, f fates, last neteq.Stats, pesq *float64) []card {
	tone := func(bad bool) string {
		if bad {
			return "bad"
		}
		return ""
	}
	c := []card{
		{"Invented", fmt.Sprintf("%.2f", 100*s.ConcealedRatio), "%", "of the time, " + perMinute(s.ConcealmentEventsPerMin), tone(s.ConcealedRatio > 0.05)},
		{"Delay", fmt.Sprintf("%.0f", s.JitterBufferDelayMeanMs), "ms", fmt.Sprintf("in the buffer; 95 %% below %.0f ms", s.JitterBufferDelayP95Ms), ""},
		{"Stutter", fmt.Sprintf("%.2f", 100*s.StutterShare), "%", "of the time in gaps over 200 ms", tone(s.StutterShare > 0.002)},
		{"Lost", fmt.Sprintf("%.1f", f.share(f.missing)), "%", fmt.Sprintf("of packets; %d recovered, %d too late", f.recovered, f.late), ""},
		{"Speed", fmt.Sprintf("%.2f", 100*(s.AccelerateRatio+s.PreemptiveRatio)), "%", fmt.Sprintf("%.2f %% faster, %.2f %% slower", 100*s.AccelerateRatio, 100*s.PreemptiveRatio), ""},
		{"Processor", fmt.Sprintf("%.2f", s.CPUMsPerAudioS), "ms", "per second of sound, decoder included", ""},
	}
	if pesq != nil {
		c = append([]card{{"PESQ", fmt.Sprintf("%.2f", *pesq), "of 4.64", "likeness to the sound without losses", ""}}, c...)
	}
	return c
}

// operations are those that happened, by their number.
func (o *Outcome) operations() []operationShare {
	ticks := map[neteq.Operation]int{}
	for i := range o.Ticks {
		ticks[o.Ticks[i].Result.Operation]++
	}
	var all []operationShare
	for op, n := range ticks {
		t := textOf(op)
		all = append(all, operationShare{Class: class(op), Label: t.label, Name: op.String(), Meaning: t.meaning, Ticks: n,
			Share: fmt.Sprintf("%.2f %%", 100*float64(n)/float64(len(o.Ticks)))})
	}
	sort.Slice(all, func(i, j int) bool {
		return all[i].Ticks > all[j].Ticks || all[i].Ticks == all[j].Ticks && all[i].Name < all[j].Name
	})
	return all
}

// legend is one entry for each colour.
func legend(all []operationShare) []operationShare {
	seen := map[string]bool{}
	var l []operationShare
	for _, s := range all {
		if !seen[s.Class] {
			seen[s.Class] = true
			l = append(l, operationShare{Class: s.Class, Label: classLabels[s.Class]})
		}
	}
	return l
}

// longest are the ten longest concealments.
func (o *Outcome) longest(events []event) []jump {
	sorted := append([]event(nil), events...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].ms > sorted[j].ms })
	var all []jump
	for _, e := range sorted[:min(10, len(sorted))] {
		from, to := float64(e.from)*10, float64(e.to)*10
		all = append(all, jump{From: max(0, from-1000), To: to + 1000, At: fmt.Sprintf("%.2f s", from/1000), Text: fmt.Sprintf("%.0f ms", e.ms)})
	}
	return all
}

// times are marks for the time axis.
func times(width float64) []label {
	steps := []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if width/1000/s <= 12 {
			step = s
			break
		}
	}
	var all []label
	for i := 0; float64(i)*step*1000 <= width; i++ {
		all = append(all, label{At: percent(float64(i) * step * 1000 / width), Text: clock(float64(i) * step)})
	}
	return all
}

// percent is a share of an axis with as many digits as a page needs.
func percent(share float64) float64 { return math.Round(share*1e4) / 100 }

// clock writes seconds as 5, 0.5 or 1:05.
func clock(s float64) string {
	if s >= 60 {
		return fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%g s", s)
}
