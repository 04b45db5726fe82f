// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { Devices } from "./devices.js";
import { failure, micFailure } from "./failures.js";
import { Ballistics, meterShare, rmsDB } from "./levels.js";
import { Microphone } from "./mic.js";

const wish = { input: "", echoCancellation: true, noiseSuppression: true, autoGainControl: false };

class FakeTrack extends EventTarget {
  enabled = true;
  stopped = false;
  contentHint = "";
  /** @param {string} label */
  constructor(label) { super(); this.label = label; }
  stop() { this.stopped = true; }
  getSettings() { return { deviceId: this.label }; }
}

/** @param {(audio: any) => FakeTrack} give */
function fakeMedia(give) {
  /** @type {any[]} */ const asked = [];
  return {
    asked,
    media: /** @type {any} */ ({
      getUserMedia: async (/** @type {any} */ { audio, video }) => {
        assert.equal(video, false);
        asked.push(audio);
        const track = give(audio);
        return { getAudioTracks: () => [track] };
      },
      enumerateDevices: async () => [
        { kind: "audioinput", deviceId: "default", label: "Default - Desk mic" },
        { kind: "audioinput", deviceId: "m1", label: "Desk mic" },
        { kind: "audioinput", deviceId: "m2", label: "" },
        { kind: "videoinput", deviceId: "v1", label: "Camera" },
        { kind: "audiooutput", deviceId: "communications", label: "x" },
        { kind: "audiooutput", deviceId: "s1", label: "Headset" },
      ],
    }),
  };
}

/** @param {string} name @param {string} [message] */
const refuse = (name, message = "") => () => { throw Object.assign(new Error(message), { name }); };

test("asks for what is wished", async () => {
  const { media, asked } = fakeMedia(() => new FakeTrack("a"));
  await new Devices(media).open({ ...wish, input: "m1" });
  assert.deepEqual(asked, [{ echoCancellation: true, noiseSuppression: true, autoGainControl: false, channelCount: 1, deviceId: { exact: "m1" } }]);
});

test("both channels of the microphone where they are wished", async () => {
  const { media, asked } = fakeMedia(() => new FakeTrack("a"));
  await new Devices(media).open({ input: "", echoCancellation: false, noiseSuppression: false, autoGainControl: false, stereo: true });
  assert.deepEqual(asked, [{ echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 2 }]);
});

test("a remembered microphone that is gone gives way to the default one", async () => {
  const { media, asked } = fakeMedia((audio) => {
    if (audio.deviceId) refuse("OverconstrainedError")();
    return new FakeTrack("default");
  });
  const track = await new Devices(media).open({ ...wish, input: "gone" });
  assert.equal(track.label, "default");
  assert.equal(asked.length, 2);
});

test("a refusal is not asked again", async () => {
  const { media, asked } = fakeMedia(/** @type {any} */ (refuse("NotAllowedError")));
  await assert.rejects(new Devices(media).open({ ...wish, input: "m1" }), { name: "NotAllowedError" });
  assert.equal(asked.length, 1);
});

test("lists devices: our default first, aliases out, names for the nameless", async () => {
  const { inputs, outputs } = await new Devices(fakeMedia(() => new FakeTrack("a")).media).list();
  assert.deepEqual(inputs, [{ id: "", label: "System default (Desk mic)" }, { id: "m1", label: "Desk mic" }, { id: "m2", label: "Microphone 2" }]);
  assert.deepEqual(outputs, [{ id: "", label: "System default" }, { id: "s1", label: "Headset" }]);
});

test("a page without devices", async () => {
  const devices = new Devices(/** @type {any} */ (null));
  assert.equal(devices.available, false);
  assert.equal((await devices.list()).inputs.length, 1);
  await assert.rejects(devices.open(wish), { name: "InsecureError" });
});

