package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// What the network loses is either still missing or was sent again; what was merely late is neither.
func TestLostAndRecoveredArePackets(t *testing.T) {
	const ms = time.Millisecond
	var asked askedFor
	var s receiveStats
	var r receiver
	asked.rtt.Store(int64(60 * ms))
	in := func(seq uint16, at time.Duration) {
		h := &rtp.Header{SequenceNumber: seq, Timestamp: uint32(seq) * 960}
		if r.behind(seq) && asked.brought(seq, at) {
			r.again(&s, 100, at)
		} else {
			r.packet(&s, h, 48000, 100, at)
		}
	}
	is := func(what string, packets, lost, recovered int) {
		t.Helper()
		if p, l, a := int(s.packets.Load()), int(s.expected.Load())-int(s.packets.Load()), int(s.recovered.Load()); p != packets || l != lost || a != recovered {
			t.Errorf("%s: %d packets, %d lost, %d recovered; want %d, %d, %d", what, p, l, a, packets, lost, recovered)
		}
	}
	in(65533, 0)
	in(2, 100*ms) // 65534, 65535, 0 and 1 are missing
	is("a hole", 2, 4, 0)
	for _, seq := range []uint16{65534, 65535, 0} {
		asked.note(seq, 110*ms)
	}
	in(65534, 120*ms) // sooner than any answer
	is("late by itself", 3, 3, 0)
	jitter := s.jitter.Load()
	in(65535, 180*ms)
	is("sent again", 4, 2, 1)
	if s.jitter.Load() != jitter {
		t.Error("a packet that was sent again counts as jitter")
	}
	in(1, 185*ms)
	is("never asked for", 5, 1, 1)
	in(128, 190*ms) // the slot of 0, which was asked for
	is("newest", 6, 126, 1)
	if asked.brought(128, time.Second) || !asked.brought(0, time.Second) || asked.brought(0, time.Second) {
		t.Error("one request is one answer, for its own number")
	}
}

func TestAskedPacketsAreCounted(t *testing.T) {
	d := downReports{ssrc: 7}
	d.countAsked(&rtcp.TransportLayerNack{MediaSSRC: 8, Nacks: []rtcp.NackPair{{PacketID: 1}}})
	d.countAsked(&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0x8001}, {PacketID: 40}}})
	d.countAsked(&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 40}}})
	if n := d.asked.Load(); n != 4 {
		t.Errorf("%d packets asked for, want 4: 1, 2, 17, and 40 once", n)
	}
	d.take([]rtcp.ReceptionReport{{SSRC: 7, TotalLost: 0xffffff}}, time.Now())
	if n := d.lost.Load(); n != -1 {
		t.Errorf("%d packets lost, want -1: duplicates count against losses", n)
	}
	d.countAsked(&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 50, LostPackets: 0x000f}}})
	r, ok := d.take([]rtcp.ReceptionReport{{SSRC: 7, TotalLost: 1, LastSequenceNumber: 50}}, time.Now())
	if !ok || r.Loss != 0.1 {
		t.Errorf("loss %v (%v), want 0.1: five packets were sent again, and fifty came", r.Loss, ok)
	}
	r, ok = d.take([]rtcp.ReceptionReport{{SSRC: 7, TotalLost: 11, LastSequenceNumber: 150}}, time.Now())
	if !ok || r.Loss != 0.1 {
		t.Errorf("loss %v (%v), want 0.1: ten of a hundred are missing, and none was asked for", r.Loss, ok)
	}
	d.anew.Store(true) // the client has come back with another address; while it was away, 500 packets went nowhere
	if r, ok = d.take([]rtcp.ReceptionReport{{SSRC: 7, TotalLost: 511, LastSequenceNumber: 700}}, time.Now()); ok {
		t.Errorf("loss %v of a path that is gone", r.Loss)
	}
	if r, ok = d.take([]rtcp.ReceptionReport{{SSRC: 7, TotalLost: 511, LastSequenceNumber: 800}}, time.Now()); !ok || r.Loss != 0 {
		t.Errorf("loss %v (%v) of the new path, want 0", r.Loss, ok)
	}
}
