// @ts-check
// The signaling socket: one WebSocket at a time, joined to one room, resumed when it is lost. Knows the envelope of
// docs/protocol.md (join, joined, error, bye, ping) and hands everything else on. No DOM, no media.

/** @typedef {{type: string, [key: string]: any}} Message */
/** @typedef {"idle"|"connecting"|"joined"|"waiting"|"closed"} SignalState */
/**
 * @typedef {object} Hello What the join message says.
 * @property {string} room
 * @property {string} name
 * @property {string} [token]
 * @property {boolean} [redirected] the first join is at a node that another has named
 */
/**
 * @typedef {object} SignalHooks
 * @property {(joined: Message) => void} onJoined every time the room is (re)entered; `joined.resumed` says which
 * @property {(message: Message) => void} onMessage everything the socket layer does not consume itself
 * @property {(state: SignalState, detail: {attempt: number, reason: string, retryInMs: number}) => void} onState
 * @property {(end: {code: string, message: string}) => void} onClosed the last call; no retry follows
 */
/**
 * @typedef {object} SignalEnv What the outside world is made of; tests bring their own.
 * @property {(url: string, protocol: string) => WebSocket} socket
 * @property {(f: () => void, ms: number) => any} setTimeout
 * @property {(id: any) => void} clearTimeout
 * @property {() => number} now milliseconds
 * @property {() => number} random 0 <= x < 1
 */

export const PROTOCOL = "parley.v1";

const CONNECT_TIMEOUT_MS = 8000; // socket open and `joined` together
const PING_EVERY_MS = 5000;
const PONG_WITHIN_MS = 8000; // silence after a ping that makes the socket dead
const QUIET_MS = 2500; // in a call the server says something every second: this long without a word is such a hint
const POKE_PONG_MS = 2500; // the same after a hint that the network changed
const BACKOFF_MS = [100, 500, 1000, 2000, 4000, 8000]; // last one repeats
const CLOSE_LOST = 4000; // our close code for a socket given up; 1000 and 1001 would mean that we leave
const BUSY_BACKOFF_MS = 5000; // least wait after the server turned us away for load or rate
const NODE_TIMEOUT_MS = 2500; // CONNECT_TIMEOUT_MS while there is another node to try
const NODE_SPREAD_MS = 60; // the wait before another node is tried is drawn from this
const MAX_REDIRECTS = 4; // in a row; more is two nodes that do not agree

/** Errors the server may end a socket with although trying again is right. */
const RETRY_CODES = new Set(["draining", "rate_limited", "internal", "join_timeout"]);
/** Reasons of `bye` after which the participant is gone but a new join is what the person wants. */
const REJOIN_REASONS = new Set(["draining", "timeout", "room_error"]);

/** @type {SignalEnv} */
const browser = {
  socket: (url, protocol) => new WebSocket(url, protocol),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (id) => clearTimeout(id),
  now: () => performance.now(),
  random: () => Math.random(),
};

export class Signal {
  /** @type {string} */ #url; // of the node that we are at, or try
  /** @type {string[]} */ #nodes = []; // of a cluster: origins to go on with when this node fails, the best first
  /** @type {string} */ #seatAt = ""; // the URL where #resume is good
  /** @type {string} */ #failed = ""; // the node that we have lost
  #tried = 0; // nodes that have been tried since the seat was lost
  #redirects = 0;
  /** @type {Hello} */ #hello;
  /** @type {SignalHooks} */ #hooks;
  /** @type {SignalEnv} */ #env;
  /** @type {SignalState} */ #state = "idle";
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {string} */ #resume = "";
  /** @type {number} */ #attempt = 0; // failed attempts since the last `joined`
  /** @type {any} */ #retryTimer = null;
  /** @type {any} */ #connectTimer = null;
  /** @type {any} */ #pingTimer = null;
  /** @type {any} */ #quietTimer = null;
  /** @type {number | null} */ #pingSentAt = null; // null: none outstanding
  /** @type {number} */ #retryAfterMs = 0; // the server's wish, for the next wait only
  /** @type {{code: string, message: string} | null} */ #end = null; // why the next close is final
  /** @type {string} */ #reason = "";
  /** @type {boolean} */ #entered = false;
  /** Round trip of the last ping in milliseconds; null before the first. @type {number | null} */
  rttMs = null;

