package signaling

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"parley/sfu"
)

// cut loses the socket as a network does: no close frame.
func (p *peer) cut() { _ = p.ws.CloseNow() }

func (h *harness) resume(room, secret string) *peer {
	h.t.Helper()
	p := h.dial()
	p.say(Join{Room: room, Resume: secret})
	return p
}

func TestResume(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, first := h.join("a", "Ann")
		id := first.Participant
		p.cut()
		synctest.Wait()
		if got := h.rooms.attached(id); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("attached: %v", got)
		}
		if s := h.server.Stats(); s.Sessions != 1 || s.Detached != 1 || s.Sockets != 0 {
			t.Errorf("%+v", s)
		}

		// What happens meanwhile: the roster takes the place of changes, levels are of the moment, chat and mute wait.
		h.rooms.emit(id, sfu.ParticipantEvent{Change: sfu.ChangeLeft, Participant: sfu.ParticipantInfo{ID: "gone"}})
		h.rooms.emit(id, sfu.LevelsEvent{})
		h.rooms.emit(id, sfu.StatsEvent{})
		h.rooms.emit(id, sfu.ChatEvent{From: id, Text: "one"})
		h.rooms.emit(id, sfu.QualityEvent{Qualities: []sfu.Quality{{Participant: id, Score: 1}}})
		h.rooms.emit(id, sfu.QualityEvent{Qualities: []sfu.Quality{{Participant: id, Score: 3}}})
		h.rooms.emit(id, sfu.MuteEvent{Muted: true, By: "boss"})
		time.Sleep(26 * time.Second) // virtual
		h.rooms.emit(id, sfu.OfferEvent{SDP: "v=0\r\ns=unanswered\r\n"})
		h.rooms.emit(id, sfu.CandidateEvent{Candidate: sfu.Candidate{Candidate: "candidate:1"}})
		time.Sleep(3 * time.Second)

		q := h.resume("a", first.Resume)
		again := hearAs[Joined](q)
		if !again.Resumed || again.Participant != id || again.Resume != first.Resume || again.Name != "Ann" || len(again.Participants) != 1 {
			t.Errorf("%+v", again)
		}
		if got := hearAs[Offer](q); !strings.Contains(got.SDP, "unanswered") {
			t.Errorf("%+v", got)
		}
		hearAs[Candidate](q)
		if got := hearAs[ChatLine](q); got.Text != "one" || got.Name != "Ann" {
			t.Errorf("%+v", got)
		}
		hearAs[Muted](q)
		if got := hearAs[Quality](q); len(got.Qualities) != 1 || got.Qualities[0].Score != 3 {
			t.Errorf("%+v", got)
		}
		q.say(Answer{SDP: "v=0\r\n"})
		q.say(Ping{T: 1})
		hearAs[Pong](q) // and nothing else before it
		synctest.Wait()
		if got := h.rooms.attached(id); !slices.Equal(got, []bool{true, false, true}) {
			t.Errorf("attached: %v", got)
		}
		// Answered: not said a second time.
		q.cut()
		synctest.Wait()
		r := h.resume("a", first.Resume)
		hearAs[Joined](r)
		r.say(Ping{T: 2})
		hearAs[Pong](r)
		// Delivered but not answered: said again, but not when it is too late to answer.
		h.rooms.emit(id, sfu.OfferEvent{SDP: "v=0\r\n"})
		hearAs[Offer](r)
		r.cut()
		synctest.Wait()
		r = h.resume("a", first.Resume)
		hearAs[Joined](r)
		hearAs[Offer](r)
		r.cut()
		time.Sleep(offerLife) // virtual
		r = h.resume("a", first.Resume)
		hearAs[Joined](r)
		r.say(Ping{T: 3})
		hearAs[Pong](r)
		if got := h.rooms.called("leave"); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// Nobody comes back: after 30 s the participant is taken out of its room.
func TestResumeTimeIsOver(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, j := h.join("a", "x")
		p.cut()
		synctest.Wait()
		time.Sleep(ResumeTTL - time.Second) // virtual
		synctest.Wait()
		if len(h.rooms.ids("a")) != 1 {
			t.Fatal("removed early")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := h.rooms.called("leave"); !slices.Equal(got, []string{"leave " + j.Participant + " timeout"}) {
			t.Errorf("%v", got)
		}
		if s := h.server.Stats(); s.Sessions != 0 || s.Expired != 1 || len(h.server.resumes) != 0 {
			t.Errorf("%+v, %d secrets", s, len(h.server.resumes))
		}
		q := h.resume("a", j.Resume)
		if f := hearAs[Failure](q); f.Code != CodeResumeFailed || f.Fatal {
			t.Errorf("%+v", f)
		}
		q.say(Join{Room: "a", Name: "x"}) // anew, on the same socket
		if again := hearAs[Joined](q); again.Resumed || again.Participant == j.Participant || again.Resume == j.Resume {
			t.Errorf("%+v", again)
		}
	})
}

