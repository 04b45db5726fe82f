// Package neteqtest makes Opus streams and network troubles for tests of the neteq package with the real codec, which that
// package itself must not import. Time is virtual and every random choice has a seed.
package neteqtest
