package config

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Modes of a room.
const (
	RoomVoice = "voice"
	RoomMusic = "music"
)

const (
	// musicBitrate is what a music room gets that says nothing else: transparent stereo (RFC 7587, section 3.1.1).
	musicBitrate = 128000
	// leastMusicBitrate keeps stereo and the full bandwidth.
	leastMusicBitrate = 48000
)

// RoomSettings is one entry of rooms.settings. What is nil is as in audio.
type RoomSettings struct {
	Match    string `yaml:"match"`
	Mode     string `yaml:"mode,omitempty"`
	PacketMs *int   `yaml:"packet_ms,omitempty"`
	Leveling *bool  `yaml:"leveling,omitempty"`
	Stereo   *bool  `yaml:"stereo,omitempty"`
	Speakers *int   `yaml:"speakers,omitempty"`
	Bitrate  *int   `yaml:"bitrate,omitempty"`
}

const roomSettingsForm = "must be {match: \"music-*\", mode: music, packet_ms: 10, leveling: false, stereo: true, speakers: 0, bitrate: 128000}; only match is needed"

// RoomOptions is how one room is mixed, with nothing left open.
type RoomOptions struct {
	Music      bool // stereo, no level is changed, clients send what the microphone gives
	Stereo     bool
	Leveling   bool // every voice is brought to the same loudness
	PacketMs   int
	Speakers   int // 0: all
	BitrateBps int
}

// RoomOptions says how the room with a name is mixed: by the first entry of rooms.settings that matches, and by audio.
func (c *Config) RoomOptions(name string) RoomOptions {
	a := c.Audio
	o := RoomOptions{Stereo: a.Stereo, Leveling: a.Leveling, PacketMs: a.PacketMs, Speakers: a.Speakers, BitrateBps: a.Bitrate}
	for _, s := range c.Rooms.Settings {
		if matched, err := path.Match(s.Match, name); err != nil || !matched {
			continue
		}
		if s.Mode == RoomMusic {
			o.Music, o.Stereo, o.Leveling, o.Speakers, o.BitrateBps = true, true, false, 0, musicBitrate
		}
		override(&o.PacketMs, s.PacketMs)
		override(&o.Leveling, s.Leveling)
		override(&o.Stereo, s.Stereo)
		override(&o.Speakers, s.Speakers)
		override(&o.BitrateBps, s.Bitrate)
		break
	}
	return o
}

func override[T any](to *T, by *T) {
	if by != nil {
		*to = *by
	}
}

// decodeRooms reads rooms.settings; unknown keys are refused like everywhere else.
func decodeRooms(node *yaml.Node, out *[]RoomSettings) error {
	if node.Kind != yaml.SequenceNode {
		return errors.New("must be a list of {match: …, mode: …, …}")
	}
	var all []RoomSettings
	for _, item := range node.Content {
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: %s", item.Line, roomSettingsForm)
		}
		var s RoomSettings
		seen := map[string]bool{}
		for i := 0; i+1 < len(item.Content); i += 2 {
			k, v := item.Content[i], item.Content[i+1]
			targets := map[string]any{
				"match": &s.Match, "mode": &s.Mode, "packet_ms": &s.PacketMs, "leveling": &s.Leveling, "stereo": &s.Stereo,
				"speakers": &s.Speakers, "bitrate": &s.Bitrate,
			}
			target, known := targets[k.Value]
			if !known {
				return fmt.Errorf("line %d: unknown key %q", k.Line, k.Value)
			}
			if seen[k.Value] {
				return fmt.Errorf("line %d: %s is given twice", k.Line, k.Value)
			}
			seen[k.Value] = true
			if v.Kind != yaml.ScalarNode || v.Tag == "!!null" || v.Decode(target) != nil {
				return fmt.Errorf("line %d: %s has the wrong form", v.Line, k.Value)
			}
		}
		all = append(all, s)
	}
	*out = all
	return nil
}

// rooms checks rooms.settings.
func (v *validation) rooms() {
	const key = "rooms.settings"
	before := map[string]bool{}
	for i, s := range v.l.Rooms.Settings {
		fail := func(format string, args ...any) {
			v.fail(key, "entry %d (%q): "+format, append([]any{i + 1, s.Match}, args...)...)
		}
		within := func(name string, value *int, low, high int) {
			if value != nil && (*value < low || *value > high) {
				fail("%s %d is not between %d and %d", name, *value, low, high)
			}
		}
		if _, err := path.Match(s.Match, ""); err != nil || s.Match == "" || strings.Contains(s.Match, "/") {
			fail("match is not the name of a room or a pattern such as music-*")
		}
		switch {
		case before[s.Match]:
			fail("is never used: an entry before it has the same match")
		case before["*"]:
			fail("is never used: the entry * before it takes every room")
		}
		before[s.Match] = true
		music := s.Mode == RoomMusic
		if s.Mode != "" && s.Mode != RoomVoice && !music {
			fail("mode %q is neither voice nor music", s.Mode)
		}
		if music && s.Leveling != nil && *s.Leveling {
			fail("leveling changes levels, and mode music changes none")
		}
		if s.PacketMs != nil && *s.PacketMs != 10 && *s.PacketMs != 20 {
			fail("packet_ms %d is neither 10 nor 20", *s.PacketMs)
		}
		within("speakers", s.Speakers, 0, 1000)
		least := 6000
		if music {
			least = leastMusicBitrate
		}
		within("bitrate", s.Bitrate, least, 510000)
	}
}
