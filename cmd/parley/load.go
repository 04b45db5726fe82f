package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parley/internal/load"
	"parley/signaling"
)

// loadCmd is "parley load".
type loadCmd struct {
	URL          string        `arg:"" name:"url" help:"The server: http://host:port."`
	Rooms        int           `help:"How many rooms." default:"1"`
	Participants int           `help:"How many in each room, speakers included." default:"10" short:"m"`
	Speakers     int           `help:"How many of them speak." default:"3" short:"s"`
	Listeners    string        `help:"What the others send: ${enum} (nothing; a packet every 400 ms; one in every frame)." enum:"silent,dtx,noise" default:"silent"`
	Via          string        `help:"How they join: ${enum}. whep: listeners only." enum:"whip,whep,ws,janus" default:"whip"`
	Duration     time.Duration `help:"How long to measure once everybody is there." default:"60s" short:"d"`
	Warmup       time.Duration `help:"Pause before that." default:"3s"`
	JoinRate     float64       `help:"Joins a second." default:"25"`
	JoinTimeout  time.Duration `help:"How long one may take to join. Whom the server puts off (429, 503) comes again, as it asks." default:"30s"`
	RoomPrefix   string        `help:"Rooms are named PREFIX-0, PREFIX-1, …" default:"load" placeholder:"PREFIX"`

	Frame   time.Duration `help:"Length of the frames that speakers send: 10, 20, 40 or 60 ms." default:"20ms"`
	Bitrate int           `help:"Bit rate of what speakers send." default:"32000"`
	Speech  string        `help:"What speakers send: \"synthetic\" speech, or a WAV file. Then it is not checked whose voice is heard. Empty: a tone for each." placeholder:"FILE"`
	Latency bool          `help:"Measure delays: the first speaker of each room chirps."`
	RED     bool          `name:"red" help:"Offer redundancy (RFC 2198)."`
	Sample  int           `help:"Decode every Nth participant of each room, the first speaker and the first listener in any case. 0: nobody." default:"50" placeholder:"N"`
	Loud    int           `help:"How many speakers the server mixes at a time (audio.speakers). 0: all." default:"5"`
	Loss    float64       `help:"Lose this share of packets each way, in percent."`
	Churn   float64       `help:"Replace so many participants a second."`
	Turn    time.Duration `help:"Let the next participants speak after this time." placeholder:"TIME"`

	Key        string `help:"API key of a server that wants tokens; a token is made for each participant." placeholder:"KEY"`
	SecretFile string `help:"File with its secret. Without it: PARLEY_AUTH_SECRET." placeholder:"FILE"`
	Insecure   bool   `help:"Take any TLS certificate."`
	CPUs       string `name:"cpus" help:"Stay on these cores: 1, or 2-5,7." placeholder:"LIST"`
	ServerPID  int    `name:"server-pid" help:"The server's process, when it runs on this machine: its processor time and memory go into the report." placeholder:"PID"`

	MaxGap         time.Duration `help:"Fail when the gap between packets is longer, p99.9." placeholder:"TIME"`
	MaxDelay       time.Duration `help:"Fail when the median delay is longer." placeholder:"TIME"`
	MaxDelayP95    time.Duration `name:"max-delay-p95" help:"Fail when the delay is longer, p95." placeholder:"TIME"`
	MaxLost        float64       `help:"Fail when more packets are lost, in percent." default:"0.1"`
	MaxFailed      int           `help:"Fail when more joins fail." default:"0"`
	MaxSilence     float64       `help:"Fail when voices or all sound are missing for more of the time, in percent." default:"1"`
	FailBottleneck bool          `help:"Fail when the crowd was itself the bottleneck."`

	JSON  string `name:"json" help:"Write the report as JSON; - is standard output, in place of the summary." placeholder:"FILE"`
	Quiet bool   `help:"Show no progress." short:"q"`
}

func (c *loadCmd) Run(to streams) error {
	cfg, err := c.config()
	if err != nil {
		return usageError{err}
	}
	if err := load.Pin(cfg.CPUs); err != nil {
		return usageError{fmt.Errorf("--cpus: %w", err)}
	}
	show := progressTo(to.err)
	if !c.Quiet {
		cfg.Progress = show.update
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := load.Measure(ctx, cfg)
	show.end()
	if errors.Is(err, load.ErrConfig) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if c.JSON != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		text = append(text, '\n')
		if c.JSON == "-" {
			_, err = to.out.Write(text)
		} else {
			err = os.WriteFile(c.JSON, text, 0o666)
		}
		if err != nil {
			return err
		}
	}
	if c.JSON != "-" {
		if err := report.Summary(to.out); err != nil {
			return err
		}
	}
	if !report.OK {
		return errors.New("a check failed")
	}
	return nil
}

// config turns the flags into what the package wants.
func (c *loadCmd) config() (load.Config, error) {
	cfg := load.DefaultConfig()
	cfg.URL, cfg.Rooms, cfg.Participants, cfg.Speakers = c.URL, c.Rooms, c.Participants, c.Speakers
	cfg.Listeners, cfg.Via, cfg.RoomPrefix = c.Listeners, c.Via, c.RoomPrefix
	cfg.Duration, cfg.Warmup, cfg.JoinRate, cfg.JoinTimeout = c.Duration, c.Warmup, c.JoinRate, c.JoinTimeout
	cfg.Frame, cfg.Bitrate, cfg.Latency, cfg.RED = c.Frame, c.Bitrate, c.Latency, c.RED
	cfg.Sample, cfg.Loud, cfg.Loss, cfg.Churn, cfg.Turn = c.Sample, c.Loud, c.Loss/100, c.Churn, c.Turn
	cfg.Insecure, cfg.ServerPID = c.Insecure, c.ServerPID
	cfg.Limits = load.Limits{
		GapP999: c.MaxGap, DelayP50: c.MaxDelay, DelayP95: c.MaxDelayP95, Lost: c.MaxLost / 100, Failed: c.MaxFailed,
		Silence: c.MaxSilence / 100, Bottleneck: c.FailBottleneck,
	}
	var err error
	if cfg.CPUs, err = parseCPUs(c.CPUs); err != nil {
		return cfg, err
	}
	if cfg.Speech, err = load.Speech(c.Speech); err != nil {
		return cfg, fmt.Errorf("--speech: %w", err)
	}
	if c.Key != "" {
		secret := []byte(os.Getenv("PARLEY_AUTH_SECRET"))
		if c.SecretFile != "" {
			if secret, err = os.ReadFile(c.SecretFile); err != nil {
				return cfg, fmt.Errorf("--secret-file: %w", err)
			}
		}
		cfg.Token = tokens(c.Key, strings.TrimSpace(string(secret)))
	}
	return cfg, nil
}

// tokens makes one for each participant, since an identity may have four sessions at most.
func tokens(key, secret string) func(room, name string) (string, error) {
	return func(room, name string) (string, error) {
		return signaling.NewToken(key, secret, signaling.Token{
			Identity: name, Name: name, Room: room, Grants: signaling.Grants{Publish: true, Subscribe: true},
		}, time.Hour, time.Now())
	}
}

// parseCPUs reads "1" and "2-5,7".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, span := strings.Cut(part, "-")
		if !span {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 10)
		b, err2 := strconv.ParseUint(to, 10, 10)
		if err1 != nil || err2 != nil || a > b {
			return nil, fmt.Errorf("--cpus %s: want a list such as 1 or 2-5,7", list)
		}
		for ; a <= b; a++ {
			cpus = append(cpus, int(a))
		}
	}
	return cpus, nil
}
