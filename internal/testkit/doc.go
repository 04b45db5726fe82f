// Package testkit makes and measures sound for Parley's tests, measurements and probes: WAV files, tones, voices and
// chirps, and the questions a test asks of what came out at the other end (which tones, how loud, clipped, interrupted,
// how late).
//
// Everything works on float32 PCM in [-1, 1] at 48 kHz, mono. Levels are in dBFS, where 0 dBFS is the level of a sine
// whose peak is 1 (AES17), so that a sine of amplitude 0.1 reads -20. All of it is deterministic and allocates freely.
//
// It refuses to know about networks and codecs: those are in the packages below it (netsim, client, echo), and nothing of
// the product may import any of them.
package testkit
