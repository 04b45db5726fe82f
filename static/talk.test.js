// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Talk } from "./talk.js";
import { Clock } from "./testkit/clock.js";

function setup() {
  const clock = new Clock();
  /** @type {boolean[]} */ const live = [];
  const talk = new Talk({ onLive: (on) => live.push(on), onChange: () => {} }, clock.env);
  return { clock, live, talk };
}

test("mute and unmute", () => {
  const { talk, live } = setup();
  assert.equal(talk.live, true);
  assert.equal(talk.press(), false, "nothing to hold while live");
  talk.toggle();
  talk.set(true); // again: no news
  talk.toggle();
  assert.deepEqual(live, [false, true]);
});

test("holding talks at once, and a tail after the end", async () => {
  const { talk, live, clock } = setup();
  talk.set(true);
  assert.equal(talk.press(), true);
  assert.equal(talk.live, true);
  assert.equal(talk.press(), true, "key repeat");
  await clock.pass(1000);
  talk.release(true);
  assert.equal(talk.live, true);
  await clock.pass(179);
  assert.equal(talk.live, true);
  await clock.pass(1);
  assert.equal(talk.live, false);
  assert.equal(talk.muted, true);
  assert.deepEqual(live, [false, true, false]);
});

test("a short press of the button unmutes, of the key elsewhere only talks", async () => {
  const one = setup();
  one.talk.set(true);
  one.talk.press();
  await one.clock.pass(100);
  one.talk.release(true);
  assert.equal(one.talk.muted, false);
  await one.clock.pass(1000);
  assert.deepEqual(one.live, [false, true], "no gap in between");

  const two = setup();
  two.talk.set(true);
  two.talk.press();
  await two.clock.pass(100);
  two.talk.release(false);
  await two.clock.pass(1000);
  assert.equal(two.talk.muted, true);
  assert.deepEqual(two.live, [false, true, false]);
});

test("pressed again within the tail: no gap", async () => {
  const { talk, live, clock } = setup();
  talk.set(true);
  talk.press();
  await clock.pass(500);
  talk.release(false);
  await clock.pass(100);
  talk.press();
  await clock.pass(1000);
  assert.deepEqual(live, [false, true]);
  assert.equal(talk.live, true);
});

test("muted by somebody while holding: silent at once, and the release does nothing", async () => {
  const { talk, live, clock } = setup();
  talk.set(true);
  talk.press();
  talk.set(true);
  assert.equal(talk.live, false);
  talk.release(true);
  await clock.pass(1000);
  assert.deepEqual(live, [false, true, false]);
  assert.equal(clock.waiting, 0);
});
