// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanRoom, httpsAddress, isLoopback, parseLink, randomRoom, roomLink, validRoom } from "./link.js";

test("a link with everything", () => {
  assert.deepEqual(parseLink({ pathname: "/r/%C3%BCbung", hash: "#token=a.b-c_d&name=Ann%20B&autojoin=1&relay=1&listen=1" }), {
    room: "übung", token: "a.b-c_d", name: "Ann B", autojoin: true, relay: true, listen: true,
  });
});

test("a link with nothing, and odd ones", () => {
  const none = { room: "", token: "", name: "", autojoin: false, relay: false, listen: false };
  assert.deepEqual(parseLink({ pathname: "/", hash: "" }), none);
  assert.deepEqual(parseLink({ pathname: "/r/a/b", hash: "#autojoin=0" }), none);
  assert.equal(parseLink({ pathname: "/r/a/", hash: "#autojoin=yes" }).room, "a");
  assert.equal(parseLink({ pathname: "/r/%E0%A4", hash: "" }).room, "%E0%A4", "not UTF-8: shown as it is, and refused");
});

test("the link to give away has no token", () => {
  assert.equal(roomLink({ origin: "https://host:8443" }, "über.1"), "https://host:8443/r/%C3%BCber.1");
});

test("room names", () => {
  for (const room of ["a", "calm-otter-0001", "Über_2.x", "日本", "हिन्दी", "-", "a".repeat(64)]) assert.equal(validRoom(room), true, room);
  for (const room of ["", ".a", "a b", "a/b", "a?", "#", "a".repeat(65), "😀", "\u0301a", "a\n"]) assert.equal(validRoom(room), false, JSON.stringify(room));
});

test("loopback", () => {
  for (const host of ["localhost", "a.localhost", "127.0.0.1", "127.8.8.8", "[::1]"]) assert.equal(isLoopback(host), true, host);
  for (const host of ["localhost.example", "127.0.0.1.example", "192.168.1.5", "[fd00::1]", "xlocalhost"]) assert.equal(isLoopback(host), false, host);
});

test("what people type", () => {
  assert.equal(cleanRoom("  Team  Monday "), "Team-Monday");
  assert.equal(cleanRoom("https://host:8443/r/calm-otter#token=x"), "calm-otter");
  assert.equal(cleanRoom("http://h/r/%C3%BC"), "ü");
  assert.equal(cleanRoom("u\u0308"), "ü");
});

test("made-up names are valid and of six bytes of chance", () => {
  assert.equal(randomRoom(Uint8Array.from([0, 0, 0, 0, 0, 7])), "amber-anchor-0007");
  assert.equal(randomRoom(Uint8Array.from([255, 255, 255, 255, 255, 255])), "warm-willow-7295");
  const names = new Set(Array.from({ length: 50 }, () => randomRoom()));
  assert.ok(names.size > 40);
  for (const name of names) assert.ok(validRoom(name), name);
});

test("the HTTPS address keeps room and fragment", () => {
  const at = { hostname: "192.168.1.5", pathname: "/r/a", hash: "#token=t" };
  assert.equal(httpsAddress(at, "8443"), "https://192.168.1.5:8443/r/a#token=t");
  assert.equal(httpsAddress(at, "443"), "https://192.168.1.5/r/a#token=t");
  assert.equal(httpsAddress({ ...at, hostname: "[fd00::1]" }, "8443"), "https://[fd00::1]:8443/r/a#token=t");
  for (const port of ["", "0", "x", "123456", "1;"]) assert.equal(httpsAddress(at, port), "", port);
});
