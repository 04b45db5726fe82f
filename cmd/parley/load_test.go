package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/internal/load"
)

func TestLoadUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"load"}, "url"},
		{[]string{"load", "ftp://x"}, "no http or https URL"},
		{[]string{"load", "http://127.0.0.1:1", "--speakers=11"}, "11 speakers among 10"},
		{[]string{"load", "http://127.0.0.1:1", "--cpus=a"}, "--cpus a"},
		{[]string{"load", "http://127.0.0.1:1", "--listeners=loud"}, "loud"},
		{[]string{"load", "http://127.0.0.1:1", "--via=fax"}, "fax"},
		{[]string{"load", "http://127.0.0.1:1", "--speech=/nonexistent.wav"}, "/nonexistent.wav"},
		{[]string{"load", "http://127.0.0.1:1", "--key=k", "--secret-file=/nonexistent"}, "/nonexistent"},
	} {
		code, out, err := command(tc.args...)
		if code != exitUsage || !strings.Contains(out+err, tc.want) {
			t.Errorf("%v: code %d; %q lacks %q", tc.args, code, out+err, tc.want)
		}
	}
}

// A server that is not there: every join fails, and so does the command, but there is a report.
func TestLoadFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	code, out, errText := command("load", "http://127.0.0.1:1", "-m", "2", "-s", "1", "-d", "1ms", "--warmup=0s", "--join-timeout=2s", "--json", file)
	if code != exitFailed || !strings.Contains(errText, "a check failed") || !strings.Contains(out, "2 failed") || !strings.Contains(out, "FAILED") {
		t.Errorf("code %d\n%s\n%s", code, out, errText)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r load.Report
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Version != load.ReportVersion || r.OK || r.Joins.Failed != 2 {
		t.Errorf("%v: %s", err, data)
	}
}

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{"": nil, "1": {1}, "2-4,7": {2, 3, 4, 7}} {
		if got, err := parseCPUs(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"x", "3-1", "1,", "-1", "0-9999"} {
		if got, err := parseCPUs(list); err == nil {
			t.Errorf("%q: %v", list, got)
		}
	}
}

func TestLoadTokens(t *testing.T) {
	make1 := tokens("key", strings.Repeat("s", 32))
	a, err := make1("room", "load-1")
	if err != nil || strings.Count(a, ".") != 2 {
		t.Errorf("%q, %v", a, err)
	}
	if b, _ := make1("room", "load-2"); a == b {
		t.Error("two participants, one identity")
	}
}

func TestLoadProgress(t *testing.T) {
	s := load.Progress{Phase: "measuring", Elapsed: 12300 * time.Millisecond, Of: time.Minute, Joined: 99, Asked: 100, Failed: 1, PacketsIn: 5000,
		PacketsOut: 150, Faults: 2, Busy: 0.25, ServerBusy: 0.5}
	want := "measuring 12s of 1m0s: 99 of 100 there, 1 failed, 0 lost; 5000 packets/s in, 150 out, 0 missing, 2 faults heard; crowd 25 %, server 0.50 cores"
	var b strings.Builder
	p := progressTo(&b)
	p.update(s)
	p.update(s) // elsewhere than on a terminal not so often
	if b.String() != want+"\n" {
		t.Errorf("%q", b.String())
	}
	b.Reset()
	p.terminal = true
	p.update(s)
	p.end()
	if b.String() != "\r\x1b[K"+want+"\n" {
		t.Errorf("%q", b.String())
	}
}
