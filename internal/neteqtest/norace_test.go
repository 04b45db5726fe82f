//go:build !race

package neteqtest

import "time"

// driftCall is how long a call with clock drift lasts: two minutes.
const driftCall = 120 * time.Second

const underRace = false
