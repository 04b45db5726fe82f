package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"parley/sfu"
)

// DecodeClient reads one message of a client's and checks everything that can be checked without knowing the sender:
// the type, that each field is known, there at most once, of its kind and of a sane size, and that none is missing.
// Every message is a flat object, so nothing nested is ever looked into. Errors are *Error with CodeBadMessage or
// CodeUnknownType; the type is returned with them when it could be read, to say what the error is about.
func DecodeClient(data []byte) (Message, string, error) {
	f, err := readFields(data)
	if err != nil {
		return nil, "", err
	}
	kind, err := f.text("type", required)
	if err != nil {
		return nil, "", err
	}
	m, err := clientMessage(kind, f)
	if err != nil {
		if errors.Is(err, &Error{Code: CodeUnknownType}) {
			return nil, "", err
		}
		return nil, kind, err
	}
	if name := f.unread(); name != "" {
		return nil, kind, refuse(CodeBadMessage, "unknown field in %s", kind)
	}
	return m, kind, nil
}

func clientMessage(kind string, f *fields) (Message, error) {
	switch kind {
	case "join":
		room, e1 := f.text("room", required)
		name, e2 := f.text("name", required)
		token, e3 := f.text("token", optional)
		resume, e4 := f.text("resume", optional)
		join := Join{Room: room, Name: name, Token: token, Resume: resume}
		return joinOfCluster(join, f, errors.Join(e1, e2, e3, e4))
	case "offer":
		sdp, err := f.text("sdp", required)
		return Offer{sdp}, err
	case "answer":
		sdp, err := f.text("sdp", required)
		return Answer{sdp}, err
	case "candidate":
		return candidateMessage(f)
	case "mute":
		muted, e1 := f.flag("muted")
		participant, e2 := f.text("participant", optional)
		return MuteRequest{muted, participant}, errors.Join(e1, e2)
	case "volume":
		participant, e1 := f.text("participant", required)
		volume, e2 := f.number("volume")
		if e2 == nil && !(volume >= 0 && volume <= sfu.MaxVolume) {
			e2 = refuse(CodeBadMessage, "volume is a number from 0 to %d", sfu.MaxVolume)
		}
		return VolumeRequest{participant, volume}, errors.Join(e1, e2)
	case "chat":
		text, err := f.text("text", required)
		if err != nil {
			return nil, err
		}
		return ChatRequest{text}, checkChat(text)
	case "leave":
		return Leave{}, nil
	case "ping":
		t, err := f.number("t")
		return Ping{t}, err
	default:
		return nil, refuse(CodeUnknownType, "no such type of message")
	}
}

// joinOfCluster reads what of a join is about nodes.
func joinOfCluster(j Join, f *fields, err error) (Message, error) {
	var e1, e2, e3 error
	j.Region, e1 = f.text("region", optional)
	j.Failed, e2 = f.text("failed", optional)
	if f.present("redirected") {
		j.Redirected, e3 = f.flag("redirected")
	}
	if len(j.Region) > maxRegionBytes || len(j.Failed) > maxNodeBytes {
		e3 = refuse(CodeBadMessage, "region or failed is too long")
	}
	return j, errors.Join(err, e1, e2, e3)
}

// candidateMessage reads what RTCIceCandidate.toJSON() writes, in which everything may be null.
func candidateMessage(f *fields) (Message, error) {
	var c Candidate
	line, err := f.nullableText("candidate")
	if err != nil {
		return nil, err
	}
	if line != nil {
		c.Candidate = *line
	}
	if err := checkCandidateLine(c.Candidate); err != nil {
		return nil, err
	}
	if c.SDPMid, err = f.nullableText("sdpMid"); err != nil {
		return nil, err
	}
	if c.UsernameFragment, err = f.nullableText("usernameFragment"); err != nil {
		return nil, err
	}
	if f.present("sdpMLineIndex") {
		index, err := f.number("sdpMLineIndex")
		if err != nil {
			return nil, err
		}
		if index < 0 || index > math.MaxUint16 || index != math.Trunc(index) {
			return nil, refuse(CodeBadMessage, "sdpMLineIndex is a whole number from 0 to 65535")
		}
		i := uint16(index)
		c.SDPMLineIndex = &i
	}
	for _, s := range []*string{c.SDPMid, c.UsernameFragment} {
		if s != nil && len(*s) > 256 { // RFC 8839 section 5.4: a ufrag has at most 256 characters
			return nil, refuse(CodeBadMessage, "sdpMid or usernameFragment is too long")
		}
	}
	return c, nil
}

