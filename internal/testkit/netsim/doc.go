// Package netsim is a bad network for tests: a UDP proxy that loses, delays, reorders, duplicates and throttles, and a TCP
// proxy that can be cut or stalled while connections are open.
//
// What happens to a packet is decided by Link, which has no clock and no goroutine and does the same for the same seed and
// the same packets. The proxies add sockets and time to it. It needs no privileges and no kernel support; a path is
// impaired by sending its traffic to the proxy's address.
//
// It refuses to look into packets.
package netsim
