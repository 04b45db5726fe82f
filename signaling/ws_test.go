package signaling

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"parley/sfu"
)

func TestConversation(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		a, joined := h.join("kitchen", "  Ann ")
		if joined.Name != "Ann" || joined.Room != "kitchen" || joined.Resumed || joined.ResumeTTL != 30 || len(joined.Resume) != 32 ||
			!joined.CanPublish || !joined.CanSubscribe || joined.Admin || joined.Version != "test" || joined.ICETransportPolicy != "all" {
			t.Errorf("joined: %+v", joined)
		}
		if len(joined.Participants) != 1 || joined.Participants[0].ID != joined.Participant || joined.Participants[0].Kind != "browser" {
			t.Errorf("roster: %+v", joined.Participants)
		}
		if got := joined.ICEServers[1]; got.Username != "1:"+joined.Participant || got.URLs[0] != "turn:parley.test:3478?transport=udp" {
			t.Errorf("ICE servers: %+v", joined.ICEServers)
		}
		b, other := h.join("kitchen", "")
		if other.Name != "Guest" || len(other.Participants) != 2 {
			t.Errorf("second: %+v", other)
		}

		a.say(Offer{SDP: offerSDP})
		if got := hearAs[Answer](a); !strings.Contains(got.SDP, "answer") {
			t.Errorf("answer: %q", got.SDP)
		}
		a.raw(`{"type":"candidate","candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}`)
		a.raw(`{"type":"candidate","candidate":null}`)
		a.say(Ping{T: 12.5})
		if got := hearAs[Pong](a); got.T != 12.5 {
			t.Errorf("pong: %v", got)
		}
		if got := h.rooms.called("candidate"); len(got) != 2 || !strings.Contains(got[0], "typ host") || !strings.HasSuffix(got[1], `""`) {
			t.Errorf("candidates: %q", got)
		}
		a.say(MuteRequest{Muted: true})
		if got := hearAs[Muted](a); got != (Muted{true, "self"}) {
			t.Errorf("mute: %+v", got)
		}
		a.say(MuteRequest{Muted: true, Participant: other.Participant})
		if got := hearAs[Failure](a); got.Code != CodeForbidden || got.Re != "mute" || got.Fatal {
			t.Errorf("mute of another: %+v", got)
		}
		a.say(VolumeRequest{Participant: other.Participant, Volume: 0.5})
		a.raw(`{"type":"volume","participant":"x","volume":9}`)
		if got := hearAs[Failure](a); got.Code != CodeBadMessage || got.Re != "volume" || !strings.Contains(got.Message, "0 to 8") {
			t.Errorf("volume out of range: %+v", got)
		}
		if got := h.rooms.called("volume"); len(got) != 1 || !strings.HasSuffix(got[0], other.Participant+" 0.5") {
			t.Errorf("volumes: %q", got)
		}

		id := joined.Participant
		h.rooms.emit(id, sfu.OfferEvent{SDP: "v=0\r\n"})
		hearAs[Offer](a)
		a.say(Answer{SDP: "v=0\r\n"})
		h.rooms.emit(id, sfu.CandidateEvent{Candidate: sfu.Candidate{Candidate: "candidate:1"}})
		if got := hearAs[Candidate](a); got.Candidate != "candidate:1" {
			t.Errorf("candidate: %+v", got)
		}
		h.rooms.emit(id, sfu.ParticipantEvent{Change: sfu.ChangeJoined, Participant: sfu.ParticipantInfo{ID: other.Participant, Name: "Guest"}})
		if got := hearAs[ParticipantChange](a); got.Event != "joined" || got.Participant.Name != "Guest" {
			t.Errorf("participant: %+v", got)
		}
		h.rooms.emit(id, sfu.LevelsEvent{Levels: []sfu.Level{{Participant: id, LevelDBov: -31.26, Speaking: true}, {Participant: "x", LevelDBov: -500}}})
		if got := hearAs[Levels](a); got.Levels[0] != (Level{id, -31.3, true}) || got.Levels[1].Level != -127 {
			t.Errorf("levels: %+v", got)
		}
		h.rooms.emit(id, sfu.QualityEvent{Qualities: []sfu.Quality{{Participant: id, Score: 4}}})
		hearAs[Quality](a)
		var stats sfu.StatsEvent
		stats.Stats.Up.PacketsReceived = 7
		h.rooms.emit(id, stats)
		if got := hearAs[MediaStats](a); got.Up.PacketsReceived != 7 {
			t.Errorf("stats: %+v", got)
		}
		b.say(ChatRequest{Text: "<b>hi</b>"})
		if got := hearAs[ChatLine](a); got.Text != "<b>hi</b>" || got.Name != "Guest" || got.From != other.Participant || !got.At.Equal(time.Now()) {
			t.Errorf("chat: %+v", got)
		}
		hearAs[ChatLine](b)

		a.say(Leave{})
		if got := hearAs[Bye](a); got.Reason != "left" {
			t.Errorf("bye: %+v", got)
		}
		if code, _ := a.closed(); code != websocket.StatusNormalClosure {
			t.Errorf("close code %d", code)
		}
		synctest.Wait()
		if got := h.rooms.ids("kitchen"); !slices.Equal(got, []string{other.Participant}) {
			t.Errorf("left in the room: %v", got)
		}
	})
}

