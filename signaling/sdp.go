package signaling

import (
	"strings"
	"unicode/utf8"
)

// CheckSDP holds a session description against the limits of limits.go, before a full parser spends memory on it. It
// is not a parser: what it lets through may still be wrong. It reads the text once and allocates nothing unless it
// fails. Errors are *LimitError, or *Error with CodeBadSDP.
func CheckSDP(sdp string) error {
	if len(sdp) > MaxSDPBytes {
		return &LimitError{CodeSDPTooLarge, "MaxSDPBytes", MaxSDPBytes, len(sdp)}
	}
	if strings.IndexByte(sdp, 0) >= 0 {
		return refuse(CodeBadSDP, "the SDP holds a NUL")
	}
	if !utf8.ValidString(sdp) {
		return refuse(CodeBadSDP, "the SDP is not UTF-8")
	}
	if !strings.HasPrefix(sdp, "v=0\r\n") && !strings.HasPrefix(sdp, "v=0\n") {
		return refuse(CodeBadSDP, "an SDP starts with v=0")
	}
	var c sdpCounter
	for len(sdp) > 0 {
		line, rest, _ := strings.Cut(sdp, "\n")
		sdp = rest
		if err := c.line(strings.TrimSuffix(line, "\r")); err != nil {
			return err
		}
	}
	return nil
}

// sdpCounter counts what is limited while the lines go by.
type sdpCounter struct {
	lines, media, candidates, rids int
	mids                           [MaxSDPMedia]string
	midCount                       int
}

func (c *sdpCounter) line(line string) error {
	if c.lines++; c.lines > MaxSDPLines {
		return &LimitError{CodeTooManyLines, "MaxSDPLines", MaxSDPLines, c.lines}
	}
	if len(line) > MaxSDPLineBytes {
		return &LimitError{CodeBadSDP, "MaxSDPLineBytes", MaxSDPLineBytes, len(line)}
	}
	if strings.IndexByte(line, '\r') >= 0 {
		return refuse(CodeBadSDP, "the SDP holds a stray carriage return")
	}
	switch {
	case strings.HasPrefix(line, "m="):
		return c.mediaLine(line)
	case strings.HasPrefix(line, "a=candidate:"):
		if c.candidates++; c.candidates > MaxSDPCandidates {
			return &LimitError{CodeTooManyCandidates, "MaxSDPCandidates", MaxSDPCandidates, c.candidates}
		}
	case strings.HasPrefix(line, "a=rid:"):
		if c.rids++; c.rids > MaxSDPRIDs {
			return &LimitError{CodeTooManyRIDs, "MaxSDPRIDs", MaxSDPRIDs, c.rids}
		}
	case strings.HasPrefix(line, "a=mid:"):
		return c.mid(line[len("a=mid:"):])
	}
	return nil
}

func (c *sdpCounter) mediaLine(line string) error {
	if c.media++; c.media > MaxSDPMedia {
		return &LimitError{CodeTooManyMedia, "MaxSDPMedia", MaxSDPMedia, c.media}
	}
	c.rids = 0
	// m=<media> <port> <proto> <fmt> ... (RFC 8866 section 5.14): what follows the first three words is formats.
	if formats := strings.Count(line, " ") - 2; formats > MaxSDPPayloadTypes {
		return &LimitError{CodeTooManyCodecs, "MaxSDPPayloadTypes", MaxSDPPayloadTypes, formats}
	}
	return nil
}

func (c *sdpCounter) mid(mid string) error {
	for _, m := range c.mids[:c.midCount] {
		if m == mid {
			return refuse(CodeBadSDP, "the SDP has the same mid twice") // RFC 5888 section 4
		}
	}
	if c.midCount == len(c.mids) {
		return &LimitError{CodeTooManyMedia, "MaxSDPMedia", MaxSDPMedia, c.midCount + 1}
	}
	c.mids[c.midCount] = mid
	c.midCount++
	return nil
}

// sdpICE finds the first ICE user fragment and password of a checked description; "" when there is none. With BUNDLE,
// which WHIP requires (RFC 9725 section 4.4.1), there is one pair for the whole session.
func sdpICE(sdp string) (ufrag, pwd string) {
	for len(sdp) > 0 && (ufrag == "" || pwd == "") {
		line, rest, _ := strings.Cut(sdp, "\n")
		sdp, line = rest, strings.TrimSuffix(line, "\r")
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok && ufrag == "" {
			ufrag = v
		} else if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok && pwd == "" {
			pwd = v
		}
	}
	return ufrag, pwd
}
