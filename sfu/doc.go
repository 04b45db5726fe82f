// Package sfu is the WebRTC side of a node: rooms and participants, one peer connection each, one audio section each.
//
// It takes SDP offers as text and answers them, moves incoming RTP into the mixer's sources and the mixer's frames
// out as RTP, and tells observers what happens. It is the only package with a webrtc.PeerConnection.
//
// What it refuses: an SDP larger than its limits is turned away before anybody parses it; pion never sees a client's
// SDP, only a small one written by this package from what it understood (one audio section, our codecs, filtered
// candidates), and clients never see pion's, only an answer written here. Host names in candidates are not
// resolved, TCP candidates are not dialled, addresses that are nobody's business are not checked. Video, data
// channels and second audio sections are rejected in the answer. Nothing is fetched and no STUN server is asked.
//
// Memory on the way of a packet is borrowed: an UpTrack owns one buffer, the mixer copies out of it; a DownTrack owns
// one RTP header, pion copies header and payload while encrypting.
//
// Locks, outermost first; a lock may be taken while holding those before it, never the other way round:
//
//	participant.negotiation  one offer, answer or restart at a time, held over pion calls
//	Node.mu                  rooms and participants of the node
//	room.mu                  members of a room and what is shown of them
//	participant.mu           peer, listener, uplink
//	uplink.mu                one writer at a time into the mixer's source
//	eventQueue.mu
//
// No lock is held while an Observer runs. A Fabric is called with room.mu held, its Talker with uplink.mu.
package sfu
