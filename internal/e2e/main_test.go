//go:build e2e

package e2e

import (
	"os"
	"testing"

	"parley/internal/e2e/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