// Nobody opens another's microphone, admin or not.
func TestAdminMutes(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		boss := h.dial()
		boss.say(Join{Room: "kitchen", Token: h.token("boss", "kitchen", Grants{Publish: true, Subscribe: true, Admin: true})})
		if got := hearAs[Joined](boss); !got.Admin || got.Participant != "boss" {
			t.Fatalf("%+v", got)
		}
		ann := h.dial()
		ann.say(Join{Room: "kitchen", Token: h.token("ann", "kitchen", Grants{Publish: true})})
		if got := hearAs[Joined](ann); got.CanSubscribe {
			t.Errorf("%+v", got)
		}
		boss.say(MuteRequest{Muted: true, Participant: "ann"})
		if got := hearAs[Muted](ann); got != (Muted{true, "boss"}) {
			t.Errorf("%+v", got)
		}
		boss.say(MuteRequest{Muted: false, Participant: "ann"})
		if got := hearAs[Failure](boss); got.Code != CodeForbidden {
			t.Errorf("%+v", got)
		}
	})
}

func TestRefusedJoins(t *testing.T) {
	for _, c := range []struct {
		name  string
		first string
		err   error
		code  Code
		close websocket.StatusCode
	}{
		{"no json", `{`, nil, CodeBadMessage, 1008},
		{"not a join", `{"type":"leave"}`, nil, CodeNotJoined, 1008},
		{"unknown type", `{"type":"fly"}`, nil, CodeUnknownType, 1008},
		{"bad room", `{"type":"join","room":"a/b","name":"x"}`, nil, CodeBadRoom, CloseByServer},
		{"bad name", `{"type":"join","room":"a","name":"x\u202ey"}`, nil, CodeBadName, CloseByServer},
		{"room full", `{"type":"join","room":"a","name":"x"}`, sfu.ErrRoomFull, CodeRoomFull, CloseByServer},
		{"server full", `{"type":"join","room":"a","name":"x"}`, sfu.ErrServerFull, CodeServerFull, CloseByServer},
		{"node drains", `{"type":"join","room":"a","name":"x"}`, sfu.ErrDraining, CodeDraining, 1001},
		{"internal", `{"type":"join","room":"a","name":"x"}`, fmt.Errorf("secret path /etc/x"), CodeInternal, CloseByServer},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				h.rooms.joinErr = c.err
				p := h.dial()
				p.raw(c.first)
				code, seen := p.closed()
				if code != c.close {
					t.Errorf("close code %d, want %d", code, c.close)
				}
				f, _ := seen[len(seen)-1].(Failure)
				if f.Code != c.code || !f.Fatal || strings.Contains(f.Message, "/etc") {
					t.Errorf("got %+v, want %s", seen, c.code)
				}
				synctest.Wait()
				if s := h.server.Stats(); s.Sockets != 0 || s.Sessions != 0 {
					t.Errorf("left over: %+v", s)
				}
			})
		})
	}
}

