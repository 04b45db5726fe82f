package neteq

// Decoder turns the payloads of one stream into PCM: float32 in [-1, 1], interleaved.
// It has a fixed output rate and channel count, chosen by whoever made it. One goroutine uses it at a time.
// Nothing it does may write beyond len(pcm).
type Decoder interface {
	// Decode decodes one whole payload and returns the samples per channel written to pcm.
	// It fails, and keeps a usable state, when the payload is corrupt or pcm is too short.
	Decode(payload []byte, pcm []float32) (int, error)
	// DecodeFEC decodes the in-band redundancy (Opus LBRR, RFC 6716 section 2.1.7) that payload carries about
	// the frame before it. It fills pcm whole; its length must be the duration of the missing frame.
	DecodeFEC(payload []byte, pcm []float32) (int, error)
	// Conceal invents audio where nothing arrived (comfort noise when the decoder is in DTX) and fills pcm whole;
	// the length must be a multiple of 2.5 ms.
	Conceal(pcm []float32) (int, error)
	// Reset returns the decoder to its initial state.
	Reset() error
}

// DecoderFunc is the Decoder of a codec that remembers nothing and cannot conceal, such as L16 or G.711: Decode alone.
type DecoderFunc func(payload []byte, pcm []float32) (int, error)

// Decode calls f.
func (f DecoderFunc) Decode(payload []byte, pcm []float32) (int, error) { return f(payload, pcm) }

// DecodeFEC returns ErrNoConcealment.
func (DecoderFunc) DecodeFEC([]byte, []float32) (int, error) { return 0, ErrNoConcealment }

// Conceal returns ErrNoConcealment: NetEq then uses its own.
func (DecoderFunc) Conceal([]float32) (int, error) { return 0, ErrNoConcealment }

// Reset does nothing.
func (DecoderFunc) Reset() error { return nil }

// Rewinder is what a Decoder may be, too: one that can forget what it concealed. A packet that comes late is then decoded
// as if it had come in time.
type Rewinder interface {
	// Mark remembers the state; it allocates at most once.
	Mark()
	// Rewind returns to the state at the last Mark.
	Rewind()
}

// Format names what a payload type means.
type Format struct {
	Name        string // as in SDP, compared without case: "opus", "red", "PCMU", "PCMA", "G722", "CN", "telephone-event"
	ClockRateHz int    // RTP clock
	Channels    int    // as in SDP; 0 is 1
}
