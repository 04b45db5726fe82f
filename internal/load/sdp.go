package load

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// payloadType is that of Opus in our offers, redPayloadType that of RED.
const (
	payloadType    = 111
	redPayloadType = 63
	levelID        = 1 // of the audio level extension (RFC 6464)
)

// offer is what a participant proposes.
type offer struct {
	ufrag, pwd  string
	fingerprint string // "sha-256 AB:CD…"
	direction   string // sendrecv or recvonly
	ssrc        uint32
	red         bool // redundancy (RFC 2198) is welcome
}

// String writes the SDP: one audio section, Opus, audio levels, and no candidates; ours are found by the checks we send
// (peer-reflexive, RFC 8445, section 7.3.1.3).
func (o offer) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	types := strconv.Itoa(payloadType)
	if o.red {
		types = fmt.Sprintf("%d %d", redPayloadType, payloadType)
	}
	line("v=0")
	line("o=- %d 1 IN IP4 127.0.0.1", o.ssrc)
	line("s=-")
	line("t=0 0")
	line("a=group:BUNDLE 0")
	line("m=audio 9 UDP/TLS/RTP/SAVPF %s", types)
	line("c=IN IP4 0.0.0.0")
	line("a=mid:0")
	line("a=ice-ufrag:%s", o.ufrag)
	line("a=ice-pwd:%s", o.pwd)
	line("a=fingerprint:%s", o.fingerprint)
	line("a=setup:actpass")
	line("a=%s", o.direction)
	line("a=rtcp-mux")
	line("a=rtpmap:%d opus/48000/2", payloadType)
	line("a=fmtp:%d minptime=10;useinbandfec=1", payloadType)
	if o.red {
		line("a=rtpmap:%d red/48000/2", redPayloadType)
		line("a=fmtp:%d %d/%d", redPayloadType, payloadType, payloadType)
	}
	line("a=extmap:%d urn:ietf:params:rtp-hdrext:ssrc-audio-level", levelID)
	if o.direction != "recvonly" {
		line("a=ssrc:%d cname:load", o.ssrc)
	}
	return b.String()
}

// answer is what the server said about its side.
type answer struct {
	ufrag, pwd string
	hash       string // of the fingerprint, lower case
	print      []byte
	active     bool // the server opens DTLS
	candidates []netip.AddrPort
	red        bool
	levels     bool
}

var errAnswer = errors.New("unusable SDP answer")

// parseAnswer reads the answer. Errors wrap errAnswer.
func parseAnswer(sdp string) (answer, error) {
	var a answer
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "m=audio 0 ") {
			return a, fmt.Errorf("%w: audio is turned down", errAnswer)
		}
		attr, ok := strings.CutPrefix(line, "a=")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(attr, ":")
		switch key {
		case "ice-ufrag":
			a.ufrag = value
		case "ice-pwd":
			a.pwd = value
		case "setup":
			a.active = value == "active"
		case "fingerprint":
			hash, print, _ := strings.Cut(value, " ")
			raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(print), ":", ""))
			if err != nil {
				return a, fmt.Errorf("%w: fingerprint", errAnswer)
			}
			a.hash, a.print = strings.ToLower(hash), raw
		case "candidate":
			if c, ok := parseCandidate(value); ok {
				a.candidates = append(a.candidates, c)
			}
		case "rtpmap":
			a.red = a.red || strings.HasPrefix(value, strconv.Itoa(redPayloadType)+" red/")
		case "extmap":
			a.levels = a.levels || strings.HasPrefix(value, strconv.Itoa(levelID)) && strings.HasSuffix(value, "ssrc-audio-level")
		}
	}
	switch {
	case a.ufrag == "" || a.pwd == "" || a.print == nil:
		return a, fmt.Errorf("%w: ICE credentials or fingerprint are missing", errAnswer)
	case len(a.candidates) == 0:
		return a, fmt.Errorf("%w: no candidate for UDP", errAnswer)
	}
	return a, nil
}

// parseCandidate reads a candidate attribute (RFC 8839, section 5.1); false for what is not RTP over UDP to an address.
func parseCandidate(value string) (netip.AddrPort, bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddr(f[4])
	port, perr := strconv.ParseUint(f[5], 10, 16)
	if err != nil || perr != nil || port == 0 || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// pick chooses the candidate to use: the address that signaling was reached at where it is among them, else loopback
// where signaling was local, else the first that is not loopback.
func (a answer) pick(signaling netip.Addr) netip.AddrPort {
	for _, c := range a.candidates {
		if c.Addr() == signaling {
			return c
		}
	}
	for _, c := range a.candidates {
		if c.Addr().IsLoopback() == signaling.IsLoopback() && c.Addr().Is4() == signaling.Is4() {
			return c
		}
	}
	return a.candidates[0]
}
