package signaling

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const minimalSDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"

func repeat(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

var audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"

// sdpBombs are the forms of S-01, and the largest that are let through.
var sdpBombs = []struct {
	name, sdp string
	code      Code
	limit     string
	status    int
}{
	{"ordinary", offerSDP, "", "", 0},
	{"line feeds only", strings.ReplaceAll(offerSDP, "\r\n", "\n"), "", "", 0},
	{"64 KiB", pad(minimalSDP, MaxSDPBytes), "", "", 0},
	{"64 KiB and 1", pad(minimalSDP, MaxSDPBytes) + "\n", CodeSDPTooLarge, "MaxSDPBytes", 413},
	{"1 MB of a=x", minimalSDP + strings.Repeat("a=x\r\n", 200000), CodeSDPTooLarge, "MaxSDPBytes", 413},
	{"1,000 lines", minimalSDP + strings.Repeat("a=x\r\n", 996), "", "", 0},
	{"1,001 lines", minimalSDP + strings.Repeat("a=x\r\n", 997), CodeTooManyLines, "MaxSDPLines", 422},
	{"16 m-lines", minimalSDP + strings.Repeat(audio, 16), "", "", 0},
	{"17 m-lines", minimalSDP + strings.Repeat(audio, 17), CodeTooManyMedia, "MaxSDPMedia", 422},
	{"17 mids without m-lines", minimalSDP + repeat(17, func(i int) string { return fmt.Sprintf("a=mid:%d\r\n", i) }), CodeTooManyMedia, "MaxSDPMedia", 422},
	{"32 candidates", minimalSDP + audio + strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 32), "", "", 0},
	{"33 candidates", minimalSDP + audio + strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 33), CodeTooManyCandidates, "MaxSDPCandidates", 422},
	{"33 candidates over m-lines", minimalSDP + repeat(11, func(int) string { return audio + strings.Repeat("a=candidate:1\r\n", 3) }), CodeTooManyCandidates, "MaxSDPCandidates", 422},
	{"64 payload types", minimalSDP + "m=audio 9 UDP/TLS/RTP/SAVPF" + repeat(64, func(i int) string { return fmt.Sprint(" ", i) }), "", "", 0},
	{"65 payload types", minimalSDP + "m=audio 9 UDP/TLS/RTP/SAVPF" + repeat(65, func(i int) string { return fmt.Sprint(" ", i) }), CodeTooManyCodecs, "MaxSDPPayloadTypes", 422},
	{"3 rids on each", minimalSDP + strings.Repeat(audio+"a=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\n", 2), "", "", 0},
	{"4 rids", minimalSDP + audio + strings.Repeat("a=rid:1 send\r\n", 4), CodeTooManyRIDs, "MaxSDPRIDs", 422},
	{"line of 1e5", pad(minimalSDP, 300) + "a=" + strings.Repeat("x", 1e5), CodeSDPTooLarge, "MaxSDPBytes", 413},
	{"line of 4,097", minimalSDP + "a=" + strings.Repeat("x", 4095), CodeBadSDP, "MaxSDPLineBytes", 400},
	{"NUL", minimalSDP + "a=x\x00\r\n", CodeBadSDP, "", 400},
	{"invalid UTF-8", minimalSDP + "s=\xff\xfe\r\n", CodeBadSDP, "", 400},
	{"stray CR", minimalSDP + "a=x\ra=y\r\n", CodeBadSDP, "", 400},
	{"duplicate mid", minimalSDP + audio + "a=mid:0\r\n" + audio + "a=mid:0\r\n", CodeBadSDP, "", 400},
	{"empty", "", CodeBadSDP, "", 400},
	{"JSON", `{"sdp":"v=0"}`, CodeBadSDP, "", 400},
	{"v=1", "v=1\r\n", CodeBadSDP, "", 400},
}

// pad fills an SDP to size with lines within the limits.
func pad(sdp string, size int) string {
	var b strings.Builder
	b.WriteString(sdp)
	for b.Len() < size {
		n := min(size-b.Len(), 2000)
		if n < 4 {
			b.WriteString(strings.Repeat("\n", n))
			break
		}
		b.WriteString("a=" + strings.Repeat("x", n-3) + "\n")
	}
	return b.String()
}

// S-01 at the function and at the door: refused with the name of the limit, before the node hears of it.
func TestSDPBombs(t *testing.T) {
	for _, c := range sdpBombs {
		t.Run(c.name, func(t *testing.T) {
			err := CheckSDP(c.sdp)
			if c.code == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			p := statusOf(err)
			if p.code != c.code || p.status != c.status {
				t.Errorf("%v gives %d %s, want %d %s", err, p.status, p.code, c.status, c.code)
			}
			var limit *LimitError
			if c.limit != "" && (!errors.As(err, &limit) || limit.Limit != c.limit) {
				t.Errorf("got %v, want limit %s", err, c.limit)
			}
			inBubble(t, nil, func(t *testing.T, h *harness) {
				res := h.post("/whip/a", c.sdp)
				if res.StatusCode != c.status || !strings.Contains(text(res), `"`+string(c.code)+`"`) || !strings.Contains(text(res), c.limit) {
					t.Errorf("POST: %d %s", res.StatusCode, text(res))
				}
				if calls := h.rooms.called(""); len(calls) != 0 {
					t.Errorf("the node was asked: %v", calls)
				}
			})
		})
	}
}

