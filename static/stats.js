// @ts-check
// What the browser knows about the call, as the numbers people ask for: rates and means over the time between two
// RTCStatsReports. No DOM.

/**
 * @typedef {object} ClientStats Every figure is null until it is known.
 * @property {number | null} rttMs of the ICE pair in use
 * @property {number | null} sentKbps
 * @property {number | null} receivedKbps
 * @property {number | null} upLoss 0..1, what the server reports of our packets
 * @property {number | null} downLoss 0..1, of the server's packets
 * @property {number | null} jitterMs of the server's packets
 * @property {number | null} bufferMs mean delay in the browser's jitter buffer
 * @property {number | null} targetMs what it aims at
 * @property {number | null} playoutMs between the jitter buffer and the loudspeaker
 * @property {number | null} concealed 0..1, share of audible samples that were made up
 * @property {string} codec
 * @property {string} pair "host 192.168.1.5:53124 → host 192.168.1.2:10003"
 * @property {string} path "Direct over UDP", "Relayed by TURN over TLS" …
 */

/** @typedef {Map<string, any>} Report */

export class StatsReader {
  /** @type {Record<string, number> | null} */ #last = null;
  #lastId = "";

  /**
   * @param {{forEach: (f: (entry: any) => void) => void} | null} report
   * @returns {ClientStats}
   */
  read(report) {
    /** @type {Report} */
    const byId = new Map();
    report?.forEach((entry) => byId.set(entry.id, entry));
    const all = [...byId.values()];
    const inbound = all.find((s) => s.type === "inbound-rtp" && s.kind === "audio");
    const outbound = all.find((s) => s.type === "outbound-rtp" && s.kind === "audio");
    const remoteInbound = all.find((s) => s.type === "remote-inbound-rtp" && s.kind === "audio");
    const playout = all.find((s) => s.type === "media-playout");
    const pair = selectedPair(all, byId);

    const id = `${inbound?.id} ${outbound?.id}`;
    const last = id === this.#lastId ? this.#last : null;
    /** @type {Record<string, number>} */
    const now = {};
    /** @param {string} key @param {unknown} value @returns {number | null} growth since the last report */
    const grown = (key, value) => {
      if (typeof value !== "number") return null;
      now[key] = value;
      return last && key in last && value >= last[key] ? value - last[key] : null;
    };

    const seconds = ratio(grown("time", (inbound || outbound)?.timestamp), 1000);
    const received = grown("received", inbound?.packetsReceived);
    const lost = grown("lost", inbound?.packetsLost);
    const emitted = grown("emitted", inbound?.jitterBufferEmittedCount);
    const samples = grown("samples", inbound?.totalSamplesReceived);
    const concealed = grown("concealed", inbound?.concealedSamples);
    const silent = grown("silent", inbound?.silentConcealedSamples);
    const played = grown("played", playout?.totalSamplesCount);
    const sentBits = grown("sent", outbound?.bytesSent);
    const receivedBits = grown("receivedBytes", inbound?.bytesReceived);
    const buffer = grown("buffer", inbound?.jitterBufferDelay);
    const target = grown("target", inbound?.jitterBufferTargetDelay);
    const playoutDelay = grown("playout", playout?.totalPlayoutDelay);
    this.#last = now;
    this.#lastId = id;

    const codec = byId.get(outbound?.codecId) || byId.get(inbound?.codecId);
    return {
      rttMs: scale(pair?.currentRoundTripTime ?? remoteInbound?.roundTripTime, 1000),
      sentKbps: scale(ratio(sentBits, seconds), 0.008),
      receivedKbps: scale(ratio(receivedBits, seconds), 0.008),
      upLoss: typeof remoteInbound?.fractionLost === "number" ? remoteInbound.fractionLost : null,
      downLoss: lost === null || received === null ? null : received + lost > 0 ? lost / (received + lost) : 0,
      jitterMs: scale(inbound?.jitter, 1000),
      bufferMs: scale(ratio(buffer, emitted), 1000),
      targetMs: scale(ratio(target, emitted), 1000),
      playoutMs: scale(ratio(playoutDelay, played), 1000),
      concealed: samples && concealed !== null ? Math.max(0, concealed - (silent || 0)) / samples : samples === 0 ? 0 : null,
      codec: codec ? describeCodec(codec) : "",
      pair: pair ? describePair(pair, byId) : "",
      path: pair ? describePath(pair, byId) : "",
    };
  }
}

/**
 * The delay from this person's mouth to the ear of somebody with a connection like theirs: what is measured on the way,
 * plus what is known of the rest. An estimate; the two halves of the path are taken as equal.
 * @param {ClientStats} client
 * @param {{up?: {bufferMs?: number}} | null} server
 * @returns {number | null}
 */
export function mouthToEarMs(client, server) {
  const bufferMs = server?.up?.bufferMs;
  if (client.rttMs === null || client.bufferMs === null || typeof bufferMs !== "number" || bufferMs <= 0) return null;
  const CAPTURE_MS = 10; // one block of the browser's audio input
  const PACKET_MS = 20; // an Opus frame is complete only at its end; twice on the way, browser and server
  const ENCODER_MS = 6.5; // look-ahead of libopus
  const MIXER_MS = 10; // one tick
  return CAPTURE_MS + 2 * (PACKET_MS + ENCODER_MS) + MIXER_MS + bufferMs + client.rttMs + client.bufferMs + (client.playoutMs ?? 20);
}

/** @param {any[]} all @param {Report} byId */
function selectedPair(all, byId) {
  const transport = all.find((s) => s.type === "transport" && s.selectedCandidatePairId);
  if (transport) return byId.get(transport.selectedCandidatePairId);
  return all.find((s) => s.type === "candidate-pair" && (s.selected || (s.nominated && s.state === "succeeded")));
}

/** @param {any} codec */
function describeCodec(codec) {
  const name = String(codec.mimeType || "").replace(/^audio\//i, "");
  const flags = [];
  const fmtp = String(codec.sdpFmtpLine || "");
  if (/useinbandfec=1/.test(fmtp)) flags.push("FEC");
  if (/usedtx=1/.test(fmtp)) flags.push("DTX");
  const rate = codec.clockRate ? ` ${codec.clockRate / 1000} kHz` : "";
  return name + rate + (flags.length ? `, ${flags.join(", ")}` : "");
}

/** @param {any} pair @param {Report} byId */
function describePair(pair, byId) {
  /** @param {any} c */
  const side = (c) => {
    if (!c) return "unknown";
    const address = c.address || c.ip || "hidden";
    const host = address.includes(":") ? `[${address}]` : address;
    return `${c.candidateType} ${host}${c.port ? ":" + c.port : ""}`;
  };
  const local = byId.get(pair.localCandidateId);
  return `${side(local)} → ${side(byId.get(pair.remoteCandidateId))}`;
}

/** @param {any} pair @param {Report} byId */
function describePath(pair, byId) {
  const local = byId.get(pair.localCandidateId);
  const protocol = String(local?.protocol || "").toUpperCase();
  if (local?.candidateType === "relay") return `Relayed by TURN over ${String(local.relayProtocol || "udp").toUpperCase()}`;
  return protocol ? `Direct over ${protocol}` : "";
}

/** @param {number | null} a @param {number | null} b */
function ratio(a, b) {
  return a === null || b === null || b <= 0 ? null : a / b;
}

/** @param {number | null | undefined} value @param {number} by */
function scale(value, by) {
  return typeof value === "number" && Number.isFinite(value) ? value * by : null;
}
