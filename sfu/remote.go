package sfu

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Header extensions that we understand.
const (
	extAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level" // RFC 6464
	extMID        = "urn:ietf:params:rtp-hdrext:sdes:mid"         // RFC 9143
	extTWCC       = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// direction is a=sendrecv and so on, seen from whoever wrote it.
type direction struct{ send, recv bool }

func (d direction) String() string {
	switch d {
	case direction{true, true}:
		return "sendrecv"
	case direction{true, false}:
		return "sendonly"
	case direction{false, true}:
		return "recvonly"
	}
	return "inactive"
}

// remote is what we understood of a client's session description: the audio section we talk about, the transport it
// is on, and the rest by name, to be turned down.
type remote struct {
	sections []section
	audio    int // index of our section
	bundled  bool
	bundle   []string

	ufrag, pwd  string
	lite        bool
	hash, print string // fingerprint
	setup       string // actpass, active, passive
	rtcpRSize   bool
	extMixed    bool
	trickle     bool

	opus, red int // payload types; -1 without
	others    []format
	redFmtp   string
	// The client will probably send stereo (RFC 7587, section 6.1). Whether it asks for it does not matter: what it is sent it can
	// decode as mono.
	sendsStereo bool
	twcc        bool // rtcp-fb transport-cc on Opus
	nack        bool // rtcp-fb nack on the primary payload type: packets can be asked for again, both ways
	level       uint8
	mid         uint8 // ids of header extensions, 0 without
	transport   uint8
	direction   direction
	candidates  []candidate // well-formed, UDP, literal addresses; not yet filtered
	lines       int         // candidate lines in the section, for the limit
}

// parseRemote understands an offer or answer. The audio section is the first live one, or the one with index prefer
// (-1: none). Errors wrap ErrBadSDP, ErrNoAudio, ErrNoCommonCodec or ErrTooManyCandidates.
func parseRemote(text string, prefer int) (*remote, error) {
	d, err := splitSDP(text)
	if err != nil {
		return nil, err
	}
	r := &remote{sections: d.sections, bundle: d.bundle(), red: -1}
	if r.audio = d.audioSection(r.bundle, prefer); r.audio < 0 {
		return nil, ErrNoAudio
	}
	s := &r.sections[r.audio]
	r.bundled = s.mid != "" && slices.Contains(r.bundle, s.mid)
	if err := r.parseTransport(d, s); err != nil {
		return nil, err
	}
	if err := r.parseFormats(s); err != nil {
		return nil, err
	}
	r.parseExtensions(s)
	r.direction = parseDirection(d, s)
	_, r.rtcpRSize = s.attr("rtcp-rsize")
	_, sessionMixed := findAttr(d.attrs, "extmap-allow-mixed")
	_, mediaMixed := s.attr("extmap-allow-mixed")
	r.extMixed = sessionMixed || mediaMixed
	return r, nil
}

// audioSection finds the section to use: not rejected, or bundle-only (port 0, RFC 9143, section 6).
func (d *description) audioSection(bundle []string, prefer int) int {
	usable := func(i int) bool {
		s := &d.sections[i]
		if s.media != "audio" || !strings.Contains(s.proto, "RTP/") {
			return false
		}
		_, bundleOnly := s.attr("bundle-only")
		return s.port != 0 || bundleOnly && slices.Contains(bundle, s.mid)
	}
	if prefer >= 0 && prefer < len(d.sections) && usable(prefer) {
		return prefer
	}
	for i := range d.sections {
		if usable(i) {
			return i
		}
	}
	return -1
}

// parseTransport takes each transport attribute from the audio section, else from the section that speaks for the
// bundle, else from the session.
func (r *remote) parseTransport(d *description, s *section) error {
	places := [][]string{s.attrs}
	var tagged *section
	if r.bundled {
		for i := range d.sections {
			if d.sections[i].mid == r.bundle[0] && &d.sections[i] != s {
				tagged = &d.sections[i]
				places = append(places, tagged.attrs)
			}
		}
	}
	places = append(places, d.attrs)
	get := func(key string) string {
		for _, p := range places {
			if v, ok := findAttr(p, key); ok {
				return v
			}
		}
		return ""
	}
	r.ufrag, r.pwd = get("ice-ufrag"), get("ice-pwd")
	if err := checkICECredentials(r.ufrag, r.pwd); err != nil {
		return err
	}
	_, r.lite = findAttr(d.attrs, "ice-lite")
	r.setup = get("setup")
	switch r.setup {
	case "actpass", "active", "passive":
	case "":
		r.setup = "actpass"
	default:
		return fmt.Errorf("%w: setup", ErrBadSDP)
	}
	r.trickle = strings.Contains(get("ice-options"), "trickle")
	for _, p := range places {
		if r.pickFingerprint(p) {
			break
		}
	}
	if r.print == "" {
		return fmt.Errorf("%w: no fingerprint that we can check", ErrBadSDP)
	}
	for _, list := range [][]string{s.attrs, taggedAttrs(tagged)} {
		if err := r.takeCandidates(list); err != nil {
			return err
		}
	}
	return nil
}

func taggedAttrs(s *section) []string {
	if s == nil {
		return nil
	}
	return s.attrs
}

// checkICECredentials holds the limits of RFC 8839, section 5.4.
func checkICECredentials(ufrag, pwd string) error {
	if len(ufrag) < 4 || len(ufrag) > 256 || len(pwd) < 22 || len(pwd) > maxICEPassword {
		return fmt.Errorf("%w: ICE credentials missing or of a wrong length", ErrBadSDP)
	}
	for _, s := range []string{ufrag, pwd} {
		for i := range len(s) {
			// RFC 8839 allows ice-chars only; clients use '-', '_' and '=' as well.
			if !iceChar(s[i]) && strings.IndexByte("-_=.", s[i]) < 0 {
				return fmt.Errorf("%w: ICE credentials", ErrBadSDP)
			}
		}
	}
	return nil
}

// pickFingerprint takes the strongest hash that can be verified; SHA-1 and MD5 are none (RFC 8122, section 5).
func (r *remote) pickFingerprint(attrs []string) bool {
	sizes := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}
	best := 0
	for _, a := range attrs {
		v, ok := strings.CutPrefix(a, "fingerprint:")
		if !ok {
			continue
		}
		hash, value, _ := strings.Cut(v, " ")
		hash, value = strings.ToLower(hash), strings.ToUpper(strings.TrimSpace(value))
		raw, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if size := sizes[hash]; err == nil && size > best && len(raw) == size && len(value) == 3*size-1 {
			best = size
			r.hash, r.print = hash, value
		}
	}
	return best > 0
}