// What is wrong after the join costs an error and nothing more.
func TestErrorsInCall(t *testing.T) {
	big := strings.Repeat("a=x\r\n", 1001)
	for _, c := range []struct {
		name, message string
		code          Code
		re            string
	}{
		{"second join", `{"type":"join","room":"a","name":"x"}`, CodeAlreadyJoined, "join"},
		{"unknown type", `{"type":"fly"}`, CodeUnknownType, ""},
		{"no type", `{"sdp":"x"}`, CodeBadMessage, ""},
		{"missing field", `{"type":"offer"}`, CodeBadMessage, "offer"},
		{"unknown field", `{"type":"leave","now":true}`, CodeBadMessage, "leave"},
		{"wrong type", `{"type":"mute","muted":"yes"}`, CodeBadMessage, "mute"},
		{"bad sdp", `{"type":"offer","sdp":"hello"}`, CodeBadSDP, "offer"},
		{"too many lines", `{"type":"offer","sdp":` + quote("v=0\r\n"+big) + `}`, CodeTooManyLines, "offer"},
		{"answer without offer", `{"type":"answer","sdp":"v=0\r\n"}`, CodeBadSDP, "answer"},
		{"bad candidate", `{"type":"candidate","candidate":"a\r\nb"}`, CodeBadCandidate, "candidate"},
		{"candidate refused", `{"type":"candidate","candidate":"candidate:x"}`, CodeBadCandidate, "candidate"},
		{"empty chat", `{"type":"chat","text":"  "}`, CodeBadMessage, "chat"},
		{"nobody to mute", `{"type":"mute","muted":true,"participant":"x"}`, CodeForbidden, "mute"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				h.rooms.answerErr, h.rooms.candidateErr = sfu.ErrNoOffer, fmt.Errorf("line 3: %w", sfu.ErrBadCandidate)
				p, _ := h.join("a", "x")
				p.raw(c.message)
				if got := hearAs[Failure](p); got.Code != c.code || got.Re != c.re || got.Fatal || got.Message == "" {
					t.Errorf("got %+v, want %s re %q", got, c.code, c.re)
				}
				p.say(Ping{T: 1})
				hearAs[Pong](p)
			})
		})
	}
}

// The server is the impolite peer: it says nothing about an offer that collides with its own.
func TestGlareIsIgnored(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		h.rooms.offerErr = sfu.ErrGlare
		p, _ := h.join("a", "x")
		p.say(Offer{SDP: offerSDP})
		p.say(Ping{T: 1})
		hearAs[Pong](p)
	})
}

func TestOfferAndCandidateLimits(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, _ := h.join("a", "x")
		limited := 0
		for range offerBurst + 3 {
			p.say(Offer{SDP: offerSDP})
			if f, ok := p.hear().(Failure); ok && f.Code == CodeRateLimited && !f.Fatal {
				limited++
			}
		}
		if limited != 3 {
			t.Errorf("%d of %d offers were refused, want 3", limited, offerBurst+3)
		}
		time.Sleep(2 * time.Second) // virtual: the message limiter
		for i := range MaxSDPCandidates + 1 {
			p.say(Candidate{Candidate: fmt.Sprint("candidate:", i)})
		}
		if got := hearAs[Failure](p); got.Code != CodeTooManyCandidates {
			t.Errorf("%+v", got)
		}
		if got := len(h.rooms.called("candidate")); got != MaxSDPCandidates {
			t.Errorf("%d candidates went through, want %d", got, MaxSDPCandidates)
		}
		for range chatBurst {
			p.say(ChatRequest{Text: "x"})
			hearAs[ChatLine](p)
		}
		p.say(ChatRequest{Text: "x"})
		if got := hearAs[Failure](p); got.Code != CodeRateLimited || got.Fatal {
			t.Errorf("%+v", got)
		}
	})
}

