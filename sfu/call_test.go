package sfu

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// TestCall has two people hear each other, and not themselves, through what the stacks of this world offer.
func TestCall(t *testing.T) {
	drop := func(prefixes ...string) func(string) string {
		return func(s string) string {
			var out []string
			for line := range strings.SplitSeq(s, "\r\n") {
				keep := true
				for _, p := range prefixes {
					keep = keep && !strings.HasPrefix(line, p)
				}
				if keep {
					out = append(out, line)
				}
			}
			return strings.Join(out, "\r\n")
		}
	}
	cases := map[string]clientOptions{
		"payload type 96":  {pt: 96},
		"payload type 97":  {pt: 97},
		"payload type 109": {pt: 109},
		"payload type 111": {pt: 111},
		"RED offered":      {pt: 111, red: 63},
		"capitals":         {pt: 96, munge: func(s string) string { return strings.ReplaceAll(s, "opus/", "OPUS/") }},
		"no fmtp":          {munge: drop("a=fmtp", "a=rtcp-fb")},
		"no extensions":    {munge: drop("a=extmap")},
		"no SSRC":          {munge: drop("a=ssrc", "a=msid")},
		"no mid":           {munge: drop("a=mid", "a=group")},
		"no candidates":    {munge: drop("a=candidate", "a=end-of-candidates")},
		"line feeds only":  {munge: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }},
		"marker always": {send: func(c *client, h *rtp.Header, payload []byte) {
			h.Marker = true
			_, _ = c.track.writer.WriteRTP(h, payload)
		}},
		"padding only first": {send: func(c *client, h *rtp.Header, payload []byte) {
			if h.SequenceNumber < 65510 && h.SequenceNumber >= 65500 {
				p := *h
				p.Padding, p.PaddingSize = true, 200
				_, _ = c.track.writer.WriteRTP(&p, nil)
				return
			}
			_, _ = c.track.writer.WriteRTP(h, payload)
		}},
		"unknown payload type first": {send: func(c *client, h *rtp.Header, payload []byte) {
			if h.SequenceNumber < 65510 && h.SequenceNumber >= 65500 {
				p := *h
				p.PayloadType = 13
				_, _ = c.track.writer.WriteRTP(&p, []byte{1})
			}
			_, _ = c.track.writer.WriteRTP(h, payload)
		}},
		"another SSRC than declared, and again another": {send: func(c *client, h *rtp.Header, payload []byte) {
			p := *h
			p.SSRC = 4242 + uint32(h.SequenceNumber)/32768
			_, _ = c.track.writer.WriteRTP(&p, payload)
		}},
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t)
			o.hz = 700
			a := n.newClient(o)
			b := n.newClient(clientOptions{hz: 1100})
			b.awaitTone(700, 1100)
			a.awaitTone(1100, 700)
		})
	}
}

func TestThreeHearTheMix(t *testing.T) {
	n := newTestNode(t)
	tones := []float64{500, 900, 1300}
	var clients []*client
	for _, hz := range tones {
		clients = append(clients, n.newClient(clientOptions{hz: hz, kind: KindWHIP}))
	}
	for i, c := range clients {
		for j, hz := range tones {
			if i != j {
				c.awaitTone(hz, tones[i])
			}
		}
	}
}

func TestPublishOnlyAndListenOnly(t *testing.T) {
	n := newTestNode(t)
	pub := n.newClient(clientOptions{hz: 700, kind: KindWHIP, direction: webrtc.RTPTransceiverDirectionSendonly})
	sub := n.newClient(clientOptions{kind: KindWHEP, direction: webrtc.RTPTransceiverDirectionRecvonly})
	sub.awaitTone(700)
	if got := pub.pc.GetTransceivers()[0].Direction(); got != webrtc.RTPTransceiverDirectionSendonly {
		t.Errorf("publisher's transceiver: %v", got)
	}
	all, err := n.Roster(sub.id)
	if err != nil || len(all) != 2 {
		t.Fatalf("roster: %v, %v", all, err)
	}
	for _, p := range all {
		if want := p.ID == pub.id; p.Publish != want {
			t.Errorf("%s publishes: %v", p.ID, p.Publish)
		}
	}
	select {
	case <-pub.heard:
		t.Error("the publisher hears something")
	default:
	}
}

