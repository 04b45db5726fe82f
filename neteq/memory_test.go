package neteq

import (
	"runtime"
	"testing"
	"time"
)

// TestMemoryOfAnInstance pins the size of an instance that has played and fell silent, beside its decoder: 48 KiB, also of one
// that had to conceal by itself.
func TestMemoryOfAnInstance(t *testing.T) {
	for _, own := range []bool{false, true} {
		measureMemory(t, own)
	}
}

func measureMemory(t *testing.T, ownConcealment bool) {
	const count = 200
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	payload := make([]byte, 80)
	payload[0] = 0x48 // SILK, 20 ms
	frame := make([]float32, tickSamples)
	all := make([]*NetEq, count)
	before := heap()
	for i := range all {
		n, err := New(Config{DisableCodecConcealment: ownConcealment})
		if err != nil {
			t.Fatal(err)
		}
		d := &fuzzOpus{}
		if err := n.Register(111, Format{Name: "opus", ClockRateHz: 48000}, func() (Decoder, error) { return d, nil }); err != nil {
			t.Fatal(err)
		}
		for k := range 100 {
			if k%20 != 7 {
				_ = n.Insert(&Packet{SequenceNumber: uint16(k), Timestamp: uint32(k) * 960, PayloadType: 111, Payload: payload}, time.Duration(k)*ms(20))
			}
			n.Get(frame, time.Duration(k)*ms(20)+ms(5))
			n.Get(frame, time.Duration(k)*ms(20)+ms(15))
		}
		all[i] = n
	}
	per := (heap() - before) / count
	t.Logf("%d bytes per instance", per)
	if per > 48<<10 {
		t.Errorf("%d bytes per instance, at most %d are allowed", per, 48<<10)
	}
	runtime.KeepAlive(all)
}
