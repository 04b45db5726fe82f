package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/internal/config"
	"parley/internal/logging"
)

// serveCmd hosts calls. Its flags are made from the configuration's keys.
type serveCmd struct {
	Config      string `help:"YAML file; deploy/config.yaml lists every key." short:"c" placeholder:"FILE" env:"PARLEY_CONFIG" group:"general"`
	LAN         bool   `name:"lan" help:"No ICE servers, no route and no DNS needed: ice.mode lan, whatever file and environment say." group:"general"`
	PrintConfig bool   `help:"Print the resulting configuration with the origin of each value, and exit." group:"general"`
	QR          *bool  `name:"qr" negatable:"" help:"Print a QR code of the LAN address. Default: when standard output is a terminal." group:"general"`
	kong.Plugins

	flags *config.Flags
}

// init gives the command its flags; kong reads them from Plugins.
func (c *serveCmd) init() {
	c.flags = config.NewFlags()
	c.Plugins = kong.Plugins{c.flags.Plugin()}
}

func (c *serveCmd) load() (*config.Loaded, error) {
	settings := c.flags.Settings()
	if c.LAN {
		for _, s := range settings {
			if s.Key == "ice.mode" && s.Value != config.ModeLAN {
				return nil, fmt.Errorf("--lan and --ice.mode=%s contradict each other", s.Value)
			}
		}
		settings = append(settings,
			config.Setting{Key: "ice.mode", Flag: "--lan", Value: config.ModeLAN},
			config.Setting{Key: "ice.servers", Flag: "--lan", Value: ""})
	}
	return config.Load(config.Options{File: c.Config, Environ: os.Environ(), Flags: settings})
}

func (c *serveCmd) Run(io streams) error {
	cfg, err := c.load()
	if err != nil {
		return usageError{err}
	}
	if c.PrintConfig {
		return cfg.Print(io.out)
	}
	log, err := logging.New(cfg.Log.Level, cfg.Log.Format, io.err)
	if err != nil {
		return usageError{err}
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	n, err := newNode(cfg, log)
	if err != nil {
		return err
	}
	return serving{
		parts: n.parts(), alive: n.alive, drain: n.drain, drainTimeout: cfg.DrainTimeout,
		started: func() { n.printStart(io.out, c.wantsQR(io.out)) },
		signals: signals, notify: newNotifier(os.Getenv), exit: os.Exit, log: log,
	}.run()
}

func (c *serveCmd) wantsQR(out io.Writer) bool {
	if c.QR != nil {
		return *c.QR
	}
	return isTerminal(out)
}

// isTerminal reports whether w is a character device other than /dev/null: near enough to a terminal.
func isTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// serving is how parts are run: what is done with them, by whom they are stopped, and who is told.
type serving struct {
	parts        []part
	alive        func() bool           // for the watchdog
	started      func()                // called once everything runs
	drain        func(context.Context) // tells clients and waits for them
	drainTimeout time.Duration         // from the first signal to the end
	signals      <-chan os.Signal
	notify       notifier
	exit         func(code int) // when somebody insists, or a part hangs
	log          *zap.Logger
}

// Time kept for closing sockets when clients have been told: a fifth of drain_timeout, and not less than stopReserve.
const (
	stopShare   = 5
	stopReserve = 2 * time.Second
)

// run runs the parts until a signal or the first error, and returns when all have returned.
func (s serving) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	group, groupCtx := errgroup.WithContext(ctx)
	watchdog := part{"watchdog", func(ctx context.Context) error { return s.notify.runWatchdog(ctx, s.alive) }}
	for _, p := range append(s.parts, watchdog) {
		group.Go(func() error { return p.runUntil(groupCtx) }) // waited for below
	}
	s.started()
	if err := s.notify.send("READY=1"); err != nil {
		s.log.Warn("systemd was not told", zap.Error(err))
	}

	select {
	case sig := <-s.signals:
		s.log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("within", s.drainTimeout))
	case <-groupCtx.Done(): // a part has failed; Wait says which
	}
	_ = s.notify.send("STOPPING=1") // nothing depends on it
	stopped := make(chan struct{})
	go s.exitOnSecondSignal(stopped) // ends with stopped
	defer close(stopped)

	begin := time.Now()
	drainFor := s.drainTimeout - s.drainTimeout/stopShare
	drainCtx, drained := context.WithTimeout(ctx, drainFor)
	s.drain(drainCtx)
	drained()
	cancel()
	return s.wait(group, begin.Add(max(s.drainTimeout, drainFor+stopReserve)))
}

// runUntil runs the part; one that ends before it is told to is a failure too.
func (p part) runUntil(ctx context.Context) error {
	err := p.run(ctx)
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", p.name, err)
	case ctx.Err() == nil:
		return fmt.Errorf("%s: ended by itself", p.name)
	}
	return nil
}

// wait waits for the group, but not past the deadline: then the process exits with an error, since whatever hangs would
// hang for ever.
func (s serving) wait(group *errgroup.Group, deadline time.Time) error {
	late := time.AfterFunc(time.Until(deadline), func() {
		s.log.Error("parts did not stop in time; exiting anyway")
		s.exit(exitFailed)
	})
	defer late.Stop()
	return group.Wait()
}

// exitOnSecondSignal ends the process at once when somebody insists.
func (s serving) exitOnSecondSignal(stopped <-chan struct{}) {
	select {
	case sig := <-s.signals:
		s.log.Warn("second signal; exiting at once", zap.Stringer("signal", sig))
		s.exit(exitFailed)
	case <-stopped:
	}
}
