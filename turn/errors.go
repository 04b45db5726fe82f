package turn

import "errors"

var (
	// ErrConfig is wrapped by every error that New returns for a configuration it cannot use.
	ErrConfig = errors.New("turn configuration")
	// ErrRunning is returned by the second call of Run.
	ErrRunning = errors.New("turn server has already run")

	errQuota       = errors.New("allocation quota reached")
	errNoPort      = errors.New("no relay port is free")
	errNoFamily    = errors.New("no relay address of this family")
	errUnsupported = errors.New("relaying over TCP is not offered")
)
