package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// helperEnv makes the test binary a node that writes records as fast as it can and prints each that was acknowledged.
const helperEnv = "PARLEY_CLUSTER_TEST_HELPER"

func helperProcess() {
	spec := os.Getenv(helperEnv)
	if spec == "" {
		return
	}
	f := strings.Split(spec, " ") // node, dir, listen, routes, from
	cfg := Config{Node: f[0], NATS: NATSConfig{Dir: f[1]}}
	if f[2] != "-" {
		cfg.NATS.Listen, cfg.NATS.Routes, cfg.Size = netip.MustParseAddrPort(f[2]), strings.Split(f[3], ","), 3
	}
	c, err := New(cfg)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { // ends with the process
		fmt.Println("error", c.Run(context.Background()))
		os.Exit(1)
	}()
	<-c.Store().Ready()
	fmt.Println("ready")
	for n, _ := strconv.Atoi(f[4]); ; n++ {
		key := fmt.Sprintf("%s/%d", f[0], n)
		if _, err := c.Store().Put(context.Background(), key, []byte("value of "+key)); err == nil {
			fmt.Println("acked", key)
		} else if !errors.Is(err, ErrUnavailable) {
			fmt.Println("error", err)
		}
	}
}

type helper struct {
	cmd     *exec.Cmd
	acked   []string // after done
	reached chan struct{}
	done    chan struct{}
}

// enough acknowledged records are worth a kill.
const enough = 20

func startHelper(t *testing.T, spec string) *helper {
	t.Helper()
	h := &helper{cmd: exec.Command(os.Args[0]), reached: make(chan struct{}), done: make(chan struct{})}
	h.cmd.Env = append(os.Environ(), helperEnv+"="+spec)
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stderr = os.Stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // waited for by kill
		defer close(h.done)
		for s := bufio.NewScanner(out); s.Scan(); {
			switch key, acked := strings.CutPrefix(s.Text(), "acked "); {
			case acked:
				h.acked = append(h.acked, key)
				if len(h.acked) == enough {
					close(h.reached)
				}
			case s.Text() != "ready":
				t.Error(s.Text())
			}
		}
	}()
	return h
}

// kill is kill -9, and the end of reading.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	<-h.done
	_ = h.cmd.Wait()
}

// N-11: what was acknowledged is there after kill -9 of every node at once. PARLEY_KILLS=50 does it as often as the
// figure of the design asks for.
func TestAcknowledgedIsKept(t *testing.T) {
	rounds := 2
	if s := os.Getenv("PARLEY_KILLS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			if nodes == 3 && os.Getenv("PARLEY_KILLS") == "" {
				rounds = 1 // electing leaders takes seconds
			}
			dir := t.TempDir()
			specs := make([]string, nodes)
			listen, routes := "-", "-"
			ports := freePorts(t, nodes)
			for i := range specs {
				if nodes > 1 {
					var all []string
					for _, p := range ports {
						all = append(all, p.String())
					}
					listen, routes = ports[i].String(), strings.Join(all, ",")
				}
				specs[i] = fmt.Sprintf("n%d %s %s %s", i, filepath.Join(dir, fmt.Sprint(i)), listen, routes)
			}
			var acked []string
			for range rounds {
				var helpers []*helper
				for _, spec := range specs {
					helpers = append(helpers, startHelper(t, fmt.Sprintf("%s %d", spec, len(acked))))
				}
				limit := time.After(60 * time.Second)
				for _, h := range helpers {
					select {
					case <-h.reached:
					case <-h.done:
					case <-limit:
						t.Error("nothing acknowledged within a minute")
					}
				}
				for _, h := range helpers {
					_ = h.cmd.Process.Kill() // all at once
				}
				for _, h := range helpers {
					h.kill()
					acked = append(acked, h.acked...)
				}
			}
			if len(acked) < enough*nodes*rounds {
				t.Fatalf("only %d records were acknowledged", len(acked))
			}
			lost := readBack(t, specs, acked)
			t.Logf("%d records acknowledged in %d kills of all %d nodes, %d lost", len(acked), rounds, nodes, lost)
			if lost > 0 {
				t.Errorf("%d of %d acknowledged records are lost", lost, len(acked))
			}
		})
	}
}

// readBack starts the nodes again, in this process, and counts what is not there.
func readBack(t *testing.T, specs, acked []string) (lost int) {
	t.Helper()
	var nodes []*running
	for _, spec := range specs {
		f := strings.Split(spec, " ")
		cfg := Config{Node: f[0], NATS: NATSConfig{Dir: f[1]}}
		if f[2] != "-" {
			cfg.NATS.Listen, cfg.NATS.Routes, cfg.Size = netip.MustParseAddrPort(f[2]), strings.Split(f[3], ","), 3
		}
		nodes = append(nodes, run(t, cfg))
	}
	<-nodes[0].Store().Ready()
	for _, key := range acked {
		if v, _, ok := nodes[0].Store().Get(key); !ok || string(v) != "value of "+key {
			lost++
		}
	}
	for _, n := range nodes {
		n.stop()
	}
	return lost
}
