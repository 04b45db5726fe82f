// Package codec decodes and encodes what telephones and old clients speak: G.711 (PCMU, PCMA) and G.722. A [Decoder] turns
// their payloads into the 48 kHz that NetEq works with, and satisfies neteq.Decoder without importing it; an [Encoder] is the
// other way round, and satisfies mixer.Encoder.
//
// It has no concealment: these codecs have none worth hearing (G.711 Appendix I repeats the pitch, as NetEq does better),
// so Conceal and DecodeFEC fail and NetEq does it itself. It knows no RTP; Opus is internal/opus.
package codec
