// @ts-check
// The one audio element of the page. It lives as long as the page, whatever happens to peer connections: a mix is one
// stream, and iOS plays new elements silently once the page was in the background.

import { $ } from "./dom.js";
import { audioContext } from "./levels.js";

export class Sound {
  /** @type {HTMLAudioElement & {setSinkId?: (id: string) => Promise<void>}} */ #element = $("sound");
  /** @type {(blocked: boolean) => void} */ #onBlocked;
  #testing = false;
  /** @type {MediaStream | null} */ #mix = null;

  /** @param {(blocked: boolean) => void} onBlocked the browser wants a gesture first */
  constructor(onBlocked) {
    this.#onBlocked = onBlocked;
    this.#element.addEventListener("playing", () => onBlocked(false));
  }

  /** Whether the browser lets a page choose the loudspeaker. */
  get canChoose() { return typeof this.#element.setSinkId === "function"; }

  /** @param {MediaStreamTrack} track */
  attach(track) {
    this.#mix = new MediaStream([track]);
    if (!this.#testing) this.#element.srcObject = this.#mix;
    this.play();
  }

  detach() {
    this.#mix = null;
    if (!this.#testing) this.#element.srcObject = null;
    this.#onBlocked(false);
  }

  async play() {
    if (!this.#element.srcObject) return;
    try {
      await this.#element.play();
      this.#onBlocked(false);
    } catch (error) {
      if (/** @type {Error} */ (error).name === "NotAllowedError") this.#onBlocked(true);
    }
  }

  /**
   * @param {string} id device, "" the default one
   * @returns {Promise<boolean>} false when that one cannot be had; the default one then plays
   */
  async choose(id) {
    if (!this.#element.setSinkId) return id === "";
    try {
      await this.#element.setSinkId(id);
      return true;
    } catch {
      await this.#element.setSinkId("").catch(() => {});
      return false;
    }
  }

  /** Two soft notes on the chosen loudspeaker; the call goes on after them. */
  async test() {
    const context = audioContext();
    if (!context || this.#testing) return;
    this.#testing = true;
    await context.resume();
    const out = context.createMediaStreamDestination();
    const start = context.currentTime + 0.08;
    [523.25, 783.99].forEach((pitch, i) => {
      const tone = new OscillatorNode(context, { frequency: pitch });
      const gain = new GainNode(context, { gain: 0 });
      const at = start + i * 0.28;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(0.25, at + 0.03);
      gain.gain.exponentialRampToValueAtTime(0.001, at + 0.6);
      tone.connect(gain).connect(out);
      tone.start(at);
      tone.stop(at + 0.65);
    });
    this.#element.srcObject = out.stream;
    await this.play();
    await new Promise((done) => setTimeout(done, 1200));
    this.#testing = false;
    this.#element.srcObject = this.#mix;
    if (this.#mix) await this.play();
  }
}
