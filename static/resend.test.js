// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { setLocalDescription, withResends } from "./resend.js";

const head = "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const opus = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n" +
  "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";
const line = "a=rtcp-fb:111 nack\r\n";
const more = opus.replace("opus/48000/2\r\n", `opus/48000/2\r\n${line}`);

for (const [name, sdp, want] of /** @type {[string, string, string][]} */ ([
  ["Chromium's offer", head + opus, head + more],
  ["a second audio section", head + opus + opus, head + more + more],
  ["bare line feeds", (head + opus).replaceAll("\r\n", "\n"), (head + more).replaceAll("\r\n", "\n")],
  ["another payload type, capitals", head + "m=audio 9 RTP 96\r\na=rtpmap:96 OPUS/48000/2\r\n",
    head + "m=audio 9 RTP 96\r\na=rtpmap:96 OPUS/48000/2\r\na=rtcp-fb:96 nack\r\n"],
  ["only nack pli is there", head + opus + "a=rtcp-fb:111 nack pli\r\n", head + more + "a=rtcp-fb:111 nack pli\r\n"],
])) test(`adds the line: ${name}`, () => assert.equal(withResends(sdp), want));

for (const [name, sdp] of /** @type {[string, string][]} */ ([
  ["it is there", head + more],
  ["it is there for all payload types", head + opus + "a=rtcp-fb:* nack\r\n"],
  ["no Opus", head + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtpmap:0 PCMU/8000\r\n"],
  ["video", head + "m=video 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"],
  ["no section", head],
  ["nothing", ""],
  ["Firefox", head.replace("o=-", "o=mozilla...THIS_IS_SDPARTA-99.0") + opus],
])) test(`leaves it alone: ${name}`, () => assert.equal(withResends(sdp), sdp));

/** @param {any} peer @param {any} [sound] */
async function set(peer, sound) {
  /** @type {any[]} */ const tried = [];
  await setLocalDescription(/** @type {any} */ ({
    signalingState: "stable",
    createOffer: async () => ({ type: "offer", sdp: head + opus }),
    createAnswer: async () => ({ type: "answer", sdp: head + opus }),
    setLocalDescription: async (/** @type {any} */ d) => {
      tried.push(d);
      if (peer.strict && d.sdp.includes(line)) throw new Error("modified");
    },
    ...peer,
  }), sound);
  return tried;
}

test("the offer says it; an answer says it to an offer that does", async () => {
  assert.deepEqual(await set({}), [{ type: "offer", sdp: head + more }]);
  const answering = { signalingState: "have-remote-offer" };
  assert.deepEqual(await set({ ...answering, remoteDescription: { sdp: head + more } }), [{ type: "answer", sdp: head + more }]);
  assert.deepEqual(await set({ ...answering, remoteDescription: { sdp: head + opus } }), [{ type: "answer", sdp: head + opus }]);
});

test("stereo is asked for where the room has it, also in an answer", async () => {
  const both = (/** @type {string} */ sdp) => sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1");
  assert.deepEqual((await set({}, { stereo: true })).map((d) => d.sdp), [head + both(more)]);
  const answering = { signalingState: "have-remote-offer", remoteDescription: { sdp: head + opus } };
  assert.deepEqual((await set(answering, { stereo: true })).map((d) => d.sdp), [head + both(opus)]);
});

test("a browser that refuses edited descriptions gets its own", async () => {
  assert.deepEqual((await set({ strict: true })).map((d) => d.sdp), [head + more, head + opus]);
});

test("a description that is refused as it is stays an error", async () => {
  await assert.rejects(set({ setLocalDescription: async () => { throw new Error("closed"); } }), /closed/);
});
