// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Signal, signalURL } from "./signal.js";
import { Clock } from "./testkit/clock.js";

class FakeSocket {
  readyState = 0;
  /** @type {any[]} */ sent = [];
  closedWith = -1;
  /** @type {any} */
  onopen = null;
  /** @type {any} */
  onmessage = null;
  /** @type {any} */
  onclose = null;
  /** @type {any} */
  onerror = null;
  /** @param {string} data */
  send(data) { this.sent.push(JSON.parse(data)); }
  /** @param {number} code */
  close(code) { this.readyState = 3; this.closedWith = code; }
  open() { this.readyState = 1; this.onopen(); }
  /** @param {any} message */
  say(message) { this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) }); }
  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") { this.readyState = 3; this.onclose({ code, reason }); }
  /** @param {string} type */
  sentOf(type) { return this.sent.filter((message) => message.type === type); }
}

function setup() {
  const clock = new Clock();
  /** @type {FakeSocket[]} */ const sockets = [];
  /** @type {any[]} */ const events = [];
  const signal = new Signal("ws://host/ws", { room: "r", name: "Ann", token: "t" }, {
    onJoined: (message) => events.push(["joined", message.resumed]),
    onMessage: (message) => events.push(["message", message.type]),
    onState: (state, detail) => events.push(["state", state, detail.reason]),
    onClosed: (end) => events.push(["closed", end.code]),
  }, {
    ...clock.env,
    random: () => 1,
    socket: (url, protocol) => {
      assert.equal(url, "ws://host/ws");
      assert.equal(protocol, "parley.v1");
      sockets.push(new FakeSocket());
      return /** @type {any} */ (sockets.at(-1));
    },
  });
  const last = () => /** @type {FakeSocket} */ (sockets.at(-1));
  const enter = (resumed = false, resume = "secret") => {
    last().open();
    last().say({ type: "joined", resumed, resume, participant: "me" });
  };
  const closed = () => events.filter((event) => event[0] === "closed").map((event) => event[1]);
  return { clock, sockets, events, signal, last, enter, closed };
}

test("joins with room, name and token, and hands on what it does not know", () => {
  const { signal, last, enter, events } = setup();
  assert.equal(signal.send({ type: "mute", muted: true }), false, "nothing is sent before joined");
  signal.open();
  signal.open(); // once
  enter();
  assert.deepEqual(last().sent[0], { type: "join", room: "r", name: "Ann", token: "t" });
  assert.equal(signal.state, "joined");
  assert.equal(signal.send({ type: "mute", muted: true }), true);
  last().say({ type: "levels", levels: [] });
  last().say("not json");
  last().say("null");
  last().say({ nothing: 1 });
  assert.deepEqual(events.filter((event) => event[0] === "message"), [["message", "levels"]]);
});

test("resumes after a lost socket, at once, with the secret", async () => {
  const { signal, sockets, last, enter, clock, events } = setup();
  signal.open();
  enter(false, "first");
  last().end(1006);
  assert.equal(signal.state, "waiting");
  assert.equal(signal.send({ type: "mute", muted: true }), false);
  await clock.pass(100);
  assert.equal(sockets.length, 2);
  last().open();
  assert.equal(last().sent[0].resume, "first");
  last().say({ type: "joined", resumed: true, resume: "second" });
  assert.deepEqual(events.filter((event) => event[0] === "joined"), [["joined", false], ["joined", true]]);
  last().end(1001);
  await clock.pass(100);
  last().open();
  assert.equal(last().sent[0].resume, "second", "the newest secret counts");
});

test("joins anew on the same socket when the seat is gone", async () => {
  const { signal, sockets, last, enter, clock, closed } = setup();
  signal.open();
  enter();
  last().end(1006);
  await clock.pass(100);
  last().open();
  last().say({ type: "error", code: "resume_failed", message: "", fatal: false });
  assert.equal(sockets.length, 2);
  assert.deepEqual(last().sent[1], { type: "join", room: "r", name: "Ann", token: "t" });
  last().say({ type: "joined", resumed: false, resume: "new" });
  assert.equal(signal.state, "joined");
  assert.deepEqual(closed(), []);
});