// Checking an SDP costs nothing but time, and that once for each byte.
func TestCheckSDPAllocatesNothing(t *testing.T) {
	for _, c := range sdpBombs {
		if c.code != "" {
			continue
		}
		if n := testing.AllocsPerRun(10, func() { _ = CheckSDP(c.sdp) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func BenchmarkCheckSDP(b *testing.B) {
	for _, c := range sdpBombs {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = CheckSDP(c.sdp)
			}
		})
	}
}

func FuzzCheckSDP(f *testing.F) {
	for _, c := range sdpBombs {
		f.Add(c.sdp)
	}
	f.Fuzz(func(t *testing.T, sdp string) {
		err := CheckSDP(sdp)
		sdpICE(sdp)
		if err == nil {
			// What was let through is within the limits, counted another way.
			lines := strings.Split(sdp, "\n")
			count := func(prefix string) (n int) {
				for _, l := range lines {
					if strings.HasPrefix(l, prefix) {
						n++
					}
				}
				return n
			}
			if len(sdp) > MaxSDPBytes || len(lines) > MaxSDPLines+1 || count("m=") > MaxSDPMedia || count("a=candidate:") > MaxSDPCandidates {
				t.Errorf("let through: %d bytes, %d lines", len(sdp), len(lines))
			}
			return
		}
		if p := statusOf(err); p.status < 400 || p.status >= 500 || p.code == CodeInternal {
			t.Errorf("%v: %+v", err, p)
		}
	})
}

func TestParseFragment(t *testing.T) {
	f, err := parseFragment("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=extmap-allow-mixed\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\na=candidate:2 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\na=end-of-candidates\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if f.ufrag != "EsAw" || f.pwd != "P2uYro0UCOQ4zxjKXaWCBui1" || !f.end || len(f.candidates) != 2 {
		t.Fatalf("%+v", f)
	}
	c := f.candidates[0]
	if !strings.HasPrefix(c.Candidate, "candidate:1387637174 1 udp") || *c.SDPMid != "0" || *c.SDPMLineIndex != 0 || *c.UsernameFragment != "EsAw" {
		t.Errorf("%+v", c)
	}
	f, err = parseFragment("a=candidate:1 1 udp 1 192.0.2.1 9 typ host")
	if err != nil || f.candidates[0].SDPMid != nil || f.candidates[0].UsernameFragment != nil || f.end {
		t.Errorf("bare candidate: %+v %v", f, err)
	}
	for name, body := range map[string]string{
		"password alone":  "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
		"short ufrag":     "a=ice-ufrag:abc\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
		"short password":  "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n",
		"odd ufrag":       "a=ice-ufrag:ab cd\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
		"two ufrags":      "a=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
		"NUL":             "a=mid:\x00\r\n",
		"empty mid":       "a=mid:\r\n",
		"no SDP":          "hello\r\n",
		"too many":        strings.Repeat("a=candidate:1\r\n", 33),
		"long candidate":  "a=candidate:" + strings.Repeat("x", 2000) + "\r\n",
		"duplicate mid":   "m=audio 9 RTP/AVP 0\r\na=mid:0\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
		"too many m":      strings.Repeat("m=audio 9 RTP/AVP 0\r\n", 17),
		"too many lines":  strings.Repeat("a=x\r\n", 1001),
		"too large":       strings.Repeat("x", MaxSDPBytes+1),
		"not valid UTF-8": "a=\xff\r\n",
	} {
		if f, err := parseFragment(body); err == nil {
			t.Errorf("%s: %+v", name, f)
		} else if p := statusOf(err); p.status != http.StatusBadRequest && p.status != 422 && p.status != 413 {
			t.Errorf("%s: %v gives %d", name, err, p.status)
		}
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n")
	f.Add("a=candidate:\r\n\r\na=mid:x")
	f.Fuzz(func(t *testing.T, body string) {
		frag, err := parseFragment(body)
		if err != nil {
			return
		}
		if len(frag.candidates) > MaxSDPCandidates || len(frag.ufrag) > 256 || len(frag.pwd) > 256 {
			t.Errorf("%d candidates", len(frag.candidates))
		}
		for _, c := range frag.candidates {
			if strings.ContainsAny(c.Candidate, "\r\n\x00") || c.SDPMLineIndex == nil {
				t.Errorf("%q", c.Candidate)
			}
		}
	})
}
