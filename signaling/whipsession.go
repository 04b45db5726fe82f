package signaling

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"parley/sfu"
)

// servePatch is PATCH /whip/{room}/{id}: more candidates, or an ICE restart (RFC 9725 sections 4.3.2 and 4.3.3).
func (s *Server) servePatch(kind whipKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ws, err := s.lookup(r, kind)
		if err != nil {
			s.writeError(w, err)
			return
		}
		w.Header().Set("Accept-Patch", typeFragment)
		if err := checkTypes(r, typeFragment, typeFragment); err != nil {
			s.writeError(w, err)
			return
		}
		match := r.Header.Values("If-Match")
		if len(match) == 0 {
			s.writeError(w, refuse(CodePreconditionRequired, "an If-Match header is needed: the ETag to trickle, * to restart ICE"))
			return
		}
		body, err := readBody(w, r)
		if err != nil {
			s.writeError(w, err)
			return
		}
		frag, err := parseFragment(body)
		if err != nil {
			s.writeError(w, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), operationTimeout)
		defer cancel()
		restarted, err := ws.patch(ctx, strings.Join(match, ","), frag)
		if err != nil {
			s.writeError(w, err)
			return
		}
		if restarted == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", typeFragment)
		w.Header().Set("ETag", restarted.etag)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, restarted.fragment)
	}
}

// restart is the outcome of an ICE restart.
type restart struct{ etag, fragment string }

// patch does one PATCH; others of the same session wait. Nil says that candidates were added.
func (ws *whipSession) patch(ctx context.Context, match string, frag fragment) (*restart, error) {
	select {
	case ws.turn <- struct{}{}:
		defer func() { <-ws.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	anyTag := strings.TrimSpace(match) == "*"
	if !anyTag && !matches(match, ws.etag) {
		return nil, refuse(CodePreconditionFailed, "the ICE session has changed; its ETag is another one")
	}
	fresh := frag.ufrag != "" && (frag.ufrag != ws.ufrag || frag.pwd != "" && frag.pwd != ws.pwd)
	switch {
	case anyTag && (frag.ufrag == "" || frag.pwd == ""):
		return nil, refuse(CodeBadSDP, "an ICE restart has an ice-ufrag and an ice-pwd")
	case anyTag && fresh:
		return ws.restart(ctx, frag)
	case fresh:
		return nil, refuse(CodePreconditionFailed, "the credentials are of another ICE session; a restart has If-Match: *")
	}
	return nil, ws.trickle(ctx, frag)
}

func (ws *whipSession) restart(ctx context.Context, frag fragment) (*restart, error) {
	answer, err := ws.server.rooms.ICERestart(ctx, ws.participant, frag.ufrag, frag.pwd, frag.candidates)
	if err != nil {
		return nil, err
	}
	ws.etag, ws.ufrag, ws.pwd, ws.candidates = newETag(), frag.ufrag, frag.pwd, len(frag.candidates)
	return &restart{ws.etag, answer}, nil
}

func (ws *whipSession) trickle(ctx context.Context, frag fragment) error {
	if ws.candidates += len(frag.candidates); ws.candidates > MaxSDPCandidates {
		return &LimitError{CodeTooManyCandidates, "MaxSDPCandidates", MaxSDPCandidates, ws.candidates}
	}
	for _, c := range frag.candidates {
		if err := ws.server.rooms.AddCandidate(ctx, ws.participant, c); err != nil {
			return err
		}
	}
	if frag.end {
		return ws.server.rooms.AddCandidate(ctx, ws.participant, sfu.Candidate{})
	}
	return nil
}

// serveDelete is DELETE /whip/{room}/{id}: the participant leaves (RFC 9725 section 4.2).
func (s *Server) serveDelete(kind whipKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ws, err := s.lookup(r, kind)
		if err != nil {
			s.writeError(w, err)
			return
		}
		if match := r.Header.Values("If-Match"); len(match) > 0 {
			if err := ws.check(r.Context(), strings.Join(match, ",")); err != nil {
				s.writeError(w, err)
				return
			}
		}
		s.endWHIP(context.WithoutCancel(r.Context()), ws, sfu.ReasonLeft)
		w.WriteHeader(http.StatusOK)
	}
}

// check holds an If-Match header, which a DELETE may have and need not, against the ETag.
func (ws *whipSession) check(ctx context.Context, match string) error {
	select {
	case ws.turn <- struct{}{}:
		defer func() { <-ws.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if strings.TrimSpace(match) != "*" && !matches(match, ws.etag) {
		return refuse(CodePreconditionFailed, "the ICE session has changed; its ETag is another one")
	}
	return nil
}

// endWHIP takes the participant out of its room.
func (s *Server) endWHIP(ctx context.Context, ws *whipSession, reason string) {
	if !s.forgetWHIP(ws) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	err := s.rooms.Leave(ctx, ws.participant, reason)
	if err != nil && !errors.Is(err, sfu.ErrNoParticipant) && !errors.Is(err, sfu.ErrClosed) {
		s.log.Warn("leave", zap.String("room", ws.room), zap.String("participant", ws.participant), zap.Error(err))
	}
}

// lookup finds the session of a PATCH or DELETE. On a server with keys it also takes the token: the one the session was
// made with, which may have expired since, or a good one of the same identity. What belongs to others is not there.
func (s *Server) lookup(r *http.Request, kind whipKind) (*whipSession, error) {
	s.mu.Lock()
	ws := s.whips[r.PathValue("id")]
	s.mu.Unlock()
	if ws != nil && (ws.kind != kind || ws.room != r.PathValue("room")) {
		ws = nil
	}
	if s.verifier != nil {
		raw, err := bearer(r)
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256([]byte(raw))
		if ws == nil || subtle.ConstantTimeCompare(hash[:], ws.token[:]) != 1 {
			token, key, err := s.verifier.verify(raw, r.PathValue("room"))
			if err != nil {
				return nil, err
			}
			if ws != nil && ws.who != (subject{key, token.Identity}) {
				ws = nil
			}
		}
	}
	if ws == nil {
		return nil, refuse(CodeNotFound, "there is no such session")
	}
	return ws, nil
}

// enterSubject counts one more session of an identity, or says that it has enough.
func (s *Server) enterSubject(ws *whipSession) bool {
	if ws.who == (subject{}) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subjects[ws.who] >= maxSessionsPerSubject {
		return false
	}
	s.subjects[ws.who]++
	return true
}

// forgetWHIP removes a session from the tables; false when that was done before.
func (s *Server) forgetWHIP(ws *whipSession) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ws.gone {
		return false
	}
	ws.gone = true
	delete(s.whips, ws.id)
	if n := s.subjects[ws.who]; n > 1 {
		s.subjects[ws.who] = n - 1
	} else {
		delete(s.subjects, ws.who)
	}
	return true
}

func (s *Server) allWHIPs() []*whipSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*whipSession, 0, len(s.whips))
	for _, ws := range s.whips {
		out = append(out, ws)
	}
	return out
}

