// Package config holds every setting of a Parley node: one struct, filled from defaults, a YAML file, the environment
// and the command line, in that order, and checked once.
//
// A key has one name everywhere: the YAML path http.listen is the flag --http.listen and the environment variable
// PARLEY_HTTP_LISTEN. An unknown key, a value of the wrong kind, or a combination that cannot work stops the start with
// an error that names the key and the place it came from (file and line, variable or flag); all faults are reported
// together. Nothing is guessed, looked up in DNS or fetched here.
//
// The package knows no other part of the node: cmd/parley fills each part's own Config from this one.
package config
