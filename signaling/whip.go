package signaling

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"parley/sfu"
)

// Media types of WHIP bodies (RFC 9725 sections 4.2 and 4.3.1).
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// whipKind tells WHIP from WHEP, which differ in little else.
type whipKind struct {
	path string
	kind sfu.Kind
}

var (
	whip = whipKind{"/whip/", sfu.KindWHIP}
	whep = whipKind{"/whep/", sfu.KindWHEP}
)

// whipSession is a participant that joined with one HTTP request. It is the participant's sfu.Observer: all it wants
// to know is when it ends.
type whipSession struct {
	server      *Server
	id          string // of the URL: 128 random bits in hex
	kind        whipKind
	room        string
	participant string
	who         subject
	token       [sha256.Size]byte // hash of the token it was made with

	// turn is held while a PATCH or DELETE is done; it guards what follows.
	turn       chan struct{}
	etag       string // strong, of the ICE session (RFC 9725 section 4.3.1)
	ufrag, pwd string // the client's
	candidates int    // trickled in this ICE session

	gone bool // guarded by Server.mu: not in the tables any more
}

// Event implements sfu.Observer.
func (w *whipSession) Event(ev sfu.Event) {
	if _, ok := ev.(sfu.ClosedEvent); ok {
		w.server.forgetWHIP(w)
	}
}

// serveCreate is POST /whip/{room} and /whep/{room}.
func (s *Server) serveCreate(kind whipKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, answer, err := s.create(w, r, kind)
		if err != nil {
			var moved redirected
			if errors.As(err, &moved) { // RFC 9725, section 4.5
				to := *r.URL
				query := to.Query()
				query.Set("redirected", "1")
				to.RawQuery = query.Encode()
				w.Header().Set("Location", moved.node+to.RequestURI())
				w.WriteHeader(http.StatusTemporaryRedirect)
				return
			}
			s.counters.whipRefused.Add(1)
			s.writeError(w, err)
			return
		}
		s.counters.whipJoins.Add(1)
		s.log.Debug("joined", zap.String("room", session.room), zap.String("participant", session.participant))
		h := w.Header()
		h.Set("Content-Type", typeSDP)
		h.Set("Location", kind.path+url.PathEscape(session.room)+"/"+session.id)
		h.Set("ETag", session.etag)
		h.Set("Accept-Patch", typeFragment)
		servers, _ := s.iceServers(session.participant, hostOf(r))
		for _, link := range iceLinks(servers) {
			h.Add("Link", link)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	}
}

// create checks the request, from what is cheap to what is not, and takes the seat.
func (s *Server) create(w http.ResponseWriter, r *http.Request, kind whipKind) (*whipSession, string, error) {
	if s.draining.Load() {
		return nil, "", sfu.ErrDraining
	}
	room := r.PathValue("room")
	if err := CheckRoom(room); err != nil {
		return nil, "", err
	}
	if err := checkTypes(r, typeSDP, typeSDP); err != nil {
		return nil, "", err
	}
	ws, req, err := s.admit(r, kind, room)
	if err != nil {
		return nil, "", err
	}
	if err := s.place(room, Hint{Region: region(r), Redirected: r.URL.Query().Has("redirected")}); err != nil {
		return nil, "", err
	}
	sdp, err := readBody(w, r)
	if err != nil {
		return nil, "", err
	}
	if err := CheckSDP(sdp); err != nil {
		return nil, "", err
	}
	ws.ufrag, ws.pwd = sdpICE(sdp)
	if !s.enterSubject(ws) {
		return nil, "", refuse(CodeTooManySessions, "this identity has %d sessions already", maxSessionsPerSubject)
	}
	ctx, cancel := context.WithTimeout(r.Context(), operationTimeout)
	defer cancel()
	answer, err := s.take(ctx, ws, req, sdp)
	if err != nil {
		s.forgetWHIP(ws)
		return nil, "", err
	}
	return ws, answer, nil
}

// region is what the client says of itself, as a query of the URL.
func region(r *http.Request) string {
	if region := r.URL.Query().Get("region"); len(region) <= maxRegionBytes {
		return region
	}
	return ""
}

// admit checks who asks and makes the request for a seat.
func (s *Server) admit(r *http.Request, kind whipKind, room string) (*whipSession, sfu.JoinRequest, error) {
	ws := &whipSession{server: s, id: randomID(), kind: kind, room: room, turn: make(chan struct{}, 1), etag: newETag()}
	req := sfu.JoinRequest{
		Room: room, Kind: kind.kind, Publish: kind.kind == sfu.KindWHIP, Subscribe: true, Observer: ws,
	}
	if s.verifier == nil {
		var err error
		req.Name, err = CleanName(r.URL.Query().Get("name"))
		return ws, req, err
	}
	raw, err := bearer(r)
	if err != nil {
		return nil, req, err
	}
	token, key, err := s.verifier.verify(raw, room)
	if err != nil {
		return nil, req, err
	}
	g := token.Grants
	if kind.kind == sfu.KindWHIP && !g.Publish || kind.kind == sfu.KindWHEP && !g.Subscribe {
		return nil, req, refuse(CodeForbidden, "the token does not grant this")
	}
	name := token.Name
	if name == "" {
		name = token.Identity
	}
	if req.Name, err = CleanName(name); err != nil {
		return nil, req, err
	}
	ws.who, ws.token = subject{key, token.Identity}, sha256.Sum256([]byte(raw))
	req.Participant = token.Identity + "~" + ws.id[:8]
	req.Subscribe, req.Admin = g.Subscribe, g.Admin
	return ws, req, nil
}

// take joins, negotiates and enters the session into the table.
func (s *Server) take(ctx context.Context, ws *whipSession, req sfu.JoinRequest, sdp string) (answer string, err error) {
	joined, err := s.rooms.Join(ctx, req)
	if err != nil {
		return "", err
	}
	ws.participant = joined.Participant
	if answer, err = s.rooms.Offer(ctx, ws.participant, sdp); err == nil && s.draining.Load() {
		err = sfu.ErrDraining
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
		defer cancel()
		_ = s.rooms.Leave(ctx, ws.participant, sfu.ReasonLeft) // the first error is the one to tell
		return "", err
	}
	s.rooms.SetAttached(ws.participant, false) // nobody but ICE says whether it lives
	s.mu.Lock()
	defer s.mu.Unlock()
	if ws.gone { // the node was quicker
		return "", refuse(CodeServerFull, "the session ended as it began")
	}
	s.whips[ws.id] = ws
	return answer, nil
}