test("waits longer and longer, and tries at once when poked", async () => {
  const { signal, sockets, last, clock } = setup();
  signal.open();
  const tried = [];
  for (const wait of [100, 500, 1000, 2000, 4000, 8000, 8000]) {
    last().end(1006);
    const before = sockets.length;
    await clock.pass(wait - 1);
    assert.equal(sockets.length, before, `not before ${wait} ms`);
    await clock.pass(1);
    tried.push(sockets.length - before);
  }
  assert.deepEqual(tried, [1, 1, 1, 1, 1, 1, 1]);
  last().end(1006);
  signal.poke();
  assert.equal(signal.state, "connecting");
  const count = sockets.length;
  last().open();
  last().say({ type: "joined", resume: "x" });
  await clock.pass(4000);
  assert.equal(sockets.length, count, "the timer that was overtaken does nothing");
  last().end(1006);
  await clock.pass(100);
  assert.equal(sockets.length, count + 1, "a join starts the waits over");
});

for (const [code, closes] of Object.entries({ room_full: true, bad_token: true, token_expired: true, bad_room: true, server_full: true, forbidden: true, draining: false, internal: false, rate_limited: false })) {
  test(`refused with ${code}: ${closes ? "final" : "tries again later"}`, async () => {
    const { signal, sockets, last, clock, closed } = setup();
    signal.open();
    last().open();
    last().say({ type: "error", code, message: "", re: "join", fatal: true });
    last().onclose?.({ code: 4002, reason: code }); // must not count twice
    assert.deepEqual(closed(), closes ? [code] : []);
    await clock.pass(4999);
    assert.equal(sockets.length, 1);
    await clock.pass(10000);
    assert.equal(sockets.length > 1, !closes);
  });
}

test("an error that is not fatal goes to the call", () => {
  const { signal, last, enter, events, closed } = setup();
  signal.open();
  enter();
  last().say({ type: "error", code: "bad_sdp", re: "offer", fatal: false });
  assert.deepEqual(events.at(-1), ["message", "error"]);
  assert.deepEqual(closed(), []);
});

for (const [code, reason, end] of /** @type {[number, string, string | null][]} */ ([
  [1000, "left", "left"], [4001, "replaced", "replaced"], [4002, "kicked", "kicked"], [4002, "timeout", null], [4002, "room_error", null],
  [1001, "", null], [1006, "", null], [1008, "", null], [1009, "", null], [1011, "", null], [1013, "slow", null],
])) {
  test(`close ${code} ${reason}: ${end ? "the end" : "comes back"}`, async () => {
    const { signal, sockets, last, enter, clock, closed } = setup();
    signal.open();
    enter();
    last().end(code, reason);
    assert.deepEqual(closed(), end ? [end] : []);
    await clock.pass(6000); // less than a connection may take
    assert.equal(sockets.length, end ? 1 : 2);
    if (!end) {
      last().open();
      assert.equal("resume" in last().sent[0], code !== 4002, "a seat that was taken away cannot be resumed");
    }
  });
}

test("bye: draining waits as long as asked, kicked does not come back", async () => {
  const one = setup();
  one.signal.open();
  one.enter();
  one.last().say({ type: "bye", reason: "draining", retryAfterMs: 3000 });
  await one.clock.pass(3099);
  assert.equal(one.sockets.length, 1);
  await one.clock.pass(1);
  assert.equal(one.sockets.length, 2);
  one.last().open();
  assert.equal("resume" in one.last().sent[0], false);

  const two = setup();
  two.signal.open();
  two.enter();
  two.last().say({ type: "bye", reason: "kicked" });
  assert.deepEqual(two.closed(), ["kicked"]);
  await two.clock.pass(20000);
  assert.equal(two.sockets.length, 1);
});

