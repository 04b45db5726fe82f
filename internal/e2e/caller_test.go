//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"parley/internal/e2e/rig"
	"parley/internal/testkit"
)

// voice is a person with a Chromium and a tone for a microphone.
type voice struct {
	name   string
	freqHz float64
	level  float64 // dBFS as written to the microphone
	b      *rig.Browser
}

// pitches: no one is a harmonic of another, and no product of third order of the three (2a-b, a+b-c) lies within 30 Hz of
// any, so that a limiter's or a codec's distortion of the others is not taken for one's own voice.
var pitches = [3]struct {
	name   string
	freqHz float64
}{{"Ada", 523}, {"Ben", 787}, {"Cleo", 1187}}

// newVoices launches three browsers whose microphones all have the given level.
func newVoices(t *testing.T, d *rig.Driver, levelDBFS float64, home string) []*voice {
	t.Helper()
	var voices []*voice
	for _, p := range pitches {
		b, err := d.Launch(t.Context(), rig.ToneFile(t, p.freqHz, levelDBFS), home)
		require.NoError(t, err)
		t.Cleanup(b.Quit)
		voices = append(voices, &voice{name: p.name, freqHz: p.freqHz, level: levelDBFS, b: b})
	}
	return voices
}

// join walks the join page as a person does: name, click, and the room is there.
func (v *voice) join(t *testing.T, base, room string, s rig.Settings) *rig.Page {
	t.Helper()
	p := v.b.Open(t, v.name, base+"/r/"+room, s)
	p.Fill(t, "#name", v.name)
	p.Click(t, "#join-go")
	p.Wait(t, 20*time.Second, "in the room", `() => !document.querySelector('#room').hidden && !!__kit.joined`, nil)
	return p
}

// call is three voices in one room.
type call struct {
	server  *rig.Server
	voices  []*voice
	pages   []*rig.Page
	excused bool // a starved browser has had its second chance
}

// newCall lets all voices join. The pages close with the test.
func newCall(t *testing.T, server *rig.Server, voices []*voice, base, room string, s rig.Settings) *call {
	t.Helper()
	c := &call{server: server, voices: voices}
	for _, v := range voices {
		c.pages = append(c.pages, v.join(t, base, room, s))
	}
	return c
}

// participants are the ids that the server gave to the pages.
func (c *call) participants(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, p := range c.pages {
		var id string
		p.Eval(t, `() => __kit.joined.participant`, nil, &id)
		ids = append(ids, id)
	}
	return ids
}

// tolerance is how far from perfect a call may sound.
type tolerance struct {
	level  float64 // dB between what was sent and what is received
	own    float64 // dB that one's own voice must be below the others at least
	moment float64 // the same for the worst 200 ms: concealment of lost packets smears the others' tones
	within time.Duration
}

var clean = tolerance{level: 3, own: 40, moment: 40, within: 20 * time.Second}

// awaitSound waits until every page hears both others.
func (c *call) awaitSound(t *testing.T, within time.Duration) {
	t.Helper()
	c.awaitSoundBy(t, within, c.missing)
}

// awaitSoundBy waits until missing finds nothing missing in what any page records.
func (c *call) awaitSoundBy(t *testing.T, within time.Duration, missing func(i int, pcm []float32) error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for i, p := range c.pages {
		for {
			before := c.pulses(t)
			pcm, err := p.TryRecord(t.Context(), 300*time.Millisecond)
			if err == nil {
				err = missing(i, pcm)
			}
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				after := c.pulses(t)
				if !c.excuse(t, i, before[i], after[i]) {
					require.FailNow(t, c.voices[i].name+" does not hear the others", "within %v: %v\n%s", within, err, after[i].since(before[i]))
				}
				_ = p.TryEval(t.Context(), `() => __kit.recapture()`, nil, nil)
				deadline = time.Now().Add(within)
			}
			rig.Pause(t, 100*time.Millisecond)
		}
	}
}

// missing tells which voice of the others is not in what voice i received.
func (c *call) missing(i int, pcm []float32) error {
	for k, v := range c.voices {
		if got := testkit.ToneLevel(pcm, v.freqHz); k != i && got < v.level-6 {
			return fmt.Errorf("%s is at %.1f dBFS", v.name, got)
		}
	}
	return nil
}

