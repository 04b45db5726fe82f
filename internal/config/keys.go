package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// key is one leaf of Config: a setting.
type key struct {
	path   string        // "http.listen"
	value  reflect.Value // settable
	help   string
	enum   []string
	secret bool
}

// env is the environment variable of the key: PARLEY_HTTP_LISTEN.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// flag is the key as a command-line flag, without the dashes: http.listen, insecure-open.
func (k key) flag() string { return strings.ReplaceAll(k.path, "_", "-") }

// section is the first part of the path, empty for keys at the top.
func (k key) section() string {
	section, _, nested := strings.Cut(k.path, ".")
	if !nested {
		return ""
	}
	return section
}

// keys lists the settings of c in the order of the struct.
func keys(c *Config) []key {
	return appendKeys(nil, reflect.ValueOf(c).Elem(), "")
}

func appendKeys(out []key, v reflect.Value, prefix string) []key {
	for i := range v.NumField() {
		field, f := v.Type().Field(i), v.Field(i)
		path := prefix + field.Tag.Get("yaml")
		if isSection(f) {
			out = appendKeys(out, f, path+".")
			continue
		}
		k := key{path: path, value: f, help: field.Tag.Get("help"), secret: field.Tag.Get("secret") == "true"}
		if enum := field.Tag.Get("enum"); enum != "" {
			k.enum = strings.Split(enum, ",")
		}
		out = append(out, k)
	}
	return out
}

func isSection(v reflect.Value) bool {
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	return v.Kind() == reflect.Struct && !isText
}

// setText gives the key a value written as one string, as in a variable or a flag. Lists are separated by commas;
// lists of mappings (ice.servers, rooms.settings) are YAML.
func (k key) setText(s string) error {
	if k.isMappings() {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(s), &doc); err != nil {
			return errors.New("is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(doc.Content) == 0 {
			k.value.SetZero()
			return nil
		}
		return k.setNode(doc.Content[0])
	}
	if k.value.Kind() != reflect.Slice {
		return k.checkEnum(setScalar(k.value, s))
	}
	list := reflect.MakeSlice(k.value.Type(), 0, 4)
	if strings.TrimSpace(s) != "" {
		for part := range strings.SplitSeq(s, ",") {
			elem := reflect.New(k.value.Type().Elem()).Elem()
			if err := setScalar(elem, strings.TrimSpace(part)); err != nil {
				return err
			}
			list = reflect.Append(list, elem)
		}
	}
	k.setList(list)
	return nil
}

// setList keeps an empty list nil, so that configurations compare.
func (k key) setList(list reflect.Value) {
	if list.Len() == 0 {
		k.value.SetZero()
		return
	}
	k.value.Set(list)
}

// isMappings tells whether the value is a list of mappings.
func (k key) isMappings() bool {
	switch k.value.Interface().(type) {
	case []ICEServer, []RoomSettings:
		return true
	}
	return false
}

func (k key) checkEnum(err error) error {
	if err != nil || k.enum == nil {
		return err
	}
	for _, word := range k.enum {
		if k.value.String() == word {
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", k.value.String(), strings.Join(k.enum, ", "))
}

// setScalar parses s into v by v's type.
func setScalar(v reflect.Value, s string) error {
	if d, isDuration := v.Addr().Interface().(*time.Duration); isDuration {
		parsed, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration with a unit, such as 300s or 500ms", s)
		}
		*d = parsed
		return nil
	}
	if u, isText := v.Addr().Interface().(encoding.TextUnmarshaler); isText {
		if err := u.UnmarshalText([]byte(s)); err != nil {
			return cleanParseError(err, s)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", s)
		}
		v.SetInt(int64(n))
	default:
		panic("config: no parser for " + v.Type().String())
	}
	return nil
}

// cleanParseError takes the Go function names out of netip's errors.
func cleanParseError(err error, s string) error {
	msg := err.Error()
	for _, prefix := range []string{"netip.ParsePrefix", "ParseAddr"} {
		if !strings.HasPrefix(msg, prefix) {
			continue
		}
		what := "an address"
		if prefix == "netip.ParsePrefix" {
			what = "a prefix such as 10.0.0.0/8"
		}
		return fmt.Errorf("%q is not %s", s, what)
	}
	return err
}

// format writes the value as setText reads it; secrets are hidden.
func (k key) format() string {
	if k.secret && k.value.String() != "" {
		return hidden
	}
	return formatValue(k.value)
}

func formatValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = formatValue(v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// formatDuration is Duration.String without trailing zero units: 300s stays 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Section is a group of keys.
type Section struct{ Name, Help string }

// Sections lists the groups at the top level, in order.
func Sections() []Section {
	var out []Section
	v := reflect.ValueOf(Default()).Elem()
	for i := range v.NumField() {
		if isSection(v.Field(i)) {
			tag := v.Type().Field(i).Tag
			out = append(out, Section{tag.Get("yaml"), tag.Get("help")})
		}
	}
	return out
}
