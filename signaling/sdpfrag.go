package signaling

import (
	"strings"
	"unicode/utf8"

	"parley/sfu"
)

// fragment is the body of a WHIP or WHEP PATCH: application/trickle-ice-sdpfrag (RFC 8840 section 9).
type fragment struct {
	ufrag, pwd string // "" when not there
	candidates []sfu.Candidate
	end        bool // a=end-of-candidates
}

// parseFragment reads an SDP fragment. Lines it has no use for are passed over, as RFC 8840 asks. The limits are those
// of a whole SDP. Errors are *LimitError or *Error with CodeBadSDP or CodeBadCandidate.
func parseFragment(body string) (fragment, error) {
	var f fragment
	if len(body) > MaxSDPBytes {
		return f, &LimitError{CodeSDPTooLarge, "MaxSDPBytes", MaxSDPBytes, len(body)}
	}
	if !utf8.ValidString(body) || strings.IndexByte(body, 0) >= 0 {
		return f, refuse(CodeBadSDP, "the fragment is not UTF-8 text")
	}
	var c sdpCounter
	var mid *string
	index := -1
	for len(body) > 0 {
		line, rest, _ := strings.Cut(body, "\n")
		body, line = rest, strings.TrimSuffix(line, "\r")
		if err := c.line(line); err != nil {
			return f, err
		}
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "m="):
			index++
			mid = nil
		case name == "a=mid":
			if value == "" {
				return f, refuse(CodeBadSDP, "the fragment has an empty mid")
			}
			mid = &value
		case name == "a=ice-ufrag":
			if err := keep(&f.ufrag, value, 4); err != nil {
				return f, err
			}
		case name == "a=ice-pwd":
			if err := keep(&f.pwd, value, 22); err != nil {
				return f, err
			}
		case name == "a=candidate":
			if err := checkCandidateLine(line); err != nil {
				return f, err
			}
			f.candidates = append(f.candidates, sfu.Candidate{
				Candidate: line[len("a="):], SDPMid: mid, SDPMLineIndex: lineIndex(index),
			})
		case line == "a=end-of-candidates":
			f.end = true
		case line != "" && (len(line) < 2 || line[1] != '='):
			return f, refuse(CodeBadSDP, "the fragment has a line that is not <type>=<value>")
		}
	}
	if (f.ufrag == "") != (f.pwd == "") && f.ufrag == "" {
		return f, refuse(CodeBadSDP, "the fragment has an ice-pwd without an ice-ufrag")
	}
	if f.ufrag != "" {
		for i := range f.candidates {
			f.candidates[i].UsernameFragment = &f.ufrag
		}
	}
	return f, nil
}

// keep stores an ICE credential (RFC 8839 section 5.4: shortest to 256 ice-chars). Given several times, as at session
// and at media level, they must agree.
func keep(into *string, value string, shortest int) error {
	if len(value) < shortest || len(value) > 256 {
		return refuse(CodeBadSDP, "an ICE credential has %d to 256 characters", shortest)
	}
	for i := 0; i < len(value); i++ {
		b := value[i]
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '+' || b == '/') {
			return refuse(CodeBadSDP, "an ICE credential has letters, digits, '+' and '/' only")
		}
	}
	if *into != "" && *into != value {
		return refuse(CodeBadSDP, "the fragment has different ICE credentials")
	}
	*into = value
	return nil
}

// lineIndex is that of the m-line before a candidate; candidates before any belong to the first (RFC 8840 section 4.4
// bundles them there).
func lineIndex(index int) *uint16 {
	i := uint16(max(index, 0))
	return &i
}
