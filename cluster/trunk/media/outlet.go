package media

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/cluster/trunk"
	"parley/neteq"
)

// The choice is by the same measure as the mixer's (mixer/speakers.go), at the time of arrival instead of play.
const (
	silentDBov = -127
	// enterDBov is the level from which somebody is sent at all, leaveDBov that below which a place is given up, after
	// leaveAfter: a pause within speech is shorter.
	enterDBov  = -65
	leaveDBov  = -70
	leaveAfter = 2 * time.Second
	// hushDBov is what a pause is below, and calmAfter how long one lasts that is more than the gap between two syllables.
	hushDBov  = -50
	calmAfter = 150 * time.Millisecond
	// A talker counts for the loudest of the last holdTime to twice that.
	holdTime = 150 * time.Millisecond
	// A challenger must be leadDB louder than the quietest of the chosen, by lead decibels times seconds.
	leadDB = 3
	lead   = 3 * 0.040
	// stay is how long a place is kept at least, and overlap how many may have one meanwhile beyond the limit.
	stay    = 500 * time.Millisecond
	overlap = 2
	// usualGap is what the first packet counts for, and longestGap any.
	usualGap   = 20 * time.Millisecond
	longestGap = 60 * time.Millisecond
)

// ErrConfig is a setting that makes no sense.
var ErrConfig = errors.New("media: invalid configuration")

// Trunks is what an outlet needs of *trunk.Trunks.
type Trunks interface {
	NewStream(trunk.StreamInfo) (*trunk.Stream, error)
	SendHeld(node string, s *trunk.Stream, p *neteq.Packet, held time.Duration)
	Withdraw(node string, s *trunk.Stream)
}

// Outlet sends what the loudest of a room say to the room's other nodes. Its methods may be called from any goroutine.
type Outlet struct {
	trunks   Trunks
	room     string
	speakers int

	mu      sync.Mutex
	nodes   []string
	talkers []*Talker
	chosen  int
	stats   OutletStats
}

// OutletStats is a snapshot of an outlet. Counts are since it was made.
type OutletStats struct {
	Talkers, Chosen  int
	Sent, Held       uint64 // packets sent, to each node; of those, out of the backlog
	Unchosen         uint64 // packets of those that were not chosen; some of them were sent later
	Choices, Crowded uint64 // times somebody was chosen; times that somebody lost the place early for it
	Refused          uint64 // times that no stream could be made
}

// NewOutlet makes the outlet of a room. speakers is how many are sent at a time, as many as the mixers choose: 1 to 1000.
func NewOutlet(trunks Trunks, room string, speakers int) (*Outlet, error) {
	if speakers < 1 || speakers > 1000 {
		return nil, fmt.Errorf("%w: %d speakers", ErrConfig, speakers)
	}
	return &Outlet{trunks: trunks, room: room, speakers: speakers}, nil
}

// SetNodes says which other nodes the room is on. While there are none, Push does nothing.
func (o *Outlet) SetNodes(nodes []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.talkers {
		if len(nodes) == 0 {
			o.release(t)
			t.backlog.clear()
			continue
		}
		for _, old := range o.nodes {
			if t.stream != nil && !slices.Contains(nodes, old) {
				o.trunks.Withdraw(old, t.stream)
			}
		}
	}
	o.nodes = slices.Clone(nodes)
}

// Stats returns a snapshot.
func (o *Outlet) Stats() OutletStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Talkers, s.Chosen = len(o.talkers), o.chosen
	return s
}

// TalkerConfig describes a participant of this node.
type TalkerConfig struct {
	Participant string
	SourceEpoch uint32 // grows when RTP sequence numbers start over: with every new SSRC
	Formats     map[uint8]neteq.Format
	// Level says how loud a packet is, in dBov: (*mixer.Source).Expect, which knows whom to believe. nil: what the packet states
	// (RFC 6464), and -35 without that.
	Level func(*neteq.Packet) int
}

// Talker is a participant of this node, as the other nodes know it.
type Talker struct {
	outlet *Outlet
	cfg    TalkerConfig

	// Guarded by the outlet's lock.
	stream  *trunk.Stream // nil while not chosen
	closed  bool
	since   time.Duration // when it was chosen
	last    time.Duration // when the last packet came
	level   int           // of that packet
	rank    int           // the loudest of a while
	peak    int           // what rank will be
	held    time.Duration // when rank was set
	sounded time.Duration // when the last packet came that was no hush
	audible time.Duration // the same, for what is worth a place
	lead    float64
	heard   bool // a packet has come
	backlog backlog
}

// Add adds a participant. Nothing is told to other nodes before it is chosen.
func (o *Outlet) Add(cfg TalkerConfig) *Talker {
	t := &Talker{outlet: o, cfg: cfg, level: silentDBov, rank: silentDBov, peak: silentDBov}
	o.mu.Lock()
	o.talkers = append(o.talkers, t)
	o.mu.Unlock()
	return t
}

