package load

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// ReportVersion changes when fields of Report change their meaning or go.
const ReportVersion = 1

// Report is what a run found. It is also the JSON that "parley load --json" writes; times are in milliseconds where a name
// ends in Ms, shares are 0 to 1.
type Report struct {
	Version   int       `json:"version"`
	Started   time.Time `json:"started"` // of the measurement
	Seconds   float64   `json:"seconds"` // measured
	Crowd     Crowd     `json:"crowd"`
	Joins     Joins     `json:"joins"`
	Received  Received  `json:"received"`
	Sent      Sent      `json:"sent"`
	GapMs     Quantiles `json:"gapMs"`  // between packets of consecutive frames
	LateMs    Quantiles `json:"lateMs"` // the same, less the frame's length
	Audio     Audio     `json:"audio"`
	DelayMs   Quantiles `json:"delayMs"`       // of the sound, RTP in to RTP out; with Config.Latency
	PacketMs  Quantiles `json:"packetDelayMs"` // from the packet with a chirp's first sample to the one with it in the mix
	Generator Generator `json:"generator"`
	Server    *Server   `json:"server,omitempty"` // with Config.ServerPID
	Checks    []Check   `json:"checks"`
	OK        bool      `json:"ok"` // all checks hold
}

// Crowd is who was there.
type Crowd struct {
	URL          string  `json:"url"`
	Via          string  `json:"via"`
	Rooms        int     `json:"rooms"`
	Participants int     `json:"participants"` // in each room
	Speakers     int     `json:"speakers"`     // in each room
	Listeners    string  `json:"listeners"`    // what the others send
	FrameMs      float64 `json:"frameMs"`
	Loss         float64 `json:"loss"` // on purpose
	Churn        float64 `json:"churn"`
	TurnSeconds  float64 `json:"turnSeconds"`
}

// Joins counts seats taken, from the request to the first DTLS keys.
type Joins struct {
	Asked   int       `json:"asked"`
	Joined  int       `json:"joined"`
	Failed  int       `json:"failed"`
	Again   int       `json:"again"` // attempts that the server put off (429, 503)
	Left    int       `json:"left"`
	Lost    int       `json:"lost"` // participants that the server ended or stopped answering
	TookMs  Quantiles `json:"tookMs"`
	Reasons []string  `json:"reasons"` // of the first failures
}

// Received is about the packets of all participants.
type Received struct {
	Packets           uint64  `json:"packets"`
	Bytes             uint64  `json:"bytes"`
	PacketsPerSecond  float64 `json:"packetsPerSecond"`
	Lost              int64   `json:"lost"` // without those dropped on purpose
	Dropped           uint64  `json:"dropped"`
	Reordered         uint64  `json:"reordered"`
	Duplicates        uint64  `json:"duplicates"`
	TimestampErrors   uint64  `json:"timestampErrors"`
	SSRCChanges       uint64  `json:"ssrcChanges"`
	PayloadTypeErrors uint64  `json:"payloadTypeErrors"`
	AuthErrors        uint64  `json:"authErrors"`
	Decrypted         uint64  `json:"decrypted"`
	SenderReports     uint64  `json:"senderReports"`
	JitterMs          float64 `json:"jitterMs"`    // mean of all streams at the end (RFC 3550)
	JitterMaxMs       float64 `json:"jitterMaxMs"` // of the worst
	GapsOver40Ms      uint64  `json:"gapsOver40Ms"`
}

// Sent is about the packets of all participants.
type Sent struct {
	Packets          uint64  `json:"packets"`
	Bytes            uint64  `json:"bytes"`
	PacketsPerSecond float64 `json:"packetsPerSecond"`
	Dropped          uint64  `json:"dropped"` // on purpose
	Errors           uint64  `json:"errors"`
}

// Audio is about the streams that were decoded.
type Audio struct {
	Listeners    int      `json:"listeners"`    // decoded
	Blocks       uint64   `json:"blocks"`       // half seconds judged
	Expected     uint64   `json:"expected"`     // voices due in them, summed
	Missing      uint64   `json:"missing"`      // of those
	Wrong        uint64   `json:"wrong"`        // voices of other rooms or of nobody
	Own          uint64   `json:"own"`          // times that a listener heard itself
	SilentShare  float64  `json:"silentShare"`  // of the time with sound due
	DecodeErrors uint64   `json:"decodeErrors"` //
	Examples     []string `json:"examples"`     // of what was wrong
}

