package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// measure brings everybody in, watches, and has them leave.
func (r *run) measure(ctx context.Context) (*Report, error) {
	watch := newWatch(r)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { watch.loop(watching) })
	defer watcher.Wait()
	defer unwatch()

	before, err := r.server()
	if err != nil {
		return nil, err
	}
	watch.phase("joining", 0)
	r.everybody(ctx, r.cfg.JoinRate, func(c *chair) { _ = r.join(ctx, c) }) // counted
	watch.phase("warming up", r.cfg.Warmup)
	pause(ctx, r.cfg.Warmup)

	r.reset()
	watch.phase(phaseMeasuring, r.cfg.Duration)
	if r.cfg.sabotage != nil {
		r.cfg.sabotage(r)
	}
	start, cpu := time.Now(), ownCPU()
	first, err := r.server()
	if err != nil {
		return nil, err
	}
	moving, still := context.WithTimeout(ctx, r.cfg.Duration)
	var movers sync.WaitGroup
	if r.cfg.Churn > 0 {
		movers.Go(func() { r.churn(moving) })
	}
	if r.cfg.Turn > 0 {
		movers.Go(func() { r.turns(moving) })
	}
	<-moving.Done()
	still()
	// Who is coming or going is let do so; what is counted stops here.
	seconds := time.Since(start).Seconds()
	cpu = ownCPU() - cpu
	last, err := r.server()
	if err != nil {
		return nil, err
	}
	counts := r.counts()
	busySeconds := watch.busySeconds()
	for _, room := range r.rooms {
		room.close()
	}
	movers.Wait()
	report := r.report(counts, start, seconds)
	report.generator(&r.cfg, counts, cpu.Seconds(), seconds, busySeconds)
	report.server(r.cfg.ServerPID, counts, before, first, last, seconds, r.present())

	watch.phase("leaving", 0)
	r.everybody(context.WithoutCancel(ctx), 10*r.cfg.JoinRate, func(c *chair) { r.leave(context.WithoutCancel(ctx), c) })
	r.wg.Wait()
	r.mu.Lock()
	report.Joins.Left = r.joins.Left
	r.mu.Unlock()
	report.judge(r.cfg.Limits)
	return report, nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (r *run) server() (process, error) {
	if r.cfg.ServerPID == 0 {
		return process{}, nil
	}
	return readProcess(r.cfg.ServerPID)
}

// churn has somebody leave and somebody else come, Churn times a second.
func (r *run) churn(ctx context.Context) {
	every := time.NewTicker(time.Duration(float64(time.Second) / r.cfg.Churn))
	defer every.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		c := r.seats[rand.IntN(len(r.seats))]
		all.Go(func() {
			if c.change(true) {
				outlive := context.WithoutCancel(ctx) // a join that has begun is seen through
				r.leave(outlive, c)
				_ = r.join(outlive, c) // counted
				c.change(false)
			}
		})
	}
}

// change marks a chair as changing, if it is not yet, or as settled.
func (c *chair) change(begin bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begin && c.changing {
		return false
	}
	c.changing = begin
	return true
}

// turns lets the next ones speak, in each room one after the other.
func (r *run) turns(ctx context.Context) {
	every := time.NewTicker(r.cfg.Turn)
	defer every.Stop()
	rooms := make(map[*room][]*chair)
	for _, c := range r.seats {
		rooms[c.room] = append(rooms[c.room], c)
	}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for _, chairs := range rooms {
			r.change(chairs[n%len(chairs)], false)
			r.change(chairs[(n+r.cfg.Speakers)%len(chairs)], true)
		}
	}
}

func (r *run) change(c *chair, speaking bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.speaking == speaking {
		return
	}
	c.speaking = speaking
	if c.peer == nil {
		return // whoever comes finds out
	}
	if !speaking {
		r.hush(c)
	} else if err := r.speak(c); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.joins.Reasons = append(r.joins.Reasons, err.Error())
	}
}

