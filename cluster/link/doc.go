// Package link makes one room of those that have the same name on the nodes of a cluster. It is the sfu's Fabric: what it
// is told of its participants goes to the other nodes by the cluster's bus, their packets by trunks, and what the others
// say comes back to the sfu's rooms.
//
// It decides nothing: who lives and who owns a room is for package cluster to say, which packets are worth sending for
// package media, and who may do what for the node of the participant concerned.
//
// It refuses to hold anything up: the sfu calls it with its locks held, the cluster from its loop, the trunks from their
// readers. Its own locks (Link.mu, room.mu) are leaves, but for those of cluster, outlet and sfu in Enter and Show, which
// never call back while they are held.
package link
