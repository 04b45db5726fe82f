// @ts-check
// The microphone in use: opened, changed, lost and found again. Owns the track; others only attach it. No DOM.

import { micFailure } from "./failures.js";

/** @typedef {import("./devices.js").Devices} Devices */
/** @typedef {import("./devices.js").MicWish} MicWish */
/** @typedef {import("./failures.js").Failure} Failure */

export class Microphone {
  /** @type {Devices} */ #devices;
  /** @type {(track: MediaStreamTrack | null) => void} */ #onTrack;
  /** @type {() => void} */ #onLost;
  /** @type {MediaStreamTrack | null} */ #track = null;
  /** @type {Promise<unknown>} */ #turn = Promise.resolve(); // opening and closing happen one after the other
  #live = true;

  /**
   * @param {Devices} devices
   * @param {{onTrack: (track: MediaStreamTrack | null) => void, onLost: () => void}} hooks onTrack: another track, or
   *   none; onLost: it ended by itself (unplugged, permission taken back)
   */
  constructor(devices, { onTrack, onLost }) {
    this.#devices = devices;
    this.#onTrack = onTrack;
    this.#onLost = onLost;
  }

  get track() { return this.#track; }
  /** Name of the device, "" without one. */
  get label() { return this.#track?.label || ""; }
  get deviceId() { return this.#track?.getSettings?.().deviceId || ""; }

  /** @param {boolean} live false: the track is silence, see call.js on why it stays */
  setLive(live) {
    this.#live = live;
    if (this.#track) this.#track.enabled = live;
  }

  /**
   * Opens it, or opens another one in its place.
   * @param {MicWish} wish
   * @returns {Promise<Failure | null>} what went wrong; then there is no microphone
   */
  open(wish) {
    return this.#next(async () => {
      this.#drop(); // first: phones and some drivers give a microphone to one track at a time
      try {
        const track = await this.#devices.open(wish);
        track.enabled = this.#live;
        track.contentHint = wish.echoCancellation || wish.noiseSuppression ? "speech" : "music";
        track.addEventListener("ended", () => {
          if (track !== this.#track) return;
          this.#track = null;
          this.#onTrack(null);
          this.#onLost();
        });
        this.#track = track;
        this.#onTrack(track);
        return null;
      } catch (error) {
        this.#onTrack(null);
        return micFailure(error);
      }
    });
  }

  close() {
    return this.#next(async () => {
      if (!this.#track) return;
      this.#drop();
      this.#onTrack(null);
    });
  }

  #drop() {
    const track = this.#track;
    this.#track = null;
    track?.stop();
  }

  /** @template T @param {() => Promise<T>} step @returns {Promise<T>} */
  #next(step) {
    const done = this.#turn.then(step);
    this.#turn = done.catch(() => {});
    return done;
  }
}