// Close takes the participant out. Push does nothing afterwards.
func (t *Talker) Close() {
	o := t.outlet
	o.mu.Lock()
	defer o.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	o.release(t)
	if i := slices.Index(o.talkers, t); i >= 0 {
		o.talkers = slices.Delete(o.talkers, i, i+1)
	}
}

// Push takes in a packet, with the time at which it came, by any clock that does not go back. It sends it, or keeps it for a
// while. It copies, never blocks, and allocates nothing but when somebody is chosen. One goroutine at a time per talker.
func (t *Talker) Push(p *neteq.Packet, arrival time.Duration) {
	o := t.outlet
	o.mu.Lock()
	defer o.mu.Unlock()
	if t.closed || len(o.nodes) == 0 || len(p.Payload) > trunk.MaxPayload {
		return
	}
	gap := t.observe(t.loudness(p), arrival)
	if t.stream != nil {
		o.send(t, p, 0)
		if arrival-t.audible >= leaveAfter {
			o.release(t)
		}
		o.shrink(arrival)
		return
	}
	o.stats.Unchosen++
	t.backlog.add(p, arrival, t.level >= enterDBov)
	if t.level < enterDBov {
		t.lead = 0
		return
	}
	if o.chosen < o.speakers || o.displaces(t, gap, arrival) {
		o.choose(t, arrival)
	}
}

func (t *Talker) loudness(p *neteq.Packet) int {
	if t.cfg.Level != nil {
		return t.cfg.Level(p)
	}
	if p.HasAudioLevel {
		return -int(p.AudioLevel & 0x7f)
	}
	return -35
}

// observe takes a packet's level in, and returns the time since the one before.
func (t *Talker) observe(level int, now time.Duration) (gap time.Duration) {
	if gap = min(longestGap, now-t.last); !t.heard {
		gap, t.heard, t.held, t.sounded, t.audible = usualGap, true, now, now, now
	}
	t.last, t.level = now, level
	t.peak = max(t.peak, level)
	if level >= t.rank || now-t.held >= holdTime {
		t.rank, t.peak, t.held = t.peak, level, now
	}
	if level >= hushDBov {
		t.sounded = now
	}
	if level >= leaveDBov {
		t.audible = now
	}
	return gap
}

// calm tells whether somebody has stopped speaking.
func (t *Talker) calm(now time.Duration) bool { return now-t.sounded >= calmAfter }

// standing is what a place is defended with.
func (t *Talker) standing(now time.Duration) int {
	switch {
	case now-t.last >= calmAfter:
		return silentDBov // sends nothing
	case t.calm(now):
		return t.level
	}
	return t.rank
}

// quietest returns the one that loses its place first, of those that have had it for a while.
func (o *Outlet) quietest(now, least time.Duration) *Talker {
	var worst *Talker
	for _, t := range o.talkers {
		if t.stream != nil && (least == 0 || now-t.since >= least) && (worst == nil || t.standing(now) < worst.standing(now)) {
			worst = t
		}
	}
	return worst
}

// displaces tells whether t may have a place though all are taken, and frees one if there are no more for the time being.
func (o *Outlet) displaces(t *Talker, gap, now time.Duration) bool {
	worst := o.quietest(now, 0)
	above := t.level - worst.standing(now)
	if above < leadDB {
		t.lead = 0
		return false
	}
	if t.lead += float64(above) * gap.Seconds(); t.lead < lead && !worst.calm(now) {
		return false
	}
	if o.chosen >= o.speakers+overlap {
		o.stats.Crowded++
		o.release(worst)
	}
	return true
}

// choose gives t a place, and sends what it said before.
func (o *Outlet) choose(t *Talker, now time.Duration) {
	stream, err := o.trunks.NewStream(trunk.StreamInfo{
		Room: o.room, Participant: t.cfg.Participant, SourceEpoch: t.cfg.SourceEpoch, Formats: t.cfg.Formats,
	})
	if err != nil {
		o.stats.Refused++
		return
	}
	t.stream, t.since, t.audible, t.lead = stream, now, now, 0
	o.chosen++
	o.stats.Choices++
	for i := t.backlog.from(now); i < t.backlog.count; i++ {
		k := t.backlog.at(i)
		if held := now - k.arrival; held > 0 {
			o.stats.Held++
			o.send(t, &k.packet, held)
		} else {
			o.send(t, &k.packet, 0)
		}
	}
	t.backlog.clear()
	o.shrink(now)
}

// shrink takes places back that are beyond the limit, from those that have had them for a while.
func (o *Outlet) shrink(now time.Duration) {
	for o.chosen > o.speakers {
		worst := o.quietest(now, stay)
		if worst == nil {
			return
		}
		o.release(worst)
	}
}

// release takes the place of t back, if it has one.
func (o *Outlet) release(t *Talker) {
	if t.stream != nil {
		t.stream.Close()
		t.stream = nil
		t.lead = 0
		o.chosen--
	}
}

func (o *Outlet) send(t *Talker, p *neteq.Packet, held time.Duration) {
	o.stats.Sent++
	for _, node := range o.nodes {
		o.trunks.SendHeld(node, t.stream, p, held)
	}
}