// TestSequence looks at the RTP that comes out: no gaps, timestamps on a 20 ms grid, a marker first.
func TestSequence(t *testing.T) {
	n := newTestNode(t)
	n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	var last *rtp.Packet
	for range 50 {
		p := <-b.heard
		if last != nil {
			if p.SequenceNumber != last.SequenceNumber+1 {
				t.Fatalf("sequence %d after %d", p.SequenceNumber, last.SequenceNumber)
			}
			if d := p.Timestamp - last.Timestamp; d%960 != 0 || d == 0 {
				t.Fatalf("timestamp moved by %d", d)
			}
			if p.SSRC != last.SSRC {
				t.Fatal("SSRC changed")
			}
		}
		last = p
	}
}

func TestMute(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700, deny: func(r *JoinRequest) { r.Admin = true }})
	b := n.newClient(clientOptions{hz: 1100})
	a.awaitTone(1100)
	if err := n.SetMuted(t.Context(), b.id, a.id, true); err == nil {
		t.Error("no admin muted somebody else")
	}
	if err := n.SetMuted(t.Context(), a.id, b.id, true); err != nil {
		t.Fatal(err)
	}
	e := await(t, b.seen, "mute of b", func(e MuteEvent) bool { return e.Muted })
	if e.By != a.id {
		t.Errorf("muted by %q", e.By)
	}
	await(t, a.seen, "b shown muted", func(e ParticipantEvent) bool {
		return e.Change == ChangeUpdated && e.Participant.ID == b.id && e.Participant.Muted
	})
	// DTX: when the last frame of the fade has gone, nothing more is sent to a. What comes on after that is no tone.
	before := n.Stats().Dropped["muted"]
	eventually(t, "packets of a muted client are dropped", func() bool { return n.Stats().Dropped["muted"] > before+10 })
	a.forget()
	before = n.Stats().Dropped["muted"]
	eventually(t, "200 ms more", func() bool { return n.Stats().Dropped["muted"] > before+10 })
	for {
		select {
		case p := <-a.heard:
			if power(p.Payload, 1100) > 0 {
				t.Fatal("a muted participant is heard")
			}
			continue
		default:
		}
		break
	}
	if err := n.SetMuted(t.Context(), b.id, b.id, false); err != nil {
		t.Fatal(err)
	}
	a.awaitTone(1100)
	// Nobody opens a microphone that its owner has closed.
	if err := n.SetMuted(t.Context(), b.id, b.id, true); err != nil {
		t.Fatal(err)
	}
	if err := n.SetMuted(t.Context(), a.id, b.id, false); err == nil {
		t.Error("an admin opened somebody's microphone")
	}
}

func TestICERestartByOffer(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	a.awaitTone(1100)
	for i := range 3 {
		if err := a.negotiate(nil, &webrtc.OfferOptions{ICERestart: true}); err != nil {
			t.Fatal(i, err)
		}
		b.forget()
		a.forget()
		b.awaitTone(700)
		a.awaitTone(1100)
	}
	if got := n.Stats().ICERestarts; got != 3 {
		t.Errorf("%d restarts", got)
	}
}

