package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/internal/replay"
	"parley/neteq"
)

const tinyTrace = "../../internal/replay/testdata/tiny.csv"

func TestNeteqReplay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	code, out, errText := command("neteq", "replay", tinyTrace, "--out", dir, "--report", "--audio", "--phase=2.5")
	if code != 0 || errText != "" {
		t.Fatalf("code %d: %s", code, errText)
	}
	if !strings.Contains(out, "concealed %") || !strings.Contains(out, "tiny") {
		t.Errorf("table:\n%s", out)
	}
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	csv := strings.Split(strings.TrimSpace(text("tiny.csv")), "\n")
	wav := text("tiny.wav")
	if ticks := len(csv) - 1; ticks < 100 || len(wav) != 44+ticks*480*2 || !strings.HasPrefix(wav, "RIFF") {
		t.Errorf("%d lines, WAV of %d bytes", len(csv), len(wav))
	}
	var summary map[string]any
	if err := json.Unmarshal([]byte(text("tiny.json")), &summary); err != nil || summary["trace"] != "tiny" || summary["concealed_ratio"] == 0.0 {
		t.Errorf("summary %v, %v", summary, err)
	}
	if page := text("tiny.html"); !strings.HasPrefix(page, "<!doctype html>") || !strings.Contains(page, "data:audio/wav") || !strings.Contains(page, "phase 2.5 ms") {
		t.Error("report")
	}
	var all struct {
		Traces []struct{ Trace string }
	}
	if err := json.Unmarshal([]byte(text("summary.json")), &all); err != nil || len(all.Traces) != 1 || all.Traces[0].Trace != "tiny" {
		t.Errorf("summary of all: %+v, %v", all, err)
	}
}

func TestNeteqReplayPhases(t *testing.T) {
	dir := t.TempDir()
	if code, _, errText := command("neteq", "replay", tinyTrace, "-o", dir, "--phase=0,2.5,7500us", "--stereo"); code != 0 {
		t.Fatal(errText)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := "summary.json tiny_p0.csv tiny_p0.json tiny_p0.wav tiny_p25.csv tiny_p25.json tiny_p25.wav tiny_p75.csv tiny_p75.json tiny_p75.wav"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}

func TestNeteqReplayWithoutFiles(t *testing.T) {
	t.Chdir(filepath.Dir(tinyTrace))
	code, out, errText := command("neteq", "replay", filepath.Base(tinyTrace), "--out=", "--policy=m150", "--from=200ms", "--to=600ms")
	if code != 0 || !strings.Contains(out, "tiny") {
		t.Fatalf("code %d: %s%s", code, out, errText)
	}
	if _, err := os.Stat("tiny.wav"); err == nil {
		t.Error("files were written")
	}
}

func TestNeteqList(t *testing.T) {
	code, out, _ := command("neteq", "replay", "--list", tinyTrace)
	if code != 0 || !strings.Contains(out, "SSRC 0x1f2e3d4c: 59 packets in 1.2 s, payload types 0 (59)") {
		t.Errorf("%d %s", code, out)
	}
}

func TestNeteqUsage(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "tiny.csv")
	bad := filepath.Join(dir, "bad.csv")
	unknown := filepath.Join(dir, "unknown.csv")
	undecodable := filepath.Join(dir, "undecodable.csv")
	for name, text := range map[string]string{other: "1,2,3,4,0,ff\n", bad: "nonsense\n",
		unknown:     "1,2,3,4,99,ff\n21,3,963,4,99,ff\n",
		undecodable: "1,2,3,4,111,ffff\n21,3,963,4,111,ffff\n41,4,1923,4,111,ffff\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "neteq "},
		{[]string{"neteq", "replay", "--help"}, 0, "--report"},
		{[]string{"neteq", "compare", "--help"}, 0, "--reference"},
		{[]string{"neteq", "replay"}, exitUsage, "<trace>"},
		{[]string{"neteq", "replay", filepath.Join(dir, "none.csv")}, exitUsage, "none.csv"},
		{[]string{"neteq", "replay", tinyTrace, "--phase=10"}, exitUsage, "--phase 10: want 0 to less than 10 ms"},
		{[]string{"neteq", "replay", tinyTrace, "--phase=soon"}, exitUsage, "--phase soon"},
		{[]string{"neteq", "replay", tinyTrace, "--policy=best"}, exitUsage, "--policy"},
		{[]string{"neteq", "replay", tinyTrace, "--ssrc=abc"}, exitUsage, "--ssrc abc"},
		{[]string{"neteq", "replay", tinyTrace, "--codec=96=opus"}, exitUsage, "--codec"},
		{[]string{"neteq", "replay", tinyTrace, "--codec=96=mp3/44100"}, exitUsage, "mp3"},
		{[]string{"neteq", "replay", tinyTrace, "--min-delay=1h"}, exitUsage, "delay"},
		{[]string{"neteq", "replay", tinyTrace, "--out=", "--report"}, exitUsage, "--out"},
		{[]string{"neteq", "replay", tinyTrace, other, "--out", dir}, exitUsage, "would both be written"},
		{[]string{"neteq", "replay", bad, "--out="}, exitFailed, "line 1"},
		{[]string{"neteq", "replay", tinyTrace, "--out=", "--ssrc=5"}, exitFailed, "no packets are left"},
		{[]string{"neteq", "replay", unknown, "--out="}, exitUsage, "99 (2)\nparley: say what they are: --codec"},
		{[]string{"neteq", "replay", undecodable, "--out="}, 0, "encrypted"},
		{[]string{"neteq", "replay", other, "--out="}, 0, "nothing was played"},
		{[]string{"neteq", "compare", tinyTrace}, exitUsage, "--reference"},
		{[]string{"neteq", "compare", tinyTrace, "--reference", bad}, exitUsage, "bad.csv"},
	} {
		code, out, err := command(tc.args...)
		if code != tc.code || !strings.Contains(out+err, tc.want) {
			t.Errorf("%v: code %d, want %d; %q lacks %q", tc.args, code, tc.code, out+err, tc.want)
		}
	}
}

