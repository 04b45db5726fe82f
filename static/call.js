// @ts-check
// One call: an explicit state machine round one RTCPeerConnection. The client is the polite peer of W3C "perfect
// negotiation", trickles its candidates, and repairs its path by ICE restarts, which keep the connection, its keys and
// the audio element's track. No DOM, no socket: messages go out through send() and come in through handle().
//
// Its descriptions offer to send lost packets again, see resend.js.
//
//   idle ─▶ connecting ─▶ connected ◀─▶ restarting ─▶ failed        (any) ─▶ closed
//
// Mute is not here: a muted track stays attached with `enabled = false`. It then sends encoded silence, which Opus DTX
// turns into one tiny packet every 400 ms, so it costs next to nothing, unmuting is instant and needs no negotiation, and
// the microphone's level, device and permission stay as they were. replaceTrack(null) would stop the RTP stream: the
// server's jitter buffer could not tell mute from loss, and Safari would give the microphone away. The server is told as
// well, and mutes for itself.

import { setLocalDescription } from "./resend.js";

/** @typedef {{type: string, [key: string]: any}} Message */
/** @typedef {"idle"|"connecting"|"connected"|"restarting"|"failed"|"closed"} CallState */
/**
 * @typedef {object} CallHooks
 * @property {(message: Message) => boolean} send false when signaling is down; the call sends again on signalUp()
 * @property {(state: CallState, reason: string) => void} onState
 * @property {(track: MediaStreamTrack) => void} onTrack the mix; at most one live track at a time
 * @property {() => Promise<RTCIceServer[] | null>} [freshServers] ICE servers with credentials that are good now, asked
 *   before a restart: the first ones live for minutes, a call for hours. null or an error: the old ones will have to do
 */
/**
 * @typedef {object} CallOptions
 * @property {RTCIceServer[]} iceServers
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 * @property {MediaStreamTrack | null} track microphone, null to listen only
 * @property {boolean} publish may send
 * @property {boolean} subscribe may hear
 * @property {boolean} [stereo] what is heard has two sides
 * @property {boolean} [music] and what is sent may have
 */
/**
 * @typedef {object} CallEnv
 * @property {(config: RTCConfiguration) => RTCPeerConnection} peer
 * @property {(f: () => void, ms: number) => any} setTimeout
 * @property {(id: any) => void} clearTimeout
 * @property {() => number} now milliseconds
 */

const CONNECT_WITHIN_MS = 10000; // first connection, before the first restart is tried
const RESTART_WITHIN_MS = 8000; // one ICE restart
const RESTARTS_BEFORE_FIRST = 1; // a path that never worked rarely starts to
const RESTARTS_AFTER_FIRST = 6; // 48 s: inside the 60 s for which the server keeps an attached participant
const DISCONNECTED_GRACE_MS = 1000; // `disconnected` often heals alone
const ANSWER_WITHIN_MS = 5000; // then the offer is made again
const FRESH_WITHIN_MS = 1500; // a restart does not wait longer for new credentials
const NETWORK_QUIET_MS = 2000; // a network change makes several events

/** @type {Record<CallState, CallState[]>} */
const NEXT = {
  idle: ["connecting", "closed"],
  connecting: ["connected", "restarting", "failed", "closed"],
  connected: ["restarting", "failed", "closed"],
  restarting: ["connected", "failed", "closed"],
  failed: ["connected", "restarting", "closed"],
  closed: [],
};

/** @type {CallEnv} */
const browser = {
  peer: (config) => new RTCPeerConnection(config),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (id) => clearTimeout(id),
  now: () => Date.now(),
};

export class Call {
  /** @type {CallHooks} */ #hooks;
  /** @type {CallEnv} */ #env;
  /** @type {CallState} */ #state = "idle";
  /** @type {RTCPeerConnection | null} */ #pc = null;
  /** @type {RTCRtpTransceiver | null} */ #audio = null;
  /** @type {CallOptions | null} */ #options = null;
  /** @type {Promise<void>} */ #chain = Promise.resolve(); // negotiation steps, one after the other
  /** @type {RTCIceCandidateInit[]} */ #unsent = []; // local candidates that found signaling down
  /** @type {RTCIceCandidateInit[]} */ #early = []; // remote candidates before the first remote description
  /** @type {boolean} */ #offerUnsent = false;
  /** @type {boolean} */ #restartUnsent = false; // wanted while signaling was down
  /** @type {boolean} */ #everConnected = false;
  /** @type {number} */ #restarts = 0; // since the last `connected`
  /** @type {number} */ #networkAt = -Infinity;
  /** @type {boolean} */ #up = true; // signaling
  /** @type {any} */ #deadline = null;
  /** @type {any} */ #grace = null;
  /** @type {any} */ #answerTimer = null;

