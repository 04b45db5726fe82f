package mixer

import "fmt"

// Codec is what the frames of a listener are encoded with.
type Codec uint8

const (
	// Opus is what the tiers are about.
	Opus Codec = iota
	// PCMU and PCMA are ITU-T G.711, and G722 is ITU-T G.722: for telephones and gateways that know nothing else. Their frames are
	// 20 ms, mono, 64 kb/s, whatever the tier.
	PCMU
	PCMA
	G722

	codecs = int(G722) + 1
)

// String is the name in SDP, in the registered spelling.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case PCMU:
		return "PCMU"
	case PCMA:
		return "PCMA"
	}
	return "G722"
}

// lanes is how many buses a mix can have: one for each tier of Opus, and one for each other codec.
const lanes = Tiers + codecs - 1

// telephoneTicks are in a frame of a telephone's codec: 20 ms, the packet time of RFC 3551, section 4.2.
const telephoneTicks = 2

// lane is where listeners of a codec are that say nothing of their connection. Those of Opus go on to other tiers.
func (c Codec) lane() Tier {
	if c == Opus {
		return Excellent
	}
	return Tier(Tiers-1) + Tier(c)
}

// codec is what a lane's frames are encoded with.
func (t Tier) codec() Codec {
	if t <= Poor {
		return Opus
	}
	return Codec(t-Tier(Tiers)) + 1
}

// Encodes tells whether listeners of a codec can be added.
func (m *Mixer) Encodes(c Codec) bool { return c == Opus || int(c) < codecs && m.newTelephone != nil }

// makeEncoder makes one for a lane of the room.
func (r *Room) makeEncoder(t Tier) (Encoder, error) {
	c := t.codec()
	if c == Opus {
		return r.mixer.newEncoder(r.encoding)
	}
	e, err := r.mixer.newTelephone(c, r.channels)
	if err != nil {
		return nil, fmt.Errorf("new %v encoder: %w", c, err)
	}
	return e, nil
}
