package sfu

import (
	"errors"
	"strings"
	"testing"

	"parley/mixer"
)

// browserOffer is an offer with the parts that browsers send and ours to turn down: video in front, a data channel
// behind, RED, several audio codecs.
func browserOffer(edit ...string) string {
	s := strings.ReplaceAll(`v=0
o=- 46117317 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host generation 0
a=ice-ufrag:vide
a=ice-pwd:videovideovideovideovide
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Fb3T
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=ice-options:trickle
a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33
a=fingerprint:sha-256 ff:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:1
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=ssrc:1 cname:x
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:2
a=sctp-port:5000
`, "\n", "\r\n")
	for i := 0; i+1 < len(edit); i += 2 {
		if !strings.Contains(s, edit[i]) {
			panic("no such text: " + edit[i])
		}
		s = strings.Replace(s, edit[i], edit[i+1], 1)
	}
	return s
}

func TestParseRemote(t *testing.T) {
	r, err := parseRemote(browserOffer(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if r.audio != 1 || !r.bundled || r.opus != 111 || r.red != 63 || r.redFmtp != "111/111" || r.sendsStereo || !r.twcc {
		t.Errorf("audio %d bundled %v opus %d red %d %q stereo %v twcc %v", r.audio, r.bundled, r.opus, r.red, r.redFmtp, r.sendsStereo, r.twcc)
	}
	if r.ufrag != "Fb3T" || r.pwd != "abcdefghijklmnopqrstuvwx" || r.setup != "actpass" || !r.trickle {
		t.Errorf("transport of another section: %q %q %q", r.ufrag, r.pwd, r.setup)
	}
	if r.hash != "sha-256" || !strings.HasPrefix(r.print, "FF:11") {
		t.Errorf("fingerprint %s %s", r.hash, r.print)
	}
	if r.level != 1 || r.transport != 3 || r.mid != 4 {
		t.Errorf("extensions %d %d %d", r.level, r.transport, r.mid)
	}
	if r.lines != 1 || len(r.candidates) != 1 || r.candidates[0].addr.String() != "192.168.1.7:50000" {
		t.Errorf("candidates of the bundle: %v", r.candidates)
	}
	if r.direction != (direction{true, true}) {
		t.Errorf("direction %v", r.direction)
	}
}

// What clients are told of a room's sound, and whether it is taken from them in stereo.
func TestAnswersByRoom(t *testing.T) {
	music := mixer.RoomConfig{Channels: 2, Music: true, FrameMs: 10, Encoder: &mixer.EncoderConfig{BitrateBps: 128000}}
	stereo := browserOffer("a=fmtp:111 minptime=10", "a=fmtp:111 stereo=1;sprop-stereo=1;minptime=10")
	for _, c := range []struct {
		name     string
		cfg      mixer.RoomConfig
		offer    string
		fmtp     string
		ptime    bool
		channels int
	}{
		{"voice", mixer.RoomConfig{FrameMs: 20}, browserOffer(), "useinbandfec=1;usedtx=1;stereo=0;sprop-stereo=0;maxaveragebitrate=32000", false, 1},
		{"voice, stereo offered", mixer.RoomConfig{}, stereo, "useinbandfec=1;usedtx=1;stereo=0;sprop-stereo=0;maxaveragebitrate=32000", false, 1},
		{"voices with directions", mixer.RoomConfig{Channels: 2}, browserOffer(), "useinbandfec=1;usedtx=1;stereo=0;sprop-stereo=1;maxaveragebitrate=32000", false, 1},
		{"a stereo source among them", mixer.RoomConfig{Channels: 2}, stereo, "useinbandfec=1;usedtx=1;stereo=1;sprop-stereo=1;maxaveragebitrate=32000", false, 2},
		{"music", music, stereo, "useinbandfec=0;usedtx=0;stereo=1;sprop-stereo=1;maxaveragebitrate=128000", true, 2},
		{"music, mono", music, browserOffer(), "useinbandfec=0;usedtx=0;stereo=0;sprop-stereo=1;maxaveragebitrate=128000", true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newTestNode(t, func(cfg *Config, _ *timing) { cfg.Room = func(string) mixer.RoomConfig { return c.cfg } })
			joined, err := n.Join(t.Context(), JoinRequest{Room: "r", Participant: "a", Kind: KindWHIP, Publish: true, Subscribe: true})
			if err != nil {
				t.Fatal(err)
			}
			if joined.Stereo != (c.cfg.Channels == 2) || joined.Music != c.cfg.Music {
				t.Errorf("joined: %+v", joined)
			}
			answer, err := n.Offer(t.Context(), "a", c.offer)
			if err != nil {
				t.Fatal(err)
			}
			if want := "a=fmtp:111 minptime=10;" + c.fmtp + "\r\n"; !strings.Contains(answer, want) {
				t.Errorf("lacks %q in\n%s", want, answer)
			}
			if got := strings.Contains(answer, "a=ptime:10\r\n"); got != c.ptime {
				t.Errorf("asks for packets of 10 ms: %v", got)
			}
			p, err := n.find("a")
			if err != nil {
				t.Fatal(err)
			}
			if got := p.peer.sourceConfig().Channels; got != c.channels {
				t.Errorf("%d channels are taken, want %d", got, c.channels)
			}
		})
	}
}

func TestAnswerText(t *testing.T) {
	r, err := parseRemote(browserOffer(), -1)
	if err != nil {
		t.Fatal(err)
	}
	text := r.render(
		localTransport{ufrag: "uuuu", pwd: "pppp", fingerprint: "sha-256 AA", setup: "active", candidates: []string{"candidate:1 1 udp 1 192.0.2.1 9 typ host"}},
		localMedia{sessionID: 5, version: 1, direction: direction{send: true, recv: true}, bitrateBps: 32000, ssrc: 77, cname: "parley"})
	want := []string{
		"a=group:BUNDLE 1",
		"m=video 0 UDP/TLS/RTP/SAVPF 96",
		"m=audio 9 UDP/TLS/RTP/SAVPF 63 111 9 0 8 13 110",
		"a=fmtp:63 111/111",
		"a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=0;sprop-stereo=0;maxaveragebitrate=32000",
		"a=rtcp-fb:111 transport-cc",
		"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
		"a=setup:active", "a=sendrecv", "a=rtcp-mux", "a=rtcp-rsize", "a=extmap-allow-mixed",
		"a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=end-of-candidates",
		"m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
		"a=ssrc:77 cname:parley",
	}
	for _, w := range want {
		if !strings.Contains(text, w+"\r\n") {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if i, j, k := strings.Index(text, "m=video"), strings.Index(text, "m=audio"), strings.Index(text, "m=application"); !(i < j && j < k) {
		t.Error("sections are not in the order of the offer")
	}
	for _, w := range []string{"a=rtpmap:9 G722/8000", "a=rtpmap:0 PCMU/8000", "a=rtpmap:13 CN/8000", "a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-15"} {
		if !strings.Contains(text, w+"\r\n") {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	// A client that may only listen, and has asked for nothing, is told so.
	r, err = parseRemote(browserOffer("a=extmap-allow-mixed\r\n", "", "a=rtpmap:63 red/48000/2\r\n", ""), -1)
	if err != nil {
		t.Fatal(err)
	}
	text = r.render(localTransport{}, localMedia{direction: direction{send: true}})
	if !strings.Contains(text, "a=sendonly\r\n") || !strings.Contains(text, "m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8 13 110\r\n") || strings.Contains(text, "mixed") {
		t.Error(text)
	}
}

func TestSDPLimits(t *testing.T) {
	repeat := func(s string, n int) string { return strings.Repeat(s, n) }
	media := "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
	cases := []struct {
		name string
		sdp  string
		want error
	}{
		{"empty", "", ErrBadSDP},
		{"not SDP", "{}", ErrBadSDP},
		{"no version", "o=- 1 1 IN IP4 0.0.0.0\r\n", ErrBadSDP},
		{"64 KiB and more", browserOffer() + repeat("a=x\r\n", 14000), ErrSDPTooLarge},
		{"one line of 100,000 characters", browserOffer() + "a=" + repeat("x", 100000), ErrSDPTooLarge},
		{"1,001 lines", browserOffer() + repeat("a=x\r\n", 1001), ErrTooManyLines},
		{"17 sections", browserOffer() + repeat(media, 14), ErrTooManyMedia},
		{"2,000 sections", "v=0\r\n" + repeat(media, 900), ErrTooManyMedia},
		{"4 rids", browserOffer() + repeat("a=rid:1 send\r\n", 4), ErrTooManyRIDs},
		{"65 payload types", browserOffer("111 63 9 0 8 13 110", strings.TrimSpace(repeat("111 ", 65))), ErrTooManyCodecs},
		{"NUL", browserOffer("s=-", "s=\x00"), ErrBadSDP},
		{"invalid UTF-8", browserOffer("s=-", "s=\xff\xfe"), ErrBadSDP},
		{"duplicate mid", browserOffer("a=mid:2", "a=mid:1"), ErrBadSDP},
		{"line break in a mid", browserOffer("a=mid:1", "a=mid:1 2"), ErrBadSDP},
		{"no audio", browserOffer("m=audio 9", "m=audio 0"), ErrNoAudio},
		{"no codec of ours", browserOffer("111 63 9 0 8 13 110", "111 63 13 110", "opus/48000/2", "speex/16000"), ErrNoCommonCodec},
		{"Opus of eight channels", browserOffer("111 63 9 0 8 13 110", "111 63 13 110", "opus/48000/2", "opus/48000/8"), ErrNoCommonCodec},
		{"payload type 300", browserOffer("111 63 9", "300 63 9"), ErrBadSDP},
		{"no ICE", browserOffer("a=ice-ufrag:Fb3T", "a=x:Fb3T", "a=ice-ufrag:vide", "a=x:y"), ErrBadSDP},
		{"short password", browserOffer("abcdefghijklmnopqrstuvwx", "short"), ErrBadSDP},
		{"only SHA-1", browserOffer("a=fingerprint:sha-256 ff", "a=fingerprint:sha-1 ff", "a=fingerprint:sha-256 00", "a=x:"), ErrBadSDP},
		{"33 candidates", browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+repeat("a=candidate:1 1 udp 1 192.168.1.8 5 typ host\r\n", 32)), ErrTooManyCandidates},
		{"900 candidates", browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+repeat("a=candidate:1 1 udp 1 1.1.1.1 5 typ host\r\n", 900)), ErrTooManyCandidates},
		{"bad setup", browserOffer("a=setup:actpass\r\na=mid:1", "a=setup:holdconn\r\na=mid:1"), ErrBadSDP},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parseRemote(c.sdp, -1); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for _, err := range []error{ErrSDPTooLarge, ErrTooManyLines, ErrTooManyMedia, ErrTooManyCodecs, ErrTooManyRIDs} {
		if !errors.Is(err, ErrBadSDP) {
			t.Errorf("%v is not ErrBadSDP", err)
		}
	}
}

// TestNoInjection holds that nothing of the client's text gets into ours unchecked.
func TestNoInjection(t *testing.T) {
	for _, edit := range [][2]string{
		{"a=rtpmap:111 opus", "a=fmtp:63 111/111 a=evil\r\na=rtpmap:111 opus"},
		{"candidate:1 1 udp", "candidate:<evil> 1 udp"},
		{"192.168.1.7", "evil.example"},
		{"a=fmtp:63 111/111", "a=fmtp:63 evil"},
	} {
		r, err := parseRemote(browserOffer(edit[0], edit[1]), -1)
		if err != nil {
			continue
		}
		for _, text := range []string{
			r.render(localTransport{}, localMedia{}),
			r.pionDescription(r.ufrag, r.pwd, r.setup, r.candidates),
			r.fragment(localTransport{}),
		} {
			if strings.Contains(text, "evil") {
				t.Errorf("%q got through:\n%s", edit[1], text)
			}
		}
	}
}

func TestParseCandidate(t *testing.T) {
	cases := []struct {
		in   string
		keep bool
		out  string // "" error
	}{
		{"candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 10.0.0.1 rport 5 generation 0 ufrag x", true,
			"candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 0.0.0.0 rport 0"},
		{"a=candidate:1 1 UDP 5 2001:db8::1 9 typ host", true, "candidate:1 1 udp 5 2001:db8::1 9 typ host"},
		{"1 1 udp 5 ::ffff:10.0.0.1 9 typ host", true, "candidate:1 1 udp 5 10.0.0.1 9 typ host"},
		{"candidate:1 1 udp 5 fe80::1%eth0 9 typ host", true, "candidate:1 1 udp 5 fe80::1 9 typ host"},
		{"candidate:1 2 udp 5 10.0.0.1 9 typ host", false, "-"},
		{"candidate:1 1 tcp 5 10.0.0.1 9 typ host tcptype passive", false, "-"},
		{"candidate:1 1 udp 5 8c1e0cbc-5d0e-4f6a-8f6d-2a3f0d3a1b7c.local 9 typ host", false, "-"},
		{"candidate:1 1 udp 5 localhost 9 typ host", false, "-"},
		{"candidate:1 1 udp 5 10.0.0.1 0 typ host", false, "-"},
		{"candidate:1 1 udp 5 10.0.0.1 70000 typ host", false, ""},
		{"candidate:1 1 udp 99999999999 10.0.0.1 9 typ host", false, ""},
		{"candidate:1 1 udp 5 10.0.0.1 9 typ magic", false, ""},
		{"candidate:1 x udp 5 10.0.0.1 9 typ host", false, ""},
		{"candidate:1 1 udp", false, ""},
		{"hello", false, ""},
	}
	for _, c := range cases {
		got, keep, err := parseCandidate(c.in)
		switch {
		case (err != nil) != (c.out == ""):
			t.Errorf("%q: %v", c.in, err)
		case err != nil && !errors.Is(err, ErrBadCandidate):
			t.Errorf("%q: %v is not ErrBadCandidate", c.in, err)
		case keep != c.keep:
			t.Errorf("%q: kept %v", c.in, keep)
		case keep && got.String() != c.out:
			t.Errorf("%q: %q", c.in, got)
		}
	}
}

func FuzzParseRemote(f *testing.F) {
	f.Add(browserOffer())
	f.Add(browserOffer("a=mid:1\r\n", "", "a=group:BUNDLE 0 1 2\r\n", ""))
	f.Add("v=0\r\nm=audio 9 RTP/SAVPF 0\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRemote(s, -1)
		if err != nil {
			if r != nil {
				t.Fatal("both a result and an error")
			}
			return
		}
		text := r.render(localTransport{ufrag: "u", pwd: "p", fingerprint: "sha-256 00", setup: "active"}, localMedia{direction: direction{true, true}})
		// What we write must be readable, with as many sections, and as many lines as fields allow.
		d, err := splitSDP(text)
		if err != nil {
			t.Fatalf("our own answer: %v\n%s", err, text)
		}
		if len(d.sections) != len(r.sections) {
			t.Fatalf("%d sections for %d", len(d.sections), len(r.sections))
		}
		if _, err := splitSDP(r.pionDescription(r.ufrag, r.pwd, r.setup, r.candidates)); err != nil {
			t.Fatalf("what pion gets: %v", err)
		}
	})
}

func FuzzParseCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 5 10.0.0.1 9 typ host")
	f.Fuzz(func(t *testing.T, s string) {
		c, keep, err := parseCandidate(s)
		if err != nil || !keep {
			return
		}
		again, keep, err := parseCandidate(c.String())
		if err != nil || !keep || again != c {
			t.Fatalf("%q became %q: %v", c, again, err)
		}
	})
}

// BenchmarkParse is the work before pion for a browser's offer and for a bomb.
func BenchmarkParse(b *testing.B) {
	bomb := browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+strings.Repeat("a=candidate:1 1 udp 1 1.1.1.1 5 typ host\r\n", 900))
	huge := browserOffer("a=mid:1\r\n", "a=mid:1\r\n"+strings.Repeat("a=candidate:1 1 udp 1 1.1.1.1 5 typ host\r\n", 5000))
	for _, c := range []struct{ name, sdp string }{{"browser", browserOffer()}, {"900 candidates", bomb}, {"5000 candidates", huge}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = parseRemote(c.sdp, -1)
			}
		})
	}
}