test("a silent socket is given up with a code that keeps the seat", async () => {
  const { signal, sockets, last, enter, clock } = setup();
  signal.open();
  enter();
  const first = last();
  await clock.pass(5000);
  assert.equal(first.sentOf("ping").length, 1);
  first.say({ type: "levels", levels: [] }); // anything is a sign of life
  await clock.pass(10000);
  assert.equal(sockets.length, 1);
  first.say({ type: "pong", t: 0 });
  await clock.pass(16000);
  assert.equal(sockets.length, 2);
  assert.equal(first.closedWith, 4000, "1000 and 1001 would tell the server that we leave");
  last().open();
  assert.equal(last().sent[0].resume, "secret");
});

test("measures the round trip", async () => {
  const { signal, last, enter, clock } = setup();
  signal.open();
  enter();
  assert.equal(signal.rttMs, null);
  await clock.pass(5000);
  const { t } = last().sentOf("ping")[0];
  await clock.pass(37);
  last().say({ type: "pong", t });
  assert.equal(signal.rttMs, 37);
});

test("poked while joined: asks, and gives the socket up soon", async () => {
  const { signal, sockets, last, enter, clock } = setup();
  signal.open();
  enter();
  signal.poke();
  assert.equal(last().sentOf("ping").length, 1);
  await clock.pass(100);
  last().say({ type: "pong", t: 1 });
  await clock.pass(2500);
  assert.equal(sockets.length, 1, "it answered");
  signal.poke();
  await clock.pass(2600);
  assert.equal(sockets.length, 2, "it did not");
});

test("statistics that stop are a hint too, and what does not answer then is given up", async () => {
  const { signal, sockets, last, enter, clock } = setup();
  signal.open();
  enter();
  for (let second = 0; second < 2; second++) {
    last().say({ type: "stats" });
    await clock.pass(1000);
  }
  assert.equal(last().sentOf("ping").length, 0, "no question while they come");
  await clock.pass(1600);
  assert.equal(last().sentOf("ping").length, 1, "asked before the regular ping is due");
  await clock.pass(2600);
  assert.equal(sockets.length, 2);
  assert.equal(signal.state === "connecting" || signal.state === "waiting", true);
});

test("a socket that opens and says nothing is given up", async () => {
  const { signal, sockets, last, clock } = setup();
  signal.open();
  last().open();
  await clock.pass(7999);
  assert.equal(sockets.length, 1);
  await clock.pass(101);
  assert.equal(sockets.length, 2);
});

test("what an old socket says is not heard", async () => {
  const { signal, sockets, last, enter, clock, events } = setup();
  signal.open();
  enter();
  const old = last();
  old.end(1006);
  await clock.pass(100);
  enter(true);
  const before = events.length;
  old.say({ type: "bye", reason: "kicked" });
  old.end(4001);
  assert.equal(events.length, before);
  assert.equal(sockets.length, 2);
});

test("leaving says so, closes with 1000 and leaves no timer", () => {
  const { signal, last, enter, clock, closed } = setup();
  signal.open();
  enter();
  signal.leave();
  signal.leave();
  assert.equal(last().sentOf("leave").length, 1);
  assert.equal(last().closedWith, 1000);
  assert.deepEqual(closed(), ["left"]);
  assert.equal(clock.waiting, 0);
});

test("leaving while waiting leaves no timer", () => {
  const { signal, last, enter, clock, closed } = setup();
  signal.open();
  enter();
  last().end(1006);
  signal.leave();
  assert.deepEqual(closed(), ["left"]);
  assert.equal(clock.waiting, 0);
});

test("rejoin gives the seat up and takes a new one", async () => {
  const { signal, sockets, last, enter, clock, closed } = setup();
  signal.open();
  enter();
  signal.rejoin();
  assert.equal(sockets[0].sentOf("leave").length, 1);
  await clock.pass(100);
  last().open();
  assert.equal("resume" in last().sent[0], false);
  assert.deepEqual(closed(), []);
});

test("the socket's address follows the page's", () => {
  assert.equal(signalURL({ protocol: "http:", host: "localhost:8080" }), "ws://localhost:8080/ws");
  assert.equal(signalURL({ protocol: "https:", host: "[fd00::1]:8443" }), "wss://[fd00::1]:8443/ws");
});
