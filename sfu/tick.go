package sfu

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"parley/mixer"
)

// tick is the node's only ticker: levels ten times a second; once a second stats, qualities, and what is overdue.
func (n *Node) tick(ctx context.Context) {
	t := time.NewTicker(n.timing.levels)
	defer t.Stop()
	lastSecond := n.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := n.now()
		rooms := n.roomList()
		for _, r := range rooms {
			r.sendLevels()
		}
		n.reap(now, rooms)
		if since := now.Sub(lastSecond); since >= time.Second {
			lastSecond = now
			for _, r := range rooms {
				n.measure(r, since)
			}
		}
	}
}

func (n *Node) roomList() []*room {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]*room, 0, len(n.rooms))
	for _, r := range n.rooms {
		out = append(out, r)
	}
	return out
}

// reap removes participants that are overdue, closes rooms that have been empty for long enough, and empties rooms that
// the mixer has closed.
func (n *Node) reap(now time.Time, rooms []*room) {
	for _, r := range rooms {
		failed := false
		select {
		case <-r.mix.Done():
			failed = true
		default:
		}
		for _, p := range r.list() {
			reason, yes := p.overdue(now, &n.timing)
			if failed {
				reason, yes = ReasonRoomError, true
			}
			if yes {
				n.mu.Lock()
				n.remove(p, reason)
				n.mu.Unlock()
				continue
			}
			n.nudge(p, now)
		}
		n.mu.Lock()
		empty := !r.emptySince.IsZero()
		if empty && (failed || now.Sub(r.emptySince) >= n.cfg.EmptyRoomTimeout) {
			delete(n.rooms, r.id)
			r.mix.Close()
			n.counters.roomsClosed.Add(1)
			n.log.Info("room closed", zap.String("room", r.id))
		}
		n.mu.Unlock()
	}
}

// nudge gives up an offer of ours that was not answered, and offers a restart to a client whose path has failed and
// whose signaling is there. What takes time is done in goroutines that Run waits for.
func (n *Node) nudge(p *participant, now time.Time) {
	select {
	case p.negotiation <- struct{}{}:
	default:
		return // somebody is negotiating
	}
	peer, err := p.current()
	if err == nil && peer != nil && peer.offered && now.Sub(peer.offeredAt) >= n.timing.answer {
		n.wg.Go(func() {
			defer p.unlock()
			p.giveUpOffer(peer)
		})
		return
	}
	p.unlock()
	p.mu.Lock()
	offer := !p.closed && p.attached && p.kind == KindWebSocket && p.peer != nil && !p.presence.failed.IsZero() &&
		(p.presence.offered.IsZero() || now.Sub(p.presence.offered) >= 2*n.timing.answer)
	if offer {
		p.presence.offered = now
	}
	p.mu.Unlock()
	if offer {
		n.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
			defer cancel()
			if err := p.offerRestart(ctx); err != nil {
				p.log.Debug("offer an ICE restart", zap.Error(err))
			}
		})
	}
}

// statsMeter keeps what the last interval began with.
type statsMeter struct {
	packets  uint64
	expected int64
	samples  uint64
	conceal  uint64
	removed  uint64
	inserted uint64
	emitted  uint64
	delay    float64
	target   float64
	score    int
	better   int // intervals in a row that were better than score

	consentOf *peer
	responses uint64 // to our checks of the path
	consentAt time.Time
}

// measure sends everybody in a room their own stats, and the room its qualities.
func (n *Node) measure(r *room, since time.Duration) {
	members := r.list()
	qualities := make([]Quality, 0, len(members))
	for _, p := range members {
		st, sending, receiving := p.stats()
		if sending || receiving {
			qualities = append(qualities, Quality{Participant: p.id, Score: p.meter.rate(&st, sending, receiving)})
		}
		if p.events != nil && (sending || receiving) && !p.events.push(StatsEvent{Stats: st}) {
			n.dismiss(p, ReasonTimeout)
		}
	}
	if len(qualities) > 0 || len(r.qualities) > 0 {
		r.sendQualities(qualities)
	}
}

