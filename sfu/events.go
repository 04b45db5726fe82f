package sfu

import "sync"

// eventQueueLen is how many events may wait for an observer: everybody of a full node leaving one room at once. What a
// client may be behind is for its signaling session to say.
const eventQueueLen = 1024

// eventQueue hands events to one observer, in order, from one goroutine. Levels, qualities and stats are worth
// nothing once newer ones exist: only the newest of each waits. The others are never dropped: a full queue means an
// observer that has stopped listening, and push says so.
type eventQueue struct {
	observer Observer
	wake     chan struct{} // capacity 1

	mu      sync.Mutex
	events  []Event
	closing bool
}

func newEventQueue(o Observer) *eventQueue {
	return &eventQueue{observer: o, wake: make(chan struct{}, 1)}
}

// push queues e; it returns false when the queue is full. Safe on a nil queue.
func (q *eventQueue) push(e Event) bool {
	if q == nil {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return true
	}
	if i := q.stale(e); i >= 0 {
		q.events = append(q.events[:i], q.events[i+1:]...)
	}
	if len(q.events) >= eventQueueLen {
		return false
	}
	q.events = append(q.events, e)
	q.signal()
	return true
}

// stale finds the waiting event that e makes worthless.
func (q *eventQueue) stale(e Event) int {
	for i, w := range q.events {
		switch e.(type) {
		case LevelsEvent:
			if _, ok := w.(LevelsEvent); ok {
				return i
			}
		case QualityEvent:
			if _, ok := w.(QualityEvent); ok {
				return i
			}
		case StatsEvent:
			if _, ok := w.(StatsEvent); ok {
				return i
			}
		default:
			return -1
		}
	}
	return -1
}

// close queues the last event, even on a full queue, and lets run return after it.
func (q *eventQueue) close(last Event) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return
	}
	q.closing = true
	q.events = append(q.events, last)
	q.signal()
}

func (q *eventQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run delivers events until the queue is closed and empty.
func (q *eventQueue) run() {
	var batch []Event
	for range q.wake {
		q.mu.Lock()
		batch, q.events = q.events, batch[:0]
		closing := q.closing
		q.mu.Unlock()
		for i, e := range batch {
			q.observer.Event(e)
			batch[i] = nil
		}
		if closing {
			return
		}
	}
}
