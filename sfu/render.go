package sfu

import (
	"fmt"
	"strconv"
	"strings"
)

// pionMid is the only media section that pion ever hears of.
const pionMid = "0"

const (
	opusFmtpPion = "minptime=10;useinbandfec=1" // what pion is told; the client is told more
)

// pionDescription writes the small session description that pion gets instead of the client's: one audio section,
// always sendrecv (who really sends is our business, and pion would stop a transceiver for good on inactive), no
// SSRC (streams are taken as they come), and only candidates that may be checked. credentials are passed because a
// WHIP restart brings new ones without a description.
func (r *remote) pionDescription(ufrag, pwd, setup string, candidates []candidate) string {
	var b strings.Builder
	b.Grow(1024)
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=- 1 1 IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	line("a=group:BUNDLE ", pionMid)
	if r.lite {
		line("a=ice-lite")
	}
	line("m=audio 9 UDP/TLS/RTP/SAVPF ", strings.Join(r.payloadTypes(), " "))
	line("c=IN IP4 0.0.0.0")
	line("a=mid:", pionMid)
	line("a=ice-ufrag:", ufrag)
	line("a=ice-pwd:", pwd)
	line("a=ice-options:trickle")
	line("a=fingerprint:", r.hash, " ", r.print)
	line("a=setup:", setup)
	line("a=rtcp-mux")
	line("a=sendrecv")
	if r.opus >= 0 {
		opus := strconv.Itoa(r.opus)
		line("a=rtpmap:", opus, " opus/48000/2")
		line("a=fmtp:", opus, " ", opusFmtpPion)
	}
	r.renderFeedback(line)
	if r.red >= 0 {
		line("a=rtpmap:", strconv.Itoa(r.red), " red/48000/2")
		if r.redFmtp != "" {
			line("a=fmtp:", strconv.Itoa(r.red), " ", r.redFmtp)
		}
	}
	for _, f := range r.others {
		line("a=rtpmap:", f.rtpmap())
	}
	if r.useTWCC() {
		line("a=extmap:", strconv.Itoa(int(r.transport)), " ", extTWCC)
	}
	for _, c := range candidates {
		line("a=", c.String())
	}
	return b.String()
}

func (r *remote) useTWCC() bool { return r.twcc && r.transport != 0 }

// renderFeedback writes what RTCP feedback we agree on.
func (r *remote) renderFeedback(line func(...string)) {
	pt := strconv.Itoa(r.primary())
	if r.useTWCC() {
		line("a=rtcp-fb:", pt, " transport-cc")
	}
	if r.nack {
		line("a=rtcp-fb:", pt, " nack")
	}
}

// payloadTypes lists what we agree on, in our order: RED first, so that the client sends it, then Opus; the others as the
// client likes them.
func (r *remote) payloadTypes() []string {
	var pts []string
	for _, pt := range []int{r.red, r.opus} {
		if pt >= 0 {
			pts = append(pts, strconv.Itoa(pt))
		}
	}
	for _, f := range r.others {
		pts = append(pts, strconv.Itoa(f.pt))
	}
	return pts
}

// localTransport is our side of the transport, as pion has it.
type localTransport struct {
	ufrag, pwd  string
	fingerprint string // "sha-256 AB:CD…"
	setup       string
	candidates  []string // whole attributes without "a="
}

// transportOf reads our transport out of a description that pion wrote.
func transportOf(text string) (localTransport, error) {
	var t localTransport
	d, err := splitSDP(text)
	if err != nil || len(d.sections) == 0 {
		return t, fmt.Errorf("read our own description: %w", err)
	}
	s := &d.sections[0]
	for _, attrs := range [][]string{s.attrs, d.attrs} {
		for key, to := range map[string]*string{
			"ice-ufrag": &t.ufrag, "ice-pwd": &t.pwd, "fingerprint": &t.fingerprint, "setup": &t.setup,
		} {
			if v, ok := findAttr(attrs, key); ok && *to == "" {
				*to = v
			}
		}
	}
	for _, a := range s.attrs {
		if strings.HasPrefix(a, "candidate:") && strings.Fields(a)[1] == "1" {
			t.candidates = append(t.candidates, a)
		}
	}
	return t, nil
}

// localMedia is what we say about our audio.
type localMedia struct {
	sessionID  uint64
	version    uint64
	direction  direction // seen from us
	bitrateBps int       // what we ask the client to send
	stereoIn   bool      // and in stereo
	stereoOut  bool      // what we send is
	music      bool      // as it is, quiet passages included
	packetMs   int       // in packets of this length; 0: its own choice
	ssrc       uint32
	cname      string
}

