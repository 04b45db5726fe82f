package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"parley/internal/load"
)

// options are the command's flags.
type options struct {
	binary     string
	serverCPUs string
	crowdCPUs  string
	serveFlags string
	time       time.Duration
	churn      time.Duration
	joinRate   float64
	only       string
	most       int
	keepGoing  bool
	out        string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/parley", "the parley to measure, and to measure with")
	flag.StringVar(&o.serverCPUs, "server-cpus", "0", "cores of the server")
	flag.StringVar(&o.crowdCPUs, "crowd-cpus", "1", "cores of the crowd")
	flag.StringVar(&o.serveFlags, "serve", "", "more flags of parley serve, separated by spaces")
	flag.DurationVar(&o.time, "time", 20*time.Second, "measured in each step")
	flag.DurationVar(&o.churn, "churn", 2*time.Minute, "measured in the scenario churn")
	flag.Float64Var(&o.joinRate, "join-rate", 60, "joins a second")
	flag.StringVar(&o.only, "only", "", "regular expression of the scenarios to run; empty: all but churn")
	flag.IntVar(&o.most, "most", 0, "leave out steps with more participants; 0: none")
	flag.BoolVar(&o.keepGoing, "keep-going", false, "go on with a series after a step that failed, as on a busy machine")
	flag.StringVar(&o.out, "out", "bin/bench", "directory for the reports")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	wanted, err := regexp.Compile("^(?:" + o.only + ")$")
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	fmt.Printf("%s, %d CPUs, %s, %s; server on core %s, crowd on core %s; %s\n", cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(),
		o.serverCPUs, o.crowdCPUs, time.Now().UTC().Format(time.DateOnly))
	ran := 0
	for _, s := range scenarios(o.churn) {
		if o.only == "" && s.name == "churn" || o.only != "" && !wanted.MatchString(s.name) {
			continue
		}
		ran++
		if err := s.run(o); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if ran == 0 {
		return fmt.Errorf("no scenario is named %s", o.only)
	}
	return nil
}

// run goes through the steps, each against a fresh server.
func (s *scenario) run(o *options) error {
	fmt.Printf("\n%s (%s)", s.title, s.name)
	if s.aim != "" {
		fmt.Printf("; aim: %s", s.aim)
	}
	fmt.Println()
	if s.janus {
		if _, err := exec.LookPath("janus"); err != nil {
			fmt.Println("left out: janus is not installed (apt-get install janus)")
			return nil
		}
	}
	fmt.Print(header)
	for _, st := range s.steps {
		if o.most > 0 && st.rooms*st.size > o.most {
			continue
		}
		r, err := s.step(o, st)
		if err != nil {
			return err
		}
		fmt.Println(r.row(st))
		for _, note := range r.notes() {
			fmt.Println("  " + note)
		}
		if !r.report.OK && !o.keepGoing {
			break
		}
	}
	return nil
}

// step runs one crowd.
func (s *scenario) step(o *options, st step) (*result, error) {
	var srv *server
	var err error
	via := "whip"
	if s.janus {
		via = "janus"
		srv, err = startJanus(o)
	} else {
		srv, err = start(o, s.serve)
	}
	if err != nil {
		return nil, err
	}
	defer srv.stop()
	length := o.time
	if st.time > 0 {
		length = st.time
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,'", r) {
			return '-'
		}
		return r
	}, s.name+"-"+st.label)
	file := filepath.Join(o.out, name+".json")
	args := append([]string{"load", srv.url, "--via", via, "--rooms", strconv.Itoa(st.rooms), "--participants", strconv.Itoa(st.size),
		"--speakers", strconv.Itoa(st.speak), "--duration", length.String(), "--join-rate", fmt.Sprint(o.joinRate), "--quiet", "--max-gap=40ms",
		"--cpus", o.crowdCPUs, "--server-pid", strconv.Itoa(srv.cmd.Process.Pid), "--json", file}, st.args...)
	watch := follow(srv)
	cmd := exec.Command(o.binary, args...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	series := watch.end()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	data, readErr := os.ReadFile(file)
	if readErr != nil {
		return nil, fmt.Errorf("parley %s: %w\n%s", strings.Join(args, " "), err, text.String())
	}
	r := &result{series: series}
	if err := json.Unmarshal(data, &r.report); err != nil {
		return nil, err
	}
	return r, nil
}

// result is what a step found.
type result struct {
	report load.Report
	series series
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(name, " \t:")
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(data))
}
