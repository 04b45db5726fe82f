// Package load is a crowd of synthetic participants for measuring a node, a cluster or another mixing server: it joins them
// over WHIP, WHEP, WebSocket or Janus' own API, has some of them speak, checks what every one of them receives, and reports.
// It is what "parley load" runs.
//
// A participant is the least that WebRTC allows: one connected UDP socket, ICE with one candidate pair (RFC 8445, always
// controlling), DTLS by pion for the keys, SRTP by pion. No goroutine waits for a socket: a loop for each core reads all of
// them through epoll, so that a packet costs one or two microseconds and thousands of listeners fit on one core. Every
// packet's header is checked for continuity, a packet a second of each stream is authenticated, and the streams of a
// sample of the participants (Config.Sample) are decrypted and decoded whole.
//
// Whoever speaks has a tone of their own, so that a decoded stream says whose voices are in it: all that should be, nobody
// else's, never the listener's own. Chirps at known times measure the way from RTP in to RTP out. Arrival times are the
// kernel's (SO_TIMESTAMPNS), so that they do not depend on when the loop came to read; and how late the loop was, how much of its
// cores it used and what its sockets dropped is in the report, with a verdict when the crowd was itself the bottleneck.
//
// It runs on Linux only (elsewhere Measure says so), it does not do TURN, ICE over TCP or video, and it is no jitter buffer: packets are decoded as they
// arrive, which is right where the network is good. Bad networks are made on the way out, by Config.Loss.
package load
