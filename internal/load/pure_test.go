package load

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"parley/internal/opus"
)

var update = flag.Bool("update", false, "write the golden files")

func TestHist(t *testing.T) {
	h := newHist()
	require.Zero(t, h.quantile(0.5))
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	h.add(5 * time.Second)
	require.InDelta(t, 501, ms(h.quantile(0.5)), 1)
	require.InDelta(t, 1000, ms(h.quantile(0.999)), 1)
	require.Equal(t, 5*time.Second, h.quantile(1))
	require.Equal(t, uint64(12), h.over(990*time.Millisecond))
	other := newHist()
	other.add(6 * time.Second)
	h.merge(other)
	require.Equal(t, Quantiles{N: 1002, P50: 501.05, P95: 952.05, P99: 992.05, P999: 2000 * 3, Max: 6000}, h.quantiles())
}

func TestStream(t *testing.T) {
	at := func(n int) time.Duration { return time.Duration(n) * 20 * time.Millisecond }
	header := func(n int, ts uint32) rtpHeader {
		return rtpHeader{payloadType: payloadType, seq: uint16(65530 + n), ts: 4294960000 + ts, ssrc: 7}
	}
	type packet struct {
		h    rtpHeader
		step step
	}
	frame := func(n int) rtpHeader { return header(n, uint32(n)*960) }
	for name, tc := range map[string]struct {
		packets []packet
		want    streamCounts
	}{
		"across the wrap": {[]packet{{frame(0), step{usable: true, restart: true}}, {frame(1), step{usable: true}}, {frame(2), step{usable: true}},
			{frame(3), step{usable: true}}, {frame(4), step{usable: true}}, {frame(5), step{usable: true}}, {frame(6), step{usable: true}},
			{frame(7), step{usable: true}}, {frame(8), step{usable: true}}}, streamCounts{Packets: 9}},
		"a gap":        {[]packet{{frame(0), step{usable: true, restart: true}}, {frame(3), step{usable: true, lost: 2}}}, streamCounts{Packets: 2, Lost: 2}},
		"late":         {[]packet{{frame(0), step{usable: true, restart: true}}, {frame(2), step{usable: true, lost: 1}}, {frame(1), step{}}}, streamCounts{Packets: 3, Reordered: 1}},
		"twice":        {[]packet{{frame(0), step{usable: true, restart: true}}, {frame(0), step{}}}, streamCounts{Packets: 2, Duplicates: 1}},
		"a pause":      {[]packet{{frame(0), step{usable: true, restart: true}}, {header(1, 19200), step{usable: true, pause: 19200 - 480}}}, streamCounts{Packets: 2}},
		"no frame":     {[]packet{{frame(0), step{usable: true, restart: true}}, {header(1, 961), step{usable: true}}}, streamCounts{Packets: 2, TimestampErrors: 1}},
		"same time":    {[]packet{{frame(0), step{usable: true, restart: true}}, {header(1, 0), step{usable: true}}}, streamCounts{Packets: 2, TimestampErrors: 1}},
		"other codec":  {[]packet{{rtpHeader{payloadType: 8}, step{}}}, streamCounts{Packets: 1, PayloadTypeErrors: 1}},
		"other source": {[]packet{{frame(0), step{usable: true, restart: true}}, {rtpHeader{payloadType: payloadType, ssrc: 8}, step{usable: true, restart: true}}}, streamCounts{Packets: 2, SSRCChanges: 1}},
		"begun anew":   {[]packet{{frame(200), step{usable: true, restart: true}}, {frame(0), step{usable: true, restart: true}}}, streamCounts{Packets: 2, SSRCChanges: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var s stream
			c := streamCounts{gaps: newHist(), late: newHist()}
			for i, p := range tc.packets {
				require.Equal(t, p.step, s.packet(p.h, 0, at(i), false, &c), "packet %d", i)
			}
			c.gaps, c.late = nil, nil
			require.Equal(t, tc.want, c)
		})
	}
}

func TestReceiverReport(t *testing.T) {
	var s stream
	c := streamCounts{gaps: newHist(), late: newHist()}
	for _, n := range []int{0, 1, 3} { // one of four is lost
		s.packet(rtpHeader{payloadType: payloadType, seq: uint16(65534 + n), ts: uint32(960 * n), ssrc: 9}, 100, time.Duration(20*n)*time.Millisecond, false, &c)
	}
	s.senderReport(append([]byte{0x80, 200, 0, 6, 0, 0, 0, 9, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0}, make([]byte, 12)...), time.Second)
	b := s.appendReport(nil, 5, 3*time.Second)
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	require.Len(t, b, 32)
	require.Equal(t, uint32(0x81c90007), word(0))
	require.Equal(t, []uint32{5, 9, 64<<24 | 1, 65537, 0, 0x12345678, 2 * 65536}, []uint32{word(1), word(2), word(3), word(4), word(5), word(6), word(7)})
	b = s.appendReport(b[:0], 5, 3*time.Second)
	require.Equal(t, uint32(1), word(3), "nothing was lost since")
}

