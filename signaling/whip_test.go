package signaling

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/sfu"
)

const fragmentBody = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
	"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n"

var restartBody = strings.ReplaceAll(strings.ReplaceAll(fragmentBody, "abcd", "efgh"), "0123456789012345678901", "abcdefghijklmnopqrstuv")

func (h *harness) patch(url, etag, body string, headers ...string) *http.Response {
	h.t.Helper()
	headers = append(headers, "Content-Type", typeFragment)
	if etag != "" {
		headers = append(headers, "If-Match", etag)
	}
	return h.request("PATCH", url, body, headers...)
}

// RFC 9725 from POST to DELETE, for WHIP and WHEP.
func TestWHIPLife(t *testing.T) {
	for _, kind := range []whipKind{whip, whep} {
		t.Run(kind.path, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				res := h.post(kind.path+"K%C3%BCche?name=Robo", offerSDP, "Accept", "application/sdp")
				if res.StatusCode != 201 || res.Header.Get("Content-Type") != "application/sdp" || !strings.Contains(text(res), "s=answer") {
					t.Fatalf("%d %v %s", res.StatusCode, res.Header, text(res))
				}
				url, etag := res.Header.Get("Location"), res.Header.Get("ETag")
				if !strings.HasPrefix(url, kind.path+"K%C3%BCche/") || len(url) != len(kind.path+"K%C3%BCche/")+32 {
					t.Errorf("Location %q", url)
				}
				if len(etag) != 34 || etag[0] != '"' || res.Header.Get("Accept-Patch") != typeFragment {
					t.Errorf("ETag %q, Accept-Patch %q", etag, res.Header.Get("Accept-Patch"))
				}
				id := h.rooms.ids("Küche")[0]
				wantLinks := []string{`<stun:parley.test:3478>; rel="ice-server"`,
					`<turn:parley.test:3478?transport=udp>; rel="ice-server"; username="1:` + id + `"; credential="pa\"ss"; credential-type="password"`,
					`<turns:parley.test:5349>; rel="ice-server"; username="1:` + id + `"; credential="pa\"ss"; credential-type="password"`}
				if got := res.Header.Values("Link"); !slices.Equal(got, wantLinks) {
					t.Errorf("Link:\n%s", strings.Join(got, "\n"))
				}
				req := h.rooms.members[id].req
				if req.Kind != kind.kind || req.Name != "Robo" || req.Publish != (kind.kind == sfu.KindWHIP) || !req.Subscribe {
					t.Errorf("%+v", req)
				}
				if got := h.rooms.attached(id); !slices.Equal(got, []bool{false}) {
					t.Errorf("attached: %v", got)
				}

				if res := h.patch(url, etag, fragmentBody); res.StatusCode != 204 || text(res) != "" {
					t.Errorf("trickle: %d %s", res.StatusCode, text(res))
				}
				if got := h.rooms.called("candidate"); len(got) != 2 || !strings.HasSuffix(got[1], `""`) {
					t.Errorf("%v", got)
				}
				res = h.patch(url, "*", restartBody)
				if res.StatusCode != 200 || res.Header.Get("Content-Type") != typeFragment || !strings.Contains(text(res), "a=ice-ufrag:srv1") {
					t.Errorf("restart: %d %s", res.StatusCode, text(res))
				}
				next := res.Header.Get("ETag")
				if next == etag || len(next) != 34 {
					t.Errorf("ETag after restart %q", next)
				}
				if res := h.patch(url, etag, restartBody); res.StatusCode != 412 {
					t.Errorf("old ETag: %d", res.StatusCode)
				}
				if res := h.patch(url, next, restartBody); res.StatusCode != 204 {
					t.Errorf("new ETag: %d", res.StatusCode)
				}
				if res := h.patch(url, "*", restartBody); res.StatusCode != 204 { // nothing new: no second restart
					t.Errorf("restart again: %d", res.StatusCode)
				}
				if got := h.rooms.called("restart"); len(got) != 1 || !strings.Contains(got[0], "efgh 1") {
					t.Errorf("%v", got)
				}

				if res := h.request("DELETE", url, ""); res.StatusCode != 200 {
					t.Errorf("DELETE: %d", res.StatusCode)
				}
				if len(h.rooms.ids("Küche")) != 0 {
					t.Error("still there")
				}
				if res := h.request("DELETE", url, ""); res.StatusCode != 404 {
					t.Errorf("second DELETE: %d", res.StatusCode)
				}
				if res := h.patch(url, next, fragmentBody); res.StatusCode != 404 {
					t.Errorf("PATCH after: %d", res.StatusCode)
				}
			})
		})
	}
}

