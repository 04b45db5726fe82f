// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { bannerFor } from "./banner.js";

const well = { call: "connected", failed: "", slow: false, socket: "joined", reason: "", attempt: 0, lostForMs: Infinity, online: true };

for (const [name, change, tone, words, action] of /** @type {[string, any, string | null, RegExp, string?][]} */ ([
  ["all is well", {}, null, /^$/],
  ["connecting, not for long", { call: "connecting" }, null, /^$/],
  ["connecting for long", { call: "connecting", slow: true }, "busy", /longer than usual/],
  ["a short loss of the socket", { socket: "waiting", lostForMs: 200, attempt: 1 }, null, /^$/],
  ["the socket is lost, the sound is not", { socket: "waiting", attempt: 1 }, "busy", /^Reconnecting.* The sound goes on\.$/],
  ["both are lost", { socket: "connecting", attempt: 2, call: "restarting" }, "busy", /^Reconnecting to the server…$/],
  ["the server is away for long", { socket: "waiting", attempt: 5 }, "busy", /does not answer/, "poke"],
  ["no network", { socket: "waiting", attempt: 5, online: false }, "busy", /offline/],
  ["the browser is wrong about the network", { online: false }, null, /^$/],
  ["the server restarts", { socket: "waiting", attempt: 9, reason: "draining" }, "busy", /restarting/],
  ["ICE restart", { call: "restarting" }, "busy", /network changed/],
  ["no route", { call: "failed", failed: "no_route" }, "bad", /firewall or VPN/, "rejoin"],
  ["no route and no socket", { call: "failed", failed: "no_route", socket: "waiting", lostForMs: 10 }, "bad", /firewall or VPN/, "rejoin"],
])) {
  test(name, () => {
    const banner = bannerFor({ ...well, ...change });
    assert.equal(banner?.tone ?? null, tone);
    assert.match(banner?.text ?? "", words);
    assert.equal(banner?.action, action);
  });
}