func TestTonesAreToldApart(t *testing.T) {
	listen := newTones()
	for _, voices := range [][]int{{0}, {Voices - 1}, {3, 4, 5}, {0, 1, 20, 31}} {
		var want uint64
		pcm := make([]float32, sampleRate/10)
		for _, v := range voices {
			want |= 1 << v
			for i, s := range sine(voiceHz(v), toneAmplitude, len(pcm)) {
				pcm[i] += s
			}
		}
		var d decimator
		faint, loud := listen.present(d.append(nil, pcm), Voices)
		require.Equal(t, voiceList(want), voiceList(faint))
		require.Equal(t, voiceList(want), voiceList(loud))
	}
	var d decimator
	faint, loud := listen.present(d.append(nil, sine(voiceHz(7), amplitude(-40), sampleRate/10)), Voices)
	require.Equal(t, uint64(1<<7), faint)
	require.Zero(t, loud)
	_, loud = listen.present(d.append(nil, whiteNoise(0.1, sampleRate/10)), Voices)
	require.Zero(t, loud, "noise holds no tone")
	require.InDelta(t, -20, listen.level(d.append(nil, sine(1000, 0.1, sampleRate/10)), 1000), 0.3)
}

func TestChirpsAreFoundToTheSample(t *testing.T) {
	pcm := sine(900, 0.1, 2*sampleRate)
	want := []int64{4801, 9000, 15000 - 240}
	for _, at := range want {
		for i, s := range chirp(sampleRate) {
			pcm[int(at)*decimation+i] += s * float32(chirpAmplitude)
		}
	}
	f := newChirpFinder()
	var d decimator
	var got []int64
	for ; len(pcm) > 0; pcm = pcm[480:] {
		f.search(d.append(nil, pcm[:480]), func(at int64) { got = append(got, at) })
	}
	require.Equal(t, want, got)
}

func TestTracks(t *testing.T) {
	e := encoding{frame: 20 * time.Millisecond, bitrate: 32000, complexity: encoderComplexity}
	silent := func(t *track) (n int) {
		for _, f := range t.frames {
			if f == nil {
				n++
			}
		}
		return n
	}
	chirping, err := e.chirping(3)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(chirping.chirps), 8)
	places := map[int]bool{}
	found := 0
	for k := range chirping.frames {
		chirping.frameChirps(k, func(d time.Duration) {
			found++
			places[int(d/time.Millisecond)] = true
			require.Less(t, d, e.frame)
		})
	}
	require.Equal(t, len(chirping.chirps), found)
	require.Greater(t, len(places), 4, "all over the frame")
	tone, err := e.tone(3)
	require.NoError(t, err)
	require.InDelta(t, 23, int(tone.levels[0]), 1, "a sine of -20 dBFS")
	dtx, err := e.dtx()
	require.NoError(t, err)
	require.Greater(t, silent(dtx), len(dtx.frames)*9/10)
	require.Less(t, silent(dtx), len(dtx.frames), "and a refresh")
	noise, err := e.noise()
	require.NoError(t, err)
	require.Zero(t, silent(noise))
	_, err = e.encodeLoop(make([]float32, 100), false)
	require.Error(t, err)
}

func TestAnswers(t *testing.T) {
	const sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\na=fingerprint:SHA-256 0A:FF\r\na=setup:active\r\n" +
		"a=rtpmap:63 red/48000/2\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
		"a=candidate:1 1 tcp 1 127.0.0.1 9 typ host\r\na=candidate:1 2 udp 1 127.0.0.1 10 typ host\r\na=candidate:1 1 udp 1 192.0.2.1 11 typ host\r\na=candidate:1 1 UDP 1 127.0.0.1 12 typ host\r\n"
	a, err := parseAnswer(sdp)
	require.NoError(t, err)
	local, far := netip.MustParseAddrPort("127.0.0.1:12"), netip.MustParseAddrPort("192.0.2.1:11")
	require.Equal(t, answer{ufrag: "abcd", pwd: "efgh", hash: "sha-256", print: []byte{10, 255}, active: true, red: true, levels: true,
		candidates: []netip.AddrPort{far, local}}, a)
	require.Equal(t, far, a.pick(far.Addr()))
	require.Equal(t, local, a.pick(local.Addr()))
	require.Equal(t, far, a.pick(netip.MustParseAddr("198.51.100.1")))
	for _, bad := range []string{"", strings.Replace(sdp, "m=audio 9", "m=audio 0", 1), strings.ReplaceAll(sdp, "candidate", "x"),
		strings.Replace(sdp, "0A:FF", "0A:XX", 1), strings.Replace(sdp, "ice-pwd", "x", 1)} {
		_, err := parseAnswer(bad)
		require.ErrorIs(t, err, errAnswer)
	}
}