// stats takes a participant's figures of the interval since the last call. sending and receiving tell if there is
// anything to say about either way.
func (p *participant) stats() (st Stats, sending, receiving bool) {
	p.mu.Lock()
	peer, listener := p.peer, p.listener
	connected := p.presence.connected
	p.mu.Unlock()
	if peer == nil || !connected {
		return st, false, false
	}
	m := &p.meter
	path, ok := peer.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if ok && !m.consents(peer, path.ResponsesReceived, p.node.now(), p.node.timing.consent) {
		p.node.counters.consentLost.Add(1)
		p.lostConsent(peer)
		p.log.Info("checks are no longer answered")
		return st, false, false
	}
	peer.transportStats(&st, path.CurrentRoundTripTime)
	p.uplink.setRTT(time.Duration(st.Transport.RTTMs * float64(time.Millisecond)))
	up, s := &p.uplink.stats, &st.Up
	packets, expected := up.packets.Load(), up.expected.Load()
	source, ok := p.uplink.sourceStats()
	if ok {
		sending = true
		s.Codec = peer.understood.Load().codecName(int(up.format.Load()))
		s.PacketsReceived, s.PacketsLost, s.PacketsRecovered = packets, max(0, expected-int64(packets)), up.recovered.Load()
		if e := expected - m.expected; e > 0 {
			s.LossFraction = clamp01(float64(e-int64(packets-m.packets)) / float64(e))
		}
		s.JitterMs = jitterMs(math.Float64frombits(up.jitter.Load()))
		q := &source.NetEq
		if d := q.TotalSamplesReceived - m.samples; q.TotalSamplesReceived >= m.samples && d > 0 {
			s.ConcealedFraction = clamp01(float64(q.NetworkConcealedSamples-m.conceal) / float64(d))
			s.AcceleratedFraction = clamp01(float64(q.RemovedSamplesForAcceleration-m.removed) / float64(d))
			s.DeceleratedFraction = clamp01(float64(q.InsertedSamplesForDeceleration-m.inserted) / float64(d))
		}
		if d := q.JitterBufferEmittedCount - m.emitted; q.JitterBufferEmittedCount >= m.emitted && d > 0 {
			s.BufferMs = round2((q.JitterBufferDelay - m.delay) / float64(d) * 1000)
			s.TargetMs = round2((q.JitterBufferTargetDelay - m.target) / float64(d) * 1000)
		}
		s.FECPacketsReceived = q.FECPacketsReceived
		s.TotalConcealedSamples, s.TotalSamples = q.ConcealedSamples, q.TotalSamplesReceived
		m.samples, m.conceal, m.removed, m.inserted = q.TotalSamplesReceived, q.NetworkConcealedSamples,
			q.RemovedSamplesForAcceleration, q.InsertedSamplesForDeceleration
		m.emitted, m.delay, m.target = q.JitterBufferEmittedCount, q.JitterBufferDelay, q.JitterBufferTargetDelay
	}
	m.packets, m.expected = packets, expected
	if listener != nil {
		receiving = true
		d := &st.Down
		d.Codec = strings.ToLower(peer.down.codec.String())
		d.PacketsSent, d.BytesSent = peer.down.packets.Load(), peer.down.bytes.Load()
		d.PacketsLost, d.PacketsAsked = peer.rtcp.lost.Load(), peer.rtcp.asked.Load()
		d.LossFraction = float64(peer.rtcp.loss.Load()) / 256
		d.JitterMs = jitterMs(float64(peer.rtcp.jitter.Load()))
		if peer.down.codec != mixer.Opus {
			d.JitterMs *= slowClockRatio
		}
	}
	return st, sending, receiving
}

// consents tells if the other end still answers our checks: the number of answers has changed within limit.
func (m *statsMeter) consents(of *peer, responses uint64, now time.Time, limit time.Duration) bool {
	if m.consentOf != of || m.responses != responses {
		m.consentOf, m.responses, m.consentAt = of, responses, now
		return true
	}
	return now.Sub(m.consentAt) < limit
}

// transportStats fills in the selected path; iceRTT, in seconds, is used until RTCP has said something.
func (p *peer) transportStats(st *Stats, iceRTT float64) {
	t := &st.Transport
	ice := p.pc.SCTP().Transport().ICETransport()
	if pair, err := ice.GetSelectedCandidatePair(); err == nil && pair != nil {
		t.LocalAddress = hostPort(pair.Local)
		t.RemoteAddress = hostPort(pair.Remote)
		t.Protocol = pair.Local.Protocol.String()
		t.CandidateType = pair.Remote.Typ.String()
	}
	rtt := time.Duration(p.rtcp.rtt.Load())
	if rtt == 0 {
		rtt = time.Duration(iceRTT * float64(time.Second))
	}
	t.RTTMs = round2(float64(rtt) / float64(time.Millisecond))
}

func hostPort(c *webrtc.ICECandidate) string {
	return joinHostPort(c.Address, c.Port)
}

// Bounds of the scores: at or beyond any of a row the connection is at best that good. Loss is of packets after
// which concealment is heard (ITU-T G.1028: 1 % is noticed, 5 % annoys), the round trip is ITU-T G.114's, halved.
var qualityBounds = []struct {
	score           int
	loss, concealed float64
	rttMs, jitterMs float64
}{
	{1, 0.15, 0.20, 800, 150},
	{2, 0.05, 0.08, 400, 80},
	{3, 0.02, 0.03, 200, 40},
}

const (
	bestScore    = 4
	betterWanted = 3 // intervals before a score goes up; down it goes at once
)

// rate turns an interval's figures into a score from 1 (bad) to 4 (excellent).
func (m *statsMeter) rate(st *Stats, sending, receiving bool) int {
	now := bestScore
	for _, b := range qualityBounds {
		up := sending && (st.Up.LossFraction >= b.loss || st.Up.ConcealedFraction >= b.concealed || st.Up.JitterMs >= b.jitterMs)
		down := receiving && (st.Down.LossFraction >= b.loss || st.Down.JitterMs >= b.jitterMs)
		if up || down || st.Transport.RTTMs >= b.rttMs {
			now = b.score
			break
		}
	}
	switch {
	case m.score == 0 || now < m.score:
		m.score, m.better = now, 0
	case now == m.score:
		m.better = 0
	default:
		if m.better++; m.better >= betterWanted {
			m.score, m.better = m.score+1, 0
		}
	}
	return m.score
}

func clamp01(x float64) float64 { return max(0, min(1, x)) }

func round2(x float64) float64 { return math.Round(x*100) / 100 }
