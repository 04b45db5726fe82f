// @ts-check
// For the tests: a peer connection that follows the W3C state machine as far as call.js relies on it (signaling states,
// implicit rollback, negotiation-needed, ICE restart), with a network the test commands.

/** @type {any} */
const nothing = null;

export class FakePeer {
  signalingState = "stable";
  connectionState = "new";
  iceConnectionState = "new";
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {any[]} */ transceivers = [];
  /** @type {any[]} */ candidates = [];
  closed = false;
  generation = 0; // of the local ICE credentials
  restartWanted = false;
  needed = false;
  onnegotiationneeded = nothing;
  onicecandidate = nothing;
  onconnectionstatechange = nothing;
  oniceconnectionstatechange = nothing;
  ontrack = nothing;

  /** @param {any} config */
  constructor(config) { this.config = config; }

  /** @param {any} track @param {any} init */
  addTransceiver(track, init) {
    const peer = this;
    const transceiver = {
      sender: { track: typeof track === "string" ? null : track, async replaceTrack(/** @type {any} */ next) { this.track = next; } },
      way: init.direction,
      get direction() { return this.way; },
      set direction(way) { this.way = way; peer.need(); },
    };
    this.transceivers.push(transceiver);
    this.need();
    return transceiver;
  }

  restartIce() {
    this.restartWanted = true;
    this.need();
  }

  need() {
    this.needed = true;
    queueMicrotask(() => {
      if (this.needed && this.signalingState === "stable" && !this.closed) {
        this.needed = false;
        this.onnegotiationneeded?.();
      }
    });
  }

  async createOffer() {
    if (this.restartWanted || this.generation === 0) this.generation++;
    return { type: "offer", sdp: `offer ufrag=${this.generation} ${this.transceivers[0]?.way}` };
  }

  async createAnswer() { return { type: "answer", sdp: "answer" }; }

  /** @param {any} description */
  async setLocalDescription(description) {
    if (this.closed) throw new Error("closed");
    if (description.type === "offer") {
      if (this.signalingState !== "stable" && this.signalingState !== "have-local-offer") throw new Error(`offer in ${this.signalingState}`);
      this.signalingState = "have-local-offer";
    } else {
      this.signalingState = "stable";
      if (this.needed || this.restartWanted) this.need();
    }
    this.localDescription = description;
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    if (/broken/.test(description.sdp)) throw Object.assign(new Error("bad SDP"), { name: "InvalidAccessError" });
    if (description.type === "offer") {
      if (this.signalingState === "have-local-offer") this.needed = true; // implicit rollback
      this.signalingState = "have-remote-offer";
    } else {
      if (this.signalingState !== "have-local-offer") throw new Error(`answer in ${this.signalingState}`);
      this.signalingState = "stable";
      this.restartWanted = false;
      if (this.needed) this.need();
    }
    this.remoteDescription = description;
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    if (!this.remoteDescription) throw new Error("no remote description");
    if (/unknown/.test(candidate.candidate)) throw new Error("unknown ufrag");
    this.candidates.push(candidate);
  }

  getConfiguration() { return this.config; }
  /** @param {any} config */
  setConfiguration(config) { this.config = config; }
  async getStats() { return new Map(); }
  close() { this.closed = true; }

  /** @param {string} ice @param {string} [connection] */
  network(ice, connection = ice) {
    this.iceConnectionState = ice;
    this.oniceconnectionstatechange?.();
    this.connectionState = connection;
    this.onconnectionstatechange?.();
  }

  /** @param {string} candidate */
  gather(candidate) {
    this.onicecandidate?.({ candidate: { candidate, sdpMid: "0", sdpMLineIndex: 0, usernameFragment: String(this.generation) } });
  }
}
