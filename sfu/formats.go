package sfu

import (
	"slices"
	"strconv"
	"strings"

	"parley/mixer"
	"parley/neteq"
)

// format is a payload type that is taken beside Opus and RED: what telephones and gateways send, and keys pressed.
type format struct {
	pt    int
	name  string // as we write it
	clock int
}

// staticFormats need no rtpmap (RFC 3551, section 6).
var staticFormats = map[int]format{
	0: {0, "PCMU", 8000}, 8: {8, "PCMA", 8000}, 9: {9, "G722", 8000}, 13: {13, "CN", 8000},
}

// otherFormat finds out whether a payload type is one of ours.
func otherFormat(pt int, name, clock, channels string) (format, bool) {
	if f, static := staticFormats[pt]; static && name == "" {
		return f, true
	}
	if channels != "" && channels != "1" {
		return format{}, false
	}
	rate, err := strconv.Atoi(clock)
	if err != nil {
		return format{}, false
	}
	for _, known := range []struct {
		name   string
		clocks []int
	}{
		{"PCMU", []int{8000}}, {"PCMA", []int{8000}},
		{"G722", []int{8000}},                          // its clock is 8000 by a mistake of old (RFC 3551, section 4.5.2)
		{"CN", []int{8000, 16000}},                     // RFC 3389
		{"telephone-event", []int{8000, 16000, 48000}}, // RFC 4733; at the clock of the speech it comes with
	} {
		if strings.EqualFold(name, known.name) && slices.Contains(known.clocks, rate) {
			return format{pt, known.name, rate}, true
		}
	}
	return format{}, false
}

// speech tells if the format carries speech by itself.
func (f format) speech() bool { return f.name != "CN" && f.name != "telephone-event" }

func (f format) rtpmap() string {
	return strconv.Itoa(f.pt) + " " + f.name + "/" + strconv.Itoa(f.clock)
}

// addOther notes a format, once each.
func (r *remote) addOther(f format) {
	if !slices.ContainsFunc(r.others, func(o format) bool { return o.pt == f.pt || o.name == f.name && o.clock == f.clock }) {
		r.others = append(r.others, f)
	}
}

// primary is the payload type of speech that we like best: Opus, or else what the client names first; -1 without any.
func (r *remote) primary() int {
	if r.opus >= 0 {
		return r.opus
	}
	for _, f := range r.others {
		if f.speech() {
			return f.pt
		}
	}
	return -1
}

// codec is what we send: Opus, or to who does not know that what it names first.
func (r *remote) codec() mixer.Codec {
	pt := r.primary()
	for _, f := range r.others {
		if f.pt != pt {
			continue
		}
		for _, c := range []mixer.Codec{mixer.PCMU, mixer.PCMA, mixer.G722} {
			if c.String() == f.name {
				return c
			}
		}
	}
	return mixer.Opus
}

// agrees tells if a later description means by its payload types what first meant.
func (r *remote) agrees(first *remote) bool {
	if r.opus != first.opus || r.red != first.red && r.red >= 0 || r.primary() != first.primary() {
		return false
	}
	for _, f := range r.others {
		if i := slices.IndexFunc(first.others, func(o format) bool { return o.pt == f.pt }); i >= 0 && first.others[i] != f {
			return false
		}
	}
	return true
}

// limitTo leaves out what a peer connection that was made for first cannot take.
func (r *remote) limitTo(first *remote) {
	r.others = slices.DeleteFunc(r.others, func(f format) bool { return !slices.Contains(first.others, f) })
	r.nack = r.nack && first.nack
}

// clock is the RTP clock rate of a payload type that was agreed; 0: it was not. speech is false for noise and keys, whose
// timestamps say nothing about when they were sent.
func (r *remote) clock(pt uint8) (rateHz int, speech bool) {
	if int(pt) == r.opus || int(pt) == r.red {
		return 48000, true
	}
	for _, f := range r.others {
		if f.pt == int(pt) {
			return f.clock, f.speech()
		}
	}
	return 0, false
}

// codecName is what a person is told about a payload type.
func (r *remote) codecName(pt int) string {
	switch {
	case r.red >= 0 && pt == r.red:
		return "red/opus"
	case pt == r.opus:
		return "opus"
	}
	for _, f := range r.others {
		if f.pt == pt {
			return strings.ToLower(f.name)
		}
	}
	return ""
}

// formats tells the mixer what the payload types mean.
func formats(r *remote) map[uint8]neteq.Format {
	m := make(map[uint8]neteq.Format, 2+len(r.others))
	for _, f := range r.others {
		m[uint8(f.pt)] = neteq.Format{Name: f.name, ClockRateHz: f.clock}
	}
	if r.opus >= 0 {
		m[uint8(r.opus)] = neteq.Format{Name: "opus", ClockRateHz: 48000, Channels: 2}
	}
	if r.red >= 0 {
		m[uint8(r.red)] = neteq.Format{Name: "red", ClockRateHz: 48000, Channels: 2}
	}
	return m
}

// stereo tells if what is heard in the room has two sides.
func (r *room) stereo() bool { return r.cfg.Channels == 2 }

// takesStereo tells if a client is asked to send stereo, because it can.
func (r *room) takesStereo(client *remote) bool { return r.stereo() && client.sendsStereo }

// uplinkBitrate is what clients are asked to send; fallback is for voice.
func (r *room) uplinkBitrate(fallback int) int {
	if r.cfg.Music && r.cfg.Encoder != nil {
		return r.cfg.Encoder.BitrateBps
	}
	return fallback
}

// sourceConfig is how the mixer is to take the peer's stream.
func (p *peer) sourceConfig() mixer.SourceConfig {
	r := p.understood.Load()
	c := mixer.SourceConfig{Owner: p.participant.id, Formats: formats(r), Channels: 1}
	if p.participant.room.takesStereo(r) {
		c.Channels = 2
	}
	if p.resends != nil && r.nack {
		c.Requests = &p.participant.uplink
	}
	return c
}
