//go:build !unix

package mixer

import "time"

// processCPU: there is no cheap way to ask, so the time that work takes on the clock counts alone.
var processCPU func() time.Duration