// present counts who is there.
func (r *run) present() (n int) {
	for _, c := range r.seats {
		c.mu.Lock()
		if c.peer != nil {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// reset begins to count.
func (r *run) reset() {
	for _, l := range r.loops {
		l.do(func() { l.counts = newLoopCounts() })
	}
}

// total is what all loops counted.
type total struct {
	loopCounts
	lost    int
	ears    int
	jitters []float64 // of each stream, in ms
}

// counts sums what the loops have counted since reset.
func (r *run) counts() *total {
	t := &total{loopCounts: newLoopCounts()}
	for _, l := range r.loops {
		l.do(func() {
			t.add(&l.counts)
			t.merge(&l.counts)
			t.lost += l.lostPeers
			for _, p := range l.peers {
				if p == nil {
					continue
				}
				if p.ear != nil {
					t.ears++
				}
				if p.in.started {
					t.jitters = append(t.jitters, p.in.jitter/48)
				}
			}
		})
	}
	return t
}

// glance is counts without histograms and streams: it costs the loops next to nothing.
func (r *run) glance() *total {
	t := new(total)
	for _, l := range r.loops {
		l.do(func() {
			t.add(&l.counts)
			t.lost += l.lostPeers
		})
	}
	return t
}

func (t *total) add(c *loopCounts) {
	t.Packets += c.Packets
	t.Bytes += c.Bytes
	t.Lost += c.Lost
	t.Reordered += c.Reordered
	t.Duplicates += c.Duplicates
	t.TimestampErrors += c.TimestampErrors
	t.SSRCChanges += c.SSRCChanges
	t.PayloadTypeErrors += c.PayloadTypeErrors
	t.Blocks += c.Blocks
	t.Expected += c.Expected
	t.Missing += c.Missing
	t.Wrong += c.Wrong
	t.Own += c.Own
	t.Silent += c.Silent
	t.Sound += c.Sound
	t.DecodeErrors += c.DecodeErrors
	t.Chirps += c.Chirps
	t.Examples = append(t.Examples, c.Examples...)
	t.Sent += c.Sent
	t.SentBytes += c.SentBytes
	t.SendErrors += c.SendErrors
	t.DroppedOut += c.DroppedOut
	t.DroppedIn += c.DroppedIn
	t.Decrypted += c.Decrypted
	t.AuthErrors += c.AuthErrors
	t.Reports += c.Reports
	t.ICEErrors += c.ICEErrors
	t.OtherErrors += c.OtherErrors
	t.SocketDrops += c.SocketDrops
	t.SkippedSlots += c.SkippedSlots
}

// merge adds up the histograms, which takes longer.
func (t *total) merge(c *loopCounts) {
	t.gaps.merge(c.gaps)
	t.late.merge(c.late)
	t.delay.merge(c.delay)
	t.packetDelay.merge(c.packetDelay)
	t.lateness.merge(c.lateness)
}

// report puts into words what was counted.
func (r *run) report(t *total, start time.Time, seconds float64) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &Report{
		Version: ReportVersion, Started: start.UTC(), Seconds: seconds,
		Crowd: Crowd{
			URL: r.cfg.URL, Via: r.cfg.Via, Rooms: r.cfg.Rooms, Participants: r.cfg.Participants, Speakers: r.cfg.Speakers,
			Listeners: r.cfg.Listeners, FrameMs: ms(r.cfg.Frame), Loss: r.cfg.Loss, Churn: r.cfg.Churn, TurnSeconds: r.cfg.Turn.Seconds(),
		},
		Joins: r.joins,
		Received: Received{
			Packets: t.Packets, Bytes: t.Bytes, PacketsPerSecond: float64(t.Packets) / seconds,
			Lost: max(0, t.Lost-int64(t.DroppedIn)), Dropped: t.DroppedIn, Reordered: t.Reordered, Duplicates: t.Duplicates,
			TimestampErrors: t.TimestampErrors, SSRCChanges: t.SSRCChanges, PayloadTypeErrors: t.PayloadTypeErrors,
			AuthErrors: t.AuthErrors, Decrypted: t.Decrypted, SenderReports: t.Reports,
			GapsOver40Ms: t.gaps.over(40*time.Millisecond + histStep),
		},
		Sent: Sent{
			Packets: t.Sent, Bytes: t.SentBytes, PacketsPerSecond: float64(t.Sent) / seconds, Dropped: t.DroppedOut, Errors: t.SendErrors,
		},
		GapMs: t.gaps.quantiles(), LateMs: t.late.quantiles(), DelayMs: t.delay.quantiles(), PacketMs: t.packetDelay.quantiles(),
		Audio: Audio{
			Listeners: t.ears, Blocks: t.Blocks, Expected: t.Expected, Missing: t.Missing, Wrong: t.Wrong, Own: t.Own,
			SilentShare: float64(t.Silent) / float64(max(1, t.Sound)), DecodeErrors: t.DecodeErrors, Examples: t.Examples,
		},
	}
	rep.Joins.Lost = t.lost
	rep.Joins.TookMs = r.took.quantiles()
	for _, j := range t.jitters {
		rep.Received.JitterMs += j / float64(len(t.jitters))
		rep.Received.JitterMaxMs = max(rep.Received.JitterMaxMs, j)
	}
	return rep
}

func (rep *Report) generator(cfg *Config, t *total, cpu, seconds float64, busySeconds int) {
	rep.Generator = Generator{
		CPUs: cfg.CPUs, Cores: cores(), CPUSeconds: cpu, Busy: cpu / seconds / float64(cores()), BusySeconds: busySeconds,
		MicrosPerPacket: cpu * 1e6 / float64(max(1, t.Packets+t.Sent)),
		LatenessMs:      t.lateness.quantiles(), SocketDrops: t.SocketDrops, SkippedMs: t.SkippedSlots,
		OtherErrors: t.OtherErrors + t.ICEErrors,
	}
}

func (rep *Report) server(pid int, t *total, before, first, last process, seconds float64, present int) {
	if pid == 0 {
		return
	}
	cpu := (last.cpu - first.cpu).Seconds()
	rep.Server = &Server{
		PID: pid, CPUSeconds: cpu, CPUMsPerSecond: 1000 * cpu / seconds,
		CPUMsPerParticipantSecond: 1000 * cpu / seconds / float64(max(1, present)),
		CPUMicrosPerPacket:        1e6 * cpu / float64(max(1, t.Packets+t.Sent)),
		RSSBytes:                  last.rss, RSSBytesBefore: before.rss, Threads: last.threads,
	}
}
