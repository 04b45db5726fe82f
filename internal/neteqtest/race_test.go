//go:build race

package neteqtest

import "time"

// driftCall is how long a call with clock drift lasts: 30 seconds: the race detector makes a sample cost twenty times as much, and drift shows no races.
const driftCall = 30 * time.Second

// underRace leaves out what compares figures only.
const underRace = true
