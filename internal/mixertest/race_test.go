//go:build race

package mixertest

// underRace leaves out what compares figures only: the race detector makes a sample cost ten times as much, and more of them
// show no more races.
const underRace = true
