package replay

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"parley/neteq"
)

// document is what a checker needs of a page.
type document struct {
	text  string // without tags
	urls  []string
	paths []string
	data  string
	tags  map[string]int
}

// parse goes through a page and fails when elements are not nested.
func parse(t *testing.T, page []byte) document {
	t.Helper()
	d := document{tags: map[string]int{}}
	void := map[string]bool{"meta": true, "link": true, "br": true, "img": true, "input": true}
	var open []string
	inData := false
	for z := html.NewTokenizer(bytes.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if z.Err() != io.EOF {
				t.Fatal(z.Err())
			}
			break
		}
		token := z.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			d.tags[token.Data]++
			for _, a := range token.Attr {
				switch a.Key {
				case "src", "href", "action", "data", "poster", "srcset":
					d.urls = append(d.urls, a.Val)
				case "d":
					d.paths = append(d.paths, a.Val)
				case "style":
					if strings.Contains(a.Val, "url") {
						t.Errorf("style %q", a.Val)
					}
				case "id":
					inData = a.Val == "data"
				}
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("inline handler %s", a.Key)
				}
			}
			if kind == html.StartTagToken && !void[token.Data] {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> while open are %v", token.Data, open)
			}
			open = open[:len(open)-1]
			inData = false
		case html.TextToken:
			d.text += token.Data
			if inData {
				d.data += token.Data
			}
		}
	}
	if len(open) > 0 {
		t.Fatalf("never closed: %v", open)
	}
	return d
}

// isPath reports whether only what may stand in the d attribute of a path does.
func isPath(d string) bool {
	return strings.IndexFunc(d, func(c rune) bool { return !strings.ContainsRune("MLHVhZ0123456789.- ", c) }) < 0
}

func checkPage(t *testing.T, page []byte) document {
	t.Helper()
	d := parse(t, page)
	for _, u := range d.urls {
		if !strings.HasPrefix(u, "data:") && u != "#" {
			t.Errorf("the page needs %q", u)
		}
	}
	for _, outside := range []string{"http:", "https:", "@import", "url(", "fetch(", "ZgotmplZ", "NaN", "Inf", "<no value>"} {
		if bytes.Contains(page, []byte(outside)) {
			t.Errorf("the page has %q", outside)
		}
	}
	for _, p := range d.paths {
		if !isPath(p) {
			t.Errorf("path %.60q", p)
		}
	}
	return d
}