func checkCandidateLine(line string) error {
	if len(line) > maxCandidateBytes || strings.ContainsAny(line, "\r\n\x00") {
		return refuse(CodeBadCandidate, "a candidate is one line of at most %d bytes", maxCandidateBytes)
	}
	return nil
}

// fields are the values of a flat JSON object: string, bool, json.Number or nil.
type fields struct {
	names  []string
	values []any
	read   []bool
}

const (
	required = true
	optional = false
	// maxFields is more than any message has.
	maxFields = 16
)

// readFields reads a flat JSON object. Nesting, doubled names, trailing data and invalid UTF-8 are errors.
func readFields(data []byte) (*fields, error) {
	malformed := refuse(CodeBadMessage, "a message is one flat JSON object")
	if !utf8.Valid(data) {
		return nil, refuse(CodeBadMessage, "a message is UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed
	}
	f := &fields{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, malformed
		}
		if slices.Contains(f.names, name) {
			return nil, refuse(CodeBadMessage, "a field is there twice")
		}
		if len(f.names) == maxFields {
			return nil, refuse(CodeBadMessage, "too many fields")
		}
		v, err := dec.Token()
		if _, nested := v.(json.Delim); err != nil || nested {
			return nil, malformed
		}
		f.names = append(f.names, name)
		f.values = append(f.values, v)
		f.read = append(f.read, false)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, malformed
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	return f, nil
}

func (f *fields) get(name string) (any, bool) {
	i := slices.Index(f.names, name)
	if i < 0 {
		return nil, false
	}
	f.read[i] = true
	return f.values[i], true
}

// present reports whether the field is there and not null.
func (f *fields) present(name string) bool {
	v, ok := f.get(name)
	return ok && v != nil
}

func (f *fields) text(name string, must bool) (string, error) {
	v, ok := f.get(name)
	if !ok && !must {
		return "", nil
	}
	s, isString := v.(string)
	if !ok || !isString {
		return "", refuse(CodeBadMessage, "%s is missing or not a string", name)
	}
	return s, nil
}

// nullableText reads a string that may be null or missing; both give nil.
func (f *fields) nullableText(name string) (*string, error) {
	if !f.present(name) {
		return nil, nil
	}
	s, err := f.text(name, required)
	return &s, err
}

func (f *fields) flag(name string) (bool, error) {
	v, _ := f.get(name)
	b, ok := v.(bool)
	if !ok {
		return false, refuse(CodeBadMessage, "%s is missing or not true or false", name)
	}
	return b, nil
}

func (f *fields) number(name string) (float64, error) {
	v, _ := f.get(name)
	n, ok := v.(json.Number)
	if !ok {
		return 0, refuse(CodeBadMessage, "%s is missing or not a number", name)
	}
	x, err := n.Float64()
	if err != nil { // out of range
		return 0, refuse(CodeBadMessage, "%s is out of range", name)
	}
	return x, nil
}

func (f *fields) unread() string {
	if i := slices.Index(f.read, false); i >= 0 {
		return f.names[i]
	}
	return ""
}

// DecodeServer reads one message of the server's, for clients written in Go and for tests. It is strict about fields.
func DecodeServer(data []byte) (Message, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	decode := serverTypes[head.Type]
	if decode == nil {
		return nil, fmt.Errorf("decode message: unknown type %q", head.Type)
	}
	return decode(data)
}

// serverTypes has every type of message that the server sends. Read only.
var serverTypes = map[string]func([]byte) (Message, error){
	"joined":      decodeAs[Joined],
	"offer":       decodeAs[Offer],
	"answer":      decodeAs[Answer],
	"candidate":   decodeAs[Candidate],
	"participant": decodeAs[ParticipantChange],
	"levels":      decodeAs[Levels],
	"mute":        decodeAs[Muted],
	"quality":     decodeAs[Quality],
	"stats":       decodeAs[MediaStats],
	"chat":        decodeAs[ChatLine],
	"error":       decodeAs[Failure],
	"nodes":       decodeAs[Nodes],
	"redirect":    decodeAs[Redirect],
	"move":        decodeAs[Move],
	"bye":         decodeAs[Bye],
	"pong":        decodeAs[Pong],
}

// clientTypes has every type of message that the server understands. Read only.
var clientTypes = []string{"join", "offer", "answer", "candidate", "mute", "volume", "chat", "leave", "ping"}

func decodeAs[M Message](data []byte) (Message, error) {
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	delete(fields, "type")
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	var body M
	if err := dec.Decode(&body); err != nil {
		return nil, fmt.Errorf("decode %s: %w", body.MessageType(), err)
	}
	return body, nil
}
