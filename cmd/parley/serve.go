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
	return n.serve(serving{
		signals: signals, out: io.out, qr: c.wantsQR(io.out), notify: newNotifier(os.Getenv),
		exit: os.Exit, log: log, drain: cfg.DrainTimeout,
	})
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

// serving is how a node is run: by whom it is stopped, and whom it tells.
type serving struct {
	signals <-chan os.Signal
	out     io.Writer
	qr      bool
	notify  notifier
	exit    func(code int) // for the second signal
	log     *zap.Logger
	drain   time.Duration
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// stopReserve is the share of drain_timeout that is kept for closing sockets once clients have been told.
const stopReserve = 5

// serve runs the node's parts until a signal or the first error, and returns when all have returned.
func (n *node) serve(s serving) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, p := range append(n.parts(), part{"watchdog", func(ctx context.Context) error { return s.notify.runWatchdog(ctx, n.alive) }}) {
		group.Go(func() error { return p.runUntil(groupCtx) }) // Wait below
	}
	n.printStart(s.out, s.qr)
	if err := s.notify.send("READY=1"); err != nil {
		s.log.Warn("systemd was not told", zap.Error(err))
	}

	select {
	case sig := <-s.signals:
		s.log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("within", s.drain))
	case <-groupCtx.Done(): // a part has failed; Wait says which
	}
	_ = s.notify.send("STOPPING=1") // nothing depends on it
	stopped := make(chan struct{})
	go s.exitOnSecondSignal(stopped) // ends with stopped
	defer close(stopped)

	deadline := time.Now().Add(s.drain)
	drainCtx, drained := context.WithDeadline(ctx, deadline.Add(-s.drain/stopReserve))
	n.drain(drainCtx)
	drained()
	cancel()
	return waitUntil(group, deadline, s.exit, s.log)
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

// waitUntil waits for the group, but not past the deadline: then the process exits with an error, since whatever hangs
// would hang for ever.
func waitUntil(group *errgroup.Group, deadline time.Time, exit func(int), log *zap.Logger) error {
	late := time.AfterFunc(time.Until(deadline), func() {
		log.Error("parts did not stop in time; exiting anyway")
		exit(exitFailed)
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
