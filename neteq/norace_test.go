//go:build !race

package neteq

import "time"

// shortCall is how long the calls of the endurance test last.
const shortCall = 500 * time.Second