// busy refuses a few times.
type busy struct{ left int }

func (b *busy) join(context.Context, seat) (session, error) {
	if b.left == 0 {
		return session{answer: "yes"}, nil
	}
	b.left--
	return session{}, &refusedError{status: 503, retryAfter: 5 * time.Second}
}
func (b *busy) close() {}

func TestComesAgainWhenAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, again, err := patiently(t.Context(), &busy{3}, seat{})
		require.NoError(t, err)
		require.Equal(t, "yes", got.answer)
		require.Equal(t, 3, again)
		require.Equal(t, 15*time.Second, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		_, again, err = patiently(ctx, &busy{100}, seat{})
		var refused *refusedError
		require.True(t, errors.As(err, &refused))
		require.Equal(t, 2, again)
	})
}

func TestExpectations(t *testing.T) {
	r := newRoom("r", 0, 2)
	a, b, c := r.speak(0), r.speak(0), r.speak(10*time.Second)
	e := r.expected(-1, 5*time.Second, 6*time.Second)
	require.Equal(t, []any{uint64(1<<a | 1<<b), 2, uint64(0)}, []any{e.must, e.atLeast, e.own})
	require.Zero(t, e.mustNot>>c&1, "who has just begun is neither")
	e = r.expected(a, 20*time.Second, 21*time.Second)
	require.Equal(t, []any{uint64(1<<b | 1<<c), 1, uint64(1 << a)}, []any{e.must, e.atLeast, e.own}, "two are mixed, one may be its own")
	r.hush(b, 30*time.Second)
	e = r.expected(c, 32*time.Second, 33*time.Second)
	require.Equal(t, uint64(1<<a), e.must)
	require.NotZero(t, e.mustNot>>b&1)
	require.NotEqual(t, b, r.speak(31*time.Second), "a voice is not given again at once")
	r.close()
	require.False(t, r.expected(-1, 0, 0).complete)
}

func TestRED(t *testing.T) {
	require.Equal(t, []byte("new"), redPrimary([]byte("\xef\x0f\x00\x02\x6fXXnew")))
	require.Equal(t, []byte("new"), redPrimary([]byte("\x6fnew")))
	require.Nil(t, redPrimary([]byte("\xef\x0f")))
	require.Nil(t, redPrimary([]byte("\xef\x0f\x00\x09\x6fX")))
	require.Nil(t, redPrimary(nil))
}

func TestConfigIsChecked(t *testing.T) {
	good := DefaultConfig()
	good.URL = "http://127.0.0.1:1"
	require.NoError(t, good.check())
	for _, break1 := range []func(*Config){
		func(c *Config) { c.URL = "ftp://x" }, func(c *Config) { c.Rooms = 0 }, func(c *Config) { c.Speakers = 11 },
		func(c *Config) { c.Speakers, c.Participants = Voices, Voices }, func(c *Config) { c.Listeners = "loud" }, func(c *Config) { c.Via = "fax" },
		func(c *Config) { c.Frame = 30 * time.Millisecond }, func(c *Config) { c.Loss = 1 }, func(c *Config) { c.Turn = time.Millisecond },
		func(c *Config) { c.Via, c.Turn = ViaWHEP, time.Minute }, func(c *Config) { c.Latency, c.Turn = true, time.Minute },
	} {
		c := good
		break1(&c)
		require.ErrorIs(t, c.check(), ErrConfig)
	}
}