function microphone(/** @type {any} */ give) {
  /** @type {any[]} */ const told = [];
  let lost = 0;
  const { media } = fakeMedia(give);
  const mic = new Microphone(new Devices(media), { onTrack: (track) => told.push(track), onLost: () => lost++ });
  return { mic, told, lost: () => lost };
}

test("changing the microphone stops the old one first and keeps mute", async () => {
  /** @type {FakeTrack[]} */ const given = [];
  const { mic, told, lost } = microphone(() => {
    assert.ok(given.every((track) => track.stopped), "one at a time");
    given.push(new FakeTrack(String(given.length)));
    return given.at(-1);
  });
  assert.equal(await mic.open(wish), null);
  mic.setLive(false);
  assert.equal(given[0].enabled, false);
  await Promise.all([mic.open(wish), mic.open(wish)]);
  assert.equal(given.length, 3);
  assert.equal(given[2].enabled, false);
  assert.equal(given[2].contentHint, "speech");
  assert.deepEqual(told, given);
  given[0].dispatchEvent(new Event("ended")); // of an old one
  assert.equal(lost(), 0);
  given[2].dispatchEvent(new Event("ended"));
  assert.equal(lost(), 1);
  assert.equal(mic.track, null);
  assert.equal(told.at(-1), null);
});

test("closing it releases it", async () => {
  const track = new FakeTrack("a");
  const { mic, told } = microphone(() => track);
  await mic.open(wish);
  await mic.close();
  await mic.close();
  assert.equal(track.stopped, true);
  assert.deepEqual(told, [track, null]);
});

for (const [name, message, code] of [
  ["NotFoundError", "", "no_microphone"], ["NotAllowedError", "Permission denied", "mic_denied"], ["NotAllowedError", "Permission denied by system", "mic_denied_system"],
  ["NotReadableError", "", "mic_in_use"], ["AbortError", "", "mic_in_use"], ["InsecureError", "", "insecure"], ["TypeError", "", "mic_failed"],
]) {
  test(`${name} "${message}" is told as ${code}`, async () => {
    const { mic, told } = microphone(refuse(name, message));
    const failed = await mic.open(wish);
    assert.equal(failed?.code, code);
    assert.deepEqual(told, [null]);
    assert.equal(micFailure({ name, message }).code, code);
  });
}

test("every failure has a title and a sentence to act on", () => {
  const codes = ["no_microphone", "mic_denied", "mic_denied_system", "mic_in_use", "mic_failed", "insecure", "unreachable", "no_route", "dtls", "browser_old", "no_common_codec",
    "room_full", "server_full", "draining", "no_token", "bad_token", "token_expired", "forbidden", "bad_room", "bad_name", "left", "kicked", "replaced", "closed", "internal"];
  const fallback = failure("no-such-code").title;
  for (const code of codes) {
    const { title, text } = failure(code);
    assert.notEqual(title, fallback, code);
    assert.match(text, /^[A-Z].*[.]$/s, code);
    assert.doesNotMatch(title, /[.]$/, code);
  }
  assert.match(failure("new_code", "The server's words").text, /The server's words \(new_code\)/);
});

test("levels: RMS in dBFS, the meter's share, quick up and slow down", () => {
  assert.equal(rmsDB(new Float32Array(480)), -100);
  assert.equal(rmsDB([]), -100);
  assert.equal(rmsDB([1, -1, 1, -1]), 0);
  assert.ok(Math.abs(rmsDB(Float32Array.from({ length: 4800 }, (_, i) => 0.1 * Math.sin((2 * Math.PI * i) / 48))) - -23.01) < 0.01);
  assert.deepEqual([-100, -60, -35, -10, 0].map(meterShare), [0, 0, 0.5, 1, 1]);
  const ballistics = new Ballistics();
  assert.equal(ballistics.next(1, 16), 1);
  assert.ok(Math.abs(ballistics.next(0, 180) - Math.exp(-1)) < 1e-12);
  assert.equal(ballistics.next(0.9, 16), 0.9);
  assert.equal(ballistics.next(0, 2000), 0);
});
