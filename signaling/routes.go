package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// routes is the public surface. Everything that is not named here is the static handler's.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", s.methods(map[string]http.HandlerFunc{"GET": s.serveWS}))
	mux.Handle("/healthz", s.methods(map[string]http.HandlerFunc{"GET": s.serveHealth, "HEAD": s.serveHealth}))
	mux.Handle("/readyz", s.methods(map[string]http.HandlerFunc{"GET": s.serveReady, "HEAD": s.serveReady}))
	mux.Handle("/api/v1/ice", s.cors(s.methods(map[string]http.HandlerFunc{
		"GET": s.serveICE, "OPTIONS": s.serveOptions("GET, OPTIONS", "")})))
	for _, kind := range []whipKind{whip, whep} {
		// GET, HEAD and PUT are kept for the future and answered with 405 (RFC 9725 section 4.2).
		mux.Handle(kind.path+"{room}", s.cors(s.methods(map[string]http.HandlerFunc{
			"POST": s.serveCreate(kind), "OPTIONS": s.serveOptions("OPTIONS, POST", "Accept-Post")})))
		mux.Handle(kind.path+"{room}/{id}", s.cors(s.methods(map[string]http.HandlerFunc{
			"PATCH": s.servePatch(kind), "DELETE": s.serveDelete(kind),
			"OPTIONS": s.serveOptions("DELETE, OPTIONS, PATCH", "Accept-Patch")})))
		mux.Handle(kind.path, http.HandlerFunc(s.serveNotFound))
	}
	mux.Handle("/api/", http.HandlerFunc(s.serveNotFound))
	mux.Handle("/", s.pages())
	return s.secured(mux)
}

// secured puts the headers on every answer that keep a browser from doing more than it should. The static handler may
// replace the policies for its pages.
func (s *Server) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "microphone=(self), camera=(self), autoplay=(self), speaker-selection=(self), "+
			"screen-wake-lock=(self), clipboard-write=(self), geolocation=(), payment=(), usb=(), serial=(), midi=()")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// pages serves the web client, with a policy for pages without anything from elsewhere and without inline script.
func (s *Server) pages() http.Handler {
	if s.static == nil {
		return http.HandlerFunc(s.serveNotFound)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; media-src 'self' blob: mediastream:; "+
			"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		s.static.ServeHTTP(w, r)
	})
}

// methods picks the handler of the request's method, and otherwise answers 405 with Allow.
func (s *Server) methods(byName map[string]http.HandlerFunc) http.Handler {
	var names []string
	for _, name := range []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST"} {
		if byName[name] != nil {
			names = append(names, name)
		}
	}
	allow := strings.Join(names, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handle := byName[r.Method]; handle != nil {
			w.Header().Set("Cache-Control", "no-store")
			handle(w, r)
			return
		}
		w.Header().Set("Allow", allow)
		s.writeError(w, refuse(CodeMethodNotAllowed, "use %s", allow))
	})
}

// cors lets pages of listed origins read the answers, and no others. There are no cookies, so there are no credentials
// to allow: a token is set by the page itself.
func (s *Server) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin, listed := s.origins.crossOrigin(r)
		if listed || s.ofMember(r) {
			if !listed {
				origin = r.Header.Get("Origin")
			}
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Accept-Patch, ETag, Link, Location, Retry-After")
		}
		next.ServeHTTP(w, r)
	})
}

// serveOptions answers a preflight, and says what can be sent.
func (s *Server) serveOptions(allow, accepts string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Allow", allow)
		switch accepts {
		case "Accept-Post":
			h.Set(accepts, typeSDP)
		case "Accept-Patch":
			h.Set(accepts, typeFragment)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			h.Set("Access-Control-Allow-Methods", allow)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) serveNotFound(w http.ResponseWriter, _ *http.Request) {
	s.writeError(w, refuse(CodeNotFound, "there is nothing here"))
}

// serveHealth is GET /healthz: the process answers.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.version})
}

// serveReady is GET /readyz: new participants can be taken.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		s.writeError(w, refuse(CodeDraining, "the server is shutting down"))
		return
	}
	if s.ready != nil {
		if err := s.ready(); err != nil {
			s.writeError(w, refuse(CodeNotReady, "%s", err))
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// serveICE is GET /api/v1/ice: the ICE servers for this client, with credentials where they need any.
func (s *Server) serveICE(w http.ResponseWriter, r *http.Request) {
	who := "guest-" + randomID()
	if s.verifier != nil {
		token, err := bearer(r)
		if err == nil {
			var t Token
			if t, _, err = s.verifier.verifyAnyRoom(token); err == nil {
				who = t.Identity
			}
		}
		if err != nil {
			s.writeError(w, err)
			return
		}
	}
	servers, ttl := s.iceServers(who, hostOf(r))
	writeJSON(w, http.StatusOK, struct {
		ICEServers         []ICEServer `json:"iceServers"`
		ICETransportPolicy string      `json:"iceTransportPolicy"`
		TTL                int         `json:"ttl"` // seconds
	}{servers, s.policy, int(ttl / time.Second)})
}

// writeError answers with an error's status and a JSON body {"code","message"}.
func (s *Server) writeError(w http.ResponseWriter, err error) {
	p := statusOf(err)
	if p.retryable() {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	if p.status == http.StatusUnauthorized {
		challenge := `Bearer realm="parley"`
		if p.code == CodeTokenExpired {
			challenge += `, error="invalid_token", error_description="expired"` // RFC 6750 section 3
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	writeJSON(w, p.status, struct {
		Code    Code   `json:"code"`
		Message string `json:"message"`
	}{p.code, p.message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal","message":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // who does not read the answer does not get it
}

// bearer returns the token of the Authorization header (RFC 6750 section 2.1), "" without one. It is never looked for in
// the URL or the body.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", refuse(CodeBadToken, "the Authorization header is not of the form Bearer <token>")
	}
	return strings.TrimSpace(token), nil
}

// hostOf is the name or address that the client used for us, without the port; "" if it is nothing that could be one,
// since it goes into headers and into URLs for the client.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if len(host) > 253 {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil && !strings.Contains(host, "%") {
		return host
	}
	for i := 0; i < len(host); i++ {
		b := host[i]
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '.' || b == '_') {
			return ""
		}
	}
	return host
}

// truncateAddress makes an address fit for a log: IPv4 to /24, IPv6 to /48.
func truncateAddress(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ""
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// headerHas reports whether a header that is a list of words has this one, without regard to case except for
// subprotocols, which are compared as they are.
func headerHas(h http.Header, name, word string) bool {
	for _, v := range h.Values(name) {
		for item := range strings.SplitSeq(v, ",") {
			item = strings.TrimSpace(item)
			if item == word || name != "Sec-WebSocket-Protocol" && strings.EqualFold(item, word) {
				return true
			}
		}
	}
	return false
}

// loginKey is where NewHTTPServer puts a connection's login function into the context.
type loginKey struct{}

func loginOf(ctx context.Context) func() {
	if f, ok := ctx.Value(loginKey{}).(func()); ok {
		return f
	}
	return func() {}
}

// tooLarge reports whether reading a body ended at its limit.
func tooLarge(err error) bool {
	var limit *http.MaxBytesError
	return errors.As(err, &limit)
}