func (r *remote) takeCandidates(attrs []string) error {
	for _, a := range attrs {
		if !strings.HasPrefix(a, "candidate:") {
			continue
		}
		if r.lines++; r.lines > maxCandidates {
			return ErrTooManyCandidates
		}
		if c, keep, err := parseCandidate(a); err == nil && keep {
			r.candidates = append(r.candidates, c)
		}
	}
	return nil
}

// parseFormats finds Opus (RFC 7587), RED over it (RFC 2198) and the others that we decode; payload types are the client's.
func (r *remote) parseFormats(s *section) error {
	r.opus = -1
	var reds []int
	for _, format := range s.formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			return fmt.Errorf("%w: payload type %q", ErrBadSDP, format)
		}
		name, clock, channels := rtpmap(s, format)
		switch {
		case strings.EqualFold(name, "opus") && clock == "48000" && (channels == "2" || channels == ""):
			if r.opus < 0 {
				r.opus = int(pt)
			}
		case strings.EqualFold(name, "red") && clock == "48000":
			reds = append(reds, int(pt))
		default:
			if f, ok := otherFormat(int(pt), name, clock, channels); ok {
				r.addOther(f)
			}
		}
	}
	primary := r.primary()
	if primary < 0 {
		return ErrNoCommonCodec
	}
	if r.opus < 0 {
		reds = nil
	}
	r.sendsStereo = hasParameter(fmtp(s, r.opus), "sprop-stereo", "1")
	for _, pt := range reds {
		if f := fmtp(s, pt); redCarries(f, r.opus) {
			r.red, r.redFmtp = pt, f
			break
		}
	}
	for _, a := range s.attrs {
		if v, ok := strings.CutPrefix(a, "rtcp-fb:"); ok {
			pt, fb, _ := strings.Cut(v, " ")
			if pt != "*" && pt != strconv.Itoa(primary) {
				continue
			}
			switch fb {
			case "transport-cc":
				r.twcc = true
			case "nack":
				r.nack = true
			}
		}
	}
	return nil
}

func rtpmap(s *section, format string) (name, clock, channels string) {
	for _, a := range s.attrs {
		v, ok := strings.CutPrefix(a, "rtpmap:")
		if !ok {
			continue
		}
		pt, encoding, _ := strings.Cut(v, " ")
		if pt != format {
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimSpace(encoding), "/")
		clock, channels, _ := strings.Cut(rest, "/")
		return name, clock, channels
	}
	return "", "", ""
}

func fmtp(s *section, pt int) string {
	prefix := "fmtp:" + strconv.Itoa(pt) + " "
	for _, a := range s.attrs {
		if v, ok := strings.CutPrefix(a, prefix); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func hasParameter(fmtp, key, value string) bool {
	for p := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(k, key) && v == value {
			return true
		}
	}
	return false
}

// redCarries tells if RED parameters such as "111/111" name nothing but the payload type pt. Without parameters
// every block says itself what it is.
func redCarries(fmtp string, pt int) bool {
	if fmtp == "" {
		return true
	}
	want := strconv.Itoa(pt)
	for p := range strings.SplitSeq(fmtp, "/") {
		if p != want {
			return false
		}
	}
	return len(fmtp) <= maxSDPToken
}

func (r *remote) parseExtensions(s *section) {
	for _, a := range s.attrs {
		v, ok := strings.CutPrefix(a, "extmap:")
		if !ok {
			continue
		}
		f := strings.Fields(v)
		if len(f) < 2 {
			continue
		}
		idText, _, _ := strings.Cut(f[0], "/")
		id, err := strconv.ParseUint(idText, 10, 8)
		if err != nil || id == 0 || id == 15 || id > 255 {
			continue
		}
		switch f[1] {
		case extAudioLevel:
			r.level = uint8(id)
		case extMID:
			r.mid = uint8(id)
		case extTWCC:
			r.transport = uint8(id)
		}
	}
}

func parseDirection(d *description, s *section) direction {
	for _, attrs := range [][]string{s.attrs, d.attrs} {
		for _, a := range attrs {
			switch a {
			case "sendrecv":
				return direction{true, true}
			case "sendonly":
				return direction{true, false}
			case "recvonly":
				return direction{false, true}
			case "inactive":
				return direction{}
			}
		}
	}
	return direction{true, true} // the default of RFC 8866, section 6.7
}
