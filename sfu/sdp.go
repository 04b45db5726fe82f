package sfu

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a session description (checked before anything is understood).
const (
	maxSDPBytes    = 64 << 10
	maxSDPLines    = 1000
	maxSDPMedia    = 16
	maxSDPFormats  = 64
	maxSDPRIDs     = 3
	maxSDPToken    = 64  // mid, ufrag in the forms clients use; RFC 8839 allows a ufrag of 256
	maxICEPassword = 256 // RFC 8839, section 5.4
)

// section is one m= section as text: what is needed to understand it or to turn it down.
type section struct {
	media   string
	port    int
	proto   string
	formats []string
	mid     string
	attrs   []string // without "a="
}

func (s *section) attr(key string) (string, bool) { return findAttr(s.attrs, key) }

func findAttr(attrs []string, key string) (string, bool) {
	for _, a := range attrs {
		if a == key {
			return "", true
		}
		if len(a) > len(key) && a[len(key)] == ':' && a[:len(key)] == key {
			return a[len(key)+1:], true
		}
	}
	return "", false
}

// description is a session description cut into its sections (RFC 8866), within the limits.
type description struct {
	attrs    []string // of the session
	sections []section
}

// splitSDP cuts text into lines and sections. Errors wrap ErrBadSDP.
func splitSDP(text string) (*description, error) {
	switch {
	case len(text) > maxSDPBytes:
		return nil, ErrSDPTooLarge
	case strings.Count(text, "\n") > maxSDPLines:
		return nil, ErrTooManyLines
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%w: not text", ErrBadSDP)
	}
	d := &description{}
	first := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' {
			return nil, fmt.Errorf("%w: a line without type", ErrBadSDP)
		}
		if first && line != "v=0" {
			return nil, fmt.Errorf("%w: does not start with v=0", ErrBadSDP)
		}
		first = false
		switch line[0] {
		case 'm':
			if len(d.sections) == maxSDPMedia {
				return nil, ErrTooManyMedia
			}
			s, err := parseMediaLine(line[2:])
			if err != nil {
				return nil, err
			}
			d.sections = append(d.sections, s)
		case 'a':
			if n := len(d.sections); n > 0 {
				d.sections[n-1].attrs = append(d.sections[n-1].attrs, line[2:])
			} else {
				d.attrs = append(d.attrs, line[2:])
			}
		}
	}
	if first {
		return nil, fmt.Errorf("%w: empty", ErrBadSDP)
	}
	return d, d.check()
}

func parseMediaLine(line string) (section, error) {
	f := strings.Fields(line)
	if len(f) < 4 {
		return section{}, fmt.Errorf("%w: m= line", ErrBadSDP)
	}
	if len(f)-3 > maxSDPFormats {
		return section{}, ErrTooManyCodecs
	}
	portText, _, _ := strings.Cut(f[1], "/")
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return section{}, fmt.Errorf("%w: port of an m= line", ErrBadSDP)
	}
	if !isToken(f[0]) || !isProto(f[2]) {
		return section{}, fmt.Errorf("%w: m= line", ErrBadSDP)
	}
	for _, format := range f[3:] {
		if !isToken(format) {
			return section{}, fmt.Errorf("%w: format of an m= line", ErrBadSDP)
		}
	}
	return section{media: f[0], port: int(port), proto: f[2], formats: f[3:]}, nil
}

// check reads the mids and the limits per section.
func (d *description) check() error {
	for i := range d.sections {
		s := &d.sections[i]
		rids := 0
		for _, a := range s.attrs {
			if strings.HasPrefix(a, "rid:") {
				if rids++; rids > maxSDPRIDs {
					return ErrTooManyRIDs
				}
			}
		}
		mid, ok := s.attr("mid")
		if !ok {
			continue
		}
		if !isToken(mid) {
			return fmt.Errorf("%w: mid", ErrBadSDP)
		}
		for _, other := range d.sections[:i] {
			if other.mid == mid {
				return fmt.Errorf("%w: duplicate mid", ErrBadSDP)
			}
		}
		s.mid = mid
	}
	return nil
}

// bundle returns the mids of the BUNDLE group (RFC 9143), nil without one.
func (d *description) bundle() []string {
	for _, a := range d.attrs {
		if rest, ok := strings.CutPrefix(a, "group:BUNDLE"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// isToken tells if s may be repeated in an SDP of ours: a token of RFC 8866, section 9, not too long.
func isToken(s string) bool {
	if len(s) == 0 || len(s) > maxSDPToken {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if b <= ' ' || b >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]`, b) >= 0 {
			return false
		}
	}
	return true
}

// isProto is isToken for the transport of an m= line, which has slashes: "UDP/TLS/RTP/SAVPF".
func isProto(s string) bool {
	if len(s) == 0 || len(s) > maxSDPToken {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !isToken(part) {
			return false
		}
	}
	return true
}