func TestWHIPStatusCodes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		res := h.post("/whip/a", offerSDP)
		url, etag := res.Header.Get("Location"), res.Header.Get("ETag")
		typed := func(t string) []string { return []string{"Content-Type", t} }
		for _, c := range []struct {
			name, method, path, body string
			headers                  []string
			status                   int
			code                     Code
			allow                    string
		}{
			{"GET endpoint", "GET", "/whip/a", "", nil, 405, CodeMethodNotAllowed, "OPTIONS, POST"},
			{"HEAD endpoint", "HEAD", "/whip/a", "", nil, 405, "", "OPTIONS, POST"},
			{"PUT endpoint", "PUT", "/whep/a", "", nil, 405, CodeMethodNotAllowed, "OPTIONS, POST"},
			{"DELETE endpoint", "DELETE", "/whip/a", "", nil, 405, CodeMethodNotAllowed, "OPTIONS, POST"},
			{"POST session", "POST", url, offerSDP, typed(typeSDP), 405, CodeMethodNotAllowed, "DELETE, OPTIONS, PATCH"},
			{"GET session", "GET", url, "", nil, 405, CodeMethodNotAllowed, "DELETE, OPTIONS, PATCH"},
			{"JSON", "POST", "/whip/a", `{"sdp":""}`, typed("application/json"), 415, CodeUnsupportedMediaType, ""},
			{"no type", "POST", "/whip/a", offerSDP, nil, 415, CodeUnsupportedMediaType, ""},
			{"form", "POST", "/whip/a", offerSDP, typed("text/plain"), 415, CodeUnsupportedMediaType, ""},
			{"type with parameter", "POST", "/whip/a", "x", typed("Application/SDP; charset=utf-8"), 400, CodeBadSDP, ""},
			{"Accept JSON", "POST", "/whip/a", offerSDP, append(typed(typeSDP), "Accept", "application/json, text/*"), 406, CodeNotAcceptable, ""},
			{"Accept none of it", "POST", "/whip/a", offerSDP, append(typed(typeSDP), "Accept", "application/sdp;q=0"), 406, CodeNotAcceptable, ""},
			{"bad room", "POST", "/whip/a%20b", offerSDP, typed(typeSDP), 400, CodeBadRoom, ""},
			{"slash in room", "POST", "/whip/a%2Fb", offerSDP, typed(typeSDP), 400, CodeBadRoom, ""},
			{"bad name", "POST", "/whip/a?name=%0a%1b", offerSDP, typed(typeSDP), 400, CodeBadName, ""},
			{"no SDP", "POST", "/whip/a", "", typed(typeSDP), 400, CodeBadSDP, ""},
			{"no such session", "DELETE", "/whip/a/" + strings.Repeat("0", 32), "", nil, 404, CodeNotFound, ""},
			{"other room", "DELETE", strings.Replace(url, "/a/", "/b/", 1), "", nil, 404, CodeNotFound, ""},
			{"other kind", "DELETE", strings.Replace(url, "/whip/", "/whep/", 1), "", nil, 404, CodeNotFound, ""},
			{"PATCH without If-Match", "PATCH", url, fragmentBody, typed(typeFragment), 428, CodePreconditionRequired, ""},
			{"PATCH with SDP", "PATCH", url, offerSDP, append(typed(typeSDP), "If-Match", etag), 415, CodeUnsupportedMediaType, ""},
			{"PATCH with other ETag", "PATCH", url, fragmentBody, append(typed(typeFragment), "If-Match", `"x"`), 412, CodePreconditionFailed, ""},
			{"PATCH with weak ETag", "PATCH", url, fragmentBody, append(typed(typeFragment), "If-Match", "W/"+etag), 412, CodePreconditionFailed, ""},
			{"PATCH with other credentials", "PATCH", url, restartBody, append(typed(typeFragment), "If-Match", etag), 412, CodePreconditionFailed, ""},
			{"PATCH with bare text", "PATCH", url, "hello", append(typed(typeFragment), "If-Match", etag), 400, CodeBadSDP, ""},
			{"PATCH with list", "PATCH", url, fragmentBody, append(typed(typeFragment), "If-Match", `"x", `+etag), 204, "", ""},
			{"restart without credentials", "PATCH", url, "a=mid:0\r\n", append(typed(typeFragment), "If-Match", "*"), 400, CodeBadSDP, ""},
			{"DELETE with other ETag", "DELETE", url, "", []string{"If-Match", `"x"`}, 412, CodePreconditionFailed, ""},
			{"nothing there", "GET", "/whip/", "", nil, 404, CodeNotFound, ""},
			{"too deep", "POST", url + "/x", offerSDP, typed(typeSDP), 404, CodeNotFound, ""},
			{"api", "GET", "/api/v1/nothing", "", nil, 404, CodeNotFound, ""},
		} {
			res := h.request(c.method, c.path, c.body, c.headers...)
			if res.StatusCode != c.status || c.code != "" && !strings.Contains(text(res), `"code":"`+string(c.code)+`"`) || res.Header.Get("Allow") != c.allow {
				t.Errorf("%s: %d %q %s, want %d %q %s", c.name, res.StatusCode, res.Header.Get("Allow"), text(res), c.status, c.allow, c.code)
			}
		}
		if len(h.rooms.ids("a")) != 1 {
			t.Errorf("participants: %v", h.rooms.ids("a"))
		}
	})
}

