// Command parley is the node: one process that hosts voice calls for browsers.
//
//	parley serve     host calls
//	parley token     make a token that lets somebody join
//	parley version   say which version this is
//
// It only wires: it reads the configuration (internal/config), builds the parts (mixer, sfu, turn, signaling, static),
// gives each its own small Config, runs them until a signal or the first error, and stops them in order. Whatever
// decides something about audio, media or messages belongs into one of the parts.
package main
