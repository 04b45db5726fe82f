//go:build race

package neteq

import "time"

// shortCall is how long the calls of the endurance test last; under the race detector a sample costs twenty times as much.
const shortCall = 30 * time.Second
