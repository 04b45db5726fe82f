package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parley/internal/codec"
	"parley/internal/opus"
	"parley/internal/replay"
	"parley/neteq"
)

// neteqCmd are the commands that try the jitter buffer on recordings.
type neteqCmd struct {
	Replay  neteqReplayCmd  `cmd:"" help:"Run recorded RTP audio through the jitter buffer in virtual time: WAV, JSON, CSV and a report out."`
	Compare neteqCompareCmd `cmd:"" help:"Compare what the jitter buffer makes of traces with a reference, such as libwebrtc's."`
}

// neteqInput says what to replay and how; both commands have it.
type neteqInput struct {
	Traces   []string         `arg:"" name:"trace" help:"Traces (.csv, .csv.gz) or captures of plain, not encrypted RTP (.pcap, .pcapng, .rtpdump)." type:"existingfile"`
	SSRC     string           `name:"ssrc" help:"The stream to take from a capture, as in 0x1f2e3d4c. Without it: the one with most packets of a known payload type." placeholder:"SSRC"`
	PT       []uint8          `name:"pt" help:"Take packets of these payload types only." placeholder:"PT"`
	Codec    map[uint8]string `help:"What a payload type is, as in SDP: 96=opus/48000/2. Known from the start: 0 PCMU, 8 PCMA, 9 G722, 13 CN, 63 red, 111 opus." placeholder:"PT=NAME/RATE"`
	From     time.Duration    `help:"Leave out what came earlier, counted from the first packet." placeholder:"TIME"`
	To       time.Duration    `help:"Leave out what came later." placeholder:"TIME"`
	Policy   string           `help:"How the buffer decides: ${enum}." enum:"adaptive,m150,levels,network,fixed" default:"adaptive"`
	Delay    time.Duration    `help:"Delay of the policy fixed." default:"100ms"`
	MinDelay time.Duration    `help:"Least target delay." placeholder:"TIME"`
	MaxDelay time.Duration    `help:"Largest target delay." placeholder:"TIME"`
	Stereo   bool             `help:"Two channels out."`
}

// batch turns the flags into a batch without output.
func (c *neteqInput) batch(phases []string) (*replay.Batch, error) {
	policy, err := replay.ParsePolicy(c.Policy)
	if err != nil {
		return nil, err
	}
	formats := replay.DefaultFormats()
	for pt, name := range c.Codec {
		_, f, err := replay.ParseFormat(fmt.Sprintf("%d=%s", pt, name))
		if err != nil {
			return nil, fmt.Errorf("--codec: %w", err)
		}
		formats[pt] = f
	}
	config := neteq.Config{Channels: 1, Policy: policy, FixedDelay: c.Delay, MinDelay: c.MinDelay, MaxDelay: c.MaxDelay}
	if c.Stereo {
		config.Channels = 2
	}
	b := &replay.Batch{
		Traces:    c.Traces,
		Options:   replay.Options{Config: config, Formats: formats, NewDecoder: replayDecoder},
		Selection: replay.Selection{PayloadTypes: c.PT, Formats: formats, From: c.From, To: c.To},
	}
	if c.SSRC != "" {
		v, err := strconv.ParseUint(c.SSRC, 0, 32)
		if err != nil {
			return nil, fmt.Errorf("--ssrc %s: want a number below 2^32, such as 0x1f2e3d4c", c.SSRC)
		}
		ssrc := uint32(v)
		b.Selection.SSRC = &ssrc
	}
	seen := map[time.Duration]bool{}
	for _, s := range phases {
		phase, err := parsePhase(s)
		if err != nil {
			return nil, err
		}
		if !seen[phase] {
			seen[phase] = true
			b.Phases = append(b.Phases, phase)
		}
	}
	// What cannot be is found here, not after half of the traces.
	if _, err := neteq.New(config); err != nil {
		return nil, err
	}
	for pt, f := range formats {
		n, err := neteq.New(config)
		if err == nil {
			err = n.Register(pt, f, func() (neteq.Decoder, error) { return replayDecoder(f, config.Channels) })
		}
		if _, named := c.Codec[pt]; !named {
			continue
		}
		if err == nil && !soundless(f) {
			_, err = replayDecoder(f, config.Channels)
		}
		if err != nil {
			return nil, fmt.Errorf("--codec %d=%s: %w", pt, f.Name, err)
		}
	}
	return b, nil
}

// parsePhase reads a pull phase: "2.5ms", or "2.5" in milliseconds; below one tick.
func parsePhase(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		var ms float64
		if ms, err = strconv.ParseFloat(s, 64); err == nil {
			d = time.Duration(math.Round(ms * float64(time.Millisecond)))
		}
	}
	if err != nil || d < 0 || d >= 10*time.Millisecond {
		return 0, fmt.Errorf("--phase %s: want 0 to less than 10 ms", s)
	}
	return d, nil
}

// soundless reports formats that need no decoder.
func soundless(f neteq.Format) bool {
	switch strings.ToLower(f.Name) {
	case "red", "cn", "telephone-event":
		return true
	}
	return false
}

// replayDecoder makes the decoder for a format.
func replayDecoder(f neteq.Format, channels int) (neteq.Decoder, error) {
	if strings.EqualFold(f.Name, "opus") {
		return opus.NewDecoder(channels)
	}
	return codec.NewDecoder(f.Name, channels)
}

