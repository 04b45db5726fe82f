// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { withStereo } from "./stereo.js";

const head = "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const audio = (/** @type {string} */ parameters) => "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n" +
  `a=fmtp:111 ${parameters}\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n`;
const video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n";
const plain = head + audio("minptime=10;useinbandfec=1") + video;

for (const [name, sdp, sound, want] of /** @type {[string, string, any, string][]} */ ([
  ["a room with two sides", plain, { stereo: true }, head + audio("minptime=10;useinbandfec=1;stereo=1") + video],
  ["music", plain, { stereo: true, music: true }, head + audio("minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1") + video],
  ["a browser that says otherwise", head + audio("stereo=0; minptime=10"), { stereo: true }, head + audio("minptime=10;stereo=1")],
  ["bare line feeds", plain.replaceAll("\r\n", "\n"), { stereo: true },
    (head + audio("minptime=10;useinbandfec=1;stereo=1") + video).replaceAll("\r\n", "\n")],
])) test(`asks for stereo: ${name}`, () => assert.equal(withStereo(sdp, sound), want));

for (const [name, sdp, sound] of /** @type {[string, string, any][]} */ ([
  ["a mono room", plain, { stereo: false }],
  ["a mono room for music", plain, { stereo: false, music: true }],
  ["nothing is known of the room", plain, {}],
  ["it is there", head + audio("minptime=10;stereo=1"), { stereo: true }],
  ["no Opus", head + "m=audio 9 RTP 0\r\na=rtpmap:0 PCMU/8000\r\na=fmtp:0 x=1\r\n", { stereo: true }],
])) test(`leaves it alone: ${name}`, () => assert.equal(withStereo(sdp, sound), sdp));
