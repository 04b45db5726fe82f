// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Call } from "./call.js";
import { Clock, settle } from "./testkit/clock.js";
import { FakePeer } from "./testkit/peer.js";

/** @param {any} [options] */
async function setup(options = {}) {
  const clock = new Clock();
  /** @type {any[]} */ const sent = [];
  /** @type {string[]} */ const states = [];
  /** @type {any[]} */ const tracks = [];
  const line = { up: true };
  /** @type {FakePeer} */ let peer = /** @type {any} */ (null);
  const call = new Call({
    freshServers: options.freshServers,
    send: (message) => {
      if (line.up) sent.push(message);
      return line.up;
    },
    onState: (state, reason) => states.push(reason ? `${state}:${reason}` : state),
    onTrack: (track) => tracks.push(track),
  }, { ...clock.env, peer: (config) => /** @type {any} */ (peer = new FakePeer(config)) });
  call.start({ iceServers: [], track: /** @type {any} */ ({ kind: "audio" }), publish: true, subscribe: true, ...options });
  await settle();
  const offers = () => sent.filter((message) => message.type === "offer");
  const answer = async () => {
    call.handle({ type: "answer", sdp: "answer" });
    await settle();
  };
  const connect = async () => {
    await answer();
    peer.network("connected");
    await settle();
  };
  return { clock, sent, states, tracks, line, peer, call, offers, answer, connect };
}

