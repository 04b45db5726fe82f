// Package signaling is how clients get into a room: a WebSocket with JSON messages for browsers (GET /ws, subprotocol
// parley.v1), and one HTTP request for everything else (WHIP, RFC 9725, at /whip/{room}, and WHEP at /whep/{room}). The
// wire format is written down, with one example per message, in docs/protocol.md; a test holds the two together.
//
// It checks everything it is given before anybody else sees it: origins, tokens, names, message shapes, rates and the
// size and structure of every SDP. Behind it stands a Rooms, which on one node is *sfu.Node; package sfu is imported
// for its sentinel errors and plain data types only. It knows no SDP beyond counting its lines, no peer connection and
// no media.
//
// # Sessions
//
// A session is one participant that joined over /ws. It outlives its socket: when that is lost, the participant stays
// in the room for ResumeTTL and a new socket may claim it with the session's secret. A WHIP or WHEP session has no
// socket; its liveness is ICE's, and thus the Rooms' business.
//
// # Locks
//
// Server.mu (tables), session.mu (one session's socket and held messages) and outbox.mu (one socket's queue) are
// leaves or taken in the order session.mu, outbox.mu. None is held across a call to Rooms. session.attachMu orders
// calls of Rooms.SetAttached and nothing else; Rooms may deliver events while it is held.
package signaling
