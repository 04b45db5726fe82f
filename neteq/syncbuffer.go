package neteq

const (
	// historySamples is how much played sound is kept for analysis: 32 ms for concealment (1536) and some room.
	historySamples = 2048
	// futureSamples is the room for sound not yet played that is there from the start: two 20 ms packets and a merge.
	futureSamples = 3072
)

// syncBuffer is the output signal: what was played (history) and what will be (future), per channel.
// It slides over a linear array, so that every view is one slice.
type syncBuffer struct {
	channels int
	ch       [2][]float32 // len is the end of the future
	read     int          // index of the first sample not yet played
}

func newSyncBuffer(channels int) *syncBuffer {
	b := &syncBuffer{channels: channels}
	for c := range b.ch[:channels] {
		b.ch[c] = make([]float32, historySamples, historySamples+futureSamples)
	}
	b.read = historySamples
	return b
}

// future is the number of samples not yet played.
func (b *syncBuffer) future() int { return len(b.ch[0]) - b.read }

// end is the index after the newest sample.
func (b *syncBuffer) end() int { return len(b.ch[0]) }

// reserve makes room for n more samples, moving or growing the arrays.
func (b *syncBuffer) reserve(n int) {
	if len(b.ch[0])+n <= cap(b.ch[0]) {
		return
	}
	drop := b.read - historySamples
	for c := range b.ch[:b.channels] {
		keep := b.ch[c][drop:]
		if len(keep)+n > cap(b.ch[c]) {
			grown := make([]float32, len(keep), len(keep)+n+futureSamples)
			copy(grown, keep)
			b.ch[c] = grown
			continue
		}
		copy(b.ch[c][:len(keep)], keep)
		b.ch[c] = b.ch[c][:len(keep)]
	}
	b.read -= drop
}

// append adds n samples from src (per channel) at the end.
func (b *syncBuffer) append(src *[2][]float32, n int) {
	b.reserve(n)
	for c := range b.ch[:b.channels] {
		b.ch[c] = append(b.ch[c], src[c][:n]...)
	}
}

// appendZeros adds n samples of silence.
func (b *syncBuffer) appendZeros(n int) {
	b.reserve(n)
	for c := range b.ch[:b.channels] {
		at := len(b.ch[c])
		b.ch[c] = b.ch[c][:at+n]
		clear(b.ch[c][at:])
	}
}

// appendCrossfade adds src, whose first fade samples are mixed into the last fade samples already there.
func (b *syncBuffer) appendCrossfade(src *[2][]float32, n, fade int) {
	fade = min(fade, n, b.future())
	b.reserve(n)
	for c := range b.ch[:b.channels] {
		old := b.ch[c][len(b.ch[c])-fade:]
		crossfade(old, src[c][:fade])
		b.ch[c] = append(b.ch[c], src[c][fade:n]...)
	}
}

// truncate forgets the newest samples beyond future of them.
func (b *syncBuffer) truncate(future int) {
	for c := range b.ch[:b.channels] {
		b.ch[c] = b.ch[c][:b.read+future]
	}
}

// readInto plays n samples into dst, interleaved.
func (b *syncBuffer) readInto(dst []float32, n int) {
	if b.channels == 1 {
		copy(dst[:n], b.ch[0][b.read:b.read+n])
	} else {
		l, r := b.ch[0][b.read:b.read+n], b.ch[1][b.read:b.read+n]
		for i := range l {
			dst[2*i], dst[2*i+1] = l[i], r[i]
		}
	}
	b.read += n
}

// remove cuts n samples at index at out of the future.
func (b *syncBuffer) remove(at, n int) {
	for c := range b.ch[:b.channels] {
		x := b.ch[c]
		copy(x[at:], x[at+n:])
		b.ch[c] = x[:len(x)-n]
	}
}

// insert opens a gap of n samples at index at in the future, and returns how far at moved; the gap's contents are undefined.
func (b *syncBuffer) insert(at, n int) int {
	before := b.read
	b.reserve(n)
	at += b.read - before
	for c := range b.ch[:b.channels] {
		x := b.ch[c][:len(b.ch[c])+n]
		copy(x[at+n:], x[at:])
		b.ch[c] = x
	}
	return b.read - before
}

// reset forgets everything: silence was played and nothing is to come.
func (b *syncBuffer) reset() {
	for c := range b.ch[:b.channels] {
		b.ch[c] = b.ch[c][:historySamples]
		clear(b.ch[c])
	}
	b.read = historySamples
}

// clearFuture forgets what was not played.
func (b *syncBuffer) clearFuture() { b.truncate(0) }