// Generator is what the crowd itself took.
type Generator struct {
	CPUs            []int     `json:"cpus"` // pinned to; empty: any
	Cores           int       `json:"cores"`
	CPUSeconds      float64   `json:"cpuSeconds"`
	Busy            float64   `json:"busy"`        // share of its cores
	BusySeconds     int       `json:"busySeconds"` // seconds in which it used over 90 % of them
	MicrosPerPacket float64   `json:"microsPerPacket"`
	LatenessMs      Quantiles `json:"latenessMs"` // of its own timers
	SocketDrops     uint64    `json:"socketDrops"`
	SkippedMs       uint64    `json:"skippedMs"`
	OtherErrors     uint64    `json:"otherErrors"`
	Bottleneck      bool      `json:"bottleneck"`
	Why             []string  `json:"why"`
}

// Server is what /proc said of it.
type Server struct {
	PID                       int     `json:"pid"`
	CPUSeconds                float64 `json:"cpuSeconds"`
	CPUMsPerSecond            float64 `json:"cpuMsPerSecond"`
	CPUMsPerParticipantSecond float64 `json:"cpuMsPerParticipantSecond"`
	CPUMicrosPerPacket        float64 `json:"cpuMicrosPerPacket"` // received and sent by the crowd
	RSSBytes                  uint64  `json:"rssBytes"`           // at the end
	RSSBytesBefore            uint64  `json:"rssBytesBefore"`     // before the first join
	Threads                   int     `json:"threads"`
}

// Check is one thing that had to hold.
type Check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Value string `json:"value"`
	Limit string `json:"limit"`
}

