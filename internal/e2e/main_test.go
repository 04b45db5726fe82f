//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// parleyBinary is what the tests start: PARLEY_BIN, or built here.
var parleyBinary = os.Getenv("PARLEY_BIN")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		out, err := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "npm ci: %v\n%s", err, out)
			return 1
		}
	}
	if parleyBinary == "" {
		dir, err := os.MkdirTemp("", "parley-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		parleyBinary = filepath.Join(dir, "parley")
		out, err := exec.Command("go", "build", "-tags", "nolibopusfile", "-o", parleyBinary, "parley/cmd/parley").CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
