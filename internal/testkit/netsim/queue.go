package netsim

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// delivery is a packet that waits for its time.
type delivery struct {
	at   time.Duration
	seq  uint64 // keeps packets of the same time in order
	data []byte
	send func([]byte)
}

type deliveries []delivery

func (d deliveries) Len() int { return len(d) }
func (d deliveries) Less(i, j int) bool {
	return d[i].at < d[j].at || d[i].at == d[j].at && d[i].seq < d[j].seq
}
func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *deliveries) Push(x any)   { *d = append(*d, x.(delivery)) }
func (d *deliveries) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = delivery{}
	*d = old[:len(old)-1]
	return x
}

// queue hands out packets when they are due. Safe for concurrent use.
type queue struct {
	epoch time.Time
	mu    sync.Mutex
	heap  deliveries
	seq   uint64
	wake  chan struct{}
}

func newQueue() *queue { return &queue{epoch: time.Now(), wake: make(chan struct{}, 1)} }

func (q *queue) now() time.Duration { return time.Since(q.epoch) }

// put owns data from now on.
func (q *queue) put(at time.Duration, data []byte, send func([]byte)) {
	q.mu.Lock()
	q.seq++
	heap.Push(&q.heap, delivery{at, q.seq, data, send})
	first := q.heap[0].seq == q.seq
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers until ctx ends; what waits then is lost.
func (q *queue) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		q.mu.Lock()
		wait := time.Hour
		for len(q.heap) > 0 {
			if wait = q.heap[0].at - q.now(); wait > 0 {
				break
			}
			d := heap.Pop(&q.heap).(delivery)
			wait = time.Hour
			q.mu.Unlock()
			d.send(d.data)
			q.mu.Lock()
		}
		q.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-timer.C:
		}
	}
}
