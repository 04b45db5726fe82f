// Package parley is the root of the module. It holds no code: the node is cmd/parley, and its parts are neteq, mixer,
// sfu, signaling, turn and static. The test here keeps the parts apart: which may import which, and where cgo may be.
package parley
