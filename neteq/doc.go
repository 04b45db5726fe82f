// Package neteq turns an irregular stream of RTP audio packets into exactly 10 ms of continuous sound per pull, at the
// lowest delay that keeps concealment rare.
//
// It is an adaptive jitter buffer, a loss concealer and a time stretcher in one, after the engine of the same name
// ("network equalizer") in libwebrtc, rebuilt from a description of its behaviour and changed where a server needs other
// things or where the original is known to be weak; docs/neteq.md explains both.
//
// A [NetEq] serves one stream. Its owner gives it packets with [NetEq.Insert] and their arrival times, and pulls 10 ms with
// [NetEq.Get] at every tick of its own clock, or moves on without decoding with [NetEq.Skip]. Sound is always 48 kHz,
// float32 in [-1, 1], interleaved when stereo.
//
// What it refuses: it reads no clock, starts no goroutine, takes no lock, knows no socket and imports nothing but the
// standard library; codecs come from outside as a [Decoder]. It is not safe for concurrent use. Once its buffers have grown
// to what a stream needs, Insert, Get and Skip allocate nothing.
package neteq