test("offers, trickles, takes the answer, connects", async () => {
  const { call, sent, peer, states, answer, clock } = await setup();
  assert.deepEqual(sent, [{ type: "offer", sdp: "offer ufrag=1 sendrecv" }]);
  peer.gather("candidate:1");
  peer.onicecandidate({ candidate: null });
  assert.deepEqual(sent[1], { type: "candidate", candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0, usernameFragment: "1" });
  assert.equal(sent.length, 2);
  await answer();
  peer.network("connected");
  assert.deepEqual(states, ["connecting", "connected"]);
  assert.equal(clock.waiting, 0, "no timer is left in a call that works");
  assert.deepEqual(peer.config, { iceServers: [], iceTransportPolicy: "all", bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
  call.close();
  assert.equal(peer.closed, true);
  assert.equal(states.at(-1), "closed");
});

for (const [publish, subscribe, track, want] of /** @type {[boolean, boolean, boolean, string][]} */ ([
  [true, true, true, "sendrecv"], [true, false, true, "sendonly"], [false, true, true, "recvonly"], [true, true, false, "recvonly"], [false, false, true, "inactive"],
])) {
  test(`direction: publish ${publish}, subscribe ${subscribe}, microphone ${track} gives ${want}`, async () => {
    const { peer } = await setup({ publish, subscribe, track: track ? {} : null });
    assert.equal(peer.transceivers[0].direction, want);
  });
}

test("remote candidates wait for the answer, bad ones are passed over", async () => {
  const { call, peer, answer } = await setup();
  call.handle({ type: "candidate", candidate: "candidate:early", sdpMid: "0", sdpMLineIndex: 0 });
  await settle();
  assert.equal(peer.candidates.length, 0);
  await answer();
  assert.equal(peer.candidates[0].candidate, "candidate:early");
  call.handle({ type: "candidate", candidate: "candidate:unknown", sdpMid: "0" });
  call.handle({ type: "candidate", candidate: "", sdpMid: "0" });
  await settle();
  assert.deepEqual(peer.candidates.map((c) => c.candidate), ["candidate:early", ""]);
  assert.equal(call.state, "connecting");
});

test("polite: the server's offer rolls the own one back, which is made again after it", async () => {
  const { call, sent, offers, peer } = await setup();
  call.handle({ type: "offer", sdp: "server's" });
  await settle();
  assert.equal(sent.filter((message) => message.type === "answer").length, 1);
  assert.equal(offers().length, 2);
  assert.equal(peer.signalingState, "have-local-offer");
  call.handle({ type: "answer", sdp: "answer" });
  await settle();
  assert.equal(peer.signalingState, "stable");
  call.handle({ type: "answer", sdp: "late" }); // to the offer that was rolled back
  await settle();
  assert.equal(call.state, "connecting");
});

test("an offer without an answer is made again", async () => {
  const { clock, offers, answer } = await setup();
  await clock.pass(4999);
  assert.equal(offers().length, 1);
  await clock.pass(1);
  assert.equal(offers().length, 2);
  await answer();
  await clock.pass(4000);
  assert.equal(offers().length, 2);
});

test("disconnected: waits a moment, then restarts ICE, and is connected again", async () => {
  const { clock, offers, peer, states, connect, answer } = await setup();
  await connect();
  peer.network("disconnected");
  await clock.pass(999);
  assert.equal(offers().length, 1);
  await clock.pass(1);
  assert.equal(offers()[1].sdp, "offer ufrag=2 sendrecv");
  assert.equal(states.at(-1), "restarting:disconnected");
  await answer();
  peer.network("connected");
  assert.equal(states.at(-1), "connected");
  assert.equal(clock.waiting, 0);
});

test("disconnected that heals alone restarts nothing", async () => {
  const { clock, offers, peer, connect, states } = await setup();
  await connect();
  peer.network("disconnected");
  await clock.pass(500);
  peer.network("connected");
  await clock.pass(20000);
  assert.equal(offers().length, 1);
  assert.deepEqual(states, ["connecting", "connected"]);
});

test("failed: restarts at once, again and again, and gives up inside the server's patience", async () => {
  const { clock, offers, peer, connect, states, answer } = await setup();
  await connect();
  peer.network("disconnected");
  peer.network("failed");
  await settle();
  assert.equal(states.at(-1), "restarting:failed");
  for (let i = 0; i < 5; i++) {
    await answer();
    await clock.pass(8000);
  }
  assert.equal(offers().length, 7);
  await answer();
  await clock.pass(8000);
  assert.equal(states.at(-1), "failed:no_route");
  assert.equal(offers().length, 7);
  assert.equal(clock.waiting, 0);
  peer.network("connected"); // the network comes back after all
  assert.equal(states.at(-1), "connected");
});

test("a first connection that does not come: one restart, then no route", async () => {
  const { clock, offers, states, answer } = await setup();
  await answer();
  await clock.pass(10000);
  assert.equal(offers().length, 2);
  assert.deepEqual(states, ["connecting"]);
  await answer();
  await clock.pass(8000);
  assert.deepEqual(states, ["connecting", "failed:no_route"]);
});

test("a network change restarts a call that works without saying so, once per change", async () => {
  const { clock, call, offers, states, connect, answer } = await setup();
  await connect();
  call.networkChanged();
  call.networkChanged();
  await settle();
  assert.equal(offers().length, 2);
  assert.equal(offers()[1].sdp, "offer ufrag=2 sendrecv");
  assert.deepEqual(states, ["connecting", "connected"]);
  await answer();
  await clock.pass(3000);
  call.networkChanged();
  await settle();
  assert.equal(offers()[2].sdp, "offer ufrag=3 sendrecv");
});

test("a restart that meets a dead socket happens when it is back", async () => {
  const { clock, call, line, offers, peer, states, connect } = await setup();
  await connect();
  line.up = false;
  call.signalDown();
  peer.network("disconnected");
  await clock.pass(60000);
  assert.equal(offers().length, 1);
  assert.equal(states.at(-1), "restarting:disconnected", "and is not given up meanwhile");
  line.up = true;
  call.signalUp();
  await settle();
  assert.equal(offers().length, 2);
  assert.equal(offers()[1].sdp, "offer ufrag=2 sendrecv");
});

test("what signaling did not take is said when it is back: offer, then candidates", async () => {
  const { clock, call, line, sent, peer, connect, answer } = await setup();
  await connect();
  line.up = false;
  call.signalDown();
  await call.setTrack(null);
  call.networkChanged();
  await clock.pass(100);
  line.up = true;
  call.signalUp();
  await settle();
  peer.gather("candidate:a");
  await answer();
  line.up = false;
  call.signalDown();
  peer.gather("candidate:b");
  peer.gather("candidate:c");
  line.up = true;
  call.signalUp();
  await settle();
  assert.deepEqual(sent.slice(-3).map((message) => message.candidate), ["candidate:a", "candidate:b", "candidate:c"]);
});

test("an offer whose answer was lost with the socket is made again on resume", async () => {
  const { clock, call, line, offers } = await setup();
  call.signalDown();
  line.up = false;
  await clock.pass(6000);
  assert.equal(offers().length, 1);
  line.up = true;
  call.signalUp();
  await settle();
  assert.equal(offers().length, 2);
});

test("a listener that gets a microphone negotiates; one that loses it does not", async () => {
  const { call, offers, peer, connect } = await setup({ track: null });
  assert.equal(offers()[0].sdp, "offer ufrag=1 recvonly");
  await connect();
  const track = /** @type {any} */ ({ kind: "audio" });
  await call.setTrack(track);
  await settle();
  assert.equal(offers()[1].sdp, "offer ufrag=1 sendrecv");
  assert.equal(peer.transceivers[0].sender.track, track);
  call.handle({ type: "answer", sdp: "answer" });
  await settle();
  await call.setTrack(null);
  await settle();
  assert.equal(peer.transceivers[0].sender.track, null);
  assert.equal(offers().length, 2);
});

test("a handshake that fails on a good path is not repaired by ICE", async () => {
  const { peer, states, answer } = await setup();
  await answer();
  peer.network("connected", "failed");
  assert.equal(states.at(-1), "failed:dtls");
});

test("refusals of the server: about the offer they end the call, about a candidate they do not", async () => {
  const { call, states, peer } = await setup();
  assert.equal(call.handle({ type: "error", code: "too_many_candidates", re: "candidate" }), true);
  assert.equal(call.handle({ type: "error", code: "rate_limited", re: "offer" }), true);
  assert.deepEqual(states, ["connecting"]);
  assert.equal(call.handle({ type: "error", code: "bad_message", re: "chat" }), false);
  assert.equal(call.handle({ type: "levels" }), false);
  peer.network("connected");
  assert.equal(call.handle({ type: "error", code: "bad_sdp", re: "answer" }), true);
  assert.deepEqual(states, ["connecting", "connected"], "a second answer after a resume does no harm");
  call.handle({ type: "error", code: "no_common_codec", re: "offer" });
  assert.equal(states.at(-1), "failed:no_common_codec");
});

test("an SDP that the browser refuses ends the call with its words, and does not stop the chain", async () => {
  const { call, states, peer } = await setup();
  call.handle({ type: "answer", sdp: "broken" });
  await settle();
  assert.equal(states.at(-1), "failed:InvalidAccessError: bad SDP");
  call.handle({ type: "answer", sdp: "answer" });
  await settle();
  assert.equal(peer.signalingState, "stable");
});

test("a closed call does nothing more", async () => {
  const { clock, call, sent, peer, states } = await setup();
  call.close();
  call.close();
  const before = sent.length;
  call.handle({ type: "offer", sdp: "server's" });
  call.networkChanged();
  call.signalUp();
  await call.setTrack(null);
  peer.network("failed");
  await clock.pass(60000);
  assert.equal(sent.length, before);
  assert.equal(states.filter((state) => state === "closed").length, 1);
  assert.equal(clock.waiting, 0);
  assert.equal(await call.stats(), null);
  assert.throws(() => call.start(/** @type {any} */ ({})), /once/);
});

test("a restart asks for new credentials first, and does not wait long for them", async () => {
  const old = [{ urls: "turn:host", username: "old" }];
  const fresh = [{ urls: "turn:host", username: "new" }];
  const one = await setup({ iceServers: old, freshServers: async () => fresh });
  await one.connect();
  one.call.networkChanged();
  await settle();
  assert.deepEqual(one.peer.config.iceServers, fresh);
  assert.equal(one.peer.config.bundlePolicy, "max-bundle");
  assert.equal(one.offers().length, 2);

  for (const freshServers of [() => new Promise(() => {}), () => Promise.reject(new Error("offline"))]) {
    const two = await setup({ iceServers: old, freshServers });
    await two.connect();
    two.call.networkChanged();
    await two.clock.pass(1500);
    assert.deepEqual(two.peer.config.iceServers, old);
    assert.equal(two.offers().length, 2);
  }

  let asked = 0;
  const lan = await setup({ freshServers: async () => (asked++, fresh) });
  await lan.connect();
  lan.call.networkChanged();
  await settle();
  assert.equal(asked, 0, "without ICE servers there is nothing to ask");
  assert.equal(lan.offers().length, 2);
});

test("a resume brings new credentials", async () => {
  const { call, peer, connect } = await setup({ iceServers: [{ urls: "turn:host", username: "old" }] });
  await connect();
  call.signalDown();
  call.signalUp([{ urls: "turn:host", username: "new" }]);
  assert.equal(peer.config.iceServers[0].username, "new");
  call.signalUp([]);
  assert.equal(peer.config.iceServers[0].username, "new");
});

test("relay only when asked", async () => {
  const { peer } = await setup({ iceTransportPolicy: "relay", iceServers: [{ urls: "turn:host" }] });
  assert.equal(peer.config.iceTransportPolicy, "relay");
  assert.deepEqual(peer.config.iceServers, [{ urls: "turn:host" }]);
});