// judge fills the verdicts.
func (r *Report) judge(l Limits) {
	g := &r.Generator
	g.Why = []string{}
	// Lists are never null in JSON.
	r.Joins.Reasons = append([]string{}, r.Joins.Reasons...)
	r.Audio.Examples = append([]string{}, r.Audio.Examples...)
	g.CPUs = append([]int{}, g.CPUs...)
	blame := func(when bool, format string, args ...any) {
		if when {
			g.Bottleneck = true
			g.Why = append(g.Why, fmt.Sprintf(format, args...))
		}
	}
	blame(g.Busy > 0.85, "it used %.0f %% of its cores", 100*g.Busy)
	blame(g.BusySeconds > 0 && g.Busy <= 0.85, "in %d seconds it used over 90 %% of its cores", g.BusySeconds)
	blame(g.LatenessMs.P99 > 5, "its timers were %.1f ms late (p99)", g.LatenessMs.P99)
	blame(g.SocketDrops > 0, "its sockets dropped %d packets", g.SocketDrops)
	blame(g.SkippedMs > 0, "it left out %d ms", g.SkippedMs)

	r.Checks = nil
	check := func(ok bool, name, value, limit string) { r.Checks = append(r.Checks, Check{name, ok, value, limit}) }
	number := func(v any) string { return fmt.Sprint(v) }
	check(r.Joins.Failed <= l.Failed, "joins that failed", number(r.Joins.Failed), "at most "+number(l.Failed))
	check(r.Joins.Lost == 0, "participants lost", number(r.Joins.Lost), "0")
	check(r.Received.Packets > 0 || r.Crowd.Speakers == 0, "packets received", number(r.Received.Packets), "some")
	lost := float64(max(0, r.Received.Lost)) / float64(max(1, r.Received.Packets))
	check(lost <= l.Lost, "packets lost", percent(lost), "at most "+percent(l.Lost))
	bad := r.Received.SSRCChanges + r.Received.PayloadTypeErrors + r.Received.TimestampErrors + r.Received.AuthErrors + r.Received.Duplicates
	check(bad == 0, "broken streams", fmt.Sprintf("%d bad timestamps, %d SSRCs or sequences begun anew, %d of another payload type, %d not authentic, %d duplicates",
		r.Received.TimestampErrors, r.Received.SSRCChanges, r.Received.PayloadTypeErrors, r.Received.AuthErrors, r.Received.Duplicates), "0")
	if r.Audio.Listeners > 0 {
		a := &r.Audio
		missing := float64(a.Missing) / float64(max(1, a.Expected))
		check(a.Blocks > 0, "half seconds listened to", number(a.Blocks), "some")
		check(missing <= l.Silence, "voices missing", fmt.Sprintf("%d of %d", a.Missing, a.Expected), "at most "+percent(l.Silence))
		check(a.Wrong == 0, "wrong voices", number(a.Wrong), "0")
		check(a.Own == 0, "own voice heard", number(a.Own), "0")
		check(a.SilentShare <= l.Silence, "silence where sound should be", percent(a.SilentShare), "at most "+percent(l.Silence))
		check(a.DecodeErrors == 0, "packets that cannot be decoded", number(a.DecodeErrors), "0")
	}
	atMost := func(name string, value float64, limit time.Duration) {
		if limit > 0 {
			check(value <= ms(limit), name, fmt.Sprintf("%.1f ms", value), fmt.Sprintf("at most %.1f ms", ms(limit)))
		}
	}
	atMost("gap between packets, p99.9", r.GapMs.P999, l.GapP999)
	atMost("delay, median", r.DelayMs.P50, l.DelayP50)
	atMost("delay, p95", r.DelayMs.P95, l.DelayP95)
	if l.DelayP50 > 0 || l.DelayP95 > 0 {
		check(r.DelayMs.N > 0, "chirps heard", number(r.DelayMs.N), "some")
	}
	if l.Bottleneck {
		check(!g.Bottleneck, "the crowd was not the bottleneck", strings.Join(g.Why, "; "), "")
	}
	r.OK = true
	for _, c := range r.Checks {
		r.OK = r.OK && c.OK
	}
}

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// Summary writes the report for people.
func (r *Report) Summary(w io.Writer) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	c := &r.Crowd
	fmt.Fprintf(&b, "%d rooms of %d, %d speak, the others send %s; by %s; %.0f s\n",
		c.Rooms, c.Participants, c.Speakers, listenersInWords(c.Listeners), c.Via, r.Seconds)
	line("joins", "%d of %d, %d failed, %d put off, %d lost; took median %.0f ms, p99 %.0f ms",
		r.Joins.Joined, r.Joins.Asked, r.Joins.Failed, r.Joins.Again, r.Joins.Lost, r.Joins.TookMs.P50, r.Joins.TookMs.P99)
	for _, reason := range r.Joins.Reasons {
		line("", "%s", reason)
	}
	line("received", "%d packets (%.0f/s), %d lost, %d reordered, %d duplicates, %d other faults; jitter %.1f ms, worst %.1f ms",
		r.Received.Packets, r.Received.PacketsPerSecond, r.Received.Lost, r.Received.Reordered, r.Received.Duplicates,
		r.Received.TimestampErrors+r.Received.SSRCChanges+r.Received.PayloadTypeErrors+r.Received.AuthErrors,
		r.Received.JitterMs, r.Received.JitterMaxMs)
	line("sent", "%d packets (%.0f/s), %d dropped on purpose", r.Sent.Packets, r.Sent.PacketsPerSecond, r.Sent.Dropped)
	line("gaps", "%s; %d over 40 ms", r.GapMs, r.Received.GapsOver40Ms)
	if r.Audio.Listeners > 0 {
		line("heard", "%d streams decoded; %d of %d voices missing, %d wrong, %d own; silence %s of the time",
			r.Audio.Listeners, r.Audio.Missing, r.Audio.Expected, r.Audio.Wrong, r.Audio.Own, percent(r.Audio.SilentShare))
		for _, e := range r.Audio.Examples {
			line("", "%s", e)
		}
	}
	if r.DelayMs.N > 0 {
		line("delay", "%s (sample for sample)", r.DelayMs)
		line("", "%s (packet to packet)", r.PacketMs)
	}
	if s := r.Server; s != nil {
		line("server", "%.0f CPU-ms/s, %.3f per participant, %.1f µs per packet; %.0f MiB (%.0f before), %d threads",
			s.CPUMsPerSecond, s.CPUMsPerParticipantSecond, s.CPUMicrosPerPacket, float64(s.RSSBytes)/(1<<20), float64(s.RSSBytesBefore)/(1<<20), s.Threads)
	}
	g := &r.Generator
	line("this crowd", "%.0f %% of %d cores, %.1f µs per packet; timers late %s", 100*g.Busy, g.Cores, g.MicrosPerPacket, g.LatenessMs)
	if g.Bottleneck {
		line("", "IT WAS ITSELF THE BOTTLENECK: %s", strings.Join(g.Why, "; "))
	}
	for _, c := range r.Checks {
		if !c.OK {
			line("FAILED", "%s: %s, want %s", c.Name, c.Value, c.Limit)
		}
	}
	if r.OK {
		line("passed", "%d checks", len(r.Checks))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func listenersInWords(what string) string {
	switch what {
	case DTX:
		return "DTX"
	case Noise:
		return "noise"
	}
	return "nothing"
}

// String is the quantiles in words.
func (q Quantiles) String() string {
	return fmt.Sprintf("median %.1f, p99 %.1f, p99.9 %.1f, max %.1f ms", q.P50, q.P99, q.P999, q.Max)
}

// Progress is how a run stands.
type Progress struct {
	Phase      string        // "joining", "warming up", "measuring", "leaving"
	Elapsed    time.Duration // in the phase
	Of         time.Duration // 0: unknown
	Joined     int
	Asked      int
	Failed     int
	Lost       int
	PacketsIn  float64 // a second
	PacketsOut float64
	Missing    int64   // packets lost so far
	Faults     uint64  // in what was heard
	Busy       float64 // share of our cores
	ServerBusy float64 // cores; 0 unknown
}
