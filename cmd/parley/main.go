package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"parley/internal/config"
)

// version is set by the linker (make build).
var version = ""

// Exit codes.
const (
	exitFailed = 1 // it ran, or should have, and did not
	exitUsage  = 2 // it was told something that cannot be
)

type cli struct {
	Serve   serveCmd      `cmd:"" help:"Host calls."`
	Neteq   neteqCmd      `cmd:"" help:"Try the jitter buffer on recorded streams."`
	Load    loadCmd       `cmd:"" help:"Measure a server with a crowd of synthetic participants."`
	Token   tokenCmd      `cmd:"" help:"Make a token (JWT) that lets somebody join a room."`
	Nodes   nodesCmd      `cmd:"" help:"List the nodes of the cluster."`
	Rooms   roomsCmd      `cmd:"" help:"List the rooms of the cluster."`
	Drain   drainCmd      `cmd:"" help:"Empty a node: it takes nobody new, and its participants move."`
	Forget  forgetCmd     `cmd:"" help:"A dead node does not come back: stop counting it."`
	Key     clusterKeyCmd `cmd:"" name:"cluster-key" help:"Make the key that the nodes of a cluster share."`
	Version versionCmd    `cmd:"" help:"Say which version this is."`
}

// streams are where commands write, for tests to catch.
type streams struct{ out, err io.Writer }

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdout, os.Stderr}))
}

// run executes one command line and returns the exit code.
func run(args []string, io streams) int {
	var c cli
	c.Serve.init()
	exited, code := false, 0
	parser, err := kong.New(&c,
		kong.Name("parley"),
		kong.Description("Voice calls for browsers: one binary, one mix for each listener."),
		kong.Writers(io.out, io.err),
		kong.Exit(func(status int) { exited, code = true, status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
		kong.ExplicitGroups(flagGroups()),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	ctx, err := parser.Parse(args)
	if exited { // --help has been shown
		return code
	}
	if err != nil {
		fmt.Fprintf(io.err, "parley: %v\n", err)
		var parseError *kong.ParseError
		if errors.As(err, &parseError) && len(args) == 0 {
			_ = parseError.Context.PrintUsage(true)
		}
		return exitUsage
	}
	if err := ctx.Run(io); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(io.err, "parley: %s\n", line)
		}
		var usage usageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// usageError is a mistake in what the process was told.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// flagGroups gives the sections of the configuration their headings in --help.
func flagGroups() []kong.Group {
	groups := []kong.Group{{Key: "general", Title: "General (each flag is also a key of the YAML file and a variable: --http.listen, http.listen, PARLEY_HTTP_LISTEN)"}}
	for _, s := range config.Sections() {
		groups = append(groups, kong.Group{Key: s.Name, Title: s.Name + ": " + s.Help})
	}
	return groups
}

type versionCmd struct{}

func (versionCmd) Run(io streams) error {
	_, err := fmt.Fprintf(io.out, "parley %s %s %s/%s\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionString is what the linker was told, else what go install knows.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
