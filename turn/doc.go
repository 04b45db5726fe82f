// Package turn is the node's own STUN and TURN server: it gets browsers that cannot reach a media port by UDP into a call,
// over UDP or TCP on one port and over TLS on another.
//
// It is pion/turn/v5 (RFC 8656, RFC 8489) between two layers of ours:
//
//   - in front, a framing guard: every datagram and every frame of a TCP or TLS stream is checked as a whole before pion
//     sees a byte of it, because one short attribute or one wrapped length in a STUN parser is the end of the process;
//     sources are counted and limited, Binding is answered here, silent and slow connections are closed;
//   - behind, the relay sockets: they send to and receive from the peers that Config.AllowPeer names (the node's media
//     addresses and ports) and nobody else, at a bounded rate, and never one allocation to another.
//
// Credentials are minted per participant and per join (username = expiry:participant:serial, password = HMAC over it, the
// TURN REST convention), end with their expiry for new allocations, and at once when the participant leaves (Revoke).
//
// What it refuses: TCP relaying (RFC 6062), reserved and even ports, peers outside the allow-list in every notation of an
// address, anonymous use. It knows nothing of rooms, SDP or media, and imports nothing of ours.
//
// Locks: the allocation table's lock is the innermost; nothing is called while it is held. A UDP socket's handling lock
// (see udpGuard) may be held when the table's is taken, never the other way round.
package turn
