package neteq

import (
	"math"
	"time"
)

// Levels that stand for what a payload tells about its sound without being decoded, in dBov.
const (
	guessSpeech  = -35  // the codec says speech, or spends bits on something
	guessNoise   = -75  // the codec says that there is no speech
	guessSilence = -127 // nothing is sent but that there is nothing
	// celtQuietBytes is how few bytes a CELT frame of any length has when its encoder took it for digital silence.
	celtQuietBytes = 8
	// levelStride is which samples of a G.711 payload are looked at: every fourth are enough for a level.
	levelStride = 4
	// payloadTypePCMA is A-law's (RFC 3551, table 4).
	payloadTypePCMA = 8
)

// Forecast tells when the sound of a packet will be heard, and about how loud it is.
type Forecast struct {
	// LevelDBov is guessed from the payload without decoding it: -127 to 0. Of G.711 it is the level; of Opus in SILK or
	// hybrid mode it follows the encoder's own voice activity flag (RFC 6716, section 4.2.3); otherwise it only tells
	// something from nothing.
	LevelDBov int
	// Start and End are the times at which the packet's first sample is played and its last one has been, on the clock of
	// Get. Stretching, and packets that come late, move them by some milliseconds.
	Start, End time.Duration
}

// Forecast looks ahead at p, which was just inserted and came in order; of one out of order it tells the time of the newest.
// It allocates nothing. ok is false when p has no sound.
func (n *NetEq) Forecast(p *Packet, now time.Duration) (f Forecast, ok bool) {
	c, payload := n.reg.get(p.PayloadType), p.Payload
	if c != nil && c.kind == codecRED {
		blocks, err := splitRED(payload, &n.blocks)
		if err != nil || len(blocks) == 0 || blocks[0].level != 0 {
			return Forecast{}, false
		}
		c, payload = n.reg.get(blocks[0].payloadType), blocks[0].payload
	}
	if c == nil || !n.haveNewest || len(payload) == 0 || c.kind == codecEvent || c.kind == codecRED {
		return Forecast{}, false
	}
	f.LevelDBov = guessLevel(c, payload)
	f.Start = now + n.ahead(now)
	f.End = f.Start + samplesToTime(int64(max(tickSamples, c.samples(payload))))
	return f, true
}

// ahead is how long after now the sound that came last, by its timestamp, is due.
func (n *NetEq) ahead(now time.Duration) time.Duration {
	late := n.hist.lateness(n.newestTS, now)
	switch {
	case n.skip.active:
		return max(0, n.skipDelay()-late)
	case n.state == stateWaiting:
		return max(0, max(startDelay, min(n.target(), startDelayMax), n.cons.effectiveMinimum())-late)
	case n.dtx && n.gen > 0:
		return max(0, max(startDelay, n.target())-late)
	}
	samples := max(0, n.left()) + int(int32(n.newestTS-n.endTS)) - n.gen
	return min(maxSpan*time.Second/sampleRate, samplesToTime(int64(max(0, samples))))
}

// guessLevel tells about how loud a payload is.
func guessLevel(c *codec, payload []byte) int {
	switch c.kind {
	case codecOpus:
		return guessOpus(payload)
	case codecG711:
		return g711Level(payload, c.payloadType == payloadTypePCMA)
	case codecNoise:
		return guessSilence
	}
	return guessSpeech
}

// guessOpus reads the voice activity flags of the first frame, or, where there are none, how many bytes it has.
func guessOpus(payload []byte) int {
	if opusIsDTX(payload) || opusDuration(payload) == 0 {
		return guessSilence
	}
	first := opusFirstFrame(payload)
	if len(first) == 0 {
		return guessSilence
	}
	if payload[0]&0x80 != 0 { // CELT only
		if len(first) <= celtQuietBytes {
			return guessSilence
		}
		return guessSpeech
	}
	// Per channel one flag per 20 ms comes first, most significant bit first. Every second channel starts one bit later,
	// behind the redundancy flag of the first.
	silkFrames := max(1, opusFrameSamples(payload[0])/960)
	flags := byte(0xff) << (8 - silkFrames)
	if payload[0]&opusStereoBit != 0 {
		flags |= flags >> (silkFrames + 1)
	}
	if first[0]&flags == 0 {
		return guessNoise
	}
	return guessSpeech
}

// g711Level measures a payload of G.711. A-law is told by its static payload type (RFC 3551, section 6).
func g711Level(payload []byte, aLaw bool) int {
	power, count := 0.0, 0
	for i := 0; i < len(payload); i += levelStride {
		x := expandMuLaw(payload[i])
		if aLaw {
			x = expandALaw(payload[i])
		}
		power += float64(x) * float64(x)
		count++
	}
	power /= float64(count) * 32768 * 32768
	if power < 1e-12 {
		return guessSilence
	}
	return max(guessSilence, min(0, int(math.Round(10*math.Log10(power)))))
}
