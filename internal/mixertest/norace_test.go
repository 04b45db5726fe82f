//go:build !race

package mixertest

const underRace = false
