package media

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/cluster/trunk"
	"parley/internal/testkit"
	"parley/neteq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire records what an outlet sends. Its streams are of trunks that nobody runs.
type wire struct {
	*trunk.Trunks
	sent      map[string][]sending // by participant
	withdrawn int
}

type sending struct {
	node   string
	stream *trunk.Stream
	k      int // number of the packet
	held   time.Duration
}

func newWire(t testing.TB) *wire {
	t.Helper()
	tr, err := trunk.New(trunk.Config{Conn: stubConn(t), Node: "here", Secret: make([]byte, 32), Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &wire{Trunks: tr, sent: map[string][]sending{}}
}

// stubConn is a socket that nothing goes through.
func stubConn(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *wire) SendHeld(node string, s *trunk.Stream, p *neteq.Packet, held time.Duration) {
	who := s.Info().Participant
	w.sent[who] = append(w.sent[who], sending{node, s, int(p.Timestamp / 960), held})
}

func (w *wire) Withdraw(string, *trunk.Stream) { w.withdrawn++ }

var opusFormats = map[uint8]neteq.Format{111: {Name: "opus", ClockRateHz: 48000, Channels: 2}}

// scene is a room of people who send a packet every 20 ms, of a level that says who speaks.
type scene struct {
	t       *testing.T
	wire    *wire
	outlet  *Outlet
	talkers []*Talker
	levels  []func(k int) int // dBov of packet k; 1: nothing is sent
	k       int
	most    int // chosen at a time
	over    int // packets' times with more chosen than the limit
}

func newScene(t *testing.T, speakers int, levels ...func(k int) int) *scene {
	t.Helper()
	s := &scene{t: t, wire: newWire(t), levels: levels}
	var err error
	if s.outlet, err = NewOutlet(s.wire, "room", speakers); err != nil {
		t.Fatal(err)
	}
	s.outlet.SetNodes([]string{"there"})
	for i := range levels {
		s.talkers = append(s.talkers, s.outlet.Add(TalkerConfig{Participant: fmt.Sprint(i), SourceEpoch: 1, Formats: opusFormats}))
	}
	return s
}

func (s *scene) run(packets int) {
	for range packets {
		now := time.Duration(s.k) * 20 * time.Millisecond
		for i, t := range s.talkers {
			level := s.levels[i](s.k)
			if level > 0 {
				continue
			}
			t.Push(&neteq.Packet{SequenceNumber: uint16(s.k), Timestamp: uint32(s.k) * 960, PayloadType: 111, HasAudioLevel: true,
				AudioLevel: uint8(-level), Payload: []byte("payload")}, now+time.Duration(i)*time.Millisecond)
		}
		s.k++
		chosen := s.outlet.Stats().Chosen
		s.most = max(s.most, chosen)
		if chosen > s.outlet.speakers {
			s.over++
		}
	}
}

// has returns which packets of a talker were sent, and fails where one was sent twice or out of order.
func (s *scene) has(talker int) map[int]time.Duration {
	s.t.Helper()
	m := map[int]time.Duration{}
	last := -1
	for _, x := range s.wire.sent[fmt.Sprint(talker)] {
		if x.k <= last {
			s.t.Errorf("talker %d: packet %d was sent after %d", talker, x.k, last)
		}
		last = x.k
		m[x.k] = x.held
	}
	return m
}

func steady(level int) func(int) int { return func(int) int { return level } }

func between(from, to, level int) func(int) int {
	return func(k int) int {
		if k >= from && k < to {
			return level
		}
		return -90
	}
}

// Somebody who begins to speak is sent from before the first sound on, and nobody who is silent.
func TestFirstSoundIsSent(t *testing.T) {
	s := newScene(t, 2, between(50, 150, -30), steady(-90), steady(-80))
	s.run(400)
	got := s.has(0)
	for k := 50 - 3; k < 150+95; k++ {
		held, ok := got[k]
		want := time.Duration(0)
		if k < 50 {
			want = time.Duration(50-k) * 20 * time.Millisecond
		}
		if !ok || held != want {
			t.Errorf("packet %d: sent %v, held %v, want %v", k, ok, held, want)
		}
	}
	if n := len(got); n > 100+3+101 {
		t.Errorf("%d packets sent of 100 with sound", n)
	}
	if len(s.has(1))+len(s.has(2)) != 0 {
		t.Error("silence was sent")
	}
	if st := s.outlet.Stats(); st.Chosen != 0 || st.Choices != 1 || st.Held != 3 {
		t.Errorf("%+v", st)
	}
}

// With all places taken by quieter ones, who is louder is sent whole from the first sound, and the place lost is the quietest's.
func TestLouderOneTakesAPlace(t *testing.T) {
	for _, c := range []struct{ level, held int }{{-10, 3}, {-24, 3}, {-27, 4}} {
		s := newScene(t, 2, steady(-20), steady(-30), between(100, 300, c.level))
		s.run(300)
		got := s.has(2)
		for k := 100 - 3; k < 300; k++ {
			if _, ok := got[k]; !ok {
				t.Errorf("%d dB: packet %d was not sent", c.level, k)
			}
		}
		if n := s.outlet.Stats().Held; n > uint64(c.held) {
			t.Errorf("%d dB: %d packets out of the backlog, want %d", c.level, n, c.held)
		}
		if len(s.has(0)) != 300 || len(s.has(1)) > 110 || s.most > 3 || s.over > 25 {
			t.Errorf("%d dB: sent %d of the loudest, %d of the quietest; %d at a time, %d packets long more than two",
				c.level, len(s.has(0)), len(s.has(1)), s.most, s.over)
		}
	}
}

// One who is not 3 dB louder does not take a place, and one who takes it after long talk sends no old packets but a few.
func TestPlacesAreKept(t *testing.T) {
	s := newScene(t, 1, between(0, 200, -20), steady(-22))
	s.run(200)
	if len(s.has(1)) != 0 {
		t.Errorf("%d packets of the quieter", len(s.has(1)))
	}
	s.run(200)
	got := s.has(1)
	first := 1 << 30
	for k := range got {
		first = min(first, k)
	}
	if first < 200 || first > 210 {
		t.Errorf("sent from packet %d on, the other stopped at 200", first)
	}
}

// Six shout at once in a room for two: never more than two beyond the limit, and the louder are sent whole.
func TestCrowd(t *testing.T) {
	levels := []func(int) int{steady(-30), steady(-31)}
	for i := range 6 {
		levels = append(levels, between(100+i, 1000, -25+4*i))
	}
	s := newScene(t, 2, levels...)
	s.run(400)
	if s.most > 2+overlap || s.outlet.Stats().Chosen != 2 || s.outlet.Stats().Crowded == 0 {
		t.Errorf("%d at a time; %+v", s.most, s.outlet.Stats())
	}
	for _, i := range []int{6, 7} {
		got := s.has(i)
		for k := 100 + i - 2; k < 400; k++ {
			if _, ok := got[k]; !ok {
				t.Fatalf("packet %d of talker %d was not sent", k, i)
			}
		}
	}
}

// conversation is people who speak in turns and at once, by chance, with a level for every packet, as voices have it.
func conversation(people, packets int, seed uint64, share float64) (levels [][]int) {
	voice := testkit.Voice(testkit.VoiceConfig{PitchHz: 120, LevelDBFS: -26, Seed: seed}, 4*time.Second)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range people {
		l := make([]int, packets)
		loud := -6 + 12*rng.Float64()
		for k := 0; k < packets; {
			pause := 1 + int(rng.ExpFloat64()*100*(1-share)/share)
			for ; pause > 0 && k < packets; pause-- {
				l[k] = -75 - rng.IntN(20)
				k++
			}
			from := rng.IntN(100)
			for spurt := 20 + rng.IntN(150); spurt > 0 && k < packets; spurt-- {
				at := from % 199 * 960
				sum := 0.0
				for _, x := range voice[at : at+960] {
					sum += float64(x) * float64(x)
				}
				l[k] = max(-127, min(0, int(math.Round(10*math.Log10(sum/960+1e-13)+loud))))
				from++
				k++
			}
		}
		levels = append(levels, l)
	}
	return levels
}

// As long as no more speak than there are places, no sound of anybody is missing, however they come and go.
func TestConversation(t *testing.T) {
	const people, packets, speakers = 12, 15000, 5
	levels := conversation(people, packets, 3, 0.15)
	speaking := make([]int, packets)
	for _, l := range levels {
		last := -1000
		for k, x := range l {
			if x >= -60 {
				last = k
			}
			if k-last < 25 {
				speaking[k]++
			}
		}
	}
	var functions []func(int) int
	for _, l := range levels {
		functions = append(functions, func(k int) int { return l[k] })
	}
	s := newScene(t, speakers, functions...)
	s.run(packets)
	sounds, missing, sent := 0, 0, 0
	for i, l := range levels {
		got := s.has(i)
		sent += len(got)
		for k, x := range l {
			if x < -60 || speaking[k] > speakers {
				continue
			}
			sounds++
			if _, ok := got[k]; !ok {
				missing++
			}
		}
	}
	share := float64(sent) / packets
	t.Logf("%d packets with sound, %d missing; %.2f streams at a time in the mean, %d at most, %.2f %% of the time more than %d; %+v",
		sounds, missing, share, s.most, 100*float64(s.over)/packets, speakers, s.outlet.Stats())
	if sounds < 10000 || float64(missing) > 0.001*float64(sounds) {
		t.Errorf("%d of %d packets with sound are missing", missing, sounds)
	}
	if share > speakers || s.most > speakers+overlap || float64(s.over) > 0.15*packets {
		t.Errorf("%.2f streams in the mean, %d at most, %d packets long more than %d", share, s.most, s.over, speakers)
	}
}

// In a crowd of honest talkers in which too many speak, those who are much louder lose nothing.
func TestLoudestOfMany(t *testing.T) {
	const packets = 5000
	levels := conversation(20, packets, 9, 0.6)
	functions := []func(int) int{func(k int) int { // a bell: 200 ms, every two seconds
		if k%100 < 10 {
			return -6
		}
		return -90
	}}
	for _, l := range levels {
		functions = append(functions, func(k int) int { return l[k] })
	}
	s := newScene(t, 3, functions...)
	s.run(packets)
	got, missing := s.has(0), 0
	for k := range packets {
		if _, ok := got[k]; !ok && k%100 < 10 {
			missing++
		}
	}
	if missing > 0 || s.most > 3+overlap {
		t.Errorf("%d of 500 packets of the loudest are missing; %d at a time", missing, s.most)
	}
}

// Who is not believed is chosen by what it is believed.
func TestLevelOfALiar(t *testing.T) {
	s := newScene(t, 1, steady(0), steady(-30))
	s.talkers[0].cfg.Level = func(*neteq.Packet) int { return -85 }
	s.run(100)
	if len(s.has(0)) != 0 || len(s.has(1)) != 100 {
		t.Errorf("sent %d of the liar, %d of the other", len(s.has(0)), len(s.has(1)))
	}
}

// Nodes come and go; without any nothing is done; a talker that left is not sent.
func TestNodesAndLeaving(t *testing.T) {
	s := newScene(t, 2, steady(-30), steady(-40))
	s.run(10)
	s.outlet.SetNodes([]string{"there", "elsewhere"})
	s.run(10)
	if n := len(s.wire.sent["0"]); n != 30 {
		t.Errorf("%d packets sent, want 10 to one node and 10 to two", n)
	}
	s.outlet.SetNodes([]string{"elsewhere"})
	if s.wire.withdrawn != 2 {
		t.Errorf("%d streams withdrawn of the node that left, want 2", s.wire.withdrawn)
	}
	s.talkers[0].Close()
	s.talkers[0].Close()
	s.run(10)
	if n, m := len(s.wire.sent["0"]), len(s.wire.sent["1"]); n != 30 || m != 40 {
		t.Errorf("%d and %d packets sent, want 30 and 40", n, m)
	}
	s.outlet.SetNodes(nil)
	if st := s.outlet.Stats(); st.Chosen != 0 || st.Talkers != 1 {
		t.Errorf("without nodes: %+v", st)
	}
	s.run(10)
	if m := len(s.wire.sent["1"]); m != 40 {
		t.Errorf("%d packets sent to nobody", m-40)
	}
	if _, err := NewOutlet(s.wire, "room", 0); err == nil {
		t.Error("an outlet for nobody")
	}
}

// Those who send nothing in silence (DTX) give their place up to others, and are sent again when they speak.
func TestSendersThatPause(t *testing.T) {
	dtx := func(k int) int {
		if k < 100 || k >= 300 {
			return -25
		}
		return 1
	}
	s := newScene(t, 1, dtx, between(150, 250, -45))
	s.run(400)
	got := s.has(1)
	for k := 150; k < 250; k++ {
		if _, ok := got[k]; !ok {
			t.Fatalf("packet %d of the second was not sent while the first sent nothing", k)
		}
	}
	got = s.has(0)
	for k := 300; k < 400; k++ {
		if _, ok := got[k]; !ok {
			t.Fatalf("packet %d of the first was not sent", k)
		}
	}
}

// Push allocates nothing, chosen or not.
func TestPushAllocatesNothing(t *testing.T) {
	s := newScene(t, 1, steady(-20), steady(-40))
	s.run(100)
	s.wire.sent = nil
	o, err := NewOutlet(silentWire{s.wire.Trunks}, "room", 1)
	if err != nil {
		t.Fatal(err)
	}
	o.SetNodes([]string{"there"})
	a, b := o.Add(TalkerConfig{Participant: "a", Formats: opusFormats}), o.Add(TalkerConfig{Participant: "b", Formats: opusFormats})
	p := neteq.Packet{HasAudioLevel: true, Payload: make([]byte, 100)}
	now := time.Duration(0)
	push := func() {
		now += 20 * time.Millisecond
		p.AudioLevel = 20
		a.Push(&p, now)
		p.AudioLevel = 40
		b.Push(&p, now)
	}
	for range 100 {
		push()
	}
	if n := testing.AllocsPerRun(200, push); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type silentWire struct{ *trunk.Trunks }

func (silentWire) SendHeld(string, *trunk.Stream, *neteq.Packet, time.Duration) {}

// BenchmarkPush is what a packet costs its reader, in a room of 50 of whom 5 are sent to 2 nodes, without the trunk.
func BenchmarkPush(b *testing.B) {
	o, err := NewOutlet(silentWire{newWire(b).Trunks}, "room", 5)
	if err != nil {
		b.Fatal(err)
	}
	o.SetNodes([]string{"there", "elsewhere"})
	var talkers []*Talker
	for i := range 50 {
		talkers = append(talkers, o.Add(TalkerConfig{Participant: fmt.Sprint(i), Formats: opusFormats}))
	}
	p := neteq.Packet{HasAudioLevel: true, Payload: make([]byte, 80)}
	k := 0
	b.ReportAllocs()
	for b.Loop() {
		p.AudioLevel = uint8(20 + k%50)
		talkers[k%50].Push(&p, time.Duration(k/50)*20*time.Millisecond)
		k++
	}
}