func TestSpeechFile(t *testing.T) {
	dir := t.TempDir()
	pcm := sine(440, 0.25, 16000*3/2) // 440 Hz at 48 kHz is 146.7 Hz at 16 kHz
	data := binary.LittleEndian.AppendUint32(append([]byte("RIFF"), 0, 0, 0, 0), 0x45564157)
	data = append(data, "LIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	data = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(data, 16000), 32000)
	data = append(data, 2, 0, 16, 0)
	data = binary.LittleEndian.AppendUint32(append(data, "data"...), uint32(2*len(pcm)))
	for _, s := range pcm {
		data = binary.LittleEndian.AppendUint16(data, uint16(int16(s*32767)))
	}
	name := filepath.Join(dir, "a.wav")
	require.NoError(t, os.WriteFile(name, data, 0o600))
	got, err := Speech(name)
	require.NoError(t, err)
	require.InDelta(t, 3*sampleRate/2, len(got), sampleRate/50)
	var peak float64
	crossings, below := 0, false
	for _, s := range got {
		peak = max(peak, math.Abs(float64(s)))
		if below = below || s < -0.1; below && s > 0.1 {
			crossings++
			below = false
		}
	}
	require.InDelta(t, speechAmplitude, peak, 0.01)
	require.InDelta(t, 219, crossings, 4, "1.5 s of 146.7 Hz")
	require.NoError(t, os.WriteFile(name, data[:60], 0o600))
	for _, bad := range []string{name, filepath.Join(dir, "none.wav"), "pure_test.go"} {
		_, err := Speech(bad)
		require.Error(t, err)
	}
}

// The report's JSON and its summary are read by others.
func TestReportGolden(t *testing.T) {
	q := Quantiles{N: 1000, P50: 20, P95: 21.5, P99: 22, P999: 35.5, Max: 51}
	r := &Report{
		Version: ReportVersion, Started: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Seconds: 60,
		Crowd: Crowd{URL: "http://127.0.0.1:8080", Via: ViaWHIP, Rooms: 1, Participants: 1003, Speakers: 3, Listeners: Silent, FrameMs: 20},
		Joins: Joins{Asked: 1003, Joined: 1002, Failed: 1, Again: 2, Left: 1002, TookMs: q, Reasons: []string{"load-0: refused with 503: room_full"}},
		Received: Received{Packets: 3006000, Bytes: 330660000, PacketsPerSecond: 50100, Lost: 12, JitterMs: 0.4, JitterMaxMs: 1.25, GapsOver40Ms: 3,
			Decrypted: 60120, SenderReports: 60000},
		Sent: Sent{Packets: 9000, Bytes: 990000, PacketsPerSecond: 150}, GapMs: q, LateMs: q,
		Audio:     Audio{Listeners: 21, Blocks: 2520, Expected: 7560, Own: 1, Examples: []string{"load-1 in load-0 hears its own 350 Hz at 12.5s"}},
		DelayMs:   q,
		PacketMs:  q,
		Generator: Generator{CPUs: []int{1}, Cores: 1, CPUSeconds: 18, Busy: 0.3, MicrosPerPacket: 6, LatenessMs: q},
		Server: &Server{PID: 42, CPUSeconds: 27, CPUMsPerSecond: 450, CPUMsPerParticipantSecond: 0.449, CPUMicrosPerPacket: 9, RSSBytes: 300 << 20,
			RSSBytesBefore: 30 << 20, Threads: 9},
	}
	r.judge(Limits{Lost: 0.001, Silence: 0.01, GapP999: 40 * time.Millisecond, DelayP50: 10 * time.Millisecond, Bottleneck: true})
	require.False(t, r.OK)
	require.True(t, r.Generator.Bottleneck)
	text, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, r.Summary(&b))
	for name, got := range map[string]string{"report.json": string(text) + "\n", "summary.txt": b.String()} {
		path := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o777))
			require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), got, name)
	}
}

// What libopus makes of three voices at the lowest rate of a good path is these three voices.
func TestVoicesSurviveTheCoder(t *testing.T) {
	listen := newTones()
	e := encoding{frame: 20 * time.Millisecond, bitrate: 24000, complexity: encoderComplexity, fec: true}
	buf := make([]float32, opus.MaxFrameSamples)
	for v := range Voices {
		pcm := make([]float32, sampleRate)
		var want uint64
		for k := range 3 {
			w := (v + k*voiceStride) % Voices
			want |= 1 << w
			for i, s := range sine(voiceHz(w), toneAmplitude, len(pcm)) {
				pcm[i] += s
			}
		}
		track, err := e.encodeLoop(pcm, false)
		require.NoError(t, err)
		dec, err := opus.NewDecoder(1)
		require.NoError(t, err)
		var d decimator
		var low []float32
		for _, f := range track.frames {
			n, err := dec.Decode(f, buf)
			require.NoError(t, err)
			low = d.append(low, buf[:n])
		}
		for low = low[windowSamples:]; len(low) >= windowSamples; low = low[windowSamples:] {
			faint, loud := listen.present(low, Voices)
			require.Zero(t, want&^faint, "%s: missing %s", voiceList(want), voiceList(want&^faint))
			require.Zero(t, loud&^want, "%s: wrong %s", voiceList(want), voiceList(loud&^want))
		}
	}
}