// A socket that the server still believes in gives way to the new one.
func TestResumeReplacesHalfDeadSocket(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		old, j := h.join("a", "x")
		q := h.resume("a", j.Resume)
		if got := hearAs[Joined](q); !got.Resumed {
			t.Errorf("%+v", got)
		}
		if code, _ := old.closed(); code != CloseReplaced {
			t.Errorf("close code %d", code)
		}
		synctest.Wait()
		if got := h.rooms.attached(j.Participant); !got[len(got)-1] {
			t.Errorf("the old socket's end was told last: %v", got)
		}
		h.rooms.emit(j.Participant, sfu.OfferEvent{SDP: "v=0\r\n"})
		hearAs[Offer](q)
		if s := h.server.Stats(); s.Sockets != 1 || s.Sessions != 1 || s.Detached != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// What a replaced socket still says does not count, neither a message nor its goodbye.
func TestReplacedSocketHasNoSay(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		for _, last := range []string{`{"type":"mute","muted":true}`, `{"type":"leave"}`, "close"} {
			old := h.dialRaw()
			if err := old.frame(0x81, joinFrame); err != nil {
				t.Fatal(err)
			}
			_, b, err := old.read()
			var j Joined
			if err != nil || json.Unmarshal(b, &j) != nil {
				t.Fatal(err)
			}
			q := h.resume("a", j.Resume)
			hearAs[Joined](q)
			end := old.endAsync()
			if last == "close" {
				_ = old.frame(0x88, "\x03\xe8") // 1000
			} else {
				_ = old.frame(0x81, last)
			}
			if got := <-end; !strings.HasPrefix(got, "4001") && !(last == "close" && got == "1000") {
				t.Errorf("%s: closed with %q", last, got)
			}
			q.say(Ping{T: 1})
			hearAs[Pong](q)
			if got := append(h.rooms.called("mute"), h.rooms.called("leave")...); len(got) != 0 {
				t.Errorf("%s: %v", last, got)
			}
		}
	})
}

// Of two sockets that resume at once, the one that began later wins, even if it is the first to finish.
func TestLaterResumeWins(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		_, j := h.join("a", "x")
		hold := make(chan struct{})
		h.rooms.onRoster = func() { <-hold }
		early := h.resume("a", j.Resume)
		synctest.Wait()
		h.rooms.mu.Lock()
		h.rooms.onRoster = nil
		h.rooms.mu.Unlock()
		late := h.resume("a", j.Resume)
		hearAs[Joined](late)
		close(hold)
		if f := hearAs[Failure](early); f.Code != CodeResumeFailed {
			t.Errorf("%+v", f)
		}
		h.rooms.emit(j.Participant, sfu.MuteEvent{Muted: true, By: "self"})
		hearAs[Muted](late)
	})
}

// A close frame with 1000 or 1001 says that the page is gone for good; any other loss is a loss.
func TestCleanCloseLeaves(t *testing.T) {
	for code, left := range map[websocket.StatusCode]bool{
		websocket.StatusNormalClosure: true, websocket.StatusGoingAway: true, websocket.StatusNoStatusRcvd: false, 4000: false,
	} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				p, _ := h.join("a", "x")
				_ = p.ws.Close(code, "")
				synctest.Wait()
				if got := len(h.rooms.ids("a")) == 0; got != left {
					t.Errorf("left: %v, want %v", got, left)
				}
			})
		})
	}
}

func TestResumeNeedsTheSecretAndTheRoom(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		_, j := h.join("a", "x")
		p := h.dial()
		for _, m := range []Join{
			{Room: "b", Resume: j.Resume},
			{Room: "a", Resume: strings.Repeat("0", 32)},
		} {
			p.say(m)
			if f := hearAs[Failure](p); f.Code != CodeResumeFailed || f.Fatal {
				t.Errorf("%+v: %+v", m, f)
			}
		}
		p.say(Join{Room: "a", Resume: j.Participant}) // the third attempt is the last
		code, seen := p.closed()
		if f := seen[len(seen)-1].(Failure); code != websocket.StatusPolicyViolation || !f.Fatal {
			t.Errorf("%d %+v", code, seen)
		}
	})
}

// When the node has lost the participant, there is nothing to resume.
func TestResumeOfSomebodyTheNodeForgot(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, j := h.join("a", "x")
		p.cut()
		synctest.Wait()
		h.rooms.mu.Lock()
		delete(h.rooms.members, j.Participant) // without a word
		h.rooms.mu.Unlock()
		q := h.resume("a", j.Resume)
		if f := hearAs[Failure](q); f.Code != CodeResumeFailed {
			t.Errorf("%+v", f)
		}
		if s := h.server.Stats(); s.Sessions != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Many sockets for one session at once: one wins, and the session stays whole.
func TestConcurrentResume(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		_, j := h.join("a", "x")
		var peers []*peer
		for range 8 {
			peers = append(peers, h.resume("a", j.Resume))
		}
		synctest.Wait()
		if s := h.server.Stats(); s.Sessions != 1 || s.Detached != 0 {
			t.Errorf("%+v", s)
		}
		h.rooms.emit(j.Participant, sfu.MuteEvent{Muted: true, By: "self"})
		h.rooms.kick(j.Participant, sfu.ReasonKicked)
		heard := 0
		for _, p := range peers {
			_, seen := p.closed()
			for _, m := range seen {
				if _, ok := m.(Muted); ok {
					heard++
				}
			}
		}
		if heard != 1 {
			t.Errorf("%d sockets heard the room, want 1", heard)
		}
	})
}

