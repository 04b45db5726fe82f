package trunk

const (
	// windowSize is how far behind the newest a datagram may come and still be taken.
	windowSize  = 1024
	windowWords = windowSize/64 + 1 // one word more than it holds, which is being cleared (RFC 6479, section 2)
)

// window refuses counters that came before, or are too old to know. Its zero value has seen nothing; counters start at 1.
type window struct {
	highest uint64
	bits    [windowWords]uint64
}

// fresh tells whether a counter may be taken. Nothing is noted yet: what has it may be forged.
func (w *window) fresh(counter uint64) bool {
	if counter > w.highest {
		return true
	}
	return counter != 0 && w.highest-counter < windowSize && w.bits[counter/64%windowWords]&(1<<(counter%64)) == 0
}

// take notes a counter that is fresh.
func (w *window) take(counter uint64) {
	if counter > w.highest {
		for word := w.highest/64 + 1; word <= counter/64; word++ {
			if word+windowWords <= counter/64 {
				word = counter/64 - windowWords + 1
			}
			w.bits[word%windowWords] = 0
		}
		w.highest = counter
	}
	w.bits[counter/64%windowWords] |= 1 << (counter % 64)
}
