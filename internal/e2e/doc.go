// Package e2e proves the product with real browsers: it builds and starts the parley binary, opens the web client in
// headless Chromium through playwright-core, and analyses the audio that each page receives. Networks of several hosts are
// network namespaces; lossy ones go through internal/testkit/netsim.
//
// The tests carry the build tag e2e and need chromium, node, npm, certutil, ip and nft, and root for the namespaces:
//
//	go test -tags 'nolibopusfile e2e' ./internal/e2e/...
//
// Chromium's microphone is a WAV file, one browser per voice. Its echo cancellation, noise suppression and gain control are
// off, since they take steady tones for noise.
package e2e
