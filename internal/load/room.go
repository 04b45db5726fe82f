package load

import (
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"time"
)

// room is one room of the crowd: who speaks in it, and since when. Its methods may be called from any goroutine.
type room struct {
	name string
	loud int // how many speakers the server mixes at a time; 0: all

	mu     sync.Mutex
	on     uint64                // voices that speak
	since  [Voices]time.Duration // when each began or ended
	next   int                   // voice to try next
	closed bool
	chirps []sentChirp // the newest last
}

type sentChirp struct{ sound, packet time.Duration }

const chirpsKept = 8

// voiceStride keeps the tones of one room apart: neighbours beat, and coders make tones of their own of that. It has no factor in
// common with Voices, so that all come in turn.
const voiceStride = 11

func newRoom(name string, firstVoice, loud int) *room {
	r := &room{name: name, loud: loud, next: firstVoice % Voices}
	for v := range r.since {
		r.since[v] = -time.Hour
	}
	return r
}

// speak gives somebody a voice from now on; -1 when all are taken.
func (r *room) speak(now time.Duration) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range Voices {
		v := r.next
		r.next = (r.next + voiceStride) % Voices
		if r.on>>v&1 == 0 && now-r.since[v] > 2*settle {
			r.on |= 1 << v
			r.since[v] = now
			return v
		}
	}
	return -1
}

// hush takes the voice back.
func (r *room) hush(v int, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v >= 0 {
		r.on &^= 1 << v
		r.since[v] = now
	}
}

// close ends all expectations.
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (r *room) expected(own int, from, _ time.Duration) expectation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return expectation{}
	}
	e := expectation{complete: true}
	for v := range Voices {
		if r.since[v]+settle > from {
			continue
		}
		if r.on>>v&1 == 1 {
			e.must |= 1 << v
		} else {
			e.mustNot |= 1 << v
		}
	}
	most := r.loud
	if own >= 0 {
		e.own = 1 << own
		e.must &^= e.own
		most-- // it may be one of the loudest itself
	}
	e.atLeast = bits.OnesCount64(e.must)
	if r.loud > 0 && bits.OnesCount64(r.on) > r.loud {
		e.atLeast = min(e.atLeast, max(0, most))
	}
	return e
}

func (r *room) sentChirp(sound, packet time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.chirps) == chirpsKept {
		r.chirps = r.chirps[:copy(r.chirps, r.chirps[1:])]
	}
	r.chirps = append(r.chirps, sentChirp{sound, packet})
}

func (r *room) chirpSent(arrived time.Duration) (sound, packet time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.chirps) - 1; i >= 0; i-- {
		c := r.chirps[i]
		if c.sound <= arrived && arrived-c.sound < longestDelay {
			return c.sound, c.packet, true
		}
	}
	return 0, 0, false
}

// voiceList names a set of voices by their tones.
func voiceList(set uint64) string {
	var names []string
	for v := range Voices {
		if set>>v&1 == 1 {
			names = append(names, fmt.Sprintf("%.0f Hz", voiceHz(v)))
		}
	}
	return strings.Join(names, ", ")
}
