package neteq

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"
)

const testPT = 96

// pcmDecoder is L16 (RFC 3551, section 4.5.11) at 48 kHz: what is decoded can be told exactly. It has no concealment
// unless conceal is set.
type pcmDecoder struct {
	channels  int
	conceal   func(pcm []float32)
	decodes   int
	fec       int
	concealed int
	resets    int
	fail      func(payload []byte) bool
}

var errDecode = errors.New("corrupt")

func (d *pcmDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	d.decodes++
	if d.fail != nil && d.fail(payload) {
		return 0, errDecode
	}
	n := len(payload) / 2
	if n > len(pcm) {
		return 0, errDecode
	}
	for i := range pcm[:n] {
		pcm[i] = float32(int16(binary.BigEndian.Uint16(payload[2*i:]))) / 32768
	}
	return n / d.channels, nil
}

func (d *pcmDecoder) DecodeFEC([]byte, []float32) (int, error) { d.fec++; return 0, ErrNoConcealment }

func (d *pcmDecoder) Conceal(pcm []float32) (int, error) {
	if d.conceal == nil {
		return 0, ErrNoConcealment
	}
	d.concealed += len(pcm) / d.channels
	d.conceal(pcm)
	return len(pcm) / d.channels, nil
}

func (d *pcmDecoder) Reset() error { d.resets++; return nil }

// lawDecoder is G.711 mu-law, mono, each sample held for 6.
type lawDecoder struct{ pcmDecoder }

func (d *lawDecoder) Decode(payload []byte, pcm []float32) (int, error) {
	if len(payload)*6 > len(pcm) {
		return 0, errDecode
	}
	for i := range pcm[:len(payload)*6] {
		pcm[i] = float32(expandMuLaw(payload[i/6])) / 32768
	}
	return len(payload) * 6, nil
}

// signal gives sample i of a channel.
type signal func(i int, channel int) float64

func silenceSignal(int, int) float64 { return 0 }

func sine(hz, amplitude float64) signal {
	return func(i, _ int) float64 { return amplitude * math.Sin(2*math.Pi*hz*float64(i)/sampleRate) }
}

// voice is a pulse-like periodic signal with a slow change of level: something between a vowel and a buzzer.
func voice(hz float64) signal {
	return func(i, _ int) float64 {
		t := float64(i) / sampleRate
		s := 0.0
		for k := 1; k <= 10; k++ {
			s += math.Sin(2*math.Pi*hz*float64(k)*t) / float64(k)
		}
		return 0.2 * s * (0.8 + 0.2*math.Sin(2*math.Pi*3*t))
	}
}

// white is noise of the given RMS; sample i is always the same.
func white(rms float64) signal {
	return func(i, c int) float64 {
		x := uint64(i)*0x9e3779b97f4a7c15 + uint64(c)*0xbf58476d1ce4e5b9 + 1
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
		return rms * math.Sqrt(3) * (float64(x>>11)/(1<<52) - 1)
	}
}

// bench is a NetEq with a clock and a sender.
type bench struct {
	t        testing.TB
	n        *NetEq
	dec      *pcmDecoder
	channels int
	now      time.Duration
	seq      uint16
	ts       uint32
	sent     int // samples sent: position in the signal
	packet   int // samples per packet
	sig      signal
	out      []float32
	frame    []float32
	results  []Result
	last     Result
}

func newBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	if cfg.Channels == 0 {
		cfg.Channels = 1
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, n: n, channels: cfg.Channels, seq: 1000, ts: 5000, packet: 960, sig: silenceSignal,
		frame: make([]float32, tickSamples*cfg.Channels), dec: &pcmDecoder{channels: cfg.Channels}}
	f := Format{Name: "L16", ClockRateHz: sampleRate, Channels: cfg.Channels}
	if err := n.Register(testPT, f, func() (Decoder, error) { return b.dec, nil }); err != nil {
		t.Fatal(err)
	}
	if err := n.Register(63, Format{Name: "red", ClockRateHz: sampleRate}, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) payload(at, samples int) []byte {
	p := make([]byte, 2*samples*b.channels)
	for i := range samples {
		for c := range b.channels {
			v := int16(math.Round(32767 * max(-1, min(1, b.sig(at+i, c)))))
			binary.BigEndian.PutUint16(p[2*(i*b.channels+c):], uint16(v))
		}
	}
	return p
}

// next makes the next packet of the stream.
func (b *bench) next() *Packet {
	p := &Packet{SequenceNumber: b.seq, Timestamp: b.ts, SSRC: 7, PayloadType: testPT, Payload: b.payload(b.sent, b.packet)}
	b.lose()
	return p
}

// lose passes over one packet.
func (b *bench) lose() {
	b.seq++
	b.ts += uint32(b.packet)
	b.sent += b.packet
}

func (b *bench) insert(p *Packet, at time.Duration) {
	b.t.Helper()
	if err := b.n.Insert(p, at); err != nil {
		b.t.Fatalf("insert: %v", err)
	}
}

// tick pulls 10 ms.
func (b *bench) tick() Result {
	b.now += tickDuration
	b.last = b.n.Get(b.frame, b.now)
	b.out = append(b.out, b.frame...)
	b.results = append(b.results, b.last)
	for i, v := range b.frame {
		if v != v || v > 4 || v < -4 {
			b.t.Fatalf("tick %d sample %d is %v", len(b.results), i, v)
		}
	}
	return b.last
}

// run sends packets in real time for d; each call of deliver says when packet k arrives after its due time, negative: never.
func (b *bench) run(d time.Duration, deliver func(k int) time.Duration) {
	b.t.Helper()
	type flight struct {
		p  *Packet
		at time.Duration
	}
	var flights []flight
	start, due := b.now, b.now+time.Millisecond
	for k := 0; b.now-start < d; {
		for due <= b.now+tickDuration {
			delay := time.Duration(0)
			if deliver != nil {
				delay = deliver(k)
			}
			if delay >= 0 {
				flights = append(flights, flight{b.next(), due + delay})
			} else {
				b.lose()
			}
			k++
			due += samplesToTime(int64(b.packet))
		}
		for {
			first := -1
			for i := range flights {
				if flights[i].at <= b.now+tickDuration && (first < 0 || flights[i].at < flights[first].at) {
					first = i
				}
			}
			if first < 0 {
				break
			}
			b.insert(flights[first].p, flights[first].at)
			flights = append(flights[:first], flights[first+1:]...)
		}
		b.tick()
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func rms(x []float32) float64 {
	if len(x) == 0 {
		return 0
	}
	return math.Sqrt(energy(x) / float64(len(x)))
}

func dB(x float64) float64 { return 20 * math.Log10(max(x, 1e-9)) }

func meanDelayMs(s Stats) float64 {
	return s.JitterBufferDelay * 1000 / float64(max(1, s.JitterBufferEmittedCount))
}
