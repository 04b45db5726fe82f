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
// of the path, or of a browser that does not get the processor. That one is not ours, so a test that fails by it may try
// again, once and saying so; nobody else is excused.
type pulse struct {
	WallMs   float64 // the page's clock
	AudioMs  float64 // what its AudioContext has rendered
	Captured float64 // samples that reached the page's script
	Down     struct {
		PacketsReceived, PacketsLost           float64
		ConcealedSamples, TotalSamplesReceived float64
	}
	Sent float64 // packets, as the server counts them

	skipped, late, rung float64 // ticks of the server, and its overload
	err                 error
}

// pulses asks every page, and the server.
func (c *call) pulses(t *testing.T) []pulse {
	t.Helper()
	var skipped, late, rung float64
	if c.server != nil {
		skipped, _ = c.server.Metric(t, "mixer_ticks_skipped_total")
		late, _ = c.server.Metric(t, "mixer_ticks_late_total")
		rung, _ = c.server.Metric(t, "mixer_overload_rung")
	}
	all := make([]pulse, len(c.pages))
	for i, p := range c.pages {
		all[i].err = p.TryEval(t.Context(), `() => __kit.pulse()`, nil, &all[i])
		all[i].skipped, all[i].late, all[i].rung = skipped, late, rung
	}
	return all
}

const (
	samplesPerMs = 48
	// stalledMs is how far a clock of the browser's own may fall behind: two blocks of its recorder, which are 43 ms.
	stalledMs = 90
	// inventedMs is how much sound a browser that lost no packet may invent in a recording: one concealment.
	inventedMs = 30
)

// starved says how a page was kept from its processor between two pulses, if it was and the server was not.
func starved(a, b pulse) string {
	if a.err != nil || b.err != nil || b.skipped > a.skipped || b.rung > 0 {
		return ""
	}
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
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

// since is for the log of a round that went wrong.
func (p pulse) since(a pulse) string {
	if a.err != nil || p.err != nil {
		return fmt.Sprintf("no figures: %v, %v", a.err, p.err)
	}
	return fmt.Sprintf("%.0f ms: browser rendered %.0f ms, recorded %.0f ms, played %.0f ms, concealed %.0f ms, received %.0f packets, lost %.0f; "+
		"server sent %.0f, skipped %.0f ticks, %.0f late, rung %.0f",
		p.WallMs-a.WallMs, p.AudioMs-a.AudioMs, (p.Captured-a.Captured)/samplesPerMs,
		(p.Down.TotalSamplesReceived-a.Down.TotalSamplesReceived)/samplesPerMs, (p.Down.ConcealedSamples-a.Down.ConcealedSamples)/samplesPerMs,
		p.Down.PacketsReceived-a.Down.PacketsReceived, p.Down.PacketsLost-a.Down.PacketsLost, p.Sent-a.Sent, p.skipped-a.skipped, p.late-a.late, p.rung)
}

// excuse reports whether a call that is about to fail may have as much time again: a browser was starved, for the first time.
func (c *call) excuse(t *testing.T, i int, a, b pulse) bool {
	t.Helper()
	why := starved(a, b)
	if why == "" || c.excused {
		return false
	}
	c.excused = true
	t.Logf("TRYING ONCE MORE, %s's browser does not get the processor: %s", c.voices[i].name, why)
	rig.Pause(t, time.Second)
	return true
}
