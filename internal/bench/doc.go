// Package bench measures what the project promises in milliseconds, with real processes and real sound, and prints one
// table. docs/performance.md holds the figures of one machine and what each of them means.
//
//	go test -tags 'nolibopusfile bench' -count=1 -v ./internal/bench/...
//
// It measures and does not judge: a busy machine is no reason for a red test. What is asserted is only that there was
// something to measure.
package bench
