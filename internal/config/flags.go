package config

import (
	"reflect"
	"strconv"
	"strings"
)

// Flags is the command-line side of the configuration: one flag for each key, made from Config itself.
type Flags struct {
	target reflect.Value // pointer to a struct made from the keys
	paths  []string      // key of each field
	names  []string
}

// NewFlags makes the flags.
func NewFlags() *Flags {
	f := &Flags{}
	var fields []reflect.StructField
	for i, k := range keys(Default()) {
		typ := reflect.TypeFor[*string]()
		if k.value.Kind() == reflect.Bool {
			typ = reflect.TypeFor[*bool]()
		}
		fields = append(fields, reflect.StructField{
			Name: "Key" + strconv.Itoa(i),
			Type: typ,
			Tag:  k.tag(),
		})
		f.paths = append(f.paths, k.path)
		f.names = append(f.names, "--"+k.flag())
	}
	f.target = reflect.New(reflect.StructOf(fields))
	return f
}

// tag is the field's struct tag for github.com/alecthomas/kong.
func (k key) tag() reflect.StructTag {
	tag := []string{`name:` + strconv.Quote(k.flag()), `help:` + strconv.Quote(strings.ReplaceAll(k.help, "$", "$$"))}
	if section := k.section(); section != "" {
		tag = append(tag, `group:`+strconv.Quote(section))
	} else {
		tag = append(tag, `group:"general"`)
	}
	if k.flag() != k.path {
		tag = append(tag, `aliases:`+strconv.Quote(k.path)) // --media.udp_ports works as well
	}
	if k.value.Kind() == reflect.Bool {
		tag = append(tag, `negatable:""`)
	} else {
		placeholder := k.format()
		switch {
		case k.value.Kind() == reflect.Slice:
			placeholder = k.path[strings.LastIndexByte(k.path, '.')+1:] + ",…"
		case placeholder == "":
			placeholder = "\"\""
		}
		tag = append(tag, `placeholder:`+strconv.Quote(placeholder))
	}
	return reflect.StructTag(strings.Join(tag, " "))
}

// Plugin is the struct for kong.Plugins; parsing fills it.
func (f *Flags) Plugin() any { return f.target.Interface() }

// Settings lists the flags that were given.
func (f *Flags) Settings() []Setting {
	var out []Setting
	for i, path := range f.paths {
		field := f.target.Elem().Field(i)
		if field.IsNil() {
			continue
		}
		s := Setting{Key: path, Flag: f.names[i]}
		switch value := field.Interface().(type) {
		case *string:
			s.Value = *value
		case *bool:
			s.Value = strconv.FormatBool(*value)
		}
		out = append(out, s)
	}
	return out
}
