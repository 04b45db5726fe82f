// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { StatsReader, mouthToEarMs } from "./stats.js";
import { statRows } from "./statsview.js";

/** @param {number} k seconds since the start @returns {Map<string, any>} */
function report(k) {
  return new Map(Object.entries(/** @type {Record<string, any>} */ ({
    T: { id: "T", type: "transport", selectedCandidatePairId: "P" },
    P: { id: "P", type: "candidate-pair", currentRoundTripTime: 0.0234, localCandidateId: "L", remoteCandidateId: "R" },
    L: { id: "L", type: "local-candidate", candidateType: "relay", relayProtocol: "tls", protocol: "udp", address: "10.0.0.1", port: 5000 },
    R: { id: "R", type: "remote-candidate", candidateType: "host", address: "fd00::2", port: 10003 },
    C: { id: "C", type: "codec", mimeType: "audio/opus", clockRate: 48000, sdpFmtpLine: "minptime=10;useinbandfec=1;usedtx=1" },
    I: { id: "I", type: "inbound-rtp", kind: "audio", codecId: "C", timestamp: 1000 * k, packetsReceived: 45 * k, packetsLost: 5 * k, bytesReceived: 4000 * k, jitter: 0.003,
      jitterBufferEmittedCount: 48000 * k, jitterBufferDelay: 48000 * 0.04 * k, jitterBufferTargetDelay: 48000 * 0.03 * k, totalSamplesReceived: 48000 * k, concealedSamples: 4800 * k, silentConcealedSamples: 2400 * k },
    O: { id: "O", type: "outbound-rtp", kind: "audio", timestamp: 1000 * k, bytesSent: 3000 * k },
    M: { id: "M", type: "remote-inbound-rtp", kind: "audio", fractionLost: 0.02 },
    Y: { id: "Y", type: "media-playout", totalPlayoutDelay: 48000 * 0.015 * k, totalSamplesCount: 48000 * k },
  })));
}

test("rates and means between two reports", () => {
  const reader = new StatsReader();
  const first = reader.read(report(1));
  assert.equal(first.bufferMs, null, "one report says nothing about the last second");
  assert.equal(first.downLoss, null);
  const second = reader.read(report(3));
  /** @type {Record<string, any>} */
  const rounded = Object.fromEntries(Object.entries(second).map(([key, value]) => [key, typeof value === "number" ? Math.round(value * 1000) / 1000 : value]));
  assert.deepEqual(rounded, {
    rttMs: 23.4, sentKbps: 24, receivedKbps: 32, upLoss: 0.02, downLoss: 0.1, jitterMs: 3, bufferMs: 40, targetMs: 30, playoutMs: 15, concealed: 0.05,
    codec: "opus 48 kHz, FEC, DTX", pair: "relay 10.0.0.1:5000 → host [fd00::2]:10003", path: "Relayed by TURN over TLS",
  });
});

test("another stream, or a counter that went back, starts over", () => {
  const reader = new StatsReader();
  reader.read(report(5));
  assert.equal(reader.read(report(2)).sentKbps, null);
  const other = report(9);
  const inbound = other.get("I");
  other.delete("I");
  other.set("I2", { ...inbound, id: "I2" });
  assert.equal(reader.read(other).bufferMs, null);
});

test("nothing known", () => {
  const stats = new StatsReader().read(null);
  assert.equal(stats.rttMs, null);
  assert.equal(stats.path, "");
  assert.equal(mouthToEarMs(stats, null), null);
  const values = statRows(stats, null, { socketRttMs: null, state: "connecting" }).flatMap((group) => group.rows.map((row) => row.value));
  assert.deepEqual(new Set(values), new Set(["–", "connecting"]));
});

test("mouth to ear: the sum of its parts", () => {
  const reader = new StatsReader();
  reader.read(report(1));
  const client = reader.read(report(2));
  // 10 capture + 2 × (20 packet + 6.5 encoder) + 10 mixer + 42 server buffer + 23.4 round trip + 40 browser buffer + 15 playout
  assert.equal(Math.round((mouthToEarMs(client, { up: { bufferMs: 42 } }) ?? 0) * 10), 1934);
  assert.equal(mouthToEarMs(client, { up: { bufferMs: 0 } }), null, "no voice yet");
});

test("the drawer's rows", () => {
  const reader = new StatsReader();
  reader.read(report(1));
  const rows = Object.fromEntries(statRows(reader.read(report(2)), { up: { bufferMs: 42, targetMs: 40, lossFraction: 0.06, concealedFraction: 0.004, jitterMs: 3.14 } }, { socketRttMs: 0.44, state: "connected" }).flatMap((group) => group.rows.map((row) => [row.label, [row.value, Boolean(row.bad)]])));
  assert.deepEqual(rows["Mouth to ear, about"], ["195 ms", false]);
  assert.deepEqual(rows["Buffer in the server"], ["42 ms (40)", false]);
  assert.deepEqual(rows["Made up by the server"], ["0.4 %", false]);
  assert.deepEqual(rows["Made up by this browser"], ["5.0 %", false]);
  assert.deepEqual(rows["Round trip"], ["23 ms", false]);
  assert.deepEqual(rows["Signaling round trip"], ["0.4 ms", false]);
});
