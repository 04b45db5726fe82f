package neteq

import (
	"testing"
	"time"
)

func testFrame(seq uint16, ts uint32) *storedFrame {
	return &storedFrame{sequence: seq, timestamp: ts, samples: 10}
}

func TestPacketBufferEmpty(t *testing.T) { // 7.1 item 1
	b := newPacketBuffer(10)
	if b.head() != nil || b.newest() != nil || b.len() != 0 || b.span(5) != 0 {
		t.Error("a new buffer is not empty")
	}
}

func TestPacketBufferInsertOne(t *testing.T) { // item 3
	b := newPacketBuffer(10)
	if r := b.insert(testFrame(17, 4711), []byte{1, 2, 3}); r != insertStored {
		t.Fatal(r)
	}
	if b.len() != 1 || b.head().timestamp != 4711 || b.head().sequence != 17 || string(b.head().data) != "\x01\x02\x03" || b.bytes != 3 {
		t.Errorf("%+v", b.head())
	}
}

func TestOrderOfTimestampsAndSequences(t *testing.T) { // items 4 and 5
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{10, 0, true}, {0, 10, false}, {10, 0xfffffff5, true}, {5, 5, false}, {1 << 31, 0, true}, {0, 1 << 31, false}} {
		if got := newer32(c.a, c.b); got != c.want {
			t.Errorf("newer32(%d, %d) = %v", c.a, c.b, got)
		}
	}
	for _, c := range []struct {
		a, b uint16
		want bool
	}{{1, 0, true}, {0, 1, false}, {1, 0xffff, true}, {1 << 15, 0, true}, {0, 1 << 15, false}, {7, 7, false}} {
		if got := newer16(c.a, c.b); got != c.want {
			t.Errorf("newer16(%d, %d) = %v", c.a, c.b, got)
		}
	}
}

func TestPacketBufferOrdersAndWraps(t *testing.T) { // item 9
	b := newPacketBuffer(20)
	start := uint32(0xffffffff - 45)
	for _, i := range []uint32{9, 7, 5, 3, 1, 0, 2, 4, 6, 8} {
		b.insert(testFrame(uint16(i), start+10*i), []byte{byte(i)})
	}
	if span := b.span(0); span != 100 {
		t.Errorf("span %d", span)
	}
	for i := uint32(0); i < 10; i++ {
		if h := b.head(); h.timestamp != start+10*i || h.data[0] != byte(i) {
			t.Fatalf("place %d: %+v", i, h)
		}
		b.drop(0)
	}
	if b.bytes != 0 || len(b.free) != len(b.slots) {
		t.Errorf("%d bytes, %d of %d slots free", b.bytes, len(b.free), len(b.slots))
	}
}

func TestPacketBufferDuplicates(t *testing.T) { // item 11, with our order: the better quality stays
	b := newPacketBuffer(20)
	red1, red2, primary := testFrame(1, 100), testFrame(1, 100), testFrame(1, 100)
	red1.redLevel, red2.redLevel = 1, 2
	for i, c := range []struct {
		f    *storedFrame
		want insertResult
	}{{red2, insertStored}, {red2, insertDuplicate}, {red1, insertReplaced}, {red2, insertDuplicate}, {primary, insertReplaced},
		{red1, insertDuplicate}, {primary, insertDuplicate}} {
		if got := b.insert(c.f, []byte{byte(i)}); got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
	if b.len() != 1 || b.head().redLevel != 0 || b.head().data[0] != 4 {
		t.Errorf("%+v", b.head())
	}
}

// Item 12: what is older than what, up to half the circle away; at exactly half the lower number is.
func TestNewerIsNeverSymmetric(t *testing.T) {
	for _, limit := range []uint32{0, 1, 0xffffffff, 1 << 31, 1<<31 + 1, 1<<31 - 1} {
		for _, c := range []struct {
			offset uint32
			want   bool
		}{{0, false}, {0xffffffff, true}, {1<<31 + 1, true}, {1, false}, {1<<31 - 1, false}, {1 << 31, limit+1<<31 < limit}} {
			if got := newer32(limit, limit+c.offset); got != c.want {
				t.Errorf("limit %d offset %d: %v", limit, int32(c.offset), got)
			}
			if c.offset != 0 && newer32(limit, limit+c.offset) == newer32(limit+c.offset, limit) {
				t.Errorf("%d and %d: each is newer", limit, limit+c.offset)
			}
		}
	}
}

func TestSpan(t *testing.T) { // item 14
	b := newPacketBuffer(10)
	unknown := testFrame(1, 0xfffffffe)
	unknown.samples = 0
	b.insert(unknown, []byte{1})
	if got := b.span(2); got != 2 {
		t.Errorf("unknown duration: span %d", got)
	}
	b.insert(testFrame(2, 8), []byte{1})
	if got := b.span(2); got != 20 {
		t.Errorf("two frames: span %d", got)
	}
}

func TestBoundsOfTheBuffer(t *testing.T) { // items 7, 8, 16, 132 as we decided: the oldest goes, not all
	for _, c := range []struct {
		name     string
		packets  int
		samples  int
		payload  int // bytes; 0: as the duration asks
		config   Config
		max      int
		maxBytes int
	}{
		{"packets", 500, 480, 0, Config{}, 200, 0},
		{"span", 500, 5760, 0, Config{}, 17, 0},
		{"configured", 50, 480, 0, Config{MaxPackets: 10}, 10, 0},
		{"bytes", 500, 1440, 2880, Config{}, 200, 256 << 10},
	} {
		b := newBench(t, c.config)
		b.packet = c.samples
		for range c.packets {
			b.insert(b.next(), b.now)
		}
		s := b.n.Stats()
		if s.BufferedPackets > c.max || c.maxBytes > 0 && s.BufferedBytes > c.maxBytes {
			t.Errorf("%s: %d packets, %d bytes buffered", c.name, s.BufferedPackets, s.BufferedBytes)
		}
		if s.FlushedPackets+uint64(s.BufferedPackets) != uint64(c.packets) || s.PacketsDiscarded != s.FlushedPackets {
			t.Errorf("%s: %d flushed, %d kept of %d", c.name, s.FlushedPackets, s.BufferedPackets, c.packets)
		}
		if b.n.buf.newest().timestamp != b.ts-uint32(c.samples) {
			t.Errorf("%s: the newest packet is gone", c.name)
		}
	}
}

func TestBurstIsCutOnce(t *testing.T) { // item 176
	b := newBench(t, Config{})
	b.sig = voice(120)
	b.run(20*time.Second, nil)
	target := b.n.Stats().TargetDelay
	for range 600 { // nothing comes for 6 s
		b.tick()
	}
	for range 300 {
		b.insert(b.next(), b.now+ms(1))
	}
	if d := b.n.Stats().TargetDelay; d != target {
		t.Errorf("target %v, before %v", d, target)
	}
	b.run(500*time.Millisecond, nil)
	s := b.n.Stats()
	if s.PlayoutDelay > s.TargetDelay+ms(60) {
		t.Errorf("half a second after the burst: delay %v, target %v", s.PlayoutDelay, s.TargetDelay)
	}
}
