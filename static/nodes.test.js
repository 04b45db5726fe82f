// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Signal } from "./signal.js";
import { Clock } from "./testkit/clock.js";

/** A client of node a, with what it has dialled. */
function setup() {
  const clock = new Clock();
  /** @type {any[]} */ const sockets = [];
  /** @type {string[]} */ const ends = [];
  const signal = new Signal("wss://a/ws", { room: "r", name: "Ann" }, {
    onJoined: () => {}, onMessage: () => {}, onState: () => {}, onClosed: (end) => ends.push(end.code),
  }, {
    ...clock.env,
    random: () => 1,
    socket: (url) => {
      const socket = {
        url, readyState: 0, sent: /** @type {any[]} */ ([]),
        send(/** @type {string} */ data) { this.sent.push(JSON.parse(data)); },
        close() { this.readyState = 3; },
        open() { this.readyState = 1; this.onopen(); },
        say(/** @type {any} */ message) { this.onmessage({ data: JSON.stringify(message) }); },
        end(/** @type {number} */ code) { this.readyState = 3; this.onclose({ code, reason: "" }); },
        onopen() {}, onmessage(/** @type {any} */ _event) {}, onclose(/** @type {any} */ _event) {}, onerror() {},
      };
      sockets.push(socket);
      return /** @type {any} */ (socket);
    },
  });
  const last = () => sockets.at(-1);
  const enter = (/** @type {string[]} */ nodes, secret = "secret") => {
    last().open();
    last().say({ type: "joined", resumed: false, resume: secret, participant: "me", nodes });
  };
  return { clock, sockets, signal, last, enter, ends, urls: () => sockets.map((socket) => socket.url) };
}

test("goes on with the next node when its own does not answer, within 200 ms", async () => {
  const { clock, signal, last, enter, urls } = setup();
  signal.open();
  enter(["https://b", "https://c"]);
  assert.equal(signal.origin, "https://a");
  last().end(1006);
  await clock.pass(100);
  assert.deepEqual(urls(), ["wss://a/ws", "wss://a/ws"], "a socket may be lost without the node");
  last().end(1006);
  await clock.pass(60);
  assert.equal(last().url, "wss://b/ws");
  last().end(1006);
  await clock.pass(60);
  assert.equal(last().url, "wss://c/ws");
  last().open();
  assert.deepEqual(last().sent[0], { type: "join", room: "r", name: "Ann", failed: "https://a" }, "the seat's secret is for its node alone");
  last().say({ type: "joined", resumed: false, resume: "other", participant: "me2", nodes: ["https://b"] });
  assert.equal(signal.origin, "https://c");
  last().end(1006);
  await clock.pass(100);
  assert.equal(last().url, "wss://c/ws");
  last().open();
  assert.equal(last().sent[0].resume, "other");
});

test("a node that hangs is given up sooner when there are others, and all are tried again", async () => {
  const { clock, signal, last, enter, urls } = setup();
  signal.open();
  enter(["https://b"]);
  last().end(1006);
  await clock.pass(100 + 2500 + 60);
  assert.equal(last().url, "wss://b/ws");
  last().end(1006);
  await clock.pass(1000);
  assert.deepEqual(urls().slice(-2), ["wss://b/ws", "wss://a/ws"], "from the beginning, after a while");
});

test("the list of nodes is kept up to date", async () => {
  const { clock, signal, last, enter } = setup();
  signal.open();
  enter([]);
  last().say({ type: "nodes", nodes: ["https://d", "javascript:alert(1)", 7] });
  last().end(1006);
  await clock.pass(100);
  last().end(1006);
  await clock.pass(60);
  assert.equal(last().url, "wss://d/ws");
});

test("a draining node sends its clients to the others at once", async () => {
  const { clock, signal, last, enter } = setup();
  signal.open();
  enter(["https://b"]);
  last().say({ type: "bye", reason: "draining", retryAfterMs: 4000 });
  await clock.pass(60);
  assert.equal(last().url, "wss://b/ws");
});

test("a full node is no end while there are others", async () => {
  const { clock, signal, last, enter, ends } = setup();
  signal.open();
  enter(["https://b", "https://c"]);
  last().end(1006);
  await clock.pass(100);
  last().end(1006);
  await clock.pass(60);
  assert.equal(last().url, "wss://b/ws");
  last().open();
  last().say({ type: "error", code: "server_full", fatal: true });
  await clock.pass(60);
  assert.equal(last().url, "wss://c/ws");
  last().open();
  last().say({ type: "error", code: "room_full", fatal: true });
  assert.deepEqual(ends, ["room_full"]);
});

test("a redirect is followed, but not for ever", async () => {
  const { clock, signal, last, urls } = setup();
  signal.open();
  last().open();
  last().say({ type: "redirect", url: "https://b:8443" });
  assert.equal(last().url, "wss://b:8443/ws");
  last().open();
  assert.equal(last().sent[0].redirected, true);
  last().say({ type: "redirect", url: "javascript:alert(1)" });
  for (let i = 0; i < 10; i++) {
    await clock.pass(10000);
    last().open();
    last().say({ type: "redirect", url: "https://a" });
  }
  assert.ok(urls().length < 20, `${urls().length} attempts`);
});
