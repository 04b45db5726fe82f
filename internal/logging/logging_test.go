package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestFormats(t *testing.T) {
	var out bytes.Buffer
	log, err := New("info", "json", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Named("sfu").Debug("hidden")
	log.Named("sfu").Info("participant joined", zap.String("room", "a"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line["msg"] != "participant joined" || line["room"] != "a" || line["logger"] != "sfu" || line["time"] == nil {
		t.Errorf("line %v", line)
	}

	out.Reset()
	if log, err = New("warn", "console", &out); err != nil {
		t.Fatal(err)
	}
	log.Info("hidden")
	log.Warn("seen")
	if got := out.String(); !strings.Contains(got, "warn  seen") || strings.Contains(got, "hidden") {
		t.Errorf("console wrote %q", got)
	}
}

func TestFloodIsSampled(t *testing.T) {
	var out bytes.Buffer
	log, err := New("info", "json", &out)
	if err != nil {
		t.Fatal(err)
	}
	for range 10000 {
		log.Warn("same")
	}
	// 10,000 lines fall into one or, when the clock turns over, a few sampling periods.
	if lines := strings.Count(out.String(), "\n"); lines < sampleFirst || lines > 2000 {
		t.Errorf("%d of 10000 lines were written", lines)
	}
}

func TestErrors(t *testing.T) {
	if _, err := New("loud", "json", nil); err == nil {
		t.Error("level loud was accepted")
	}
	if _, err := New("info", "xml", nil); err == nil {
		t.Error("format xml was accepted")
	}
}
