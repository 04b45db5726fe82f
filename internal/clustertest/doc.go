// Package clustertest tests rooms over several nodes: real codecs, real NATS inside the nodes, real sockets, all in one
// process. It has no code of its own.
package clustertest
