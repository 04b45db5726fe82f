//go:build e2e || bench

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Binary is the parley that tests start: PARLEY_BIN, or what Main has built.
var Binary = os.Getenv("PARLEY_BIN")

// Dir is internal/e2e, where driver.mjs and its modules are. Tests run in internal/e2e or a sibling of it.
func Dir() string {
	dir, err := filepath.Abs("../e2e")
	if err != nil {
		return "../e2e"
	}
	return dir
}

// Main is for TestMain: it installs the browser driver's modules and builds parley where that is still to do, and runs the tests.
func Main(m *testing.M) int {
	if _, err := os.Stat(filepath.Join(Dir(), "node_modules", "playwright-core")); err != nil {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = Dir()
		if out, err := install.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "npm ci: %v\n%s", err, out)
			return 1
		}
	}
	if Binary == "" {
		dir, err := os.MkdirTemp("", "parley-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		Binary = filepath.Join(dir, "parley")
		if out, err := exec.Command("go", "build", "-tags", "nolibopusfile", "-o", Binary, "parley/cmd/parley").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
