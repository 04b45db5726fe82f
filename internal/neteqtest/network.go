package neteqtest

import (
	"math/rand/v2"
	"sort"
	"time"

	"parley/internal/replay"
)

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }

// Delay adds what f says for packet i, sent at t; negative loses it. Packets arrive in the order of their arrival times.
func Delay(packets []replay.Packet, f func(i int, t time.Duration) time.Duration) []replay.Packet {
	out := make([]replay.Packet, 0, len(packets))
	for i, p := range packets {
		d := f(i, p.Arrival)
		if d < 0 {
			continue
		}
		p.Arrival += d
		out = append(out, p)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Arrival < out[j].Arrival })
	return out
}

// FIFO keeps packets in order: none arrives before the one sent before it.
func FIFO(f func(i int, t time.Duration) time.Duration) func(int, time.Duration) time.Duration {
	last := time.Duration(0)
	return func(i int, t time.Duration) time.Duration {
		d := f(i, t)
		if d < 0 {
			return d
		}
		last = max(last, t+d)
		return last - t
	}
}

// Gaussian is normally distributed delay around three sigmas, first in first out.
func Gaussian(sigma time.Duration, seed uint64) func(int, time.Duration) time.Duration {
	r := source(seed)
	return FIFO(func(int, time.Duration) time.Duration {
		return max(0, 3*sigma+time.Duration(r.NormFloat64()*float64(sigma)))
	})
}

// Loss loses packets independently with probability p.
func Loss(p float64, seed uint64) func(int, time.Duration) time.Duration {
	r := source(seed)
	return func(int, time.Duration) time.Duration {
		if r.Float64() < p {
			return -1
		}
		return 0
	}
}

// Bursts loses a share of packets in bursts of the given mean length (Gilbert-Elliott).
func Bursts(share, mean float64, seed uint64) func(int, time.Duration) time.Duration {
	r := source(seed)
	bad := false
	out := 1 / mean
	in := out * share / (1 - share)
	return func(int, time.Duration) time.Duration {
		if bad {
			bad = r.Float64() >= out
		} else {
			bad = r.Float64() < in
		}
		if bad {
			return -1
		}
		return 0
	}
}

// Sum adds delays; a loss in any is a loss.
func Sum(fs ...func(int, time.Duration) time.Duration) func(int, time.Duration) time.Duration {
	return func(i int, t time.Duration) time.Duration {
		total := time.Duration(0)
		lost := false
		for _, f := range fs {
			d := f(i, t)
			if d < 0 {
				lost = true
			}
			total += d
		}
		if lost {
			return -1
		}
		return total
	}
}