// What the node refuses, and that nobody stays behind then.
func TestWHIPNodeErrors(t *testing.T) {
	for _, c := range []struct {
		join, offer error
		status      int
		code        Code
	}{
		{sfu.ErrRoomFull, nil, 503, CodeRoomFull},
		{sfu.ErrServerFull, nil, 503, CodeServerFull},
		{fmt.Errorf("join: %w", sfu.ErrDraining), nil, 503, CodeDraining},
		{sfu.ErrForbidden, nil, 403, CodeForbidden},
		{nil, fmt.Errorf("m-line 2: %w", sfu.ErrBadSDP), 400, CodeBadSDP},
		{nil, sfu.ErrNoAudio, 422, CodeNoAudio},
		{nil, sfu.ErrNoCommonCodec, 406, CodeNoCommonCodec},
		{nil, sfu.ErrGlare, 406, CodeGlare},
		{nil, sfu.ErrTooManyCandidates, 422, CodeTooManyCandidates},
		{nil, sfu.ErrBadCandidate, 400, CodeBadCandidate},
		{nil, context.DeadlineExceeded, 503, CodeInternal},
		{nil, errors.New("open /secret: no"), 500, CodeInternal},
	} {
		t.Run(fmt.Sprint(c.join, c.offer), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				h.rooms.joinErr, h.rooms.offerErr = c.join, c.offer
				res := h.post("/whip/a", offerSDP)
				if res.StatusCode != c.status || !strings.Contains(text(res), `"`+string(c.code)+`"`) || strings.Contains(text(res), "secret") {
					t.Errorf("%d %s, want %d %s", res.StatusCode, text(res), c.status, c.code)
				}
				if (res.StatusCode == 503) != (res.Header.Get("Retry-After") == "5") {
					t.Errorf("%d with Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
				}
				if len(h.rooms.ids("a")) != 0 || h.server.Stats().WHIPSessions != 0 {
					t.Errorf("left behind: %v", h.rooms.ids("a"))
				}
			})
		})
	}
}

