// @ts-check
// The statistics of both ends as the rows of the drawer. No DOM.

import { mouthToEarMs } from "./stats.js";

/** @typedef {{label: string, value: string, note?: string, bad?: boolean}} Row */

/**
 * @param {import("./stats.js").ClientStats} client
 * @param {any} server the `stats` message, null before the first
 * @param {{socketRttMs: number | null, state: string}} more
 * @returns {{title: string, rows: Row[]}[]}
 */
export function statRows(client, server, more) {
  const up = server?.up || {};
  const down = server?.down || {};
  const transport = server?.transport || {};
  const estimate = mouthToEarMs(client, server);
  const rtt = client.rttMs ?? (transport.rttMs > 0 ? transport.rttMs : null);
  return [
    {
      title: "Delay",
      rows: [
        { label: "Mouth to ear, about", value: estimate === null ? "–" : `${Math.round(estimate / 5) * 5} ms`, bad: estimate !== null && estimate > 400, note: "From you to somebody with a connection like yours: both network halves, both buffers, coding and mixing" },
        { label: "Round trip", value: ms(rtt), bad: rtt !== null && rtt > 300, note: "To the server and back, on the media path" },
        { label: "Buffer in the server", value: withTarget(number(up.bufferMs), number(up.targetMs)), note: "Your voice waits here so that late packets can still be used (target in brackets)" },
        { label: "Buffer in this browser", value: withTarget(client.bufferMs, client.targetMs), note: "The same for what you hear" },
      ],
    },
    {
      title: "From you to the server",
      rows: [
        { label: "Packet loss", value: percent(number(up.lossFraction) ?? client.upLoss), bad: (number(up.lossFraction) ?? client.upLoss ?? 0) > 0.05 },
        { label: "Made up by the server", value: percent(number(up.concealedFraction)), bad: (number(up.concealedFraction) ?? 0) > 0.05, note: "Concealment: share of your voice that was missing and had to be invented" },
        { label: "Jitter", value: ms(number(up.jitterMs)) },
        { label: "Bit rate", value: rate(client.sentKbps) },
      ],
    },
    {
      title: "From the server to you",
      rows: [
        { label: "Packet loss", value: percent(client.downLoss ?? number(down.lossFraction)), bad: (client.downLoss ?? 0) > 0.05 },
        { label: "Made up by this browser", value: percent(client.concealed), bad: (client.concealed ?? 0) > 0.05, note: "Concealment: share of what you heard that was missing and had to be invented" },
        { label: "Jitter", value: ms(client.jitterMs) },
        { label: "Bit rate", value: rate(client.receivedKbps) },
      ],
    },
    {
      title: "Path",
      rows: [
        { label: "Codec", value: client.codec || up.codec || "–" },
        { label: "Media", value: client.path || (transport.protocol ? String(transport.protocol).toUpperCase() : "–") },
        { label: "Candidates", value: client.pair || (transport.remoteAddress ? `${transport.remoteAddress} → ${transport.localAddress}` : "–") },
        { label: "State", value: more.state },
        { label: "Signaling round trip", value: ms(more.socketRttMs) },
      ],
    },
  ];
}

/** @param {unknown} value */
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** @param {number | null} value */
function ms(value) {
  return value === null ? "–" : `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ms`;
}

/** @param {number | null} value @param {number | null} target */
function withTarget(value, target) {
  return target === null || value === null ? ms(value) : `${ms(value)} (${Math.round(target)})`;
}

/** @param {number | null} value */
function percent(value) {
  return value === null ? "–" : `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
}

/** @param {number | null} kbps */
function rate(kbps) {
  return kbps === null ? "–" : `${Math.round(kbps)} kb/s`;
}
