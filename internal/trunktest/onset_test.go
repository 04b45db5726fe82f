package trunktest

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/testkit"
	"parley/internal/testkit/netsim"
)

// firstSlack is what the first words of all may take longer: a NetEq that knows nothing of its network begins with 80 ms.
const firstSlack = 20 * time.Millisecond

// Somebody begins to speak on one node. On the other node the sound is heard from its beginning, as loud, and no later than
// the way takes and 25 ms more than on the speaker's own node, whoever else speaks, and whether or not the packets tell levels;
// and again after a pause in which the stream was given up.
func TestFirstSyllableOnAnotherNode(t *testing.T) {
	const oneWay = 20 * time.Millisecond
	voice := testkit.Voice(testkit.VoiceConfig{PitchHz: 120, LevelDBFS: -20, Seed: 4}, 2*time.Second)
	begin := firstLoud(voice, -32)
	spurts := []int{3 * 48000, 9 * 48000, 10*48000 + 24000, 16 * 48000} // the second and the third are close to one another
	sound := func(n int) float32 {
		for _, at := range spurts {
			if k := n - at; k >= 0 && k < 48000 {
				return voice[begin+k]
			}
		}
		return 0
	}
	for _, c := range []struct {
		name     string
		path     netsim.Conditions
		levels   bool
		speakers int
		others   int // who speak all the time on the same node, more softly
		slack    time.Duration
	}{
		{"alone", netsim.Conditions{}, true, 2, 0, 25 * time.Millisecond},
		{"no limit", netsim.Conditions{}, true, 0, 0, 25 * time.Millisecond},
		{"full", netsim.Conditions{}, true, 2, 2, 25 * time.Millisecond},
		{"no levels", netsim.Conditions{}, false, 2, 0, 25 * time.Millisecond},
		{"jitter", netsim.Conditions{Jitter: 8 * time.Millisecond}, true, 2, 0, 45 * time.Millisecond},
		{"10 % lost", netsim.Conditions{Loss: 0.1}, true, 2, 2, 120 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.path.Delay = oneWay
				call := newCall(t, c.path, c.speakers)
				defer call.close()
				talkers := []*talker{call.a.talker("alice", sound, c.levels)}
				for i := range c.others {
					talkers = append(talkers, call.a.talker(string(rune('p'+i)), tone(140+50*float64(i), 0.014), true))
				}
				near, far := call.a.ear("x"), call.b.ear("y")
				call.run(18*time.Second, talkers...)
				for i, at := range spurts {
					from, to := at, min(at+48000+24000, len(near.pcm), len(far.pcm))
					here, there := firstLoud(near.pcm[from:to], -30), firstLoud(far.pcm[from:to], -30)
					if here < 0 || there < 0 {
						t.Fatalf("spurt %d: not heard: %d %d", i, here, there)
					}
					const first = 2400
					lost := energyDB(near.pcm[from+here:from+here+first]) - energyDB(far.pcm[from+there:from+there+first])
					added := time.Duration(there-here) * time.Second / 48000
					t.Logf("spurt %d: heard after %v here, %v later there; first 50 ms %.1f dB quieter", i,
						time.Duration(here)*time.Second/48000, added, lost)
					most := oneWay + c.slack
					if i == 0 {
						most += firstSlack
					}
					if added > most || added < -30*time.Millisecond {
						t.Errorf("spurt %d: %v later on the other node", i, added)
					}
					if math.Abs(lost) > 2 {
						t.Errorf("spurt %d: the first 50 ms are %.1f dB quieter", i, lost)
					}
				}
				stats := call.b.remote.Stats().NetEq
				t.Logf("concealed %d samples of %d; %+v; %+v", stats.NetworkConcealedSamples, stats.TotalSamplesReceived,
					call.a.outlet.Stats(), call.b.inlet.Stats())
				if c.path.Jitter == 0 && c.path.Loss == 0 && stats.NetworkConcealedSamples > 4800 {
					t.Errorf("%d samples concealed on a perfect path", stats.NetworkConcealedSamples)
				}
				if st := call.b.inlet.Stats(); st.Doubles+st.Unknown+st.NoRoom+st.Full != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}