func TestReport(t *testing.T) {
	o := runTiny(t)
	o.Name = `tiny </script><b onclick="x">&amp;`
	var b bytes.Buffer
	if err := o.WriteReport(&b, ReportOptions{Audio: true, PESQ: number(3.21)}); err != nil {
		t.Fatal(err)
	}
	d := checkPage(t, b.Bytes())
	if d.tags["b"] != 0 || !strings.Contains(d.text, o.Name) {
		t.Error("the name is not escaped")
	}
	for _, want := range []string{"The network lost 2 of 60 packets (3.3\u00a0%)", "PESQ", "3.21", "policy adaptive", "PCMU", "59 packets",
		"came twice", "overtaken by a later one", "Concealed samples", "invented because nothing had come in time", "merge"} {
		if !strings.Contains(d.text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	var data struct {
		Width   float64
		Step    int
		Ops     []int
		Names   []string
		Target  []int
		Playout []int
		Packets [][4]float64
		Fates   []string
	}
	if err := json.Unmarshal([]byte(d.data), &data); err != nil {
		t.Fatal(err)
	}
	if n := len(o.Ticks); data.Width != float64(n*10) || len(data.Ops) != n || len(data.Target) != n || len(data.Playout) != n || len(data.Packets) != tinyPackets || len(data.Fates) != len(fateNames) {
		t.Errorf("data: width %g, %d operations, %d packets", data.Width, len(data.Ops), len(data.Packets))
	}
	var picture, sound []byte
	for _, u := range d.urls {
		if s, ok := strings.CutPrefix(u, "data:image/png;base64,"); ok {
			picture, _ = base64.StdEncoding.DecodeString(s)
		}
		if s, ok := strings.CutPrefix(u, "data:audio/wav;base64,"); ok {
			sound, _ = base64.StdEncoding.DecodeString(s)
		}
	}
	if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
		t.Error(err)
	}
	if len(sound) != 44+2*len(o.PCM) {
		t.Errorf("sound of %d bytes", len(sound))
	}
	if d.tags["svg"] < 6 || d.tags["image"] != 1 {
		t.Errorf("pictures: %v", d.tags)
	}
}

// A page without trouble has no legends for it, and none is made of nothing.
func TestReportOfACleanTrace(t *testing.T) {
	o, err := Run(tinyTrace()[:tinyLost], tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := o.WriteReport(&b, ReportOptions{}); err != nil {
		t.Fatal(err)
	}
	d := checkPage(t, b.Bytes())
	for _, not := range []string{"came twice", "overtaken", "too late to be played", "lost, but"} {
		if strings.Contains(d.text, not) {
			t.Errorf("says %q", not)
		}
	}
	if !strings.Contains(d.text, "The network lost none.") || d.tags["audio"] != 0 {
		t.Error("the sentence, or sound nobody asked for")
	}
}

func TestReportLeavesOutLongSound(t *testing.T) {
	o := runTiny(t)
	o.PCM = make([]float32, maxReportAudio/2+1)
	var b bytes.Buffer
	if err := o.WriteReport(&b, ReportOptions{Audio: true}); err != nil {
		t.Fatal(err)
	}
	if d := checkPage(t, b.Bytes()); d.tags["audio"] != 0 || !strings.Contains(d.text, "too long to be put into this page; it is in tiny.wav") {
		t.Error("long sound")
	}
}

// Every statistic and operation of NetEq is explained: whoever adds one adds its line to meanings.go.
func TestEverythingHasAMeaning(t *testing.T) {
	s := reflect.TypeFor[neteq.Stats]()
	known := map[string]bool{}
	for i := range s.NumField() {
		name := s.Field(i).Name
		known[name] = true
		if s.Field(i).IsExported() && name != "Operations" && meanings[name] == "" {
			t.Errorf("neteq.Stats.%s has no line in meanings.go", name)
		}
	}
	for name := range meanings {
		if !known[name] {
			t.Errorf("meanings.go explains %s, which is no statistic", name)
		}
	}
	for op := neteq.Operation(0); op.String() != "unknown"; op++ {
		if text := textOf(op); text.meaning == "" || classLabels[class(op)] == "" {
			t.Errorf("operation %v has no line in meanings.go", op)
		}
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{"FECPacketsUsed": "FEC packets used", "TotalSamplesReceived": "Total samples received",
		"REDPacketsReceived": "RED packets received", "RelativeArrivalDelayMs": "Relative arrival delay ms"} {
		if got := words(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestNiceTop(t *testing.T) {
	for _, tc := range []struct{ v, top, step float64 }{{40, 40, 10}, {60, 60, 20}, {63, 80, 20}, {200, 200, 50}, {210, 250, 50}, {1050, 1500, 500}, {3, 3, 1}} {
		if top, step := niceTop(tc.v); top != tc.top || step != tc.step {
			t.Errorf("%g: %g in steps of %g, want %g, %g", tc.v, top, step, tc.top, tc.step)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		width float64
		last  string
	}{{100, "0.1 s"}, {44000, "40 s"}, {115000, "1:50"}, {3600e3, "60:00"}} {
		marks := times(tc.width)
		if n := len(marks); n < 2 || n > 13 || marks[n-1].Text != tc.last || marks[0] != (label{0, "0 s"}) {
			t.Errorf("%g ms: %v", tc.width, marks)
		}
	}
}

// A tone is a line at its frequency, of its level, as long as it sounds.
func TestSpectrogram(t *testing.T) {
	pcm := make([]float32, sampleRate)
	for i := range pcm[:sampleRate/2] {
		pcm[i] = float32(0.1 * math.Sin(2*math.Pi*3000*float64(i)/sampleRate))
	}
	b, err := spectrogram(pcm)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size.X != 100 || size.Y != spectrumRows {
		t.Fatalf("size %v", size)
	}
	light := func(x, y int) uint32 { r, g, b, _ := img.At(x, y).RGBA(); return r + g + b }
	brightest := 0
	for y := range spectrumRows {
		if light(20, y) > light(20, brightest) {
			brightest = y
		}
	}
	if hz := float64(spectrumRows-1-brightest) * spectrumTopHz / spectrumRows; math.Abs(hz-3000) > 2*spectrumTopHz/spectrumRows {
		t.Errorf("the line is at %g Hz", hz)
	}
	// -20 dBFS is above the top of the scale, silence below its end.
	p := spectrumPalette()
	r, g, bl, _ := p[spectrumGrades-1].RGBA()
	if light(20, brightest) != r+g+bl {
		t.Errorf("a tone of -20 dBFS has brightness %d, want %d", light(20, brightest), r+g+bl)
	}
	if r, g, bl, _ = p[0].RGBA(); light(80, brightest) != r+g+bl {
		t.Error("silence is not black")
	}
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		if brightness(a.RGBA()) >= brightness(b.RGBA()) {
			t.Errorf("colour %d is not lighter than the one before", i)
		}
	}
}

func brightness(r, g, b, _ uint32) float64 { return 0.2*float64(r) + 0.7*float64(g) + 0.1*float64(b) }

func TestEnvelopeHoldsThePeaks(t *testing.T) {
	pcm := make([]float32, 4*tickFrames)
	pcm[700], pcm[900] = 0.5, -0.25
	shape, peak := envelope(pcm, 40)
	if peak != 0.5 || !strings.Contains(shape, " 1") || !strings.Contains(shape, "74.5") {
		t.Errorf("peak %g, shape %s", peak, shape)
	}
	o := outcome([]Packet{opusPacket(1, 0, 0, "aaa")}, 4)
	if w := newWave(o.PCM, 40, ""); w.Peak != "silent" {
		t.Errorf("silence peaks at %s", w.Peak)
	}
}

// What the page calls recovered is what NetEq counts, on real traces.
func TestFatesAgreeWithTheStatistics(t *testing.T) {
	dir := tracesDir(t)
	for _, name := range []string{"ge10", "red20", "mobile_mix", "dtx_loss5"} {
		packets, err := ReadTrace(filepath.Join(dir, name+".csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := Run(packets, Options{Watch: true, NewDecoder: silentDecoder})
		if err != nil {
			t.Fatal(err)
		}
		f, s := count(o.Units()), o.last()
		if want := int(s.FECPacketsUsed + s.REDPacketsUsed); f.recovered != want || want == 0 {
			t.Errorf("%s: %d recovered, NetEq counts %d", name, f.recovered, want)
		}
		if share := o.Summarize().LostShare; math.Abs(share-float64(f.missing)/float64(f.all)) > 1e-12 {
			t.Errorf("%s: %d of %d lost, share %g", name, f.missing, f.all, share)
		}
	}
}

// silence decodes Opus packets of 20 ms to nothing.
type silence struct{}

func silentDecoder(neteq.Format, int) (neteq.Decoder, error) { return silence{}, nil }

func (silence) Decode(_ []byte, pcm []float32) (int, error) {
	clear(pcm[:2*tickFrames])
	return 2 * tickFrames, nil
}
func (silence) DecodeFEC(_ []byte, pcm []float32) (int, error) { clear(pcm); return len(pcm), nil }
func (silence) Conceal(pcm []float32) (int, error)             { clear(pcm); return len(pcm), nil }
func (silence) Reset() error                                   { return nil }

// Twenty minutes of packets make a page of bounded size, in bounded time.
func TestReportOfALongCall(t *testing.T) {
	var packets []Packet
	for i := range 50 * 60 * 20 {
		if i%10 != 3 {
			packets = append(packets, opusPacket(uint16(i), uint32(i)*960, time.Duration(i)*20*time.Millisecond, "x"))
		}
	}
	o := outcome(packets, 100*60*20)
	var b bytes.Buffer
	if err := o.WriteReport(&b, ReportOptions{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.Bytes())
	if b.Len() > 6<<20 {
		t.Errorf("%d bytes", b.Len())
	}
}
