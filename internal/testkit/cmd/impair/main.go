// Command impair is a bad network on a port: it relays UDP, or TCP with -tcp, to a target and loses, delays, reorders and
// duplicates on the way. For tests and for trying a call by hand:
//
//	impair -listen 127.0.0.1:20000 -target 127.0.0.1:10000 -loss 0.05 -delay 50ms -jitter 20ms
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"parley/internal/testkit/netsim"
)

func main() {
	if err := impair(); err != nil {
		fmt.Fprintln(os.Stderr, "impair:", err)
		os.Exit(1)
	}
}

func impair() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	target := flag.String("target", "", "address to relay to")
	tcp := flag.Bool("tcp", false, "relay TCP unimpaired; SIGUSR1 cuts all connections and refuses new ones, SIGUSR2 lets them pass again")
	seed := flag.Uint64("seed", 1, "of the random decisions")
	var c netsim.Conditions
	flag.Float64Var(&c.Loss, "loss", 0, "share of packets lost each way, 0..1")
	flag.Float64Var(&c.Burst, "burst", 0, "mean length of a run of losses, packets")
	flag.DurationVar(&c.Delay, "delay", 0, "delay each way")
	flag.DurationVar(&c.Jitter, "jitter", 0, "uniform ± around the delay")
	flag.BoolVar(&c.InOrder, "in-order", false, "jitter does not reorder")
	flag.Float64Var(&c.Reorder, "reorder", 0, "share of packets that skip the delay")
	flag.Float64Var(&c.Duplicate, "duplicate", 0, "share of packets sent twice")
	flag.IntVar(&c.RateBps, "rate", 0, "bits per second each way; 0: no limit")
	flag.DurationVar(&c.Queue, "queue", 0, "longest queue before the rate limit; 0: 200ms")
	flag.Parse()
	if *target == "" {
		return fmt.Errorf("-target is needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *tcp {
		p, err := netsim.ListenTCP(*listen, *target)
		if err != nil {
			return err
		}
		fmt.Println("impair ready", p.Addr())
		modes := make(chan os.Signal, 1)
		signal.Notify(modes, syscall.SIGUSR1, syscall.SIGUSR2)
		// Ends with the process.
		go switchModes(p, modes)
		return p.Run(ctx)
	}
	p, err := netsim.ListenUDP(*listen, *target, c, c, *seed)
	if err != nil {
		return err
	}
	fmt.Println("impair ready", p.Addr())
	if err := p.Run(ctx); err != nil {
		return err
	}
	up, down := p.Counts()
	fmt.Printf("up %+v\ndown %+v\n", up, down)
	return nil
}

func switchModes(p *netsim.TCPProxy, signals <-chan os.Signal) {
	for s := range signals {
		if s == syscall.SIGUSR1 {
			p.Set(netsim.Cut)
		} else {
			p.Set(netsim.Pass)
		}
	}
}