// S-13: what belongs to others cannot be ended or changed, and one identity has four sessions at most.
func TestWHIPBelongsToItsMaker(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		auth := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
		ann, bob := h.token("ann", "a", full), h.token("bob", "a", full)
		res := h.post("/whip/a", offerSDP, auth(ann)...)
		url, etag := res.Header.Get("Location"), res.Header.Get("ETag")
		if id := h.rooms.ids("a")[0]; !strings.HasPrefix(id, "ann~") || len(id) != 12 {
			t.Errorf("participant %q", id)
		}
		for name, c := range map[string]struct {
			headers []string
			status  int
		}{
			"nobody":              {nil, 401},
			"bad token":           {auth("x.y.z"), 401},
			"somebody else":       {auth(bob), 404},
			"same in other room":  {auth(h.token("ann", "b", full)), 401},
			"somebody and a star": {append(auth(bob), "If-Match", "*"), 404},
		} {
			if res := h.request("DELETE", url, "", c.headers...); res.StatusCode != c.status {
				t.Errorf("DELETE by %s: %d, want %d", name, res.StatusCode, c.status)
			}
			if res := h.patch(url, etag, fragmentBody, c.headers...); res.StatusCode != c.status {
				t.Errorf("PATCH by %s: %d, want %d", name, res.StatusCode, c.status)
			}
		}
		// A guess looks like any other miss.
		miss := h.request("DELETE", "/whip/a/"+strings.Repeat("f", 32), "", auth(bob)...)
		theirs := h.request("DELETE", url, "", auth(bob)...)
		if miss.StatusCode != theirs.StatusCode || text(miss) != text(theirs) {
			t.Errorf("a miss is %d %s, a foreign session %d %s", miss.StatusCode, text(miss), theirs.StatusCode, text(theirs))
		}
		if got := h.rooms.called("leave"); len(got) != 0 {
			t.Errorf("%v", got)
		}

		made := 1
		for range 1000 {
			if h.post("/whep/a", offerSDP, auth(ann)...).StatusCode == 201 {
				made++
			}
		}
		if made != maxSessionsPerSubject || len(h.rooms.ids("a")) != maxSessionsPerSubject {
			t.Errorf("%d sessions, %v", made, h.rooms.ids("a"))
		}
		if res := h.post("/whip/a", offerSDP, auth(ann)...); res.StatusCode != 409 || !strings.Contains(text(res), `"too_many_sessions"`) {
			t.Errorf("fifth: %d %s", res.StatusCode, text(res))
		}
		if res := h.post("/whip/a", offerSDP, auth(bob)...); res.StatusCode != 201 {
			t.Errorf("bob: %d", res.StatusCode)
		}
		// A place that is free again can be taken: by DELETE with another good token, and when ICE has failed.
		time.Sleep(2 * time.Second) // virtual: another iat, another token
		if res := h.request("DELETE", url, "", auth(h.token("ann", "a", full))...); res.StatusCode != 200 {
			t.Errorf("own DELETE: %d", res.StatusCode)
		}
		if res := h.post("/whip/a", offerSDP, auth(ann)...); res.StatusCode != 201 {
			t.Errorf("after DELETE: %d", res.StatusCode)
		}
		h.rooms.kick(h.rooms.ids("a")[0], sfu.ReasonTimeout)
		res = h.post("/whip/a", offerSDP, auth(ann)...)
		if res.StatusCode != 201 {
			t.Errorf("after a timeout: %d", res.StatusCode)
		}
		// The token may expire during the session: its maker goes on, nobody else begins.
		time.Sleep(2 * time.Hour) // virtual
		url, etag = res.Header.Get("Location"), res.Header.Get("ETag")
		if res := h.patch(url, etag, fragmentBody, auth(ann)...); res.StatusCode != 204 {
			t.Errorf("PATCH with the expired token: %d", res.StatusCode)
		}
		if res := h.request("DELETE", url, "", auth(bob)...); res.StatusCode != 401 {
			t.Errorf("DELETE with another's expired token: %d", res.StatusCode)
		}
		if res := h.post("/whip/a", offerSDP, auth(ann)...); res.StatusCode != 401 {
			t.Errorf("POST with the expired token: %d", res.StatusCode)
		}
		if res := h.request("DELETE", url, "", auth(ann)...); res.StatusCode != 200 {
			t.Errorf("DELETE with the expired token: %d", res.StatusCode)
		}
	})
}

