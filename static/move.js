// @ts-check
// Takes a call from one node of a cluster to another: a seat and a connection there first, and when sound comes, away from
// here. Until then nobody there hears us, so nobody hears us twice. When no node takes us, nothing has happened: the old one
// will say goodbye, and the call goes on as after any loss.

import { socketOf } from "./signal.js";

/** @typedef {{type: string, [key: string]: any}} Message */
/** @typedef {import("./signal.js").Signal} Signal */
/** @typedef {import("./call.js").Call} Call */
/** @typedef {{signal: Signal, call: Call, joined: Message, track: MediaStreamTrack | null, messages: Message[]}} There */
/**
 * @typedef {object} MoveHooks
 * @property {(url: string, hooks: import("./signal.js").SignalHooks) => Signal} signal makes a socket that does as hooks say until done
 * @property {(signal: Signal, hooks: {onState: (state: string) => void, onTrack: (track: MediaStreamTrack) => void}) => Call} call
 * @property {(call: Call, joined: Message) => void} start
 * @property {() => void} failed no node has taken us
 * @property {(there: There) => void} done sound comes from there: it is the call's own now
 */
/**
 * @typedef {object} MoveEnv
 * @property {(f: () => void, ms: number) => any} setTimeout
 * @property {(id: any) => void} clearTimeout
 * @property {() => number} random
 */

const ATTEMPT_MS = 5000; // for one node, from the socket to sound
const SOUND_EVERY_MS = 50;
const SOUND_WITHIN_MS = 1000; // a room in silence sends next to nothing

/** @type {MoveEnv} */
const browser = { setTimeout: (f, ms) => setTimeout(f, ms), clearTimeout: (id) => clearTimeout(id), random: () => Math.random() };

export class Move {
  /** @type {string[]} */ #nodes;
  /** @type {MoveHooks} */ #hooks;
  /** @type {MoveEnv} */ #env;
  /** @type {any} */ #timer = null;
  /** @type {any} */ #soundTimer = null;
  /** @type {Signal | null} */ #signal = null;
  /** @type {Call | null} */ #call = null;
  #ended = false;

  /**
   * @param {unknown[]} nodes origins, the best first
   * @param {number} withinMs the beginning is drawn from this, so that a node's people do not move all at once
   * @param {MoveHooks} hooks
   * @param {Partial<MoveEnv>} [env]
   */
  constructor(nodes, withinMs, hooks, env = {}) {
    this.#nodes = /** @type {string[]} */ (nodes.filter((node) => typeof node === "string" && /^https?:\/\/[^/]+$/.test(node)));
    this.#hooks = hooks;
    this.#env = { ...browser, ...env };
    this.#timer = this.#env.setTimeout(() => this.#next(), withinMs * this.#env.random());
  }

  /** Gives up what is under way. */
  cancel() {
    this.#ended = true;
    this.#drop();
  }

  #drop() {
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#soundTimer);
    const signal = this.#signal;
    this.#signal = null;
    signal?.leave();
    this.#call?.close();
    this.#call = null;
  }

  #next() {
    this.#drop();
    const node = this.#nodes.shift();
    if (this.#ended) return;
    if (!node) {
      this.#ended = true;
      this.#hooks.failed();
      return;
    }
    this.#timer = this.#env.setTimeout(() => this.#next(), ATTEMPT_MS);
    /** @type {Message[]} */ const messages = [];
    /** @type {MediaStreamTrack | null} */ let track = null;
    const signal = this.#hooks.signal(socketOf(node), {
      onJoined: (joined) => {
        if (this.#signal !== signal || this.#call) return;
        signal.send({ type: "mute", muted: true });
        const call = this.#hooks.call(signal, {
          onState: (state) => {
            if (this.#call !== call) return;
            if (state === "connected") this.#await(SOUND_WITHIN_MS, call, () => this.#arrive({ signal, call, joined, track, messages }));
            else if (state === "failed") this.#next();
          },
          onTrack: (now) => { track = now; },
        });
        this.#call = call;
        this.#hooks.start(call, joined);
      },
      onMessage: (message) => {
        if (this.#signal === signal && !this.#call?.handle(message)) messages.push(message);
      },
      onState: (state) => { if (this.#signal === signal && state === "waiting") this.#next(); },
      onClosed: () => { if (this.#signal === signal) this.#next(); },
    });
    this.#signal = signal;
    signal.open();
  }

  /**
   * Waits for the first sound.
   * @param {number} left
   * @param {Call} call
   * @param {() => void} then
   */
  async #await(left, call, then) {
    const heard = await received(call);
    if (this.#call !== call) return;
    if (heard || left <= 0) then();
    else this.#soundTimer = this.#env.setTimeout(() => this.#await(left - SOUND_EVERY_MS, call, then), SOUND_EVERY_MS);
  }

  /** @param {There} there */
  #arrive(there) {
    this.#env.clearTimeout(this.#timer);
    this.#signal = this.#call = null;
    this.#ended = true;
    this.#hooks.done(there);
  }
}

/** @param {Call} call */
async function received(call) {
  for (const stat of (await call.stats())?.values() ?? []) {
    if (stat.type === "inbound-rtp" && stat.packetsReceived > 2) return true;
  }
  return false;
}
