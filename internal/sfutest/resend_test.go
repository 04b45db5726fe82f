package sfutest

import (
	"strings"
	"testing"
	"time"

	"parley/internal/testkit/netsim"
)

// What is lost on the way is asked for and comes again, when the client offers to send again; else it is lost.
func TestLostPacketsAreAskedFor(t *testing.T) {
	for _, again := range []bool{true, false} {
		n := newNode(t)
		listener := join(t, n, options{codecs: opusAlone})
		way := netsim.Conditions{Loss: 0.08, Delay: 10 * time.Millisecond}
		c := join(t, n, options{codecs: opusAlone, nack: again, network: &way, back: netsim.Conditions{Delay: 10 * time.Millisecond}})
		if got := strings.Contains(c.answer, "a=rtcp-fb:111 nack\r\n"); got != again {
			t.Errorf("nack offered %v, answered %v", again, got)
		}
		c.start(opusTone(t, 440, 0.1))
		listener.awaitTone(440, -20)
		deadline := time.After(patience)
		var first, s = (*int64)(nil), struct{ lost, packets int64 }{}
		for s.packets < 400 {
			select {
			case st := <-c.stats:
				s.lost, s.packets = st.Up.PacketsLost, int64(st.Up.PacketsReceived)
				if first == nil && s.packets > 100 { // the round trip is known by now
					v := s.lost
					first = &v
				}
			case <-deadline:
				t.Fatalf("%d packets", s.packets)
			}
		}
		requested := n.Stats().RTPRequested
		share := float64(s.lost-*first) / float64(s.packets)
		t.Logf("asked again %v: %d packets, %d lost, %d requested", again, s.packets, s.lost, requested)
		switch {
		case again && (requested == 0 || share > 0.02):
			t.Errorf("%d requests, %.1f %% still lost", requested, 100*share)
		case !again && (requested != 0 || share < 0.03):
			t.Errorf("%d requests of a client that does not send again, %.1f %% lost", requested, 100*share)
		}
	}
}

// And what is lost of the mix is sent again when the client asks.
func TestTheMixIsSentAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		n := newNode(t)
		talker := join(t, n, options{codecs: opusAlone})
		talker.start(opusTone(t, 440, 0.1))
		way := netsim.Conditions{Delay: 10 * time.Millisecond}
		c := join(t, n, options{codecs: opusAlone, nack: again, network: &way, back: netsim.Conditions{Loss: 0.08, Delay: 10 * time.Millisecond}})
		deadline := time.After(patience)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		sent, missing := 0, 0
		for sent < 300 {
			select {
			case <-tick.C:
				sent, missing = c.packets()
			case <-deadline:
				t.Fatalf("%d packets", sent)
			}
		}
		share := float64(missing) / float64(sent)
		t.Logf("sent again %v: %d of %d missing", again, missing, sent)
		if again == (share > 0.03) {
			t.Errorf("sent again %v: %.1f %% missing", again, 100*share)
		}
	}
}
