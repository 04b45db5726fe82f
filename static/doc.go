// Package static is the web client and the handler that serves it from the binary: plain ES modules, no build step, no
// framework, nothing from other hosts, so that it works on a network without internet and can be read with "view source".
//
// The modules: app.js joins the parts; signal.js is the WebSocket (docs/protocol.md) and call.js the peer connection,
// both without DOM; mic.js and devices.js are the microphone; levels.js the meters; stats.js and statsview.js the figures
// of the drawer; talk.js mute and push-to-talk; failures.js and banner.js the sentence for each way of failing; link.js
// and prefs.js what a link says and a browser remembers; qr.js the code of the invitation; ui*.js and dom.js alone touch
// the document.
// Their tests (*.test.js) run with `node --test static/*.test.js` and are not part of the binary.
//
// It refuses to know rooms, participants or tokens: whatever the page needs of the server beyond Options it asks over the
// documented protocol, as any other client would.
package static
