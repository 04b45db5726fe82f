// Package mixertest tests the mixer with the real NetEq and the real codec, in virtual time: whole calls from packets in
// to packets out, their latency by markers in the sound, their cost as benchmarks. It holds nothing but tests, because
// mixer itself is built and tested without cgo.
package mixertest
