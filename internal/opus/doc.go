// Package opus puts libopus behind the two small interfaces the project needs: a decoder for the jitter buffer and
// an encoder for the mixer, both at 48 kHz with float32 samples, interleaved, in [-1, 1].
//
// It is the only package that leads to cgo (through gopkg.in/hraban/opus.v2, built with the tag nolibopusfile: no
// file is ever read here). It imports neither neteq nor mixer; it fits their interfaces by shape, and cmd joins them.
//
// What it adds to the binding:
//   - bounds: the binding writes up to the capacity of a slice; here nothing is written beyond its length, and lengths
//     that make no sense never reach C;
//   - exact concealment: DecodeFEC and Conceal fill what they are given, no more and no less;
//   - Reset of a decoder, and Fork and CopyState of an encoder, by copying the codec's state. That state is one flat
//     block without pointers into itself, and the binding keeps it in Go memory; SelfCheck proves both at start.
//
// It refuses to know about RTP, RED, silence or time. Nothing here is safe for concurrent use, and no call allocates
// but the constructors and Fork.
package opus