// S-08: who is not our page or a listed one gets 403.
func TestOrigins(t *testing.T) {
	const host = "parley.example:8443"
	for _, c := range []struct {
		name    string
		origins []string
		ok      bool
	}{
		{"same host", []string{"https://parley.example:8443"}, true},
		{"same host in capitals", []string{"https://PARLEY.example:8443"}, true},
		{"listed", []string{"https://app.example"}, true},
		{"listed with its default port", []string{"https://app.example:443"}, true},

		{"missing", nil, false},
		{"empty", []string{""}, false},
		{"null", []string{"null"}, false},
		{"other", []string{"https://evil.example"}, false},
		{"same name, other port", []string{"https://parley.example"}, false},
		{"suffix", []string{"https://parley.example:8443.evil.example"}, false},
		{"listed as prefix", []string{"https://app.example.evil"}, false},
		{"listed, other scheme", []string{"http://app.example"}, false},
		{"listed, other port", []string{"https://app.example:8443"}, false},
		{"user", []string{"https://parley.example:8443@evil.example"}, false},
		{"path", []string{"https://parley.example:8443/x"}, false},
		{"subdomain of listed", []string{"https://x.app.example"}, false},
		{"two", []string{"https://parley.example:8443", "https://evil.example"}, false},
		{"scheme of a file", []string{"file://parley.example:8443"}, false},
		{"wildcard", []string{"*"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				headers := []string{"Host", host, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
					"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol", Subprotocol}
				for _, o := range c.origins {
					headers = append(headers, "Origin", o)
				}
				req, _ := http.NewRequest("GET", "http://"+host+"/ws", nil)
				for i := 2; i < len(headers); i += 2 {
					req.Header.Add(headers[i], headers[i+1])
				}
				res, err := h.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				want := http.StatusForbidden
				if c.ok {
					want = http.StatusSwitchingProtocols
				}
				if res.StatusCode != want {
					t.Errorf("Origin %q: %d, want %d", c.origins, res.StatusCode, want)
				}
			})
		})
	}
}

func TestUpgradeRefusals(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		up := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Origin", testOrigin}
		if res := h.request("GET", "/ws", ""); res.StatusCode != 426 || res.Header.Get("Upgrade") != "websocket" {
			t.Errorf("no upgrade: %d", res.StatusCode)
		}
		if res := h.request("GET", "/ws", "", up...); res.StatusCode != 400 || !strings.Contains(text(res), "bad_request") {
			t.Errorf("no subprotocol: %d %s", res.StatusCode, text(res))
		}
		if res := h.request("GET", "/ws", "", append(up, "Sec-WebSocket-Protocol", "PARLEY.V1, other")...); res.StatusCode != 400 {
			t.Errorf("other subprotocol: %d", res.StatusCode)
		}
		if res := h.request("POST", "/ws", ""); res.StatusCode != 405 || res.Header.Get("Allow") != "GET" {
			t.Errorf("POST: %d %q", res.StatusCode, res.Header.Get("Allow"))
		}
	})
}