// record takes d of what each page receives, all at the same time.
func (c *call) record(t *testing.T, d time.Duration) [][]float32 {
	t.Helper()
	out := make([][]float32, len(c.pages))
	errs := make([]error, len(c.pages))
	var all sync.WaitGroup
	for i, p := range c.pages {
		all.Go(func() { out[i], errs[i] = p.TryRecord(t.Context(), d) })
	}
	all.Wait()
	for i, err := range errs {
		require.NoError(t, err, c.voices[i].name)
	}
	return out
}

// requireMix is the proof of a call: each page hears both others as loud as they speak, and itself not at all. Levels have
// until the end of tol.within to settle; one's own voice must never be heard.
func (c *call) requireMix(t *testing.T, tol tolerance) {
	t.Helper()
	deadline := time.Now().Add(tol.within)
	c.awaitSound(t, tol.within)
	for {
		before := c.pulses(t)
		heard := c.record(t, 2*time.Second)
		after := c.pulses(t)
		var wrong []string
		starving := -1
		for i, pcm := range heard {
			found := c.judge(t, i, pcm, tol, disturbed(before[i], after[i]))
			if len(found) == 0 {
				continue
			}
			wrong = append(wrong, found...)
			t.Logf("%s, in %s", c.voices[i].name, after[i].since(before[i]))
			if starved(before[i], after[i]) != "" {
				starving = i
			}
		}
		if len(wrong) == 0 {
			return
		}
		late := time.Now().After(deadline)
		if late && !t.Failed() && starving >= 0 && c.excuse(t, starving, before[starving], after[starving]) {
			deadline = time.Now().Add(tol.within)
			continue
		}
		if t.Failed() || late {
			for i, pcm := range heard {
				keep(t, c.voices[i].name, pcm)
			}
			require.FailNow(t, "the mix is wrong", "%s", strings.Join(wrong, "\n"))
		}
		t.Logf("not settled: %s", strings.Join(wrong, "; "))
	}
}

// smeared is what tolerance.moment comes to where sound was torn.
const smeared = 25

// judge says what is wrong with what voice i received. Torn sound is asked for again, unless one's own voice is in it beyond
// what a tear makes.
func (c *call) judge(t *testing.T, i int, pcm []float32, tol tolerance, torn bool) (wrong []string) {
	t.Helper()
	me := c.voices[i]
	quietest := math.Inf(1)
	for k, v := range c.voices {
		if k == i {
			continue
		}
		got := testkit.SteadyLevel(pcm, v.freqHz)
		quietest = min(quietest, got)
		if math.Abs(got-v.level) > tol.level {
			wrong = append(wrong, fmt.Sprintf("%s hears %s at %.1f dBFS, who speaks at %.1f", me.name, v.name, got, v.level))
		}
	}
	own := testkit.SteadyLevel(pcm, me.freqHz)
	if own > quietest-tol.own {
		wrong = append(wrong, fmt.Sprintf("%s: what is at her own pitch is only %.1f dB below the others", me.name, quietest-own))
	}
	leak := testkit.LoudestTone(pcm, me.freqHz)
	if leak > me.level-tol.moment && torn {
		wrong = append(wrong, fmt.Sprintf("%s: for a moment %.1f dBFS at her own pitch, in torn sound", me.name, leak))
	}
	if !torn || leak > me.level-smeared {
		assert.LessOrEqual(t, leak, me.level-tol.moment, "%s hears herself for a moment", me.name)
	}
	t.Logf("%s: others at %.1f dBFS or more, own %.1f dB below, peak %.3f, clicks %d, gaps %v",
		me.name, quietest, quietest-own, testkit.Peak(pcm), len(testkit.Clicks(pcm)), testkit.Gaps(pcm, quietest-20, 10*time.Millisecond))
	return wrong
}

// keep writes a recording when PARLEY_E2E_SHOTS names a directory for such things.
func keep(t *testing.T, name string, pcm []float32) {
	if dir := os.Getenv("PARLEY_E2E_SHOTS"); dir != "" {
		_ = testkit.WriteWAV(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+"-"+name+".wav"), pcm)
	}
}

// noneLeft holds that nobody saw anybody leave or join anew since the call began.
func (c *call) noneLeft(t *testing.T) {
	t.Helper()
	for _, p := range c.pages {
		var left []any
		p.Eval(t, `() => (__kit.participantEvents ?? []).filter((e) => e.event === 'left')`, nil, &left)
		require.Empty(t, left, "seen by %s", p.Name)
	}
}
