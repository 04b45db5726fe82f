package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes is far above any real file; it keeps a mistaken path (a disk image) from being read whole.
const maxFileBytes = 1 << 20

// readFile applies a YAML file to the configuration and records, for every key it sets, file and line.
func (l *Loaded) readFile(name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxFileBytes {
		return fmt.Errorf("%s: larger than %d bytes; is this the configuration?", name, maxFileBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return syntaxError(name, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return fmt.Errorf("%s:%d: a second YAML document; one is enough", name, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return syntaxError(name, err)
	}
	return l.walk(name, doc.Content[0], reflect.ValueOf(&l.Config).Elem(), "")
}

var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): `)

func syntaxError(name string, err error) error {
	msg := err.Error()
	if m := syntaxLine.FindStringSubmatch(msg); m != nil {
		return fmt.Errorf("%s:%s: %s", name, m[1], msg[len(m[0]):])
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(msg, "yaml: "))
}

// walk applies a mapping to a section of the struct, and goes on after a fault so that all are reported.
func (l *Loaded) walk(name string, node *yaml.Node, section reflect.Value, prefix string) error {
	where := strings.TrimSuffix(prefix, ".")
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return fault(name, node, where, errors.New("anchors and aliases are not supported"))
	}
	if node.Kind != yaml.MappingNode {
		if node.Tag == "!!null" {
			if prefix == "" {
				return nil
			}
			return fault(name, node, where, errors.New("is empty; remove it or put keys below it"))
		}
		return fault(name, node, where, errors.New("must hold keys"))
	}
	var errs []error
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		k, v := node.Content[i], node.Content[i+1]
		path := prefix + k.Value
		if first, twice := seen[k.Value]; twice {
			errs = append(errs, fault(name, k, path, fmt.Errorf("is given twice, first in line %d", first)))
			continue
		}
		seen[k.Value] = k.Line
		field, tag, found := fieldByKey(section, k.Value)
		switch {
		case !found:
			errs = append(errs, fault(name, k, path, errors.New("unknown key"+l.suggest(path))))
		case isSection(field):
			errs = append(errs, l.walk(name, v, field, path+"."))
		default:
			leaf := key{path: path, value: field}
			if enum := tag.Get("enum"); enum != "" {
				leaf.enum = strings.Split(enum, ",")
			}
			l.Origin[path] = fmt.Sprintf("%s:%d", name, k.Line)
			if err := leaf.setNode(v); err != nil {
				errs = append(errs, fault(name, v, path, err))
			}
		}
	}
	return errors.Join(errs...)
}

func fault(name string, node *yaml.Node, path string, err error) error {
	if path == "" {
		path = "top level"
	}
	return fmt.Errorf("%s:%d: %s: %w", name, node.Line, path, err)
}

func fieldByKey(section reflect.Value, name string) (reflect.Value, reflect.StructTag, bool) {
	for i := range section.NumField() {
		if tag := section.Type().Field(i).Tag; tag.Get("yaml") == name {
			return section.Field(i), tag, true
		}
	}
	return reflect.Value{}, "", false
}

// setNode gives the key a value from YAML.
func (k key) setNode(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return errors.New("anchors and aliases are not supported")
	}
	if node.Tag == "!!null" {
		return errors.New(`has no value; write "" or [] for none`)
	}
	switch list := k.value.Addr().Interface().(type) {
	case *[]ICEServer:
		return decodeServers(node, list)
	case *[]RoomSettings:
		return decodeRooms(node, list)
	}
	if k.value.Kind() != reflect.Slice {
		return k.checkEnum(setScalarNode(k.value, node))
	}
	if node.Kind != yaml.SequenceNode {
		return errors.New("must be a list: [a, b]")
	}
	list := reflect.MakeSlice(k.value.Type(), 0, len(node.Content))
	for _, item := range node.Content {
		elem := reflect.New(k.value.Type().Elem()).Elem()
		if err := setScalarNode(elem, item); err != nil {
			return err
		}
		list = reflect.Append(list, elem)
	}
	k.setList(list)
	return nil
}

func setScalarNode(v reflect.Value, node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return errors.New("must be a single value")
	}
	switch {
	case v.Kind() == reflect.Bool && node.Tag != "!!bool":
		return fmt.Errorf("%q is neither true nor false", node.Value)
	case v.Kind() == reflect.Int && node.Tag != "!!int":
		return fmt.Errorf("%q is not a whole number", node.Value)
	}
	return setScalar(v, node.Value)
}

// decodeServers reads ice.servers; unknown keys are refused like everywhere else.
func decodeServers(node *yaml.Node, out *[]ICEServer) error {
	if node.Kind != yaml.SequenceNode {
		return errors.New("must be a list of {urls: […], username: …, credential: …}")
	}
	var servers []ICEServer
	for _, item := range node.Content {
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: must be {urls: […], username: …, credential: …}", item.Line)
		}
		var s ICEServer
		for i := 0; i+1 < len(item.Content); i += 2 {
			k, v := item.Content[i], item.Content[i+1]
			var err error
			switch k.Value {
			case "urls":
				if v.Kind == yaml.ScalarNode {
					s.URLs = []string{v.Value} // W3C allows a single string
				} else {
					err = v.Decode(&s.URLs)
				}
			case "username":
				err = v.Decode(&s.Username)
			case "credential":
				err = v.Decode(&s.Credential)
			default:
				return fmt.Errorf("line %d: unknown key %q", k.Line, k.Value)
			}
			if err != nil {
				return fmt.Errorf("line %d: %s has the wrong form", v.Line, k.Value)
			}
		}
		servers = append(servers, s)
	}
	*out = servers
	return nil
}
