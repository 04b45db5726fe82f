//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/e2e/rig"
)

// pulse is what a page and the server know at one moment. Two of them tell whose fault a gap between them is: of the server,
// of the path, or of the machine, which did not run a browser or the server when they were ready to. That is nobody's fault, so
// a test that fails by it may try again, once and saying so; nothing else is excused.
type pulse struct {
	WallMs   float64 // the page's clock
	AudioMs  float64 // what its AudioContext has rendered
	Captured float64 // samples that reached the page's script
	Down     struct {
		PacketsReceived, PacketsLost           float64
		ConcealedSamples, TotalSamplesReceived float64
	}
	Sent float64 // packets, as the server counts them

	skipped, late, rung float64       // ticks of the server, and its overload
	waited              time.Duration // by the server's threads, for a processor
	err                 error
}

// pulses asks every page, and the server.
func (c *call) pulses(t *testing.T) []pulse {
	t.Helper()
	var skipped, late, rung float64
	var waited time.Duration
	if c.server != nil {
		waited = c.server.Waited()
		skipped, _ = c.server.Metric(t, "mixer_ticks_skipped_total")
		late, _ = c.server.Metric(t, "mixer_ticks_late_total")
		rung, _ = c.server.Metric(t, "mixer_overload_rung")
	}
	all := make([]pulse, len(c.pages))
	for i, p := range c.pages {
		all[i].err = p.TryEval(t.Context(), `() => __kit.pulse()`, nil, &all[i])
		all[i].skipped, all[i].late, all[i].rung, all[i].waited = skipped, late, rung, waited
	}
	return all
}

const (
	samplesPerMs = 48
	// stalledMs is how far a clock of the browser's own may fall behind: two blocks of its recorder, which are 43 ms.
	stalledMs = 90
	// skippedTick is how long a server must have waited for each tick that it skipped: a tick.
	skippedTick = 10 * time.Millisecond
	// inventedMs is how much sound a browser that lost no packet may invent in a recording: one concealment.
	inventedMs = 30
)

// starved says how a page or the server was kept from its processor between two pulses, if that explains a gap. A server that
// skips ticks for any other reason, or calls itself overloaded, is at fault.
func starved(a, b pulse) string {
	if a.err != nil || b.err != nil || b.rung > 0 {
		return ""
	}
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if d := b.skipped - a.skipped; d > 0 {
		waited := b.waited - a.waited
		if waited < time.Duration(d)*skippedTick {
			return ""
		}
		say("the server was ready to run for %v without a processor, and skipped %.0f ticks", waited.Round(time.Millisecond), d)
	}
	wall := b.WallMs - a.WallMs
	if d := wall - (b.AudioMs - a.AudioMs); d > stalledMs {
		say("its audio device stood still for %.0f of %.0f ms", d, wall)
	}
	if d := (b.AudioMs - a.AudioMs) - (b.Captured-a.Captured)/samplesPerMs; d > stalledMs {
		say("its main thread missed %.0f ms of sound", d)
	}
	if d := wall - (b.Down.TotalSamplesReceived-a.Down.TotalSamplesReceived)/samplesPerMs; d > stalledMs {
		say("it played %.0f ms less than it should", d)
	}
	lost := b.Down.PacketsLost - a.Down.PacketsLost
	if d := (b.Down.ConcealedSamples - a.Down.ConcealedSamples) / samplesPerMs; lost <= 0 && b.late == a.late && d > inventedMs {
		say("it concealed %.0f ms though no packet was lost or late from the server", d)
	}
	return strings.Join(found, ", ")
}

// disturbed tells whether sound was torn between two pulses, whoever did it: what is torn has every pitch for a moment.
func disturbed(a, b pulse) bool {
	return b.skipped > a.skipped || b.Down.PacketsLost > a.Down.PacketsLost || b.Down.ConcealedSamples > a.Down.ConcealedSamples
}

// since is for the log of a round that went wrong.
func (p pulse) since(a pulse) string {
	if a.err != nil || p.err != nil {
		return fmt.Sprintf("no figures: %v, %v", a.err, p.err)
	}
	return fmt.Sprintf("%.0f ms: browser rendered %.0f ms, recorded %.0f ms, played %.0f ms, concealed %.0f ms, received %.0f packets, lost %.0f; "+
		"server sent %.0f, skipped %.0f ticks, %.0f late, rung %.0f, waited %v for a processor",
		p.WallMs-a.WallMs, p.AudioMs-a.AudioMs, (p.Captured-a.Captured)/samplesPerMs,
		(p.Down.TotalSamplesReceived-a.Down.TotalSamplesReceived)/samplesPerMs, (p.Down.ConcealedSamples-a.Down.ConcealedSamples)/samplesPerMs,
		p.Down.PacketsReceived-a.Down.PacketsReceived, p.Down.PacketsLost-a.Down.PacketsLost, p.Sent-a.Sent, p.skipped-a.skipped, p.late-a.late, p.rung,
		(p.waited - a.waited).Round(time.Millisecond))
}

// excuse reports whether a call that is about to fail may have as much time again: somebody was starved, for the first time.
func (c *call) excuse(t *testing.T, i int, a, b pulse) bool {
	t.Helper()
	why := starved(a, b)
	if why == "" || c.excused {
		return false
	}
	c.excused = true
	t.Logf("TRYING ONCE MORE, this machine is too busy for %s: %s", c.voices[i].name, why)
	rig.Pause(t, time.Second)
	return true
}
