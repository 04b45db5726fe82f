package signaling

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"parley/sfu"
)

const joinFrame = `{"type":"join","room":"a","name":"x"}`

// S-04: a message of 64 KiB is read, one byte more is not.
func TestMessageSize(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, _ := h.join("a", "x")
		frame := func(size int) string {
			head, tail := `{"type":"chat","text":"`, `"}`
			return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
		}
		p.raw(frame(MaxMessageBytes))
		if f := hearAs[Failure](p); f.Code != CodeBadMessage || f.Re != "chat" { // read, and too long for chat
			t.Errorf("%+v", f)
		}
		p.raw(frame(MaxMessageBytes + 1))
		if code, _ := p.closed(); code != websocket.StatusMessageTooBig {
			t.Errorf("close code %d, want 1009", code)
		}
	})
}

func TestRawFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(p *rawPeer)
		want string // the beginning
	}{
		{"fragments of one byte", func(p *rawPeer) {
			_ = p.frame(0x01, "{")
			for range 70000 {
				if p.frame(0x00, "x") != nil {
					return
				}
			}
		}, "1008 rate_limited"},
		{"ping flood", func(p *rawPeer) {
			for range 10000 {
				if p.frame(0x89, "x") != nil {
					return
				}
			}
		}, "1008 rate_limited"},
		{"compressed", func(p *rawPeer) { _ = p.frame(0xc1, "\xaa\x56\x2a") }, "1002"},
		{"binary", func(p *rawPeer) { _ = p.frame(0x82, joinFrame) }, "1008 bad_message"},
		{"reserved opcode", func(p *rawPeer) { _ = p.frame(0x83, "x") }, "1002"},
		{"continuation of nothing", func(p *rawPeer) { _ = p.frame(0x80, "x") }, "1002"},
		{"long ping", func(p *rawPeer) { _ = p.frame(0x89, strings.Repeat("x", 126)) }, "1002"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, h *harness) {
				p := h.dialRaw()
				end := p.endAsync()
				c.send(p)
				if got := <-end; !strings.HasPrefix(got, c.want) {
					t.Errorf("closed with %q, want %q", got, c.want)
				}
				_ = p.c.Close()
				time.Sleep(20 * time.Second) // virtual
				synctest.Wait()
				if s := h.server.Stats(); s.Sockets != 0 {
					t.Errorf("left over: %+v", s)
				}
			})
		})
	}
}

// A message that never ends is given up after ten seconds, whatever is in it.
func TestDrippedMessage(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p := h.dialRaw()
		end := p.endAsync()
		_ = p.frame(0x81, joinFrame)
		_ = p.frame(0x01, "{")
		began := time.Now()
		for p.frame(0x00, "") == nil { // empty fragments are no reads
			time.Sleep(100 * time.Millisecond) // virtual
			if time.Since(began) > time.Minute {
				t.Fatal("still open")
			}
		}
		if got := <-end; got != "1008 slow_message" {
			t.Errorf("closed with %q", got)
		}
	})
}

// S-04: a thousand sockets in the middle of a message hold no more than 128 KiB each, and go when their time is over.
func TestUnfinishedMessages(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand sockets")
	}
	const sockets = 1000
	inBubble(t, nil, func(t *testing.T, h *harness) {
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse
		}
		before := heap()
		half := strings.Repeat("x", MaxMessageBytes-100)
		for range sockets {
			p := h.dialRaw()
			if err := p.frame(0x01, half); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		each := (heap() - before) / sockets
		t.Logf("%d bytes a socket, the client's end included", each)
		if each > 128<<10 {
			t.Errorf("%d bytes a socket", each)
		}
		time.Sleep(25 * time.Second) // virtual
		synctest.Wait()
		if n := h.server.Stats().Sockets; n != 0 {
			t.Errorf("%d sockets left", n)
		}
	})
}

// S-05: 50 messages a second with a burst of 100, then the socket is closed; the session may be resumed.
func TestMessageFlood(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p := h.dialRaw()
		frames := make(chan int, 1)
		var last []byte
		go func() { // ends with the connection
			for {
				op, b, err := p.read()
				if err != nil || op == 8 {
					if err == nil {
						frames <- int(b[0])<<8 | int(b[1])
					} else {
						frames <- 0
					}
					return
				}
				if op == 1 {
					last = b
				}
			}
		}()
		_ = p.frame(0x81, joinFrame)
		sent := 0
		for range 10000 {
			if p.frame(0x81, `{"type":"mute","muted":true}`) != nil {
				break
			}
			sent++
		}
		if code := <-frames; code != 1008 {
			t.Errorf("close code %d, want 1008", code)
		}
		var f Failure
		if err := json.Unmarshal(last, &f); err != nil || f.Code != CodeRateLimited || !f.Fatal {
			t.Errorf("last message %s", last)
		}
		if got := len(h.rooms.called("mute")); got != messageBurst-1 {
			t.Errorf("%d messages had an effect, want %d", got, messageBurst-1)
		}
	})
}

// The limit is not for those who keep to it.
func TestSteadyRateIsFine(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p, _ := h.join("a", "x")
		for range 500 {
			p.say(Ping{T: 1})
			hearAs[Pong](p)
			time.Sleep(time.Second / messageRate) // virtual
		}
	})
}