// The node may be done with a session before it is entered, and while it is used.
func TestWHIPEndsEarly(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		token := []string{"Authorization", "Bearer " + h.token("ann", "a", full)}
		h.rooms.offerErr = sfu.ErrNoAudio
		for range 2 * maxSessionsPerSubject { // those that failed do not count
			if res := h.post("/whip/a", offerSDP, token...); res.StatusCode != 422 {
				t.Errorf("%d", res.StatusCode)
			}
		}
		h.rooms.offerErr, h.rooms.joinErr = nil, sfu.ErrRoomFull
		for range 2 * maxSessionsPerSubject {
			if res := h.post("/whip/a", offerSDP, token...); res.StatusCode != 503 {
				t.Errorf("%d", res.StatusCode)
			}
		}
		h.rooms.joinErr = nil
		h.rooms.onOffer = func(p string) {
			h.rooms.emit(p, sfu.ClosedEvent{Reason: sfu.ReasonTimeout})
		}
		if res := h.post("/whip/a", offerSDP, token...); res.StatusCode != 503 {
			t.Errorf("%d", res.StatusCode)
		}
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		if len(h.server.whips) != 0 || len(h.server.subjects) != 0 {
			t.Errorf("left: %d sessions, %v", len(h.server.whips), h.server.subjects)
		}
	})
}

func TestTrickleLimit(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		res := h.post("/whip/a", offerSDP)
		url, etag := res.Header.Get("Location"), res.Header.Get("ETag")
		for i := range MaxSDPCandidates {
			if res := h.patch(url, etag, fragmentBody); res.StatusCode != 204 {
				t.Fatalf("%d: %d", i, res.StatusCode)
			}
		}
		if res := h.patch(url, etag, fragmentBody); res.StatusCode != 422 || !strings.Contains(text(res), "MaxSDPCandidates") {
			t.Errorf("%d %s", res.StatusCode, text(res))
		}
	})
}

// S-09: only listed origins are told that they may, and none that it may with credentials.
func TestCORS(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		for _, path := range []string{"/whip/a", "/whep/a", "/whip/a/" + strings.Repeat("0", 32), "/api/v1/ice"} {
			for origin, ok := range map[string]bool{
				"https://app.example": true, "https://evil.example": false, "null": false, "http://app.example": false, "https://app.example.evil": false, "": false,
			} {
				res := h.request("OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "POST")
				want := ""
				if ok {
					want = origin
				}
				if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != want || res.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s from %q: %d %v", path, origin, res.StatusCode, res.Header)
				}
				if ok != strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "If-Match") || !slices.Contains(res.Header.Values("Vary"), "Origin") {
					t.Errorf("%s from %q: %v", path, origin, res.Header)
				}
			}
		}
		res := h.post("/whip/a", offerSDP, "Origin", "https://app.example")
		if res.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "Location") {
			t.Errorf("%v", res.Header)
		}
		if res := h.request("OPTIONS", "/whip/a", ""); res.Header.Get("Accept-Post") != typeSDP || res.Header.Get("Allow") != "OPTIONS, POST" {
			t.Errorf("%v", res.Header)
		}
		if res := h.request("OPTIONS", "/ws", "", "Origin", "https://app.example"); res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("/ws: %v", res.Header)
		}
	})
	for _, bad := range []string{"*", "https://*.example", "null", "app.example", "https://app.example/x", "ftp://x", ""} {
		if _, err := New(Config{Rooms: newFakeRooms(), Origins: []string{bad}}); err == nil {
			t.Errorf("origin %q was accepted", bad)
		}
	}
}

