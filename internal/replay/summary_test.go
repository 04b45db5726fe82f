package replay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"parley/neteq"
)

// synthetic is 100 ticks: 30 concealed in a row from tick 20 on, made in blocks of 20 ms, and 5 from tick 70 on, so that all
// figures can be computed by hand.
func synthetic() *Outcome {
	o := outcome([]Packet{opusPacket(1, 0, 0, "aaa"), opusPacket(4, 2880, 60*time.Millisecond, "bbb")}, 100)
	o.Name, o.CPU = "synthetic", 2*time.Millisecond
	var s neteq.Stats
	for i := range o.Ticks {
		s.TotalSamplesReceived += 480
		op := neteq.OpNormal
		switch {
		case i >= 20 && i < 50:
			op = neteq.OpCodecPLC
			if i%2 == 0 {
				s.ConcealedSamples += 960
			}
			if i == 20 {
				s.ConcealmentEvents++
			}
		case i >= 70 && i < 75:
			op = neteq.OpExpand
			s.ConcealedSamples += 480
			if i == 70 {
				s.ConcealmentEvents++
			}
		default: // a packet of 10 ms that waited 40 ms, from tick 90 on 100 ms
			s.JitterBufferEmittedCount += 480
			wait := 0.040
			if i >= 90 {
				wait = 0.100
			}
			s.JitterBufferDelay += 480 * wait
		}
		s.TargetDelay = 50 * time.Millisecond
		if i >= 50 {
			s.TargetDelay = 70 * time.Millisecond
		}
		s.CurrentDelay = 30 * time.Millisecond
		s.RemovedSamplesForAcceleration = 480
		s.InsertedSamplesForDeceleration = 960
		o.Ticks[i].Result.Operation = op
		o.Ticks[i].Stats = s
	}
	return o
}

func TestSummary(t *testing.T) {
	s := synthetic().Summarize()
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
	}
	near("seconds", s.Seconds, 1)
	near("concealed", s.ConcealedRatio, 0.35)
	near("events a minute", s.ConcealmentEventsPerMin, 120)
	near("stutter", s.StutterShare, 0.30) // the run of 300 ms, not that of 50 ms
	near("delay", s.JitterBufferDelayMeanMs, (55*40+10*100)/65.0)
	near("p95", s.JitterBufferDelayP95Ms, 100)
	near("target", s.TargetDelayMeanMs, 60)
	near("buffer", s.BufferMeanMs, 30)
	near("accelerate", s.AccelerateRatio, 0.01)
	near("preemptive", s.PreemptiveRatio, 0.02)
	near("lost", s.LostShare, 0.5)
	near("cpu", s.CPUMsPerAudioS, 2)
	if s.Operations["codec_plc"] != 30 || s.Operations["expand"] != 5 || s.Operations["normal"] != 65 {
		t.Errorf("operations %v", s.Operations)
	}
	if e := synthetic().events(); len(e) != 2 || e[0] != (event{20, 50, 300}) || e[1] != (event{70, 75, 50}) {
		t.Errorf("events %v", e)
	}
}

func TestSummaryOfNothing(t *testing.T) {
	o, err := Run(tinyTrace()[:1], tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	s := o.Summarize()
	var b bytes.Buffer
	if err := s.WriteJSON(&b); err != nil || len(o.Ticks) != 0 || s.Seconds != 0 {
		t.Errorf("%v, %d ticks, %+v", err, len(o.Ticks), s)
	}
	if err := o.WriteReport(&b, ReportOptions{}); err == nil {
		t.Error("a report of nothing")
	}
	if _, err := Run(nil, tinyOptions()); err == nil {
		t.Error("a run of nothing")
	}
}

func TestFirstPull(t *testing.T) {
	ms := func(v float64) time.Duration { return time.Duration(v * 1e6) }
	for _, tc := range []struct{ first, phase, want float64 }{
		{3.7, 0, 10}, {3.7, 2.5, 12.5}, {3.7, 5, 5}, {10, 0, 10}, {0, 0, 0}, {0, 7.5, 7.5}, {-3, 0, 0}, {-13, 2.5, -7.5},
	} {
		if got := firstPull(ms(tc.first), ms(tc.phase)); got != ms(tc.want) {
			t.Errorf("first arrival %g, phase %g: %v, want %g ms", tc.first, tc.phase, got, tc.want)
		}
	}
}

func TestLostShare(t *testing.T) {
	p := func(ssrc uint32, seqs ...uint16) (all []Packet) {
		for _, s := range seqs {
			all = append(all, Packet{Packet: neteq.Packet{SSRC: ssrc, SequenceNumber: s}})
		}
		return all
	}
	for _, tc := range []struct {
		name    string
		packets []Packet
		want    float64
	}{
		{"none", nil, 1},
		{"wrap, duplicate and reordering lose nothing", p(1, 65534, 0, 65535, 0, 1), 0},
		{"a half", p(1, 1, 4), 0.5},
		{"another SSRC loses nothing", append(p(1, 1, 2), p(2, 500, 501)...), 0},
		{"a leap loses nothing", p(1, 1, 2, 30000, 30001), 0},
	} {
		if got := lostShare(tc.packets); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %g, want %g", tc.name, got, tc.want)
		}
	}
}