// neteqReplayCmd is "parley neteq replay".
type neteqReplayCmd struct {
	neteqInput
	Phase  []string `help:"When to pull: at multiples of 10 ms plus this many ms. Several, separated by commas: several results." default:"0"`
	Out    string   `help:"Directory for NAME.wav, NAME.json (the fields of a reference file), NAME.csv (a line per 10 ms) and summary.json (a reference file of all traces). Empty: only the table." short:"o" default:"." placeholder:"DIR"`
	Report bool     `help:"Write NAME.html too: pictures of arrivals, delays, operations, concealments and sound, in one file that needs nothing else."`
	Audio  bool     `help:"Put the sound into the report, up to 6 minutes mono."`
	Scores string   `help:"File with PESQ of these traces (JSON of a scorer), to be shown in the report." type:"existingfile" placeholder:"FILE"`
	List   bool     `help:"Only list the streams of the files."`
}

func (c *neteqReplayCmd) Run(to streams) error {
	if c.List {
		return c.list(to.out)
	}
	b, err := c.batch(c.Phase)
	if err != nil {
		return usageError{err}
	}
	if c.Out == "" && c.Report {
		return usageError{fmt.Errorf("--report needs a directory: --out")}
	}
	var scores replay.Scores
	if c.Scores != "" {
		if scores, err = replay.ReadScores(c.Scores); err != nil {
			return usageError{err}
		}
	}
	if err := c.distinct(); err != nil {
		return usageError{err}
	}
	if c.Out != "" {
		if err := os.MkdirAll(c.Out, 0o777); err != nil {
			return err
		}
	}
	b.Out = c.Out
	b.Options.Watch = c.Report
	if len(b.Phases) == 1 {
		b.Name = func(trace string, _ time.Duration) string { return trace }
	}
	b.Each = func(o *replay.Outcome, base string) error {
		warnUndecodable(to.err, o)
		if !c.Report {
			return nil
		}
		options := replay.ReportOptions{Audio: c.Audio}
		if pesq, scored := scores[o.Name]; scored {
			options.PESQ = &pesq
		}
		return replay.SaveFile(base+".html", func(w io.Writer) error { return o.WriteReport(w, options) })
	}
	results, err := b.Run()
	if err != nil {
		return withHint(err)
	}
	if c.Out != "" {
		ref := replay.NewReference(results, c.Policy)
		if err := replay.SaveFile(filepath.Join(c.Out, "summary.json"), ref.Write); err != nil {
			return err
		}
	}
	return replay.Table(to.out, results)
}

// withHint adds what to do.
func withHint(err error) error {
	if errors.Is(err, replay.ErrUnknownFormat) {
		return usageError{fmt.Errorf("%w\nsay what they are: --codec 96=opus/48000/2", err)}
	}
	return err
}

// distinct refuses traces whose results would have the same name.
func (c *neteqReplayCmd) distinct() error {
	of := map[string]string{}
	for _, path := range c.Traces {
		name := replay.TraceName(path)
		if other, taken := of[name]; taken && c.Out != "" {
			return fmt.Errorf("%s and %s would both be written to %s", other, path, name)
		}
		of[name] = path
	}
	return nil
}

func (c *neteqReplayCmd) list(w io.Writer) error {
	for _, path := range c.Traces {
		r, err := replay.Open(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s:\n", path)
		for i := range r.Streams {
			fmt.Fprintf(w, "  %s\n", &r.Streams[i])
		}
		if r.Truncated > 0 {
			fmt.Fprintf(w, "  %d packets are cut off and left out\n", r.Truncated)
		}
	}
	return nil
}

// warnUndecodable says so when most of a stream was refused: a wrong codec, or an encrypted stream.
func warnUndecodable(w io.Writer, o *replay.Outcome) {
	if len(o.Ticks) == 0 {
		fmt.Fprintf(w, "parley: %s: shorter than 10 ms, nothing was played\n", o.Name)
		return
	}
	s := &o.Ticks[len(o.Ticks)-1].Stats
	if bad := s.InvalidPackets + s.DecodeErrors; bad > s.PacketsReceived/2 {
		fmt.Fprintf(w, "parley: %s: %d of %d packets could not be decoded: is the stream encrypted (SRTP), or of another codec (--codec)?\n",
			o.Name, bad, s.PacketsReceived)
	}
}

// neteqCompareCmd is "parley neteq compare".
type neteqCompareCmd struct {
	neteqInput
	Reference string   `help:"Reference file: summaries of another receiver, or summary.json of an earlier replay." required:"" type:"existingfile" placeholder:"FILE"`
	Phase     []string `help:"Pull phases in ms to take the mean over." default:"0,2.5,5,7.5"`
	Scores    string   `help:"File with PESQ of our output (JSON of a scorer), for columns of PESQ." type:"existingfile" placeholder:"FILE"`
	JSON      bool     `name:"json" help:"JSON in place of a table."`
	Strict    bool     `help:"Fail when an aim is missed."`
}

func (c *neteqCompareCmd) Run(to streams) error {
	b, err := c.batch(c.Phase)
	if err != nil {
		return usageError{err}
	}
	ref, err := replay.ReadReference(c.Reference)
	if err != nil {
		return usageError{err}
	}
	var scores replay.Scores
	if c.Scores != "" {
		if scores, err = replay.ReadScores(c.Scores); err != nil {
			return usageError{err}
		}
	}
	results, err := b.Run()
	if err != nil {
		return withHint(err)
	}
	comparison := replay.NewComparison(results, ref, scores)
	comparison.Policy = c.Policy
	write := comparison.Write
	if c.JSON {
		write = comparison.WriteJSON
	}
	if err := write(to.out); err != nil {
		return err
	}
	if len(comparison.Rows) == 0 {
		return fmt.Errorf("none of the traces is in %s", c.Reference)
	}
	if c.Strict && !comparison.Met() {
		return fmt.Errorf("an aim is missed")
	}
	return nil
}