// the headers are on every answer, and the pages are the static handler's.
func TestSecurityHeadersAndPages(t *testing.T) {
	static := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) })
	inBubble(t, func(c *Config) {
		c.Static = static
		c.ICE = nil
		c.Ready = func() error { return errors.New("no node") }
	}, func(t *testing.T, h *harness) {
		for _, path := range []string{"/", "/r/kitchen", "/app.js", "/ws", "/whip/a", "/api/v1/ice", "/healthz", "/readyz", "/api/x"} {
			res := h.request("GET", path, "")
			if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") != "no-referrer" ||
				!strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || res.Header.Get("Permissions-Policy") == "" {
				t.Errorf("%s: %v", path, res.Header)
			}
			if strings.Contains(res.Header.Get("Content-Security-Policy"), "unsafe") {
				t.Errorf("%s: %s", path, res.Header.Get("Content-Security-Policy"))
			}
		}
		if res := h.request("GET", "/r/kitchen", ""); text(res) != "page /r/kitchen" {
			t.Errorf("%s", text(res))
		}
		if res := h.request("GET", "/api/v1/ice", ""); strings.TrimSpace(text(res)) != `{"iceServers":[],"iceTransportPolicy":"all","ttl":0}` {
			t.Errorf("%s", text(res))
		}
		if res := h.request("GET", "/readyz", ""); res.StatusCode != 503 || !strings.Contains(text(res), "no node") {
			t.Errorf("%d %s", res.StatusCode, text(res))
		}
	})
}

// A Host that could do harm in a header or a URL goes no further.
func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"parley.test": "parley.test", "parley.test:8443": "parley.test", "192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:8443": "2001:db8::1",
		"[2001:db8::1]": "2001:db8::1", "a\"b": "", "a>b:80": "", "": "", "[fe80::1%eth0]:80": "", strings.Repeat("a", 300): "", "a:b:c": "",
	} {
		if got := hostOf(&http.Request{Host: in}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// S-02: what comes slowly is cut off: headers after 5 s, a body after 15 s.
func TestSlowloris(t *testing.T) {
	for name, c := range map[string]struct {
		head  string
		after time.Duration
	}{
		"headers": {"GET / HTTP/1.1\r\nHost: x\r\nX: ", 5 * time.Second},
		"body":    {"POST /whip/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\n", 15 * time.Second},
		"nothing": {"", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				conn, err := h.ln.dial(context.Background(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				began := time.Now()
				gone := make(chan time.Duration, 1)
				go func() { // ends with the connection
					_, _ = io.Copy(io.Discard, conn)
					gone <- time.Since(began)
				}()
				_, err = io.WriteString(conn, c.head)
				for err == nil {
					time.Sleep(time.Second) // virtual
					if c.head != "" {
						_, err = io.WriteString(conn, "x")
					} else if time.Since(began) > time.Minute {
						break
					}
				}
				if took := <-gone; took > c.after+2*time.Second || took < c.after-time.Second {
					t.Errorf("cut off after %v, want %v", took, c.after)
				}
			})
		})
	}
}

// 20 KiB of headers get 431.
func TestLongHeaders(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		conn, err := h.ln.dial(context.Background(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() { // ends with the connection
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 20<<10)+"\r\n\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v %v", res, err)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}
