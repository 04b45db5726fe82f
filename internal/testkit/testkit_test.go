package testkit

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWAVRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tone.wav")
	want := Join(Tone(440, -6, 100*time.Millisecond), []float32{1.5, -1.5})
	require.NoError(t, WriteWAV(path, want))
	got, rate, err := ReadWAV(path)
	require.NoError(t, err)
	require.Equal(t, SampleRate, rate)
	require.Len(t, got, len(want))
	for i := range want {
		require.InDelta(t, max(-1, min(1, want[i])), got[i], 1.0/16000)
	}
}

func TestWAVRejectsOtherFiles(t *testing.T) {
	for name, data := range map[string]string{
		"empty":             "",
		"not riff":          "RIFX0000WAVEfmt ",
		"no data":           "RIFF0000WAVE",
		"data before fmt":   "RIFF0000WAVEdata\x04\x00\x00\x00abcd",
		"short fmt":         "RIFF0000WAVEfmt \x02\x00\x00\x00ab",
		"unknown encoding":  "RIFF0000WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x80\xbb\x00\x00\x80\xbb\x00\x00\x01\x00\x08\x00data\x01\x00\x00\x00a",
		"size past the end": "RIFF0000WAVEfmt \xff\xff\xff\x7f",
	} {
		_, _, err := parseWAV([]byte(data))
		require.ErrorIs(t, err, ErrWAV, name)
	}
}

func TestToneLevelFindsEachToneAlone(t *testing.T) {
	pcm := Mix(Tone(440, -20, time.Second), Tone(450, -3, time.Second), Noise(1, -60, time.Second))
	require.InDelta(t, -20, ToneLevel(pcm, 440), 0.1)
	require.InDelta(t, -3, ToneLevel(pcm, 450), 0.1)
	require.Less(t, ToneLevel(pcm, 700), -90.0)
	require.Less(t, ToneLevel(Silence(time.Second), 440), -150.0)
	require.Len(t, ToneLevels(pcm, 440, 300*time.Millisecond), 3)
}

func TestLevels(t *testing.T) {
	require.InDelta(t, -12, Level(Tone(1000, -12, time.Second)), 0.01)
	require.InDelta(t, -30, Level(Noise(3, -30, time.Second)), 0.1)
	require.InDelta(t, math.Pow(10, -0.6), Peak(Tone(1000, -12, time.Second)), 0.001)
	v := Voice(VoiceConfig{PitchHz: 120, LevelDBFS: -20}, 4*time.Second)
	require.Less(t, Peak(v), 1.0)
	require.InDelta(t, -22, Level(v), 3)
	require.NotEmpty(t, Gaps(v, -60, 200*time.Millisecond), "a breath every two seconds")
}

func TestSteadyAndLoudest(t *testing.T) {
	// Half a period goes missing every second: the phase turns, the level stays.
	var pcm []float32
	for range 4 {
		pcm = append(pcm, Tone(1187, -20, time.Second-421*time.Microsecond)...)
	}
	require.Less(t, ToneLevel(pcm, 1187), -25.0)
	require.InDelta(t, -20, SteadyLevel(pcm, 1187), 0.1)
	burst := Join(Silence(1800*time.Millisecond), Tone(440, -70, 200*time.Millisecond))
	require.Less(t, SteadyLevel(burst, 440), -150.0)
	require.InDelta(t, -70, LoudestTone(burst, 440), 0.1, "a voice that leaks for a moment")
	// Losses tear holes into the others' tones; that is not one's own voice.
	torn := Mix(Tone(523, -20, 2*time.Second), Tone(787, -20, 2*time.Second))
	for i := 4000; i+1000 < len(torn); i += 7777 {
		clear(torn[i : i+700])
	}
	require.Greater(t, SteadyLevel(torn, 1187), -70.0)
	require.Less(t, LoudestTone(torn, 1187), -100.0)
	require.Less(t, LoudestTone(nil, 440), -150.0)
}

func TestClips(t *testing.T) {
	hard := Tone(440, 6, time.Second)
	for i, s := range hard {
		hard[i] = max(-1, min(1, s))
	}
	require.Equal(t, 880, Clips(hard))
	require.Zero(t, Clips(Tone(440, -0.1, time.Second)))
}

func TestClicks(t *testing.T) {
	clean := Mix(Tone(440, -12, time.Second), Tone(1187, -12, time.Second), Noise(2, -75, time.Second))
	require.Empty(t, Clicks(clean))

	cut := append([]float32(nil), clean...)
	copy(cut[20000:], cut[20200:]) // a splice without crossfade
	found := Clicks(cut)
	require.NotEmpty(t, found)
	require.InDelta(t, 20000, found[0], 10)

	hole := append([]float32(nil), clean...)
	clear(hole[20000:20480]) // a lost tick
	require.Len(t, Clicks(hole), 2)
	require.Equal(t, []time.Duration{10 * time.Millisecond}, Gaps(hole[20000-480*5:], -60, 10*time.Millisecond))
}

func TestFindAllChirps(t *testing.T) {
	ref := Chirp(800, 4000, -6, 40*time.Millisecond)
	pcm := Mix(Noise(5, -40, 2*time.Second), Join(Silence(123456*time.Microsecond), ref, Silence(time.Second), ref))
	found := FindAll(pcm, ref, 0.6)
	require.Len(t, found, 2)
	require.Equal(t, Samples(123456*time.Microsecond), found[0].At)
	require.Equal(t, found[0].At+len(ref)+SampleRate, found[1].At)
	require.Greater(t, found[0].Score, 0.95)
	require.Empty(t, FindAll(Noise(6, -20, time.Second), ref, 0.6))
	require.Empty(t, FindAll(Silence(time.Second), ref, 0.6))
}

func TestOnsetAndEvery(t *testing.T) {
	beep := Tone(1000, 0, 10*time.Millisecond)
	pcm := Every(beep, 100*time.Millisecond, time.Second)
	require.Len(t, pcm, SampleRate)
	require.InDelta(t, 4, Onset(pcm, 0.5), 1)
	require.Equal(t, -1, Onset(Silence(time.Second), 0.1))
	require.Len(t, Gaps(pcm, -60, 80*time.Millisecond), 10)
}
