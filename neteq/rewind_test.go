package neteq

import "testing"

// memory is a decoder whose every sample tells how many samples were decoded and concealed before it.
type memory struct{ state, marked int }

func (d *memory) step(pcm []float32) int {
	for i := range pcm {
		pcm[i] = float32(d.state%1000) / 2000
		d.state++
	}
	return len(pcm)
}

func (d *memory) Decode(_ []byte, pcm []float32) (int, error)    { return d.step(pcm), nil }
func (d *memory) DecodeFEC(_ []byte, pcm []float32) (int, error) { return d.step(pcm), nil }
func (d *memory) Conceal(pcm []float32) (int, error)             { return d.step(pcm), nil }
func (d *memory) Reset() error                                   { d.state = 0; return nil }
func (d *memory) Mark()                                          { d.marked = d.state }
func (d *memory) Rewind()                                        { d.state = d.marked }

func TestLatePacketIsDecodedAsIfInTime(t *testing.T) {
	for _, c := range []struct {
		name string
		late bool // the packet comes 60 ms late, or never
	}{{"late", true}, {"lost", false}} {
		t.Run(c.name, func(t *testing.T) {
			d := &memory{}
			n, err := New(Config{DisableStretching: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Register(0, Format{Name: "opus", ClockRateHz: sampleRate}, func() (Decoder, error) { return d, nil }); err != nil {
				t.Fatal(err)
			}
			frame := make([]float32, tickSamples)
			const packet, missing = 960, 20
			payload := []byte{0x78, 1, 2, 3} // one frame of 20 ms, no redundancy
			next := 0
			for now := ms(0); now < ms(800); now += tickDuration {
				for ; next*20 <= int(now/ms(1)); next++ {
					due := ms(next * 20)
					if next >= missing && next < missing+4 {
						due = ms(20*missing + 80)
					}
					if due > now {
						break
					}
					if next == missing && !c.late {
						continue
					}
					if err := n.Insert(&Packet{SequenceNumber: uint16(next), Timestamp: uint32(next * packet), Payload: payload}, now); err != nil {
						t.Fatal(err)
					}
				}
				n.Get(frame, now)
			}
			decoded := int(n.Stats().JitterBufferEmittedCount)
			concealed := int(n.Stats().ConcealedSamples)
			if concealed == 0 {
				t.Fatal("nothing was concealed")
			}
			switch {
			case c.late && d.state != decoded:
				t.Errorf("the decoder went through %d samples, %d were decoded: it remembers a concealment", d.state, decoded)
			case !c.late && d.state <= decoded:
				t.Errorf("the decoder went through %d samples of %d decoded and %d concealed", d.state, decoded, concealed)
			}
		})
	}
}
