// Package trunk carries speech between the nodes of a cluster: one authenticated UDP flow per pair of nodes, shared by all
// rooms, with the speakers' own packets in it (never encoded again), their levels, and who they are of.
//
// [Trunks] is a node's end of all its trunks, on one socket. [Trunks.Connect] makes the link to a node, a [Stream] is one
// speaker's packets on their way out, Config.OnStream and Config.OnPacket are what comes in. The packages around it decide
// who is connected to whom, which packets are worth sending (package media below) and what becomes of them.
//
// Two nodes agree on keys by one hello in each direction: an X25519 share each, authenticated with the cluster's secret,
// both names and both process epochs, and numbered, so that neither a foreigner nor a recording gets an answer or costs
// memory. Datagrams are AES-256-GCM with a key per direction, header included, and a 64-bit counter that is accepted once.
// What is lost is asked for by that counter and sent again as it was; on a bad link that is also long, every datagram is
// sent twice, 20 ms apart. Both ends measure.
//
// What is to be sent leaves at once: a single goroutine writes, and what gathers while it is busy shares a datagram of at
// most 1,200 bytes. So a quiet trunk adds no delay, and a busy one saves headers.
//
// It refuses: to wait (what cannot be sent is dropped and counted), to send on what came from elsewhere further than
// Config.MaxHops, an epoch older than one it has heard of, and more of anything than the constants in this package say. It
// never looks into a payload, and knows neither mixer nor store.
//
// Lock order: link.calls, which does nothing but put the callbacks of a link in order, then link.mu, then indexes.mu.
// Trunks.mu is held alone. Only link.calls is held across a callback, and none across a write.
package trunk
