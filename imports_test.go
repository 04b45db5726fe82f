package parley

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "parley"

// edge says which packages a package may import beyond the standard library.
type edge struct {
	pkg    string   // a package, or a tree: "internal/testkit/..."
	ours   []string // packages of ours; "..." is any, as tools may
	others []string // import path prefixes; "..." is any
	reason string
}

// tool reports whether the edge is one of a tool's (or the command's): it may import anything.
func (e edge) tool() bool { return slices.Contains(e.ours, "...") }

// edges is all that is allowed. The reason is what the test says when somebody adds an import.
var edges = []edge{
	{"neteq", nil, nil,
		"pure audio: packets and ticks in, samples out; whoever wants it as a library gets nothing else with it"},
	{"mixer", []string{"neteq", "internal/loudness"}, []string{"go.uber.org/zap"},
		"knows rooms and ticks, and has never heard of SDP, UDP or HTTP"},
	{"sfu", []string{"mixer", "neteq"}, []string{"github.com/pion/", "go.uber.org/zap", "golang.org/x/sync", "golang.org/x/time", "golang.org/x/net", "golang.org/x/sys/unix"},
		"the only package with a webrtc.PeerConnection; HTTP and JSON stay out of it"},
	{"signaling", []string{"sfu"}, []string{"github.com/coder/websocket", "github.com/golang-jwt/jwt/", "go.uber.org/zap", "golang.org/x/time"},
		"of sfu the errors and plain data only; it talks to a Rooms interface in ids and strings, without pion types"},
	{"turn", nil, []string{"github.com/pion/turn/v5", "github.com/pion/stun/v4", "github.com/pion/logging", "github.com/pion/transport/", "go.uber.org/zap", "golang.org/x/time"},
		"knows nothing of rooms, SDP or media"},
	{"cluster/trunk", []string{"neteq"}, []string{"go.uber.org/zap"},
		"datagrams between nodes: it knows neither mixer nor store, and of neteq the packet alone"},
	{"cluster/trunk/media", []string{"cluster/trunk", "neteq"}, nil,
		"which packets go to other nodes, and what becomes of those that come; the mixer is behind an interface"},
	{"cluster/link", []string{"cluster", "cluster/trunk", "cluster/trunk/media", "sfu", "mixer", "neteq"}, []string{"go.uber.org/zap", "golang.org/x/sync"},
		"joins the sfu's rooms with those of other nodes; the sfu knows nothing of NATS, the cluster nothing of participants"},
	{"cluster", nil, []string{"github.com/nats-io/", "go.uber.org/zap", "golang.org/x/sync"},
		"moves names and opaque bytes; knows neither participants nor packets"},
	{"static", nil, nil,
		"the web client and the handler that serves it"},
	{"internal/config", []string{"internal/netaddr"}, []string{"go.yaml.in/yaml/v3"},
		"knows no part; cmd fills each part's own Config from it"},
	{"internal/netaddr", nil, nil,
		"reads the list of interfaces and nothing else"},
	{"internal/logging", nil, []string{"go.uber.org/zap"},
		"makes the logger"},
	{"internal/localca", nil, []string{"go.uber.org/zap"},
		"certificates need no part of the node"},
	{"internal/metrics", []string{"cluster", "cluster/link", "cluster/trunk", "mixer", "neteq", "sfu", "signaling", "turn"}, []string{"github.com/prometheus/"},
		"reads the parts' snapshots, so that no part knows a metrics library"},
	{"internal/opus", nil, []string{"gopkg.in/hraban/opus.v2"},
		"the only cgo; it satisfies neteq.Decoder and mixer.Encoder without importing either"},
	{"internal/loudness", nil, nil,
		"pure audio, like neteq"},
	{"internal/resample", nil, nil,
		"pure audio, like neteq"},
	{"internal/codec", []string{"internal/resample"}, nil,
		"pure audio; it satisfies neteq.Decoder without importing it"},
	{"internal/testkit/...", []string{"..."}, []string{"..."},
		"tools of tests"},
	{"internal/e2e/...", []string{"..."}, []string{"..."},
		"tests of the whole"},
	{"internal/bench/...", []string{"..."}, []string{"..."},
		"measurements of the whole"},
	{"internal/replay/...", []string{"..."}, []string{"..."},
		"runs recordings through NetEq: the tool behind \"parley neteq\""},
	{"internal/load/...", []string{"..."}, []string{"..."},
		"a crowd of participants from outside: the tool behind \"parley load\""},
	{"internal/*test/...", []string{"..."}, []string{"..."},
		"tests of a part together with others, which the part itself must not import"},
	{"deploy", nil, nil,
		"files for operators, and a test"},
	{"cmd/...", []string{"..."}, []string{"..."},
		"wiring: may import everything"},
}

