package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// scenario is a series of steps against one kind of server.
type scenario struct {
	name  string // for -only
	title string
	aim   string
	serve []string // flags of parley serve
	janus bool     // against Janus AudioBridge instead
	steps []step
}

// step is one run of parley load.
type step struct {
	label string
	rooms int
	size  int // participants in each room
	speak int
	args  []string
	time  time.Duration // measured; 0: the default
}

// Server settings that are compared.
var (
	best  = []string{"--audio.complexity=9", "--audio.fec=true"}
	plain = []string{"--audio.complexity=5", "--audio.fec=false"}
	// likeJanus is what the AudioBridge encodes with by default.
	likeJanus = []string{"--audio.complexity=4", "--audio.fec=false"}
)

// settled is for delays: joins that keep the server busy make the jitter buffers grow, and they take their time to shrink.
var settled = []string{"--join-rate=5", "--warmup=20s", "--latency", "--sample=1"}

// speech makes encoders work as they do in calls; tones are cheaper or dearer, as it happens.
var speech = []string{"--speech=synthetic"}

func scenarios(churn time.Duration) []scenario {
	return []scenario{
		{
			name: "silent", title: "one room, 3 speakers, the others send nothing; complexity 9, FEC", serve: best,
			aim:   "2,000 with p99.9 gap ≤ 40 ms; ≤ 0.45 CPU-ms per listener-second at 1,000",
			steps: listeners("silent", 10, 100, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000),
		},
		{
			name: "dtx", title: "one room, 3 speakers, the others send DTX; complexity 9, FEC", serve: best, aim: "1,500",
			steps: listeners("dtx", 10, 100, 500, 1000, 1500, 2000, 2500, 3000),
		},
		{
			name: "noise", title: "one room, 3 speakers, the others send noise that is not chosen; complexity 9, FEC", serve: best, aim: "600",
			steps: listeners("noise", 10, 100, 300, 600, 900, 1200, 1500),
		},
		{
			name: "rooms-plain", title: "rooms of 4, 1 speaks; complexity 5, no FEC", serve: plain, aim: "25 rooms ≤ 280 CPU-ms/s; 70 rooms",
			steps: rooms(4, 1, 25, 50, 70, 90, 110, 130, 150, 180, 210),
		},
		{
			name: "rooms-best", title: "rooms of 4, 1 speaks; complexity 9, FEC", serve: best, steps: rooms(4, 1, 25, 50, 70, 90, 110, 130),
		},
		{
			name: "talk", title: "10 of 10 talk, K = 5; complexity 4, no FEC", serve: likeJanus, aim: "≤ 60 % of Janus",
			steps: rooms(10, 10, 1, 5, 10),
		},
		{
			name: "talk-best", title: "10 of 10 talk, K = 5; complexity 9, FEC", serve: best, steps: rooms(10, 10, 1, 5),
		},
		{
			name: "latency", title: "delay on a clean line, 20 rooms of 2", serve: best, aim: "median ≤ 40 ms, p95 ≤ 48 ms; packets of 10 ms: median ≤ 30 ms",
			steps: []step{
				{label: "sender's packets of 20 ms", rooms: 20, size: 2, speak: 1, args: settled},
				{label: "sender's packets of 10 ms", rooms: 20, size: 2, speak: 1, args: append(slices.Clone(settled), "--frame=10ms")},
			},
		},
		{
			name: "memory", title: "memory and goroutines, nobody speaks", serve: best, aim: "≤ 600 KiB per silent participant",
			steps: []step{{label: "500 silent", rooms: 1, size: 500, speak: 0, args: []string{"--sample=0"}}},
		},
		{
			name: "voices", title: "whose voices are heard: every 5th decoded, by tone", serve: best, aim: "none missing, wrong or own",
			steps: []step{{label: "10 rooms of 10", rooms: 10, size: 10, speak: 3, args: []string{"--sample=5"}}},
		},
		{
			name: "churn", title: "10 come and go a second, speakers change every 2 s, 5 % loss", serve: best, aim: "flat; no wrong voice, no own voice",
			steps: []step{{label: "10 rooms of 10, " + churn.String(), rooms: 10, size: 10, speak: 3, time: churn,
				args: []string{"--churn=10", "--turn=2s", "--loss=5", "--sample=5", "--max-lost=1", "--max-silence=5"}}},
		},
		{
			name: "janus-silent", title: "Janus AudioBridge: one room, 3 speakers, the others send nothing", janus: true,
			steps: listeners("silent", 10, 50, 100, 130, 160),
		},
		{
			name: "janus-rooms", title: "Janus AudioBridge: rooms of 4, 1 speaks", janus: true, steps: rooms(4, 1, 25),
		},
		{
			name: "janus-talk", title: "Janus AudioBridge: 10 of 10 talk", janus: true, steps: rooms(10, 10, 1, 5, 10),
		},
		{
			name: "janus-latency", title: "Janus AudioBridge: delay on a clean line, 10 rooms of 2", janus: true,
			steps: []step{{label: "default prebuffering", rooms: 10, size: 2, speak: 1, args: settled}},
		},
	}
}

// listeners are steps of one room with so many listeners.
func listeners(what string, counts ...int) []step {
	var steps []step
	for _, n := range counts {
		steps = append(steps, step{label: strconv.Itoa(n), rooms: 1, size: n + 3, speak: 3, args: append([]string{"--listeners=" + what}, speech...)})
	}
	return steps
}

// rooms are steps of so many rooms.
func rooms(size, speak int, counts ...int) []step {
	var steps []step
	for _, n := range counts {
		label := fmt.Sprintf("%d rooms of %d", n, size)
		steps = append(steps, step{label: label, rooms: n, size: size, speak: speak, args: append([]string{"--sample=0"}, speech...)})
	}
	return steps
}