// A build compared with its own figures is within chance everywhere.
func TestNeteqCompare(t *testing.T) {
	dir := t.TempDir()
	if code, _, errText := command("neteq", "replay", tinyTrace, "-o", dir, "--phase=0,2.5,5,7.5"); code != 0 {
		t.Fatal(errText)
	}
	reference := filepath.Join(dir, "summary.json")
	code, out, errText := command("neteq", "compare", tinyTrace, "--reference", reference, "--json")
	var c replay.Comparison
	if code != 0 || json.Unmarshal([]byte(out), &c) != nil || len(c.Rows) != 1 {
		t.Fatalf("%d %s %s", code, out, errText)
	}
	if r := c.Rows[0]; r.Phases != 4 || r.Delay.Verdict != replay.Chance || r.Concealed.Verdict != replay.Chance || r.Delay.Ours == 0 || c.Policy != "adaptive" {
		t.Errorf("%+v", r)
	}
	if code, out, _ = command("neteq", "compare", tinyTrace, "--reference", reference); code != 0 || !strings.Contains(out, "Parley NetEq") || !strings.Contains(out, "MISSED  mean delay") {
		t.Errorf("%d %s", code, out)
	}
	if code, _, errText = command("neteq", "compare", tinyTrace, "--reference", reference, "--strict"); code != exitFailed || !strings.Contains(errText, "an aim is missed") {
		t.Errorf("--strict: %d %s", code, errText)
	}
	scores := filepath.Join(dir, "scores.json")
	if err := os.WriteFile(scores, []byte(`{"trace":"tiny","pesq_wb_mean":4}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errText = command("neteq", "compare", tinyTrace, "--reference", reference, "--scores", scores); code != 0 {
		t.Errorf("with scores: %d %s", code, errText)
	}
	stranger := filepath.Join(dir, "stranger.csv")
	trace, err := os.ReadFile(tinyTrace)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stranger, trace, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errText = command("neteq", "compare", stranger, "--reference", reference); code != exitFailed || !strings.Contains(out+errText, "none of the traces") {
		t.Errorf("unknown trace: %d %s%s", code, out, errText)
	}
}

// Whatever the static payload types say, formats that make sound have a decoder.
func TestReplayDecoders(t *testing.T) {
	for _, name := range []string{"opus", "OPUS", "PCMU", "PCMA", "G722"} {
		for channels := 1; channels <= 2; channels++ {
			d, err := replayDecoder(neteq.Format{Name: name, Channels: channels}, channels)
			if err != nil || d == nil {
				t.Errorf("%s, %d channels: %v", name, channels, err)
			}
		}
	}
	if _, err := replayDecoder(neteq.Format{Name: "mp3"}, 1); err == nil {
		t.Error("a decoder for mp3")
	}
}

// The traces that come with the reference, when they are there: our figures are comparable with it.
func TestNeteqCompareWithTheReference(t *testing.T) {
	dir := os.Getenv("PARLEY_TRACES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "testdata", "traces")
	}
	reference := filepath.Join(dir, "libwebrtc_reference.json")
	if _, err := os.Stat(reference); err != nil {
		t.Skip("no reference traces: set PARLEY_TRACES to their directory")
	}
	code, out, errText := command("neteq", "compare", "--phase=0", "--json", "--reference", reference, filepath.Join(dir, "clean.csv.gz"), filepath.Join(dir, "ge10.csv.gz"))
	var c replay.Comparison
	if code != 0 || json.Unmarshal([]byte(out), &c) != nil || len(c.Rows) != 2 {
		t.Fatalf("%d %s %s", code, out, errText)
	}
	if clean := c.Rows[0]; clean.Trace != "clean" || clean.Concealed.Ours != 0 || clean.Stutter.Ours != 0 || clean.Delay.Reference != 30.5 {
		t.Errorf("%+v", clean)
	}
	if ge10 := c.Rows[1]; ge10.Concealed.Ours == 0 || ge10.Concealed.Spread != [2]float64{0.0778, 0.07951} {
		t.Errorf("%+v", ge10)
	}
}
