package signaling

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// section returns the text between a heading of the second level and the next.
func section(t *testing.T, doc, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("docs/protocol.md has no section %q", title)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

func same(t *testing.T, example string, m Message) {
	t.Helper()
	data, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := json.Unmarshal([]byte(example), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("the example\n%s\nis written by us as\n%s", example, data)
	}
}

// The page is what we do: every example is one of our messages, and there is one of each.
func TestProtocolDocument(t *testing.T) {
	raw, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	serverNames := slices.Collect(maps.Keys(serverTypes))
	for _, c := range []struct {
		title  string
		types  []string
		decode func(string) (Message, error)
	}{
		{"Client to server", clientTypes, func(s string) (Message, error) { m, _, err := DecodeClient([]byte(s)); return m, err }},
		{"Server to client", serverNames, func(s string) (Message, error) { return DecodeServer([]byte(s)) }},
	} {
		text := section(t, doc, c.title)
		seen := make(map[string]bool)
		for part := range strings.SplitSeq(text, "\n### ") {
			heading, _, _ := strings.Cut(part, "\n")
			for _, block := range jsonBlock.FindAllStringSubmatch(part, -1) {
				m, err := c.decode(strings.TrimSpace(block[1]))
				if err != nil {
					t.Errorf("%s, %s: %v\n%s", c.title, heading, err, block[1])
					continue
				}
				if m.MessageType() != heading {
					t.Errorf("%s: an example of %q is under %q", c.title, m.MessageType(), heading)
				}
				seen[m.MessageType()] = true
				same(t, block[1], m)
			}
		}
		for _, name := range c.types {
			if !seen[name] {
				t.Errorf("%s: no example of %q", c.title, name)
			}
			delete(seen, name)
		}
		if len(seen) > 0 {
			t.Errorf("%s: examples of %v, which are not messages", c.title, seen)
		}
	}

	codes := section(t, doc, "Error codes")
	for code := range declaredCodes(t) {
		row := regexp.MustCompile("(?m)^\\| `" + string(code) + "` \\| ([0-9, ]+) \\|").FindStringSubmatch(codes)
		if row == nil {
			t.Errorf("error code %s is not documented", code)
		} else if !strings.Contains(row[1], strconv.Itoa(codeStatus(code))) {
			t.Errorf("error code %s has status %d, not %s", code, codeStatus(code), row[1])
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(codes, -1) {
		if !declaredCodes(t)[Code(row[1])] {
			t.Errorf("error code %s is documented and does not exist", row[1])
		}
	}
	closes := section(t, doc, "Close codes")
	for _, code := range []int{1000, 1001, 1002, 1008, 1009, 1013, CloseReplaced, CloseByServer} {
		if !strings.Contains(closes, fmt.Sprintf("| %d |", code)) {
			t.Errorf("close code %d is not documented", code)
		}
	}
}

// Every type with a method MessageType is one that the tables know.
func TestMessageTables(t *testing.T) {
	client := []Message{Join{}, Offer{}, Answer{}, Candidate{}, MuteRequest{}, VolumeRequest{}, ChatRequest{}, Leave{}, Ping{}}
	server := []Message{Joined{}, Offer{}, Answer{}, Candidate{}, ParticipantChange{}, Levels{}, Muted{}, Quality{}, MediaStats{},
		ChatLine{}, Failure{}, Nodes{}, Redirect{}, Move{}, Bye{}, Pong{}}
	kinds := make(map[string]bool)
	for _, m := range client {
		kinds[reflect.TypeOf(m).Name()] = true
		if !slices.Contains(clientTypes, m.MessageType()) {
			t.Errorf("%T is not in clientTypes", m)
		}
	}
	for _, m := range server {
		kinds[reflect.TypeOf(m).Name()] = true
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeServer(data); err != nil || reflect.TypeOf(back) != reflect.TypeOf(m) {
			t.Errorf("%T came back as %T: %v", m, back, err)
		}
	}
	for _, f := range parse(t, "messages.go").Decls {
		if fn, ok := f.(*ast.FuncDecl); ok && fn.Name.Name == "MessageType" {
			if name := fn.Recv.List[0].Type.(*ast.Ident).Name; !kinds[name] {
				t.Errorf("%s is in neither direction", name)
			}
		}
	}
}

func parse(t *testing.T, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// declaredCodes reads the constants of type Code from the source, so that none can be forgotten here.
func declaredCodes(t *testing.T) map[Code]bool {
	t.Helper()
	out := make(map[Code]bool)
	ast.Inspect(parse(t, "errors.go"), func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && strings.HasPrefix(spec.Names[0].Name, "Code") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[Code(value)] = true
		}
		return true
	})
	if len(out) < 30 {
		t.Fatalf("found only %d codes", len(out))
	}
	return out
}
