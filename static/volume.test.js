import assert from "node:assert/strict";
import { test } from "node:test";

import { Volumes, gainOf, percentOf } from "./volume.js";

test("the slider's middle is as sent, its ends are silence and twice the amplitude", () => {
  assert.deepEqual([0, 50, 100, 150, 200, 300, -5].map(gainOf), [0, 0.25, 1, 1.5, 2, 2, 0]);
});

test("what was set is shown again", () => {
  for (let percent = 0; percent <= 200; percent += 5) assert.equal(percentOf(gainOf(percent)), percent);
});

test("dragging sends the last value, not each", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const volumes = new Volumes((id, gain) => sent.push([id, gain]));
  for (const gain of [0.9, 0.5, 0.2]) volumes.set("bob", gain);
  assert.deepEqual(sent, []);
  t.mock.timers.tick(100);
  assert.deepEqual(sent, [["bob", 0.2]]);
  t.mock.timers.tick(1000);
  assert.equal(sent.length, 1);
  volumes.set("bob", 1);
  t.mock.timers.tick(100);
  assert.deepEqual(sent[1], ["bob", 1]);
  assert.equal(volumes.get("bob"), 1);
});

test("a new session is told again, of those who are still there", () => {
  const sent = [];
  const volumes = new Volumes((id, gain) => sent.push([id, gain]), 0);
  volumes.set("bob", 0.5);
  volumes.set("eve", 0);
  volumes.again(["bob", "ann"]);
  assert.deepEqual(sent, [["bob", 0.5]]);
  assert.equal(volumes.get("eve"), 1);
});
