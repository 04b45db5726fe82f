package load

import (
	"sync"
	"time"
)

// tracks makes what participants send, each voice when it is first needed.
type tracks struct {
	encoding encoding
	speech   []float32
	idle     *track // of who does not speak; nil: nothing
	silence  *track // the end of a talk

	mu     sync.Mutex
	voices [Voices]*track
	chirps [Voices]*track
}

// encoderComplexity is that of our own encoder, as in browsers. What is sent is made once.
const encoderComplexity = 9

func (t *tracks) prepare(cfg *Config) error {
	t.encoding = encoding{frame: cfg.Frame, bitrate: cfg.Bitrate, complexity: encoderComplexity}
	if cfg.Frame == 0 {
		t.encoding.frame = 20 * time.Millisecond
	}
	t.speech = cfg.Speech
	var err error
	if t.silence, err = t.encoding.hush(); err != nil {
		return err
	}
	switch cfg.Listeners {
	case DTX:
		t.idle, err = t.encoding.dtx()
	case Noise:
		t.idle, err = t.encoding.noise()
	}
	return err
}

// of returns voice v's track. It may be called from any goroutine.
func (t *tracks) of(v int, chirping bool) (*track, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := &t.voices[v]
	if chirping {
		kept = &t.chirps[v]
	}
	if *kept != nil {
		return *kept, nil
	}
	var err error
	switch {
	case chirping:
		*kept, err = t.encoding.chirping(v)
	case t.speech != nil:
		*kept, err = t.encoding.speech(v, t.speech)
	default:
		*kept, err = t.encoding.tone(v)
	}
	return *kept, err
}