  /**
   * @param {CallHooks} hooks
   * @param {Partial<CallEnv>} [env]
   */
  constructor(hooks, env = {}) {
    this.#hooks = hooks;
    this.#env = { ...browser, ...env };
  }

  get state() { return this.#state; }
  /** The peer connection, for statistics. @returns {RTCPeerConnection | null} */
  get pc() { return this.#pc; }
  get everConnected() { return this.#everConnected; }

  /** @param {CallOptions} options */
  start(options) {
    if (this.#state !== "idle") throw new Error("a call starts once");
    this.#options = options;
    const pc = this.#env.peer({
      iceServers: options.iceServers,
      iceTransportPolicy: options.iceTransportPolicy || "all",
      bundlePolicy: "max-bundle",
      rtcpMuxPolicy: "require",
    });
    this.#pc = pc;
    pc.onnegotiationneeded = () => this.#enqueue(() => this.#offer());
    pc.onicecandidate = (event) => this.#localCandidate(event.candidate);
    pc.onconnectionstatechange = () => this.#assess(false);
    pc.oniceconnectionstatechange = () => this.#assess(true);
    pc.ontrack = (event) => this.#hooks.onTrack(event.track);
    this.#to("connecting", "");
    this.#audio = pc.addTransceiver(options.track || "audio", { direction: this.#direction(options.track) });
    this.#deadline = this.#env.setTimeout(() => this.#restart("timeout"), CONNECT_WITHIN_MS);
  }

  /**
   * A message of the server's that concerns the peer connection.
   * @param {Message} message offer, answer, candidate, or an error about one of them
   * @returns {boolean} false when it was not for the call
   */
  handle(message) {
    switch (message.type) {
      case "offer":
      case "answer":
        this.#enqueue(() => this.#description(message));
        return true;
      case "candidate":
        this.#enqueue(() => this.#remoteCandidate(message));
        return true;
      case "error":
        if (message.re === "candidate") return true; // one of many; if none works, that will show
        if (message.re !== "offer" && message.re !== "answer") return false;
        // The server asks its offer again after a resume; a second answer to it is refused and does no harm.
        if (message.re === "answer" && this.#pc?.connectionState === "connected") return true;
        if (message.code !== "rate_limited") this.#fail(String(message.code || "internal")); // else asked again, see #offer
        return true;
      default:
        return false;
    }
  }

  /** Signaling went away; nothing is lost yet, sound goes on. */
  signalDown() {
    this.#up = false;
    this.#env.clearTimeout(this.#answerTimer);
  }

  /**
   * Signaling is back with the same seat: say again what the server may not have heard.
   * @param {RTCIceServer[]} [iceServers] as the server names them now
   */
  signalUp(iceServers) {
    this.#up = true;
    const pc = this.#pc;
    if (!pc || this.#state === "closed") return;
    this.#renew(iceServers);
    if (this.#restartUnsent) {
      this.#restartUnsent = false;
      this.#restart("signaling");
      return;
    }
    this.#enqueue(async () => {
      if (this.#offerUnsent || pc.signalingState === "have-local-offer") await this.#offer();
      for (const candidate of this.#unsent.splice(0)) this.#sendCandidate(candidate);
    });
  }

  /** The network under us changed (address, interface, back online). */
  networkChanged() {
    if (this.#state === "idle" || this.#state === "closed") return;
    const now = this.#env.now();
    if (now - this.#networkAt < NETWORK_QUIET_MS) return;
    this.#networkAt = now;
    this.#restarts = 0; // a new network is a new chance
    this.#restart("network");
  }

  /**
   * Changes the microphone; null sends nothing until the next one. Negotiates only when the call listened before.
   * @param {MediaStreamTrack | null} track
   */
  async setTrack(track) {
    if (!this.#audio || !this.#options || this.#state === "closed") return;
    this.#options.track = track;
    await this.#audio.sender.replaceTrack(track);
    if (track) {
      const direction = this.#direction(track);
      if (this.#audio.direction !== direction) this.#audio.direction = direction; // fires negotiationneeded
    }
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async stats() {
    return this.#pc && this.#state !== "closed" ? this.#pc.getStats() : null;
  }

  close() {
    if (this.#state === "closed") return;
    this.#clearTimers();
    const pc = this.#pc;
    if (pc) {
      pc.onnegotiationneeded = pc.onicecandidate = pc.onconnectionstatechange = null;
      pc.oniceconnectionstatechange = pc.ontrack = null;
      pc.close();
    }
    this.#to("closed", "");
  }

  /**
   * @param {MediaStreamTrack | null} track
   * @returns {RTCRtpTransceiverDirection}
   */
  #direction(track) {
    const send = this.#options?.publish && track;
    const receive = this.#options?.subscribe;
    if (send) return receive ? "sendrecv" : "sendonly";
    return receive ? "recvonly" : "inactive";
  }

  /** @param {() => Promise<void>} step */
  #enqueue(step) {
    this.#chain = this.#chain.then(async () => {
      if (this.#state === "closed") return;
      try {
        await step();
      } catch (error) {
        if (/** @type {CallState} */ (this.#state) !== "closed") this.#fail(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
      }
    });
  }

  async #offer() {
    const pc = /** @type {RTCPeerConnection} */ (this.#pc);
    if (pc.signalingState !== "stable" && pc.signalingState !== "have-local-offer") return;
    await setLocalDescription(pc, this.#options ?? {}); // also one that was never answered: the socket was lost, or a second reason came up
    const description = pc.localDescription;
    if (!description || description.type !== "offer") return;
    this.#offerUnsent = !this.#hooks.send({ type: "offer", sdp: description.sdp });
    this.#env.clearTimeout(this.#answerTimer);
    this.#answerTimer = this.#env.setTimeout(() => {
      if (this.#up && pc.signalingState === "have-local-offer") this.#enqueue(() => this.#offer());
    }, ANSWER_WITHIN_MS);
  }

  /** @param {Message} message */
  async #description(message) {
    const pc = /** @type {RTCPeerConnection} */ (this.#pc);
    if (message.type === "answer") {
      if (pc.signalingState !== "have-local-offer") return; // answers an offer that was rolled back
      this.#env.clearTimeout(this.#answerTimer);
      await pc.setRemoteDescription({ type: "answer", sdp: message.sdp });
      await this.#addEarly();
      return;
    }
    // The polite peer gives way: its own open offer is rolled back by this, and negotiationneeded fires again after it.
    this.#env.clearTimeout(this.#answerTimer);
    this.#offerUnsent = false;
    await pc.setRemoteDescription({ type: "offer", sdp: message.sdp });
    await this.#addEarly();
    await setLocalDescription(pc, this.#options ?? {});
    if (pc.localDescription) this.#hooks.send({ type: "answer", sdp: pc.localDescription.sdp });
  }

  /** @param {Message} message */
  async #remoteCandidate(message) {
    const pc = /** @type {RTCPeerConnection} */ (this.#pc);
    const { candidate, sdpMid, sdpMLineIndex, usernameFragment } = message;
    const init = { candidate: candidate || "", sdpMid, sdpMLineIndex, usernameFragment };
    if (!pc.remoteDescription) {
      this.#early.push(init);
      return;
    }
    try {
      await pc.addIceCandidate(init);
    } catch {
      // Of a generation that an ICE restart has replaced, or of a kind this browser does not know. Others will do.
    }
  }

  async #addEarly() {
    for (const init of this.#early.splice(0)) await this.#remoteCandidate({ type: "candidate", ...init });
  }

  /** @param {RTCIceCandidate | null} candidate */
  #localCandidate(candidate) {
    if (!candidate || !candidate.candidate) return; // the server needs no end of candidates to begin
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    const init = { candidate: candidate.candidate, sdpMid, sdpMLineIndex, usernameFragment };
    if (!this.#sendCandidate(init)) this.#unsent.push(init);
  }

  /** @param {RTCIceCandidateInit} init */
  #sendCandidate(init) {
    return this.#hooks.send({ type: "candidate", ...init });
  }

  /**
   * Reads the connection's own states and moves ours.
   * @param {boolean} ice the ICE state changed; both states say "failed", and one failure is one restart
   */
  #assess(ice) {
    const pc = this.#pc;
    if (!pc || this.#state === "closed") return;
    if (pc.connectionState === "connected") {
      this.#env.clearTimeout(this.#grace);
      // While a restart is being negotiated the old path may still say "connected"; it is believed.
      this.#env.clearTimeout(this.#deadline);
      this.#grace = this.#deadline = null;
      this.#everConnected = true;
      this.#restarts = 0;
      this.#restartUnsent = false;
      if (this.#state !== "connected") this.#to("connected", "");
      return;
    }
    const path = pc.iceConnectionState;
    if (pc.connectionState === "failed" && (path === "connected" || path === "completed")) {
      this.#fail("dtls"); // the path works and the handshake does not: only a new connection helps
      return;
    }
    if (path === "failed") {
      if (ice && this.#state !== "failed") this.#restart("failed");
      return;
    }
    if (path === "disconnected" && this.#state === "connected" && !this.#grace) {
      this.#grace = this.#env.setTimeout(() => {
        this.#grace = null;
        if (this.#pc?.iceConnectionState !== "connected") this.#restart("disconnected");
      }, DISCONNECTED_GRACE_MS);
    }
  }

  /** @param {string} reason */
  #restart(reason) {
    const pc = this.#pc;
    if (!pc || this.#state === "closed") return;
    this.#env.clearTimeout(this.#deadline);
    this.#env.clearTimeout(this.#grace);
    this.#deadline = this.#grace = null;
    const healthy = pc.connectionState === "connected";
    if (!this.#up) {
      this.#restartUnsent = true;
      if (!healthy && this.#everConnected) this.#to("restarting", reason);
      return;
    }
    const limit = this.#everConnected ? RESTARTS_AFTER_FIRST : RESTARTS_BEFORE_FIRST;
    if (this.#restarts >= limit) {
      this.#fail("no_route");
      return;
    }
    this.#restarts++;
    // A path that still works is not called broken: the restart then happens behind the person's back.
    if (!healthy && this.#everConnected) this.#to("restarting", reason);
    if (this.#hooks.freshServers && this.#options?.iceServers.length) this.#restartFresh(this.#hooks.freshServers);
    else this.#restartNow();
    if (!healthy) this.#deadline = this.#env.setTimeout(() => this.#restart("timeout"), RESTART_WITHIN_MS);
  }

  #restartNow() {
    const pc = this.#pc;
    if (!pc || this.#state === "closed") return;
    pc.restartIce();
    if (pc.signalingState === "have-local-offer") this.#enqueue(() => this.#offer());
  }

  /** @param {() => Promise<RTCIceServer[] | null>} freshServers */
  async #restartFresh(freshServers) {
    const patience = new Promise((done) => this.#env.setTimeout(() => done(null), FRESH_WITHIN_MS));
    this.#renew(await Promise.race([freshServers().catch(() => null), patience]));
    this.#restartNow();
  }

  /** @param {RTCIceServer[] | null | undefined} iceServers */
  #renew(iceServers) {
    if (!iceServers?.length || !this.#pc || !this.#options || this.#state === "closed") return;
    this.#options.iceServers = iceServers;
    this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers });
  }

  /** @param {string} reason */
  #fail(reason) {
    this.#clearTimers();
    this.#to("failed", reason);
  }

  #clearTimers() {
    for (const id of [this.#deadline, this.#grace, this.#answerTimer]) this.#env.clearTimeout(id);
    this.#deadline = this.#grace = this.#answerTimer = null;
  }

  /**
   * @param {CallState} state
   * @param {string} reason
   */
  #to(state, reason) {
    if (state !== this.#state && !NEXT[this.#state].includes(state)) return;
    const again = state === this.#state && state !== "failed";
    this.#state = state;
    if (!again) this.#hooks.onState(state, reason);
  }
}
