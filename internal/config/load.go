package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const envPrefix = "PARLEY_"

// Loaded is a configuration and where each of its values came from.
type Loaded struct {
	Config
	// Origin tells for each key that is not a default where it was set: "parley.yaml:12", "PARLEY_HTTP_LISTEN",
	// "--http.listen".
	Origin map[string]string
	// Warnings are things that are probably mistakes but stop nothing, one sentence each.
	Warnings []string

	fromFile map[string]bool // which of the keys …_file were read
}

// Setting is a key given on the command line.
type Setting struct {
	Key   string // "http.listen"
	Flag  string // as the user wrote it: "--http.listen", "--lan"
	Value string
}

// Options says where settings are read from.
type Options struct {
	File    string    // YAML; empty: none
	Environ []string  // as os.Environ gives it
	Flags   []Setting // stronger than everything else; among them the last wins
}

// Load reads defaults, file, environment and flags, in rising order of strength, and checks the result. The error
// lists every fault, one per line, each with the key and the place it was set.
func Load(o Options) (*Loaded, error) {
	l := &Loaded{Config: *Default(), Origin: map[string]string{}, fromFile: map[string]bool{}}
	if o.File != "" {
		f, err := os.Open(o.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := l.readFile(o.File, f); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(l.readEnviron(o.Environ), l.readFlags(o.Flags)); err != nil {
		return nil, err
	}
	if l.DataDir == "" {
		l.DataDir = defaultDataDir(o.Environ, os.Geteuid())
	}
	if err := l.readSecretFiles(); err != nil {
		return nil, err
	}
	if err := l.validate(); err != nil {
		return nil, err
	}
	return l, nil
}

// readEnviron applies PARLEY_… variables. A variable that names no key is only a warning when it begins like one:
// container platforms put variables of their own into the environment (PARLEY_SERVICE_HOST).
func (l *Loaded) readEnviron(environ []string) error {
	byEnv, sections := map[string]key{}, map[string]bool{}
	for _, k := range keys(&l.Config) {
		byEnv[k.env()] = k
		if s := k.section(); s != "" {
			sections[strings.ToUpper(s)] = true
		}
	}
	var errs []error
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours {
			continue
		}
		k, known := byEnv[name]
		if !known {
			if section, _, _ := strings.Cut(rest, "_"); sections[section] {
				l.Warnings = append(l.Warnings, fmt.Sprintf("the environment variable %s names no setting and is ignored", name))
			}
			continue
		}
		l.Origin[k.path] = name
		if err := k.setText(value); err != nil {
			errs = append(errs, l.at(k.path, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Loaded) readFlags(flags []Setting) error {
	byPath := map[string]key{}
	for _, k := range keys(&l.Config) {
		byPath[k.path] = k
	}
	var errs []error
	for _, s := range flags {
		k, known := byPath[s.Key]
		if !known {
			return fmt.Errorf("%s: unknown key %q%s", s.Flag, s.Key, l.suggest(s.Key))
		}
		l.Origin[k.path] = s.Flag
		if err := k.setText(s.Value); err != nil {
			errs = append(errs, l.at(k.path, err))
		}
	}
	return errors.Join(errs...)
}

// at wraps an error about a key with the place where it was set and its name.
func (l *Loaded) at(path string, err error) error {
	if origin := l.Origin[path]; origin != "" {
		return fmt.Errorf("%s: %s: %w", origin, path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// readSecretFiles reads the secrets that are kept in files. One that is given both ways is found by validate.
func (l *Loaded) readSecretFiles() error {
	return errors.Join(
		l.readSecretFile("auth.secret_file", l.Auth.SecretFile, &l.Auth.Secret),
		l.readSecretFile("cluster.key_file", l.Cluster.KeyFile, &l.Cluster.Key),
		l.readSecretFile("cluster.nats_nkey_file", l.Cluster.NATSNKeyFile, &l.Cluster.NATSNKey),
	)
}

func (l *Loaded) readSecretFile(path, name string, into *string) error {
	if name == "" || *into != "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return l.at(path, err)
	}
	if *into = strings.TrimSpace(string(data)); *into == "" {
		return l.at(path, fmt.Errorf("%s is empty", name))
	}
	l.fromFile[path] = true
	return nil
}

// defaultDataDir follows systemd (STATE_DIRECTORY), then the habits of services, then the XDG base directories.
func defaultDataDir(environ []string, uid int) string {
	env := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	if dir, _, _ := strings.Cut(env["STATE_DIRECTORY"], ":"); dir != "" {
		return dir
	}
	if uid == 0 {
		return "/var/lib/parley"
	}
	if dir := env["XDG_DATA_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "parley")
	}
	if home := env["HOME"]; home != "" {
		return filepath.Join(home, ".local", "share", "parley")
	}
	return "parley-data"
}

// suggest names the known key nearest to a mistyped one, as the end of a sentence.
func (l *Loaded) suggest(path string) string {
	best, bestDistance := "", 4 // further away is not a typing mistake
	for _, k := range keys(&l.Config) {
		if d := editDistance(path, k.path); d < bestDistance {
			best, bestDistance = k.path, d
		}
		if last := k.path[strings.LastIndexByte(k.path, '.')+1:]; best == "" && last == path {
			best = k.path // right name, wrong section
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
