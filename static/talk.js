// @ts-check
// Mute and push-to-talk as one small state machine: a short press of the talk control turns mute on or off, a long one
// talks while it lasts. No DOM.

const HOLD_MS = 300; // a press longer than this was meant as "hold to talk"
const TAIL_MS = 180; // the last syllable often ends after the finger

/**
 * @typedef {object} TalkHooks
 * @property {(live: boolean) => void} onLive whether the microphone is to be heard
 * @property {(muted: boolean, talking: boolean) => void} onChange for the eye
 */

export class Talk {
  #muted = false;
  #talking = false;
  #pressedAt = -1;
  /** @type {any} */ #tail = null;
  /** @type {TalkHooks} */ #hooks;
  #env;

  /**
   * @param {TalkHooks} hooks
   * @param {{now: () => number, setTimeout: (f: () => void, ms: number) => any, clearTimeout: (id: any) => void}} [env]
   */
  constructor(hooks, env = { now: () => performance.now(), setTimeout: (f, ms) => setTimeout(f, ms), clearTimeout: (id) => clearTimeout(id) }) {
    this.#hooks = hooks;
    this.#env = env;
  }

  get muted() { return this.#muted; }
  /** Heard now: not muted, or talking while muted. */
  get live() { return !this.#muted || this.#talking; }
  get talking() { return this.#talking; }

  toggle() { this.set(!this.#muted); }

  /** @param {boolean} muted */
  set(muted) {
    this.#env.clearTimeout(this.#tail);
    this.#pressedAt = -1;
    const live = this.live;
    if (muted === this.#muted && !this.#talking) return;
    this.#muted = muted;
    this.#talking = false;
    this.#tell(live);
  }

  /**
   * A talk key went down: talks at once while muted.
   * @returns {boolean} false when there is nothing to do
   */
  press() {
    if (this.#pressedAt >= 0) return true; // key repeat
    if (!this.#muted) return false;
    this.#env.clearTimeout(this.#tail);
    this.#pressedAt = this.#env.now();
    const live = this.live;
    this.#talking = true;
    this.#tell(live);
    return true;
  }

  /**
   * The key came up.
   * @param {boolean} toggles a short press was a click: unmute for good
   */
  release(toggles) {
    if (this.#pressedAt < 0) return;
    const short = this.#env.now() - this.#pressedAt < HOLD_MS;
    this.#pressedAt = -1;
    if (short && toggles) {
      this.set(false);
      return;
    }
    this.#tail = this.#env.setTimeout(() => {
      const live = this.live;
      this.#talking = false;
      this.#tell(live);
    }, TAIL_MS);
  }

  /** @param {boolean} before */
  #tell(before) {
    if (this.live !== before) this.#hooks.onLive(this.live);
    this.#hooks.onChange(this.#muted, this.#talking);
  }
}
