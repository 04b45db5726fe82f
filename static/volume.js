// @ts-check
// Personal volumes: what a person sets in percent, what the server is told, and what is kept over a lost session.

/** Loudness is felt in steps of level, so the slider is: 100 % is as sent, 200 % twice the amplitude, 50 % a quarter. */
const CURVE = 2;

/** @param {number} percent 0 to 200 @returns {number} linear gain, 0 to 2 */
export function gainOf(percent) {
  const share = Math.min(Math.max(percent, 0), 200) / 100;
  return share <= 1 ? round(share ** CURVE) : round(share);
}

/** @param {number} gain @returns {number} percent in steps of 5 */
export function percentOf(gain) {
  const share = gain <= 1 ? gain ** (1 / CURVE) : gain;
  return Math.min(200, Math.round((share * 100) / 5) * 5);
}

/** @param {number} x */
const round = (x) => Math.round(x * 1000) / 1000;

/**
 * What is to be told to the server, at most once per interval while a slider is dragged: the last value always.
 */
export class Volumes {
  /** @type {Map<string, number>} */ #gains = new Map();
  /** @type {Map<string, number>} */ #due = new Map();
  /** @type {any} */ #timer = null;
  #send;

  /**
   * @param {(id: string, gain: number) => void} send
   * @param {number} [intervalMs]
   */
  constructor(send, intervalMs = 100) {
    this.#send = send;
    this.intervalMs = intervalMs;
  }

  /** @param {string} id */
  get(id) { return this.#gains.get(id) ?? 1; }

  /** @param {string} id @param {number} gain */
  set(id, gain) {
    if (gain === 1) this.#gains.delete(id);
    else this.#gains.set(id, gain);
    this.#due.set(id, gain);
    this.#timer ??= setTimeout(() => this.#flush(), this.intervalMs);
  }

  /** Somebody left; who comes again is somebody new to the server. @param {string} id */
  forget(id) {
    this.#gains.delete(id);
    this.#due.delete(id);
  }

  /** A new session knows of no volumes: those of people who are still there are told again. @param {Iterable<string>} present */
  again(present) {
    const here = new Set(present);
    for (const id of [...this.#gains.keys()]) if (!here.has(id)) this.forget(id);
    for (const [id, gain] of this.#gains) this.#send(id, gain);
  }

  #flush() {
    this.#timer = null;
    for (const [id, gain] of this.#due) this.#send(id, gain);
    this.#due.clear();
  }
}