// S-06: no join in 5 s, and no pong.
func TestSilentSockets(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		p := h.dial()
		began := time.Now()
		code, seen := p.closed()
		if f, _ := seen[0].(Failure); code != websocket.StatusPolicyViolation || f.Code != CodeJoinTimeout || !f.Fatal {
			t.Errorf("%d %+v", code, seen)
		}
		if took := time.Since(began); took != joinTimeout {
			t.Errorf("after %v", took)
		}
	})
	t.Run("no join, no reading", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, h *harness) {
			h.dialRaw()
			time.Sleep(25 * time.Second) // virtual
			synctest.Wait()
			if n := h.server.Stats().Sockets; n != 0 {
				t.Errorf("%d sockets left", n)
			}
		})
	})
	t.Run("no pong", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, h *harness) {
			p := h.dialRaw()
			_ = p.frame(0x81, joinFrame)
			end := p.endAsync() // reads, but does not answer
			began := time.Now()
			if got := <-end; got != "" && got != "1008 no_pong" {
				t.Errorf("closed with %q", got)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("after %v", took)
			}
			time.Sleep(5 * time.Second) // virtual
			synctest.Wait()
			if s := h.server.Stats(); s.Sockets != 0 || s.Sessions != 1 || s.Detached != 1 {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("pong", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, h *harness) {
			p, _ := h.join("a", "x")
			reading := make(chan struct{})
			go func() { _, _ = p.next(); close(reading) }() // answers pings; ends with the socket
			time.Sleep(50 * time.Second)                    // virtual
			if n := h.server.Stats().Sockets; n != 1 {
				t.Errorf("%d sockets", n)
			}
			p.cut()
			<-reading
		})
	})
}

// S-07: who does not read loses the socket, and nothing else; who does read notices nothing.
func TestSlowReader(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		slow := h.dialRaw()
		_ = slow.frame(0x81, joinFrame)
		op, b, err := slow.read()
		var joined Joined
		if err != nil || op != 1 || json.Unmarshal(b, &joined) != nil || joined.Resume == "" {
			t.Fatalf("%d %s %v", op, b, err)
		}
		witness, w := h.join("a", "w")
		for i := range 1000 { // a second's worth, all at once for the slow one
			ev := sfu.ParticipantEvent{Change: sfu.ChangeUpdated, Participant: sfu.ParticipantInfo{ID: fmt.Sprint("p", i)}}
			h.rooms.emit(joined.Participant, ev)
			h.rooms.emit(w.Participant, ev)
			sent := time.Now()
			if got := hearAs[ParticipantChange](witness); got.Participant.ID != fmt.Sprint("p", i) || time.Since(sent) > 10*time.Millisecond {
				t.Fatalf("witness: %+v after %v", got, time.Since(sent))
			}
		}
		h.rooms.emit(joined.Participant, sfu.ChatEvent{From: w.Participant, Text: "still here?"})
		ss := h.server.find(joined.Resume, "a")
		ss.mu.Lock()
		if c := ss.conn; c != nil {
			c.out.mu.Lock()
			if !c.out.full || len(c.out.queue) > maxQueueMessages || c.out.bytes > maxQueueBytes {
				t.Errorf("queue: full %v, %d messages, %d bytes", c.out.full, len(c.out.queue), c.out.bytes)
			}
			c.out.mu.Unlock()
		}
		ss.mu.Unlock()
		// Reading again in time shows the close frame.
		if got := slow.end(); got != "1013 slow_reader" {
			t.Errorf("closed with %q", got)
		}
		_ = slow.c.Close()
		synctest.Wait()
		again := h.resume("a", joined.Resume)
		if j := hearAs[Joined](again); !j.Resumed || j.Participant != joined.Participant {
			t.Errorf("%+v", j)
		}
		if c := hearAs[ChatLine](again); c.Text != "still here?" {
			t.Errorf("%+v", c)
		}
		if n := h.server.Stats().SlowReaders; n != 1 {
			t.Errorf("%d slow readers counted", n)
		}
	})
}

// What was being written when the socket died may not have arrived, and goes first on the next one.
func TestUnsent(t *testing.T) {
	queued := []outgoing{{kind: "chat"}, {kind: "participant", importance: roster}, {kind: "pong", importance: ofSocket},
		{kind: "levels", importance: latest}, {kind: "mute"}}
	var o *outbox
	for _, c := range []struct {
		flight outgoing
		want   string
	}{
		{outgoing{kind: "offer"}, "offer chat mute"},
		{outgoing{kind: "joined", importance: ofSocket}, "chat mute"}, // each socket has its own
	} {
		o = newOutbox()
		for _, m := range append([]outgoing{{kind: "answer"}, c.flight}, queued...) {
			o.push(m)
		}
		o.next()
		o.sent()
		o.next() // on its way
		var kinds []string
		for _, m := range o.unsent() {
			kinds = append(kinds, m.kind)
		}
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("unsent: %s, want %s", got, c.want)
		}
	}
	if taken, overflow := o.push(outgoing{}); taken || overflow {
		t.Error("an outbox that was emptied took another message")
	}
}

// Levels and stats of the past are not worth a place in the queue.
func TestLatestReplaces(t *testing.T) {
	o := newOutbox()
	for i := range 1000 {
		for _, kind := range []string{"levels", "stats"} {
			if taken, _ := o.push(outgoing{kind: kind, importance: latest, data: make([]byte, i)}); !taken {
				t.Fatal("not taken")
			}
		}
	}
	if len(o.queue) != 2 || o.bytes != 2*999 {
		t.Errorf("%d messages, %d bytes", len(o.queue), o.bytes)
	}
	o = newOutbox()
	if taken, overflow := o.push(outgoing{data: make([]byte, maxQueueBytes+1)}); taken || !overflow {
		t.Error("more bytes than the queue holds were taken")
	}
	if taken, overflow := o.push(outgoing{}); taken || overflow {
		t.Error("a full queue took another, or overflowed twice")
	}
}