func TestCSVOfTicks(t *testing.T) {
	var b bytes.Buffer
	if err := synthetic().WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	const wanted = "total_samples_received,concealed_samples,concealment_events,inserted_samples_for_deceleration,removed_samples_for_acceleration," +
		"jitter_buffer_delay_ms,jitter_buffer_emitted_count,fec_packets_received,packets_discarded,target_delay_ms,current_buffer_ms,operation"
	if len(lines) != 101 || !strings.HasPrefix(lines[0], wanted) {
		t.Fatalf("%d lines, header %s", len(lines), lines[0])
	}
	if want := "48000,16800,2,960,480,1536000.000,31200,0,0,70.0,30.0,normal,990.000,0.00"; lines[100] != want {
		t.Errorf("last line %s, want %s", lines[100], want)
	}
}

func TestWAV(t *testing.T) {
	o := &Outcome{Channels: 2, PCM: []float32{0, 1, -1, 2, -2, 0.5}}
	var b bytes.Buffer
	if err := o.WriteWAV(&b); err != nil {
		t.Fatal(err)
	}
	w := b.Bytes()
	if len(w) != 44+12 || string(w[:4]) != "RIFF" || binary.LittleEndian.Uint32(w[4:]) != 48 || string(w[8:16]) != "WAVEfmt " ||
		binary.LittleEndian.Uint16(w[22:]) != 2 || binary.LittleEndian.Uint32(w[24:]) != 48000 || binary.LittleEndian.Uint32(w[40:]) != 12 {
		t.Errorf("header %q", w[:44])
	}
	var samples [6]int16
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(w[44+2*i:]))
	}
	if samples != [6]int16{0, 32767, -32767, 32767, -32768, 16384} {
		t.Errorf("samples %v", samples)
	}
}

// A clean stream comes out as it went in, after a constant delay.
func TestCleanSoundIsUnchanged(t *testing.T) {
	o := runTiny(t)
	s := o.last()
	arrived := uint64(0)
	for i := range o.Packets {
		if o.Packets[i].Arrival <= o.Ticks[len(o.Ticks)-1].At {
			arrived++
		}
	}
	if s.DuplicatePackets != 1 || s.PacketsReceived != arrived || s.DecodeErrors != 0 || s.InvalidPackets != 0 {
		t.Errorf("statistics %+v", s)
	}
	if lost := 2 * 960 / float64(s.TotalSamplesReceived); o.Summarize().ConcealedRatio < lost/2 {
		t.Errorf("two packets were lost, %g of the sound is concealed", o.Summarize().ConcealedRatio)
	}
	// The second quarter of a second, before the loss, is the tone: its power is that of a sine of amplitude 0.5.
	power := 0.0
	part := o.PCM[5*tickFrames : 30*tickFrames]
	for _, v := range part {
		power += float64(v) * float64(v)
	}
	if rms := math.Sqrt(power / float64(len(part))); math.Abs(rms-0.5/math.Sqrt2) > 0.02 {
		t.Errorf("level %g, want %g", rms, 0.5/math.Sqrt2)
	}
}

// The fields of our summaries are those of reference files: no more, no fewer.
func TestFieldsOfTheReference(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(tracesDir(t), "libwebrtc_reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		Traces []map[string]any `json:"traces"`
	}
	if err := json.Unmarshal(b, &ref); err != nil {
		t.Fatal(err)
	}
	var own bytes.Buffer
	if err := synthetic().Summarize().WriteJSON(&own); err != nil {
		t.Fatal(err)
	}
	var ours map[string]any
	if err := json.Unmarshal(own.Bytes(), &ours); err != nil {
		t.Fatal(err)
	}
	keys := func(m map[string]any) []string {
		var k []string
		for name := range m {
			k = append(k, name)
		}
		sort.Strings(k)
		return k
	}
	if got, want := keys(ours), keys(ref.Traces[0]); !slices.Equal(got, want) {
		t.Errorf("fields\n%v, want\n%v", got, want)
	}
	if got, want := keys(ours["phase_spread"].(map[string]any)), keys(ref.Traces[0]["phase_spread"].(map[string]any)); !slices.Equal(got, want) {
		t.Errorf("fields of the spread\n%v, want\n%v", got, want)
	}
}