// The node may remove a participant at any time.
func TestClosedByNode(t *testing.T) {
	for reason, code := range map[string]websocket.StatusCode{
		sfu.ReasonKicked: CloseByServer, sfu.ReasonTimeout: CloseByServer, sfu.ReasonRoomError: CloseByServer,
		sfu.ReasonReplaced: CloseReplaced, sfu.ReasonDraining: websocket.StatusGoingAway,
	} {
		t.Run(reason, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				p, j := h.join("a", "x")
				h.rooms.kick(j.Participant, reason)
				got, seen := p.closed()
				if got != code || len(seen) != 1 {
					t.Fatalf("close %d after %+v, want %d", got, seen, code)
				}
				bye := seen[0].(Bye)
				if bye.Reason != reason || (bye.RetryAfterMs > 0) != (reason == sfu.ReasonDraining) {
					t.Errorf("%+v", bye)
				}
				again := h.dial()
				again.say(Join{Room: "a", Resume: j.Resume})
				if f := hearAs[Failure](again); f.Code != CodeResumeFailed || f.Fatal {
					t.Errorf("%+v", f)
				}
			})
		})
	}
}

func TestDrain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, _ := h.join("a", "x")
		res := h.post("/whip/a", offerSDP)
		if res.StatusCode != 201 || len(h.rooms.ids("a")) != 2 {
			t.Fatalf("%d %v", res.StatusCode, h.rooms.ids("a"))
		}
		if res := h.request("GET", "/readyz", ""); res.StatusCode != 200 {
			t.Errorf("readyz before: %d", res.StatusCode)
		}
		done := make(chan struct{})
		go func() { h.server.Drain(context.Background()); close(done) }() // waited for below
		code, seen := p.closed()
		if bye, _ := seen[0].(Bye); code != websocket.StatusGoingAway || bye.Reason != "draining" || bye.RetryAfterMs < 1000 {
			t.Errorf("%d %+v", code, seen)
		}
		<-done
		if ids := h.rooms.ids("a"); len(ids) != 0 {
			t.Errorf("still there: %v", ids)
		}
		if res := h.request("GET", "/readyz", ""); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(text(res), `"draining"`) {
			t.Errorf("readyz: %d %s", res.StatusCode, text(res))
		}
		if res := h.request("GET", "/healthz", ""); res.StatusCode != 200 {
			t.Errorf("healthz: %d", res.StatusCode)
		}
		if res := h.post("/whip/a", offerSDP); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("POST: %d", res.StatusCode)
		}
		late := h.dial()
		late.say(Join{Room: "a"})
		code, seen = late.closed()
		if bye, _ := seen[0].(Bye); code != websocket.StatusGoingAway || bye.RetryAfterMs == 0 || seen[1].(Failure).Code != CodeDraining {
			t.Errorf("late: %d %+v", code, seen)
		}
	})
}

// Who is just joining when the server begins to drain does not stay behind.
func TestDrainDuringJoin(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		hold := make(chan struct{})
		h.rooms.onJoin = func() { <-hold }
		p := h.dial()
		p.say(Join{Room: "a", Token: h.token("ann", "a", full)})
		synctest.Wait()
		done := make(chan struct{})
		go func() { h.server.Drain(context.Background()); close(done) }() // waited for below
		synctest.Wait()
		close(hold)
		code, seen := p.closed()
		if f, _ := seen[len(seen)-1].(Failure); code != websocket.StatusGoingAway || f.Code != CodeDraining {
			t.Errorf("%d %+v", code, seen)
		}
		<-done
		if got := h.rooms.called("leave"); len(got) != 1 || len(h.rooms.ids("a")) != 0 {
			t.Errorf("%v, still there: %v", got, h.rooms.ids("a"))
		}
		if s := h.server.Stats(); s.Sessions != 0 || s.Sockets != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Drain returns when its context ends, even if a client does not answer the close frame.
func TestDrainIsBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p := h.dialRaw()
		if err := p.frame(0x81, `{"type":"join","room":"a","name":"x"}`); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // nobody reads
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		h.server.Drain(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(20 * time.Second) // virtual
		if n := h.server.Stats().Sockets; n != 0 {
			t.Errorf("%d sockets left", n)
		}
	})
}

func quote(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`, `"`, `\"`).Replace(s) + `"`
}
