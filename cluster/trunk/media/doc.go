// Package media decides which packets go over the trunks, and makes sources of those that come.
//
// An [Outlet] stands for one room's participants on this node. It chooses the loudest few at the moment their packets come,
// which is before anything else is done with them, and sends the other nodes all that the chosen say, from the packets
// before their first sound on, so that another node hears a sentence whole, by a decoder in step. What was held back is sent
// with how long that was, and counts there as if it had come in time.
//
// An [Inlet] stands for all rooms' participants on other nodes. Each is one source of the room's mixer, whichever way and in
// however many streams their packets come. The mixer there chooses the speakers among these and its own, as among any.
//
// A [Relay] is a hub's: it sends on what came from the speakers' own node, to nodes that those do not reach.
//
// It refuses: to decode, to know the mixer (a source is an interface), and to wait.
package media