// TestWHIPRestart restarts ICE by credentials only, as PATCH does.
func TestWHIPRestart(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700, kind: KindWHIP})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	offer, err := a.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(a.pc)
	if err := a.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	d, err := splitSDP(a.pc.LocalDescription().SDP)
	if err != nil {
		t.Fatal(err)
	}
	ufrag, _ := d.sections[0].attr("ice-ufrag")
	pwd, _ := d.sections[0].attr("ice-pwd")
	var candidates []Candidate
	for _, attr := range d.sections[0].attrs {
		if strings.HasPrefix(attr, "candidate:") {
			candidates = append(candidates, Candidate{Candidate: attr})
		}
	}
	fragment, err := n.ICERestart(t.Context(), a.id, ufrag, pwd, candidates)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "m=audio 9 UDP/TLS/RTP/SAVPF", "a=mid:0", "a=end-of-candidates"} {
		if !strings.Contains(fragment, want) {
			t.Errorf("fragment lacks %q:\n%s", want, fragment)
		}
	}
	// The client puts the new transport into the description it had.
	f, err := splitSDP("v=0\r\n" + fragment)
	if err != nil {
		t.Fatal(err)
	}
	var answer []string
	for line := range strings.SplitSeq(a.pc.CurrentRemoteDescription().SDP, "\r\n") {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			v, _ := f.sections[0].attr("ice-ufrag")
			line = "a=ice-ufrag:" + v
		case strings.HasPrefix(line, "a=ice-pwd:"):
			v, _ := f.sections[0].attr("ice-pwd")
			line = "a=ice-pwd:" + v
		}
		answer = append(answer, line)
	}
	if err := a.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: strings.Join(answer, "\r\n")}); err != nil {
		t.Fatal(err)
	}
	b.forget()
	b.awaitTone(700)
	if _, err := n.ICERestart(t.Context(), a.id, ufrag, pwd, nil); err == nil {
		t.Error("the old credentials made a restart")
	}
}

func TestServerRestartAndGlare(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	p, err := n.find(a.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Answer(t.Context(), a.id, a.pc.LocalDescription().SDP); err == nil {
		t.Error("an answer without offer was taken")
	}
	if err := p.offerRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
	offer := await(t, a.seen, "offer", func(OfferEvent) bool { return true })
	// Both offer at once: the server does not give way.
	glare, err := a.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Offer(t.Context(), a.id, glare.SDP); err == nil {
		t.Fatal("no glare")
	} else if want := "collides"; !strings.Contains(err.Error(), want) {
		t.Fatal(err)
	}
	if err := a.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		t.Fatal(err)
	}
	answer, err := a.pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(a.pc)
	if err := a.pc.SetLocalDescription(answer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	if err := n.Answer(t.Context(), a.id, a.pc.LocalDescription().SDP); err != nil {
		t.Fatal(err)
	}
	b.forget()
	b.awaitTone(700)
	a.forget()
	a.awaitTone(1100)
	// Afterwards the client's offers are taken again.
	if err := a.negotiate(nil, &webrtc.OfferOptions{ICERestart: true}); err != nil {
		t.Fatal(err)
	}
	b.forget()
	b.awaitTone(700)
}

// TestNewPeerConnection is a page that was loaded again and resumes its seat.
func TestNewPeerConnection(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	oldStop, oldPC := a.stop, a.pc
	a.up = make(chan struct{})
	a.connect(clientOptions{pt: 96, hz: 500, direction: webrtc.RTPTransceiverDirectionSendrecv})
	b.forget()
	b.awaitTone(500)
	a.forget()
	a.awaitTone(1100)
	oldStop()
	_ = oldPC.GracefulClose()
}

func TestICETCP(t *testing.T) {
	port := freeTCPPort(t)
	n := newTestNode(t, func(c *Config, _ *timing) { c.TCPPort = port })
	a := n.newClient(clientOptions{hz: 700, tcp: true})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	a.awaitTone(1100)
	st := await(t, a.seen, "stats over TCP", func(e StatsEvent) bool { return e.Stats.Transport.Protocol == "tcp" })
	if want := fmt.Sprintf(":%d", port); !strings.HasSuffix(st.Stats.Transport.LocalAddress, want) {
		t.Errorf("local address %s", st.Stats.Transport.LocalAddress)
	}
}

// TestRED sends what a browser sends once RED comes first in our answer: the frame and the one before it.
func TestRED(t *testing.T) {
	n := newTestNode(t)
	var last []byte
	a := n.newClient(clientOptions{hz: 700, red: 63, send: func(c *client, h *rtp.Header, payload []byte) {
		p := *h
		p.PayloadType = 63
		var body []byte
		if last != nil {
			const offset = 960
			size := len(last)
			body = append(body, 0x80|111, byte(offset>>6), byte(offset<<2&0xff|size>>8), byte(size))
		}
		body = append(append(append(body, 111), last...), payload...)
		last = payload
		if h.SequenceNumber%4 == 3 {
			return // lost, and in the next packet
		}
		_, _ = c.track.writer.WriteRTP(&p, body)
	}})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	if !strings.Contains(a.pc.RemoteDescription().SDP, "SAVPF 63 111") {
		t.Error("RED is not first in the answer")
	}
	st := await(t, a.seen, "loss is seen", func(e StatsEvent) bool { return e.Stats.Up.LossFraction > 0.1 })
	if st.Stats.Up.Codec != "red/opus" {
		t.Errorf("codec %q", st.Stats.Up.Codec)
	}
	b.forget()
	b.awaitTone(700)
	p, err := n.find(a.id)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the redundancy is used", func() bool {
		s, ok := p.uplink.sourceStats()
		return ok && s.NetEq.REDPacketsUsed > 10
	})
}