// onlyIn says which modules are one package's business, beside tools, tests and what is named here.
var onlyIn = []struct {
	prefix string
	pkgs   []string
	reason string
}{
	{"github.com/pion/turn/", []string{"turn"}, "its major version is one package's business"},
	{"github.com/pion/webrtc/", []string{"sfu"}, "one package with peer connections"},
	{"gopkg.in/hraban/opus.v2", []string{"internal/opus"}, "one package with cgo"},
	{"github.com/prometheus/", []string{"internal/metrics", "cmd/parley"}, "parts offer snapshots"},
	{"github.com/alecthomas/kong", []string{"cmd/parley"}, "flags are the command's"},
	{"github.com/coder/websocket", []string{"signaling"}, "one package with sockets of /ws"},
	{"github.com/golang-jwt/jwt/", []string{"signaling"}, "one package that checks tokens"},
	{"github.com/nats-io/", []string{"cluster"}, "one package that knows NATS"},
	{"go.yaml.in/yaml/", []string{"internal/config"}, "one package that reads YAML"},
}

// testOnly may be imported by tests and tools, never by what is shipped.
var testOnly = []string{
	module + "/internal/testkit", module + "/internal/e2e", module + "/internal/bench",
	"github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid", "testing",
}

type listed struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
	CgoFiles                           []string
	Standard                           bool
}

func list(t *testing.T, env []string, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,CgoFiles,Standard", "-tags", "nolibopusfile"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func short(imported string) string { return strings.TrimPrefix(imported, module+"/") }

func inTree(pattern, pkg string) bool {
	if root, tree := strings.CutSuffix(pattern, "/..."); tree {
		pattern = root
		parts := strings.Split(pkg, "/")
		pkg = strings.Join(parts[:min(len(parts), strings.Count(root, "/")+1)], "/")
	}
	matched, err := path.Match(pattern, pkg)
	return err == nil && matched
}

func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && first != module
}

func hasPrefix(prefixes []string, imported string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		return p == "..." || imported == strings.TrimSuffix(p, "/") || strings.HasPrefix(imported, p) && (strings.HasSuffix(p, "/") || imported[len(p)] == '/')
	})
}

func edgeOf(pkg string) (edge, bool) {
	for _, e := range edges {
		if inTree(e.pkg, pkg) {
			return e, true
		}
	}
	return edge{}, false
}

func TestImportEdges(t *testing.T) {
	for _, p := range list(t, nil, "./...") {
		if p.ImportPath == module {
			continue
		}
		pkg := short(p.ImportPath)
		e, found := edgeOf(pkg)
		if !found {
			t.Errorf("%s is not in the table of imports_test.go: what may it import, and why?", pkg)
			continue
		}
		shipped := !e.tool() || strings.HasPrefix(pkg, "cmd/")
		for _, imported := range p.Imports {
			switch {
			case imported == "C":
				if pkg != "internal/opus" {
					t.Errorf("%s uses cgo; only internal/opus may", pkg)
				}
			case standard(imported):
			case strings.HasPrefix(imported, module+"/"):
				if !e.tool() && !slices.Contains(e.ours, short(imported)) {
					t.Errorf("%s imports %s, but %s: %s", pkg, short(imported), pkg, e.reason)
				}
			default:
				if !hasPrefix(e.others, imported) {
					t.Errorf("%s imports %s, but %s: %s", pkg, imported, pkg, e.reason)
				}
			}
			if !shipped {
				continue
			}
			if e, found := edgeOf(short(imported)); hasPrefix(testOnly, imported) || found && e.pkg == "internal/*test/..." {
				t.Errorf("%s imports %s, which is for tests", pkg, imported)
			}
			for _, only := range onlyIn {
				if hasPrefix([]string{only.prefix}, imported) && !slices.Contains(only.pkgs, pkg) {
					t.Errorf("%s imports %s, which is for %s alone: %s", pkg, imported, strings.Join(only.pkgs, " and "), only.reason)
				}
			}
		}
	}
}

// The parts' own tests keep to the parts' edges, tools aside: a part that needs another to be tested has a missing seam.
func TestImportEdgesOfTests(t *testing.T) {
	for _, p := range list(t, nil, "./neteq", "./mixer", "./turn", "./static", "./internal/localca") {
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imported, module+"/") && imported != p.ImportPath && !strings.HasPrefix(imported, module+"/internal/") &&
				!(short(p.ImportPath) == "mixer" && imported == module+"/neteq") {
				t.Errorf("the tests of %s import %s", short(p.ImportPath), short(imported))
			}
		}
	}
}

func TestCgoInOpusOnly(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./...") {
		if len(p.CgoFiles) > 0 && short(p.ImportPath) != "internal/opus" {
			t.Errorf("%s has cgo files %v", short(p.ImportPath), p.CgoFiles)
		}
	}
}

// The parts compile without cgo, their tests included.
func TestBuildsWithoutCgo(t *testing.T) {
	args := []string{"vet", "-tags", "nolibopusfile"}
	for _, p := range list(t, nil, "./...") {
		pkg := short(p.ImportPath)
		if e, found := edgeOf(pkg); found && !e.tool() && pkg != "internal/opus" {
			args = append(args, p.ImportPath)
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("CGO_ENABLED=0 go vet: %v\n%s", err, out)
	}
}

// Every package says what it is for.
func TestEveryPackageHasADoc(t *testing.T) {
	cmd := exec.Command("go", "list", "-tags", "nolibopusfile", "-f", "{{.ImportPath}}\t{{.Doc}}\t{{len .GoFiles}}{{len .CgoFiles}}", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[2] == "00" {
			continue
		}
		if fields[1] == "" {
			t.Errorf("%s has no package comment", fields[0])
		}
	}
}
