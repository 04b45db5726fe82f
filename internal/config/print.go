package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// hidden stands for a secret's value.
const hidden = "(hidden)"

// Print writes the result of a Load as YAML, each value with the place it came from. Secrets are hidden.
func (l *Loaded) Print(w io.Writer) error {
	p := printer{note: func(path string) string {
		if origin := l.Origin[path]; origin != "" {
			return origin
		}
		return "default"
	}}
	p.section(reflect.ValueOf(&l.Config).Elem(), "", 0)
	_, err := io.WriteString(w, p.out.String())
	return err
}

// WriteSample writes a configuration as a commented YAML file: deploy/config.yaml is WriteSample(Default()).
func WriteSample(w io.Writer, c *Config) error {
	p := printer{comments: true}
	p.out.WriteString(`# Every setting of Parley with its default. Use it with: parley serve --config FILE
#
# Stronger than this file: environment variables (http.listen is PARLEY_HTTP_LISTEN), and stronger than these: flags
# (--http.listen). An unknown key stops the start. "parley serve --print-config" shows the result.
`)
	p.section(reflect.ValueOf(c).Elem(), "", 0)
	_, err := io.WriteString(w, p.out.String())
	return err
}

type printer struct {
	out      strings.Builder
	comments bool
	note     func(path string) string // what stands behind a value; nil: nothing
}

func (p *printer) section(v reflect.Value, prefix string, depth int) {
	indent := strings.Repeat("  ", depth)
	for i := range v.NumField() {
		field, f := v.Type().Field(i), v.Field(i)
		name := field.Tag.Get("yaml")
		if p.comments {
			if depth == 0 {
				p.out.WriteByte('\n')
			}
			for _, line := range wrap(field.Tag.Get("help"), 110-len(indent)) {
				fmt.Fprintf(&p.out, "%s# %s\n", indent, line)
			}
		}
		if isSection(f) {
			fmt.Fprintf(&p.out, "%s%s:\n", indent, name)
			p.section(f, prefix+name+".", depth+1)
			continue
		}
		value := yamlValue(f)
		if field.Tag.Get("secret") == "true" && f.String() != "" {
			value = strconv.Quote(hidden)
		}
		fmt.Fprintf(&p.out, "%s%s: %s", indent, name, value)
		if p.note != nil {
			fmt.Fprintf(&p.out, " # %s", p.note(prefix+name))
		}
		p.out.WriteByte('\n')
	}
}

// yamlValue writes a value in YAML's flow style, on one line.
func yamlValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case []ICEServer:
		shown := make([]ICEServer, len(x))
		for i, s := range x {
			if shown[i] = s; s.Credential != "" {
				shown[i].Credential = hidden
			}
		}
		return flow(shown)
	case []RoomSettings:
		if len(x) == 0 {
			return "[]"
		}
		return flow(x)
	case encoding.TextMarshaler:
		return yamlString(formatValue(v))
	}
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = yamlValue(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.String:
		return yamlString(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// yamlString quotes where YAML would read something else or a person might: addresses, globs, empty strings.
func yamlString(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == ""
	var node yaml.Node
	if plain && yaml.Unmarshal([]byte(s), &node) == nil && len(node.Content) == 1 && node.Content[0].Tag == "!!str" {
		return s
	}
	return strconv.Quote(s)
}

func flow(v any) string {
	var node yaml.Node
	if err := node.Encode(v); err != nil {
		return err.Error()
	}
	node.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&node)
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// wrap breaks a sentence into lines of at most width characters.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
