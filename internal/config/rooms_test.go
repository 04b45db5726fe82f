package config

import "testing"

func TestRoomOptions(t *testing.T) {
	l, err := Load(Options{File: write(t, `
audio: {bitrate: 32000, speakers: 4, leveling: true, packet_ms: 10}
rooms:
  settings:
    - {match: "music-quiet", mode: music, packet_ms: 20, speakers: 2, bitrate: 96000, stereo: false}
    - {match: "music-*", mode: music}
    - {match: "stage?", stereo: true, leveling: false}
    - {match: "*", mode: voice, speakers: 0}
`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]RoomOptions{
		"music-quiet": {Music: true, PacketMs: 20, Speakers: 2, BitrateBps: 96000},
		"music-loud":  {Music: true, Stereo: true, PacketMs: 10, BitrateBps: 128000},
		"stage1":      {Stereo: true, PacketMs: 10, Speakers: 4, BitrateBps: 32000},
		"stage":       {Leveling: true, PacketMs: 10, BitrateBps: 32000},
		"küche":       {Leveling: true, PacketMs: 10, BitrateBps: 32000},
	} {
		if got := l.RoomOptions(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got, want := Default().RoomOptions("any"), (RoomOptions{PacketMs: 20, Speakers: 5, BitrateBps: 40000}); got != want {
		t.Errorf("without settings: %+v, want %+v", got, want)
	}
}
