// Package client takes a seat in a room without a browser: one HTTP request (WHIP, RFC 9725, with a sendrecv offer; or WHEP
// to listen only), Opus out in real time, and the mix that comes back decoded as one long piece of PCM.
//
// It is the least a WebRTC stack can be: host candidates inside the offer, one audio section, one codec at a payload type of
// the caller's choice, no header extensions at all, no interceptors. What works with it works with any stack.
//
// It refuses to be a jitter buffer: packets are decoded as they arrive, which is right on the loopback interface only.
package client
