package sfu

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"parley/mixer"
)

// downReports is what the client reports about the stream that we send (RFC 3550, section 6.4.1). One goroutine writes.
type downReports struct {
	ssrc    uint32
	at      atomic.Int64  // Unix nanoseconds of the last report, 0 none
	loss    atomic.Uint32 // fraction lost, in 1/256
	lost    atomic.Int64  // packets, since the beginning
	asked   atomic.Uint64 // packets that the client asked for again, once each
	jitter  atomic.Uint32 // 1/48000 s
	rtt     atomic.Int64  // nanoseconds, 0 unknown
	reports atomic.Uint64
	anew    atomic.Bool // there is another path: what was lost before says nothing about it

	// Of the last report that was passed on; the reader's own.
	begun       bool
	sequence    uint32 // extended highest received
	lostBefore  int32
	askedBefore uint64
	recent      [128]uint32 // by sequence number: 1 + what was asked for
}

// reportPackets is how many packets a report is to be about at least: less says nothing, as a single one would be more than 5 %.
// In silence, when two packets a second are sent, reports are put together.
const reportPackets = 20

// readReports reads the RTCP about our stream until the sender stops.
func (p *peer) readReports() {
	var buf [receiveMTU]byte
	for {
		n, _, err := p.sender.Read(buf[:])
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			p.node.counters.droppedRTCP.Add(1)
			continue
		}
		now := time.Now()
		for _, packet := range packets {
			switch r := packet.(type) {
			case *rtcp.ReceiverReport:
				p.report(r.Reports, now)
			case *rtcp.SenderReport:
				p.report(r.Reports, now)
			case *rtcp.TransportLayerNack:
				p.rtcp.countAsked(r)
			}
		}
	}
}

// report passes on to the mixer what the client says about our stream.
func (p *peer) report(reports []rtcp.ReceptionReport, now time.Time) {
	r, ok := p.rtcp.take(reports, now)
	if !ok {
		return
	}
	p.participant.mu.Lock()
	listener := p.participant.listener
	if p.participant.peer != p {
		listener = nil
	}
	p.participant.mu.Unlock()
	if listener != nil {
		listener.SetReport(r)
	}
}

// take notes reports, and returns what is new since the last that was returned, if that is enough. The loss is taken from the totals and
// not from the fraction, so that it does not matter how often a client reports. It is that of the path: a packet that was sent
// again is none to the report, and yet may have come too late to be heard, so what was asked for counts.
func (d *downReports) take(reports []rtcp.ReceptionReport, now time.Time) (out mixer.Report, ok bool) {
	for _, r := range reports {
		if r.SSRC != d.ssrc {
			continue
		}
		lost := int32(r.TotalLost<<8) >> 8 // 24 bits, signed: duplicates count against losses
		d.at.Store(now.UnixNano())
		d.loss.Store(uint32(r.FractionLost))
		d.lost.Store(int64(lost))
		d.jitter.Store(r.Jitter)
		d.reports.Add(1)
		if rtt, ok := roundTrip(r, now); ok {
			d.rtt.Store(int64(rtt))
		}
		if d.anew.Swap(false) {
			d.begun = false
		}
		expected, missing := int32(r.LastSequenceNumber-d.sequence), lost-d.lostBefore
		if d.begun && expected >= 0 && expected < reportPackets {
			continue
		}
		if d.begun && expected > 0 {
			asked := int32(min(d.asked.Load()-d.askedBefore, math.MaxInt32))
			out.Loss = clamp01(float64(max(missing, asked)) / float64(expected))
			out.Jitter = time.Duration(r.Jitter) * time.Second / 48000
			out.RTT = time.Duration(d.rtt.Load())
			ok = true
		}
		d.begun, d.sequence, d.lostBefore, d.askedBefore = true, r.LastSequenceNumber, lost, d.asked.Load()
	}
	return out, ok
}

func (d *downReports) countAsked(r *rtcp.TransportLayerNack) {
	if r.MediaSSRC != d.ssrc {
		return
	}
	for _, pair := range r.Nacks {
		for _, seq := range pair.PacketList() {
			if slot := &d.recent[seq%uint16(len(d.recent))]; *slot != uint32(seq)+1 {
				*slot = uint32(seq) + 1
				d.asked.Add(1)
			}
		}
	}
}

// maxRTT is above any path that carries a call; a longer one is a clock that has jumped.
const maxRTT = 10 * time.Second

// roundTrip is A - LSR - DLSR of RFC 3550, section 6.4.1, in the middle 32 bits of NTP time.
func roundTrip(r rtcp.ReceptionReport, now time.Time) (time.Duration, bool) {
	if r.LastSenderReport == 0 {
		return 0, false
	}
	d := int32(ntpMiddle(now) - r.LastSenderReport - r.Delay)
	rtt := time.Duration(float64(d) / 65536 * float64(time.Second))
	if rtt < 0 || rtt > maxRTT {
		return 0, false
	}
	return rtt, true
}

// ntpMiddle is the middle 32 bits of the NTP timestamp: seconds since 1900 in 16.16 fixed point, wrapped.
func ntpMiddle(t time.Time) uint32 {
	const ntpOffset = 2208988800 // seconds from 1900 to 1970
	seconds := uint64(t.Unix()+ntpOffset) & 0xffff
	fraction := uint64(t.Nanosecond()) << 16 / uint64(time.Second)
	return uint32(seconds<<16 | fraction)
}

// drainRTCP reads the RTCP of an incoming stream, so that the interceptors see its sender reports.
func drainRTCP(r *webrtc.RTPReceiver) {
	var buf [receiveMTU]byte
	for {
		if _, _, err := r.Read(buf[:]); err != nil {
			return
		}
	}
}

func jitterMs(timestampUnits float64) float64 { return math.Round(timestampUnits/48*100) / 100 }