  /**
   * @param {string} url ws: or wss: address of /ws
   * @param {Hello} hello
   * @param {SignalHooks} hooks
   * @param {Partial<SignalEnv>} [env]
   */
  constructor(url, hello, hooks, env = {}) {
    this.#url = url;
    this.#hello = hello;
    this.#hooks = hooks;
    this.#env = { ...browser, ...env };
  }

  get state() { return this.#state; }
  /** Origin of the node that we are at. */
  get origin() { return originOf(this.#url); }
  /** Origins of the nodes to go on with when this one fails. */
  get fallbacks() { return this.#nodes; }
  /** True once the room was entered at least once. */
  get entered() { return this.#entered; }

  open() {
    if (this.#state === "idle") this.#connect();
  }

  /**
   * Sends now or not at all: who needs a message to survive a lost socket sends it again after onJoined.
   * @param {Message} message
   * @returns {boolean} false when there is no joined socket
   */
  send(message) {
    if (this.#state !== "joined" || !this.#socket) return false;
    return this.#write(message);
  }

  /** Leaves the room for good. */
  leave() {
    if (this.#state === "closed") return;
    if (this.#state === "joined") this.#write({ type: "leave" });
    this.#finish({ code: "left", message: "" }, 1000);
  }

  /** A hint that the network may have changed: try at once when waiting, test the socket when there is one. */
  poke() {
    if (this.#state === "waiting") {
      this.#env.clearTimeout(this.#retryTimer);
      this.#connect();
    } else if (this.#state === "joined") {
      this.#ping();
      this.#env.clearTimeout(this.#pingTimer);
      const asked = this.#pingSentAt;
      this.#pingTimer = this.#env.setTimeout(() => {
        if (this.#pingSentAt === asked) this.#drop("no answer");
        else this.#beat();
      }, POKE_PONG_MS);
    }
  }

  /** Gives the seat up and takes a new one: for a peer connection that cannot be saved. */
  rejoin() {
    if (this.#state === "closed" || this.#state === "idle") return;
    this.#resume = "";
    if (this.#state === "joined") this.#write({ type: "leave" });
    this.#discard(1000);
    this.#wait("rejoin");
  }

  #connect() {
    this.#to("connecting");
    this.#end = null;
    let socket;
    try {
      socket = this.#env.socket(this.#url, PROTOCOL);
    } catch (error) {
      this.#wait(String(error));
      return;
    }
    this.#socket = socket;
    const patience = this.#tried <= this.#nodes.length && this.#nodes.length > 0 ? NODE_TIMEOUT_MS : CONNECT_TIMEOUT_MS;
    this.#connectTimer = this.#env.setTimeout(() => this.#drop("timeout"), patience);
    socket.onopen = () => { if (socket === this.#socket) this.#join(); };
    socket.onmessage = (event) => { if (socket === this.#socket) this.#read(event.data); };
    socket.onclose = (event) => { if (socket === this.#socket) this.#closed(event.code, event.reason); };
    socket.onerror = () => {}; // a close event follows
  }

  #join() {
    const { room, name, token } = this.#hello;
    /** @type {Message} */
    const join = { type: "join", room, name };
    if (token) join.token = token;
    if (this.#resume && this.#seatAt === this.#url) join.resume = this.#resume;
    if (this.#failed && this.#failed !== this.origin) join.failed = this.#failed;
    if (this.#redirects > 0 || (this.#hello.redirected && !this.#entered)) join.redirected = true;
    this.#write(join);
  }

  /** @param {unknown} data */
  #read(data) {
    this.#answered();
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      return; // not for us; the server's tests see to it that this does not happen
    }
    if (!message || typeof message.type !== "string") return;
    switch (message.type) {
      case "pong":
        if (typeof message.t === "number") this.rttMs = Math.max(0, this.#env.now() - message.t);
        return;
      case "joined":
        this.#joined(message);
        return;
      case "error":
        this.#error(message);
        return;
      case "bye":
        this.#bye(message);
        return;
      case "nodes":
        this.#know(message.nodes);
        return;
      case "redirect":
        this.#redirect(String(message.url || ""));
        return;
      case "stats":
        this.#expectMore();
        break;
    }
    this.#hooks.onMessage(message);
  }

  /** @param {Message} message */
  #joined(message) {
    this.#env.clearTimeout(this.#connectTimer);
    this.#resume = typeof message.resume === "string" ? message.resume : "";
    this.#seatAt = this.#url;
    this.#failed = "";
    this.#tried = this.#redirects = 0;
    this.#know(message.nodes);
    this.#attempt = 0;
    this.#retryAfterMs = 0;
    this.#entered = true;
    this.#to("joined");
    this.#beat();
    this.#hooks.onJoined(message);
  }

  /** @param {Message} message */
  #error(message) {
    const code = String(message.code || "internal");
    if (code === "resume_failed" && this.#state === "connecting") {
      this.#resume = "";
      this.#join(); // same socket, new seat
      return;
    }
    // Before `joined` any error means that the join was refused, whether or not the server closes the socket itself.
    if (message.fatal || this.#state === "connecting") {
      if (code === "server_full" && this.#seatAt && this.#tried > 0 && this.#tried <= this.#nodes.length) {
        this.#drop(code); // here; another node may have room
        return;
      }
      if (RETRY_CODES.has(code)) {
        this.#retryAfterMs = Math.max(this.#retryAfterMs, Number(message.retryAfterMs) || BUSY_BACKOFF_MS);
        this.#drop(code);
        return;
      }
      this.#finish({ code, message: String(message.message || "") }, 1000);
      return;
    }
    this.#hooks.onMessage(message);
  }

  /** @param {unknown} nodes */
  #know(nodes) {
    this.#nodes = Array.isArray(nodes) ? nodes.filter((node) => typeof node === "string" && /^https?:\/\/[^/]+$/.test(node)) : [];
  }

  /** @param {string} node */
  #redirect(node) {
    if (!/^https?:\/\/[^/]+$/.test(node) || this.#redirects >= MAX_REDIRECTS) {
      this.#drop("redirect");
      return;
    }
    this.#redirects++;
    this.#discard(CLOSE_LOST);
    this.#url = socketOf(node);
    this.#connect();
  }

  /**
   * Turns to the next node, if this one has failed and there are others that have not been tried. The first attempt is for the
   * node that has our seat: a socket may be lost without it.
   * @returns {boolean}
   */
  #turn() {
    if (!this.#seatAt || this.#nodes.length === 0) return false;
    const home = originOf(this.#seatAt);
    const order = [home, ...this.#nodes.filter((node) => node !== home)];
    if (++this.#tried > order.length) {
      this.#tried = 1; // all have failed: from the beginning, and slower
      this.#url = this.#seatAt;
      return false;
    }
    const node = order[this.#tried - 1];
    if (node !== home) this.#failed = home;
    this.#url = node === home ? this.#seatAt : socketOf(node);
    return true;
  }

  /** @param {Message} message */
  #bye(message) {
    const reason = String(message.reason || "");
    if (REJOIN_REASONS.has(reason)) {
      this.#resume = "";
      this.#reason = reason;
      this.#retryAfterMs = Number(message.retryAfterMs) || 0;
      if (reason === "draining" && this.#nodes.length > 0) {
        this.#retryAfterMs = 0;
        this.#tried = Math.max(this.#tried, 1); // this node is not tried again
      }
      this.#drop(reason);
      return;
    }
    this.#finish({ code: reason || "closed", message: "" }, 1000);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    this.#socket = null;
    this.#silence();
    switch (code) {
      case 1000:
        this.#finish(this.#end || { code: reason || "closed", message: "" }, 0);
        return;
      case 4001:
        this.#finish({ code: "replaced", message: "" }, 0);
        return;
      case 4002:
        if (!REJOIN_REASONS.has(reason)) {
          this.#finish({ code: reason || "closed", message: "" }, 0);
          return;
        }
        this.#resume = "";
        break;
      case 1001:
        this.#wait("draining");
        return;
      case 1008:
        this.#retryAfterMs = Math.max(this.#retryAfterMs, BUSY_BACKOFF_MS);
        break;
    }
    this.#wait(reason || "lost");
  }

  /**
   * Gives up on this socket and tries another one.
   * @param {string} reason
   */
  #drop(reason) {
    this.#discard(CLOSE_LOST);
    this.#wait(reason);
  }

  /** @param {string} reason */
  #wait(reason) {
    let step = BACKOFF_MS[Math.min(this.#attempt, BACKOFF_MS.length - 1)];
    this.#attempt++;
    if (this.#turn() && this.#tried > 1) step = NODE_SPREAD_MS;
    // Half of the wait is drawn, so that a room full of clients does not come back in one moment.
    const retryInMs = Math.max(this.#retryAfterMs, 0) + Math.round(step * (0.5 + this.#env.random() / 2));
    this.#retryAfterMs = 0;
    this.#reason = reason;
    this.#retryTimer = this.#env.setTimeout(() => this.#connect(), retryInMs);
    this.#to("waiting", retryInMs);
  }

  /**
   * @param {{code: string, message: string}} end
   * @param {number} closeCode 0: the socket is gone already
   */
  #finish(end, closeCode) {
    if (this.#state === "closed") return;
    if (closeCode) this.#discard(closeCode);
    this.#silence();
    this.#env.clearTimeout(this.#retryTimer);
    this.#resume = "";
    this.#reason = end.code;
    this.#to("closed");
    this.#hooks.onClosed(end);
  }

  /** @param {number} code */
  #discard(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#silence();
    try {
      socket?.close(code);
    } catch {
      // closing what is closed is no news
    }
  }

  #silence() {
    this.#env.clearTimeout(this.#connectTimer);
    this.#env.clearTimeout(this.#pingTimer);
    this.#env.clearTimeout(this.#quietTimer);
    this.#pingSentAt = null;
  }

  #beat() {
    this.#env.clearTimeout(this.#pingTimer);
    this.#pingTimer = this.#env.setTimeout(() => {
      if (this.#pingSentAt !== null && this.#env.now() - this.#pingSentAt >= PONG_WITHIN_MS) {
        this.#drop("no answer");
        return;
      }
      if (this.#pingSentAt === null) this.#ping();
      this.#beat();
    }, PING_EVERY_MS);
  }

  #ping() {
    this.#pingSentAt = this.#env.now();
    this.#write({ type: "ping", t: this.#pingSentAt });
  }

  /** Anything that arrives shows that the socket lives. */
  #answered() {
    this.#pingSentAt = null;
    this.#env.clearTimeout(this.#quietTimer);
  }

  /** Statistics come every second while media flows: when they stop, the socket is asked whether it lives. */
  #expectMore() {
    if (this.#state === "joined") this.#quietTimer = this.#env.setTimeout(() => this.poke(), QUIET_MS);
  }

  /**
   * @param {Message} message
   * @returns {boolean}
   */
  #write(message) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== 1) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * @param {SignalState} state
   * @param {number} [retryInMs]
   */
  #to(state, retryInMs = 0) {
    this.#state = state;
    this.#hooks.onState(state, { attempt: this.#attempt, reason: this.#reason, retryInMs });
  }
}

/** @param {string} url of a socket */
function originOf(url) {
  return url.replace(/^ws/, "http").replace(/\/ws$/, "");
}

/** @param {string} origin */
export function socketOf(origin) {
  return origin.replace(/^http/, "ws") + "/ws";
}

/**
 * The signaling address that belongs to a page address.
 * @param {{protocol: string, host: string}} location
 */
export function signalURL(location) {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`;
}
