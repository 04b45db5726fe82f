// @ts-check
// For the tests: time that passes only when told to.

export class Clock {
  #now = 1000;
  #next = 1;
  /** @type {Map<number, {at: number, run: () => void}>} */ #timers = new Map();

  /** What signal.js, call.js and talk.js take as their environment. */
  get env() {
    return {
      now: () => this.#now,
      setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => {
        this.#timers.set(this.#next, { at: this.#now + ms, run });
        return this.#next++;
      },
      clearTimeout: (/** @type {any} */ id) => void this.#timers.delete(id),
    };
  }

  /** Timers that wait. */
  get waiting() { return this.#timers.size; }

  /**
   * Lets time pass; timers run at their moments, in order, and promises between them.
   * @param {number} ms
   */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      let first = null;
      for (const [id, timer] of this.#timers) if (timer.at <= end && (!first || timer.at < first.timer.at)) first = { id, timer };
      if (!first) break;
      this.#timers.delete(first.id);
      this.#now = Math.max(this.#now, first.timer.at);
      first.timer.run();
    }
    this.#now = end;
    await settle();
  }
}

/** Until every promise that can be settled is: chains in the code under test are a few links long. */
export async function settle() {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