// checkTypes checks Content-Type and Accept, if there is one, for a single media type.
func checkTypes(r *http.Request, content, answer string) error {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != content {
		return refuse(CodeUnsupportedMediaType, "the Content-Type is %s", content)
	}
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return nil
	}
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		t, params, err := mime.ParseMediaType(item)
		if err != nil || params["q"] == "0" {
			continue
		}
		if t == answer || t == "*/*" || t == "application/*" {
			return nil
		}
	}
	return refuse(CodeNotAcceptable, "the answer is %s", answer)
}

// readBody reads a body of at most MaxSDPBytes.
func readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSDPBytes))
	if tooLarge(err) {
		return "", &LimitError{CodeSDPTooLarge, "MaxSDPBytes", MaxSDPBytes, MaxSDPBytes + 1}
	}
	if err != nil {
		return "", refuse(CodeBadRequest, "the body could not be read")
	}
	return string(body), nil
}

// newETag names an ICE session: strong (RFC 9110 section 8.8.3), and never the same twice.
func newETag() string { return strconv.Quote(randomID()) }

// matches reports whether an If-Match list has the tag, by strong comparison (RFC 9110 section 13.1.1). Our tags have no
// comma inside.
func matches(list, etag string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == etag {
			return true
		}
	}
	return false
}

// iceLinks writes ICE servers as Link headers (RFC 9725 section 4.6), one for each URL.
func iceLinks(servers []ICEServer) []string {
	var links []string
	for _, server := range servers {
		for _, u := range server.URLs {
			if strings.ContainsAny(u, "<>\r\n\" ") {
				continue
			}
			link := "<" + u + `>; rel="ice-server"`
			if server.Username != "" {
				link += "; username=" + quoted(server.Username) + "; credential=" + quoted(server.Credential) +
					`; credential-type="password"`
			}
			links = append(links, link)
		}
	}
	return links
}

// quoted writes a quoted-string (RFC 9110 section 5.6.4); what cannot be in one is left out.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"' || s[i] == '\\':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case s[i] >= ' ' && s[i] != 0x7f:
			b.WriteByte(s[i])
		}
	}
	b.WriteByte('"')
	return b.String()
}
