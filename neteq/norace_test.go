//go:build !race

package neteq

import "time"

// shortCall is how long the calls of the endurance test last.
const shortCall = 1000 * time.Second