// What is held for a lost socket is bounded.
func TestHeldIsBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, j := h.join("a", "x")
		p.cut()
		synctest.Wait()
		long := strings.Repeat("é", 2000)
		for i := range 2000 {
			h.rooms.emit(j.Participant, sfu.ChatEvent{From: "p1", Text: fmt.Sprint(i, long)})
			h.rooms.emit(j.Participant, sfu.CandidateEvent{})
		}
		ss := h.server.find(j.Resume, "a")
		ss.mu.Lock()
		if ss.heldBytes > maxHeldBytes || len(ss.held) > maxHeldMessages || len(ss.candidates) > maxHeldCandidates {
			t.Errorf("holds %d bytes, %d messages, %d candidates", ss.heldBytes, len(ss.held), len(ss.candidates))
		}
		ss.mu.Unlock()
		q := h.resume("a", j.Resume)
		hearAs[Joined](q)
		last := ""
		for {
			q.say(Ping{T: 1})
			m := q.hear()
			if c, ok := m.(ChatLine); ok {
				last = c.Text
			}
			if _, ok := m.(Pong); ok {
				break
			}
		}
		if !strings.HasPrefix(last, "1999") {
			t.Errorf("the newest line is %.10q", last)
		}
	})
}

// An identity has one seat in a room: the newer socket gets it and the older is told.
func TestSameIdentity(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		g := Grants{Publish: true, Subscribe: true}
		first := h.dial()
		first.say(Join{Room: "a", Token: h.token("ann", "a", g)})
		hearAs[Joined](first)
		second := h.dial()
		second.say(Join{Room: "a", Token: h.token("ann", "a", g)})
		j := hearAs[Joined](second)
		if j.Participant != "ann" || len(j.Participants) != 1 {
			t.Errorf("%+v", j)
		}
		code, seen := first.closed()
		if bye, _ := seen[0].(Bye); code != CloseReplaced || bye.Reason != sfu.ReasonReplaced {
			t.Errorf("%d %+v", code, seen)
		}
		// In another room the same person is another participant.
		third := h.dial()
		third.say(Join{Room: "b", Token: h.token("ann", "b", g)})
		if j := hearAs[Joined](third); !strings.HasPrefix(j.Participant, "ann~") {
			t.Errorf("%+v", j)
		}
		second.say(Ping{T: 1})
		hearAs[Pong](second)
		if h.rooms.clashes != 0 {
			t.Errorf("%d joins met a participant of the same id", h.rooms.clashes)
		}
	})
}

// Identities are those of a key: another key's is another person.
func TestSameIdentityOfAnotherKey(t *testing.T) {
	other := strings.Repeat("k", 32)
	inBubble(t, func(c *Config) { c.Keys = map[string]string{testKey: testSecret, "key2": other} }, func(t *testing.T, h *harness) {
		first := h.dial()
		first.say(Join{Room: "a", Token: h.token("ann", "a", full)})
		hearAs[Joined](first)
		token, err := NewToken("key2", other, Token{Identity: "ann", Room: "a", Grants: full}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		second := h.dial()
		second.say(Join{Room: "a", Token: token})
		if j := hearAs[Joined](second); len(j.Participants) != 2 || !strings.HasPrefix(j.Participant, "ann~") {
			t.Errorf("%+v", j)
		}
		first.say(Ping{T: 1})
		hearAs[Pong](first)
	})
}

// The same identity many times at once: in the end one has the seat, and the node never saw two.
func TestSameIdentityStorm(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		token := h.token("ann", "a", Grants{Publish: true})
		var peers []*peer
		for range 16 {
			p := h.dial()
			p.say(Join{Room: "a", Token: token})
			peers = append(peers, p)
		}
		synctest.Wait()
		if s := h.server.Stats(); s.Sessions != 1 || h.rooms.clashes != 0 || len(h.rooms.ids("a")) != 1 {
			t.Errorf("%+v, %d clashes, %v", s, h.rooms.clashes, h.rooms.ids("a"))
		}
		for _, p := range peers {
			p.cut()
		}
		time.Sleep(ResumeTTL + 10*time.Second) // virtual
		synctest.Wait()
		if s := h.server.Stats(); s.Sessions != 0 || s.Sockets != 0 || len(h.rooms.ids("a")) != 0 {
			t.Errorf("left over: %+v", s)
		}
	})
}