// render writes the description for the client: the answer to r, or an offer with the same sections. Everything but
// our audio section is turned down (port 0) and left out of the bundle.
func (r *remote) render(t localTransport, m localMedia) string {
	var b strings.Builder
	b.Grow(2048)
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=- ", strconv.FormatUint(m.sessionID, 10), " ", strconv.FormatUint(m.version, 10), " IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	if r.bundled {
		line("a=group:BUNDLE ", r.sections[r.audio].mid)
	} else if r.bundle != nil {
		line("a=group:BUNDLE")
	}
	if r.extMixed {
		line("a=extmap-allow-mixed")
	}
	line("a=msid-semantic: WMS *")
	for i := range r.sections {
		s := &r.sections[i]
		if i != r.audio {
			line("m=", s.media, " 0 ", s.proto, " ", strings.Join(s.formats, " "))
			line("c=IN IP4 0.0.0.0")
			if s.mid != "" {
				line("a=mid:", s.mid)
			}
			line("a=inactive")
			continue
		}
		r.renderAudio(line, s, t, m)
	}
	return b.String()
}

func (r *remote) renderAudio(line func(...string), s *section, t localTransport, m localMedia) {
	line("m=audio 9 ", s.proto, " ", strings.Join(r.payloadTypes(), " "))
	line("c=IN IP4 0.0.0.0")
	line("a=rtcp:9 IN IP4 0.0.0.0")
	if s.mid != "" {
		line("a=mid:", s.mid)
	}
	line("a=ice-ufrag:", t.ufrag)
	line("a=ice-pwd:", t.pwd)
	if r.trickle {
		line("a=ice-options:trickle")
	}
	line("a=fingerprint:", t.fingerprint)
	line("a=setup:", t.setup)
	line("a=", m.direction.String())
	line("a=rtcp-mux")
	if r.rtcpRSize {
		line("a=rtcp-rsize")
	}
	opus := strconv.Itoa(r.opus)
	if r.red >= 0 {
		red := strconv.Itoa(r.red)
		line("a=rtpmap:", red, " red/48000/2")
		if r.redFmtp != "" {
			line("a=fmtp:", red, " ", r.redFmtp)
		} else {
			line("a=fmtp:", red, " ", opus, "/", opus)
		}
	}
	if r.opus >= 0 {
		line("a=rtpmap:", opus, " opus/48000/2")
		// Redundancy is voice's alone: an encoder that is told of losses would give up what makes music.
		line("a=fmtp:", opus, " minptime=10;useinbandfec=", flag(!m.music), ";usedtx=", flag(!m.music),
			";stereo=", flag(m.stereoIn), ";sprop-stereo=", flag(m.stereoOut), ";maxaveragebitrate=", strconv.Itoa(m.bitrateBps))
	}
	r.renderFeedback(line)
	for _, f := range r.others {
		line("a=rtpmap:", f.rtpmap())
		if f.name == "telephone-event" {
			line("a=fmtp:", strconv.Itoa(f.pt), " 0-15")
		}
	}
	if m.packetMs == 10 {
		line("a=ptime:10")
	}
	if r.level != 0 {
		line("a=extmap:", strconv.Itoa(int(r.level)), " ", extAudioLevel)
	}
	if r.mid != 0 {
		line("a=extmap:", strconv.Itoa(int(r.mid)), " ", extMID)
	}
	if r.useTWCC() {
		line("a=extmap:", strconv.Itoa(int(r.transport)), " ", extTWCC)
	}
	if m.direction.send {
		line("a=msid:parley mix")
		line("a=ssrc:", strconv.FormatUint(uint64(m.ssrc), 10), " cname:", m.cname)
		line("a=ssrc:", strconv.FormatUint(uint64(m.ssrc), 10), " msid:parley mix")
	}
	for _, c := range t.candidates {
		line("a=", c)
	}
	line("a=end-of-candidates")
}

// flag is a parameter that is on or off.
func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// fragment writes the SDP fragment that answers an ICE restart over WHIP (RFC 8840, section 9; RFC 9725, section 4.3.3).
func (r *remote) fragment(t localTransport) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	s := &r.sections[r.audio]
	line("a=ice-options:trickle")
	if r.bundled {
		line("a=group:BUNDLE ", s.mid)
	}
	line("m=audio 9 ", s.proto, " ", strings.Join(r.payloadTypes(), " "))
	if s.mid != "" {
		line("a=mid:", s.mid)
	}
	line("a=ice-ufrag:", t.ufrag)
	line("a=ice-pwd:", t.pwd)
	for _, c := range t.candidates {
		line("a=", c)
	}
	line("a=end-of-candidates")
	return b.String()
}
