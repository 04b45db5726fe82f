// Package rig holds what end-to-end tests and measurements stand on: browsers driven through driver.mjs, parley processes,
// hosts in network namespaces. It needs the build tag e2e or bench, Linux, and Debian's chromium, node, npm, ip and nft.
//
// It refuses to know what a test is about: no rooms, no tones to expect.
package rig
