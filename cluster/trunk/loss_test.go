package trunk

import (
	"strings"
	"testing"
	"time"

	"parley/internal/testkit/netsim"
)

// journey sends talkers' speech over a path for a while and returns what share is missing, the mean delay beyond the path's
// own of what came, and the highest.
func journey(t *testing.T, there netsim.Conditions, talkers, packets int, once bool) (residual float64, mean, worst time.Duration, a, b Link) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		n, na, nb := pair(t, func(c *Config) { c.once = once })
		defer na.kill()
		defer nb.kill()
		n.path(na.conn, nb.conn, there, 1)
		n.path(nb.conn, na.conn, there, 2)
		settle(10 * time.Second)
		var streams []*Stream
		for i := range talkers {
			streams = append(streams, na.newStream("room", string(rune('A'+i))))
		}
		sent := make([]time.Duration, packets)
		round := func(k int) {
			for _, s := range streams {
				p := packet(k)
				p.Timestamp = uint32(k)
				na.trunks.Send("b", s, p)
				settle(20 * time.Millisecond / time.Duration(talkers))
			}
		}
		for k := range 250 { // both ends get to know the path
			round(1<<20 + k)
		}
		settle(time.Second)
		before := len(nb.got())
		for k := range packets {
			sent[k] = time.Since(n.start)
			round(k)
		}
		settle(time.Second)
		var sum time.Duration
		all := nb.got()[before:]
		for _, g := range all {
			at := sent[g.Timestamp]
			for i := range talkers {
				if g.Participant == string(rune('A'+i)) {
					at += time.Duration(i) * (20 * time.Millisecond / time.Duration(talkers))
				}
			}
			d := g.at - at - there.Delay
			sum += d
			worst = max(worst, d)
		}
		residual = 1 - float64(len(all))/float64(packets*talkers)
		mean, a, b = sum/time.Duration(len(all)), na.link(nb), nb.link(na)
	})
	return residual, mean, worst, a, b
}

// What is lost comes after all: the figures of the package's promise. -v prints them.
func TestLossIsRepaired(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name      string
		there     netsim.Conditions
		talkers   int
		residual  float64
		worst     time.Duration
		redundant bool
		most      float64 // datagrams sent per packet
	}{
		{"perfect", netsim.Conditions{}, 1, 0, 0, false, 1.1},
		{"2 %, 20 ms", netsim.Conditions{Loss: 0.02, Delay: 10 * ms}, 1, 0.0005, 200 * ms, false, 1.2},
		{"10 %, 40 ms, nothing twice", netsim.Conditions{Loss: 0.1, Delay: 20 * ms}, 1, 0.003, 270 * ms, false, 1.4},
		{"10 %, 40 ms, nothing twice, five talkers", netsim.Conditions{Loss: 0.1, Delay: 20 * ms}, 5, 0.003, 270 * ms, false, 1.4},
		{"10 %, 40 ms", netsim.Conditions{Loss: 0.1, Delay: 20 * ms}, 1, 0.0015, 270 * ms, true, 2.4},
		{"10 %, 40 ms, five talkers", netsim.Conditions{Loss: 0.1, Delay: 20 * ms}, 5, 0.0015, 270 * ms, true, 2.4},
		{"10 % in bursts of 3, 40 ms", netsim.Conditions{Loss: 0.1, Burst: 3, Delay: 20 * ms}, 1, 0.005, 270 * ms, true, 2.4},
		{"5 %, 160 ms", netsim.Conditions{Loss: 0.05, Delay: 80 * ms}, 1, 0.0025, 270 * ms, true, 2.4},
		{"reordered", netsim.Conditions{Reorder: 0.1, Delay: 5 * ms}, 5, 0, 1 * ms, false, 1.4},
	} {
		residual, mean, worst, a, b := journey(t, c.there, c.talkers, 5000, strings.Contains(c.name, "nothing twice"))
		sent := float64(a.DatagramsSent) / float64(a.PacketsOut)
		t.Logf("%-40s residual %.4f of %.3f lost, added delay mean %v, most %v; %.2f datagrams and %.1f bytes per packet, twice: %v; asked %d, again %d, recovered %d",
			c.name, residual, c.there.Loss, mean.Round(10*time.Microsecond), worst, sent,
			float64(a.BytesSent)/float64(a.PacketsOut), a.Redundant, b.Nacks, a.Resent, b.Recovered)
		if residual > c.residual || worst > c.worst || sent > c.most || a.Redundant != c.redundant {
			t.Errorf("%s: residual %.4f (at most %.4f), delay %v (%v), %.2f datagrams per packet (%.2f), twice: %v (%v)", c.name,
				residual, c.residual, worst, c.worst, sent, c.most, a.Redundant, c.redundant)
		}
		if c.there.Loss == 0 && c.there.Reorder > 0 && b.LossIn > 0.002 {
			t.Errorf("%s: reordering is called a loss of %v", c.name, b.LossIn)
		}
	}
}

// An outage of seconds is not answered with a storm, and speech goes on after it.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, a, b := pair(t)
		defer a.kill()
		defer b.kill()
		s := a.newStream("room", "alice")
		talk := func(packets int) {
			for k := range packets {
				a.trunks.Send("b", s, packet(k))
				settle(20 * time.Millisecond)
			}
		}
		talk(50)
		before := a.link(b)
		n.path(a.conn, b.conn, netsim.Conditions{Loss: 1}, 1)
		n.path(b.conn, a.conn, netsim.Conditions{Loss: 1}, 1)
		talk(500)
		if a.link(b).Up || b.link(a).Up {
			t.Error("up without a word for 10 s")
		}
		if _, ended := b.events(); len(ended) != 1 {
			t.Errorf("%d streams ended", len(ended))
		}
		n.path(a.conn, b.conn, netsim.Conditions{}, 1)
		n.path(b.conn, a.conn, netsim.Conditions{}, 1)
		settle(3 * time.Second)
		got := len(b.got())
		talk(100)
		if now := len(b.got()); now-got < 99 {
			t.Errorf("%d packets of 100 after the outage", now-got)
		}
		after := a.link(b)
		if n := after.Resent - before.Resent; n > 70 {
			t.Errorf("%d datagrams sent again", n)
		}
		if !after.Up || !b.link(a).Up {
			t.Error("not up again")
		}
	})
}
