// Package netaddr answers questions about this machine's addresses: which there are on interfaces that clients can
// reach, which are private, and what a listener on "every address" means for a server that must stay off public ones.
//
// It reads the list of interfaces and nothing else: no DNS, no packet, no route lookup.
package netaddr