// TestHold changes directions without a restart, as a client does that goes on hold, a thousand times at once too.
func TestHold(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	b.awaitTone(700)
	offer := func(direction string) string {
		t.Helper()
		answer, err := n.Offer(t.Context(), a.id, strings.Replace(a.pc.LocalDescription().SDP, "a=sendrecv", "a="+direction, 1))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, c := range []struct{ offer, answer string }{
		{"inactive", "inactive"}, {"sendonly", "recvonly"}, {"recvonly", "sendonly"}, {"inactive", "inactive"},
	} {
		if answer := offer(c.offer); !strings.Contains(answer, "a="+c.answer+"\r\n") {
			t.Errorf("%s was answered with\n%s", c.offer, answer)
		}
	}
	await(t, b.seen, "a is shown silent", func(e ParticipantEvent) bool { return e.Participant.ID == a.id && !e.Participant.Publish })
	eventually(t, "a is out of the mix", func() bool {
		m := n.cfg.Mixer.Stats()
		return m.Sources == 1 && m.Listeners == 1
	})
	offer("sendrecv")
	b.forget()
	a.forget()
	b.awaitTone(700)
	a.awaitTone(1100)

	restarts := n.Stats().ICERestarts
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 250 {
				d := "a=sendrecv"
				if (i+k)%2 == 0 {
					d = "a=recvonly"
				}
				if _, err := n.Offer(t.Context(), a.id, strings.Replace(a.pc.LocalDescription().SDP, "a=sendrecv", d, 1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := n.Stats().ICERestarts; got != restarts {
		t.Errorf("%d restarts", got-restarts)
	}
	offer("sendrecv")
	b.forget()
	b.awaitTone(700)
}

// TestReports: reports go both ways, transport-wide feedback goes to the client, and the round trip is measured.
func TestReports(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700, reports: true})
	b := n.newClient(clientOptions{hz: 1100})
	a.awaitTone(1100)
	b.awaitTone(700)
	mix := (<-a.heard).SSRC
	var sender, receiver, feedback bool
	deadline := time.After(patience)
	for !sender || !receiver || !feedback {
		select {
		case p := <-a.rtcp:
			switch p := p.(type) {
			case *rtcp.SenderReport:
				sender = sender || p.SSRC == mix && p.PacketCount > 0 && p.NTPTime != 0
			case *rtcp.ReceiverReport:
				for _, r := range p.Reports {
					receiver = receiver || r.SSRC == a.track.ssrc && r.LastSequenceNumber > 0
				}
			case *rtcp.TransportLayerCC:
				feedback = feedback || p.PacketStatusCount > 0
			}
		case <-deadline:
			t.Fatalf("sender report %v, receiver report %v, transport-wide feedback %v", sender, receiver, feedback)
		}
	}
	p, err := n.find(a.id)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the round trip is measured from reports", func() bool {
		peer, err := p.current()
		return err == nil && peer != nil && peer.rtcp.rtt.Load() > 0 && peer.rtcp.reports.Load() > 0
	})
}
