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
		// Whose requests are late on a busy machine gets another stretch of the call.
		const stretch = 300
		deadline := time.After(patience)
		var from, lost, packets int64
		for {
			select {
			case st := <-c.stats:
				if st.Up.PacketsReceived < 100 { // the round trip is not known yet
					from, lost = int64(st.Up.PacketsReceived), st.Up.PacketsLost
					continue
				}
				packets = int64(st.Up.PacketsReceived) - from
				if packets < stretch {
					continue
				}
				share := float64(st.Up.PacketsLost-lost) / float64(packets)
				requested := n.Stats().RTPRequested
				t.Logf("asked again %v: %d packets, %.1f %% lost, %d requested", again, packets, 100*share, requested)
				if !again && (requested != 0 || share < 0.03) {
					t.Fatalf("%d requests of a client that does not send again, %.1f %% lost", requested, 100*share)
				}
				from, lost = int64(st.Up.PacketsReceived), st.Up.PacketsLost
				if again && (requested == 0 || share > 0.02) {
					continue
				}
			case <-deadline:
				t.Fatalf("asked again %v: too much is still lost, after %d packets of the last stretch", again, packets)
			}
			break
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
